package roofline

import (
	"runtime"
	"slices"
	"time"
)

// rounds are how often a cost is measured. The least counts: everything that
// disturbs only adds, and a limit that is too low would flatter.
const rounds = 5

// roundTime is how long a round shall take.
const roundTime = 6 * time.Millisecond

// costOf returns the processor time of one call of f, in nanoseconds. Time in
// which other programs had the processor does not count, where the system tells.
func costOf(f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	calls := 1
	for {
		if took := timed(calls, f); took >= roundTime/4 || calls > 1<<24 {
			calls = max(1, int(float64(calls)*float64(roundTime)/float64(max(took, 1))))
			break
		}
		calls *= 4
	}
	best := timed(calls, f)
	for range rounds - 1 {
		best = min(best, timed(calls, f))
	}
	return float64(best) / float64(calls)
}

func timed(calls int, f func()) time.Duration {
	start := threadTime()
	for range calls {
		f()
	}
	return threadTime() - start
}

// middle returns the median of durations, in nanoseconds.
func middle(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2])
}
