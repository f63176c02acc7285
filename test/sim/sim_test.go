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
	a, b := Run(o), Run(o)
	if a.Violation != nil {
		t.Errorf("%s: %v", o, a.Violation)
	}
	if a.Trace != b.Trace {
		t.Errorf("%s: two runs differ", o)
	}
}

func TestSeedsHoldEveryProperty(t *testing.T) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total Result
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				res := Run(FromSeed(seed))
				if res.Violation != nil {
					t.Errorf("%s\n\t%v\n\treplay: go test ./test/sim -run OneSeed -v -seed %d", res.Options, res.Violation, seed)
				}
				mu.Lock()
				total.Events += res.Events
				total.Transfers += res.Transfers
				total.Views += res.Views
				total.Checkpoints += res.Checkpoints
				mu.Unlock()
			}
		})
	}
	for seed := *first; seed < *first+*seeds; seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
	t.Logf("%d seeds from %d: %d events, %d views, %d checkpoints, %d transfers",
		*seeds, *first, total.Events, total.Views, total.Checkpoints, total.Transfers)
	if total.Views == 0 || total.Checkpoints == 0 {
		t.Error("no view change or no checkpoint happened: the faults do not bite")
	}
}

// TestKeptSeeds replays the seeds that once found something.
func TestKeptSeeds(t *testing.T) {
	for seed, law := range map[uint64]string{
		473:  "who enters a view keeps, durably, the new view and the view changes it names, for those behind",
		4149: "one replica alone may be ahead: what it claims is worth asking for, for the answer proves itself",
	} {
		if res := Run(FromSeed(seed)); res.Violation != nil {
			t.Errorf("seed %d (%s): %v", seed, law, res.Violation)
		}
	}
}
