package sim

import (
	"flag"
	"runtime"
	"sync"
	"testing"
	"time"
)

//nolint:gochecknoglobals // flags of the test
var (
	seeds = flag.Uint64("seeds", 300, "how many seeds TestSeeds runs")
	first = flag.Uint64("first", 1, "the first seed of TestSeeds")
	one   = flag.Uint64("seed", 0, "run this seed alone and print its trace")
)

// TestOneSeed replays a seed with its trace: go test ./test/sim -run OneSeed -seed 42 -v.
func TestOneSeed(t *testing.T) {
	o := FromSeed(max(*one, 1))
	if *one != 0 {
		o.Trace = func(at time.Duration, line string) { t.Logf("%12s %s", at, line) }
	}
	a := Run(o)
	o.Trace = nil
	b := Run(o)
	if a.Violation != nil {
		t.Errorf("seed %d: %v", *one, a.Violation)
	}
	if a.Trace != b.Trace {
		t.Errorf("%s: two runs differ", o)
	}
}

func TestSeedsHoldEveryProperty(t *testing.T) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total Counters
	events := 0
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				res := Run(FromSeed(seed))
				if res.Violation != nil {
					t.Errorf("seed %d: %v\n\ttrace: go test ./test/sim -run OneSeed -v -seed %d", seed, res.Violation, seed)
				}
				mu.Lock()
				total.Add(res.Counters)
				events += res.Events
				mu.Unlock()
			}
		})
	}
	for seed := *first; seed < *first+*seeds; seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
	t.Logf("%d seeds from %d: %d events, %+v", *seeds, *first, events, total)
	if zero := total.Zero(); len(zero) > 0 && *seeds >= 300 {
		t.Errorf("these never happened, the faults do not bite: %v", zero)
	}
}
