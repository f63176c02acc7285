//go:build !linux

package bench

// levelNow tells nothing here.
func levelNow([]int, string) (level Level, ok bool) { return level, false }
