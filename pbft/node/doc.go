// Package node drives one replica: it owns the goroutines, the clock and the
// pools around the deterministic core.
package node
