package sim

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

var hunt = flag.Uint64("hunt", 0, "run this many seeds, from -first on, until one breaks a law")

// TestHunt is for the mutation gate (package mutants): it runs seeds until one
// breaks a law, which is what it is for, and says how many that took. A core
// that panics is found too.
func TestHunt(t *testing.T) {
	var wg sync.WaitGroup
	var next, lowest atomic.Uint64
	lowest.Store(*first + *hunt)
	var mu sync.Mutex
	what := ""
	next.Store(*first)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1) - 1; seed < lowest.Load(); seed = next.Add(1) - 1 {
				if found := huntOne(seed); found != "" {
					mu.Lock()
					if seed < lowest.Load() {
						lowest.Store(seed)
						what = found
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if what != "" {
		t.Errorf("hunted %d: %s", lowest.Load()-*first+1, what)
	}
}

// huntOne returns how a seed breaks a law, or nothing.
func huntOne(seed uint64) string {
	if res := runOrPanic(FromSeed(seed)); res.Violation != nil {
		return fmt.Sprintf("%.120s", fmt.Sprint(res.Violation))
	}
	return ""
}

// runOrPanic makes a panic a violation, so that it ends no other run.
func runOrPanic(o Options) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			res = Result{Options: o.withoutFunctions(), Violation: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
	}()
	return Run(o)
}
