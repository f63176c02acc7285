// Package tidy holds the house rules that no linter checks: who may import whom,
// what is deterministic, how long things may be, and that documents name code
// that exists. It has tests only.
package tidy
