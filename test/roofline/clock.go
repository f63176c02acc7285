package roofline

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// rounds are how often a cost is measured. The least counts: everything that
// disturbs only adds, and a limit that is too low would flatter.
const rounds = 9

// roundTime is how long a round shall take.
const roundTime = 4 * time.Millisecond

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

// Cores returns how many processors programs on this machine have all together. What the
// environment lets each of them use (GOMAXPROCS) is not that: replicas and load may use
// so many each. Nobody may change GOMAXPROCS meanwhile.
func Cores() int {
	own := runtime.GOMAXPROCS(0)
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	if all != own {
		runtime.GOMAXPROCS(own)
	}
	return all
}

// crowding returns how many times as much processor time f takes while all
// processors do nothing else: above 1 where they are threads of fewer cores, share
// caches, or slow down together. Nobody may change GOMAXPROCS meanwhile.
func crowding(f func()) float64 {
	alone := costOf(f)
	all := Cores()
	if own := runtime.GOMAXPROCS(0); own != all {
		runtime.GOMAXPROCS(all) // or this program, where it may use fewer, would crowd nothing
		defer runtime.GOMAXPROCS(own)
	}
	calls := max(1, int(float64(roundTime)/alone))
	best := math.Inf(1)
	for range rounds {
		var wg sync.WaitGroup
		took := make([]time.Duration, all)
		for i := range all {
			wg.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				took[i] = timed(calls, f)
			})
		}
		wg.Wait()
		sum := 0.0
		for _, t := range took {
			sum += float64(t) / float64(calls*all)
		}
		best = min(best, sum)
	}
	return best / alone
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
