//go:build !linux

package processors

import "time"

// Process tells nothing here.
func Process(int) (time.Duration, bool) { return 0, false }

// Machine tells nothing here.
func Machine() (Times, bool) { return Times{}, false }
