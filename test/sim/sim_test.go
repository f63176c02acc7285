package sim

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

// Flags of the test.
var (
	seeds  = flag.Uint64("seeds", 300, "how many seeds TestSeedsHoldEveryProperty runs")
	first  = flag.Uint64("first", 1, "the first seed of TestSeedsHoldEveryProperty")
	signed = flag.Bool("signed", false, "run TestSeedsHoldEveryProperty with real signatures")
	one    = flag.Uint64("seed", 0, "run this seed alone and print its trace")
)

// TestMain lets garbage lie longer, for a run keeps little of what it makes: next
// to the default this saves a third of the time, and takes 100 MB.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1600)
	os.Exit(m.Run())
}

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
	marks, events, done := Marks{}, 0, uint64(0)
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				o := FromSeed(seed)
				o.Marks, o.RealSignatures = true, o.RealSignatures || *signed
				res := runOrPanic(o)
				if res.Violation != nil {
					t.Errorf("seed %d: %v\n\ttrace: go test ./test/sim -run OneSeed -v -seed %d"+
						"\n\tscenario: go test ./test/golden -run SeedsBecome -v -seed %d -write found.txt", seed, res.Violation, seed, seed)
				}
				mu.Lock()
				total.Add(res.Counters)
				marks.Add(res.Marks)
				events += res.Events
				if done++; done%10_000 == 0 {
					t.Logf("%d of %d seeds", done, *seeds)
				}
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
	if *seeds >= 2000 {
		checkMarks(t, marks, *seeds >= marksAfter)
	}
}

// fullScope is what a seed draws, but with every class of faults, of which one kind
// of faulty replica, and always with 100 operations, four replicas, the stub scheme
// and the fast models.
func fullScope(seed uint64) Options {
	o := FromSeed(seed).Honest().On(4)
	o.RealStorage, o.RealSignatures = false, false
	o.Clients, o.Operations, o.Reads, o.History = 4, 25, 0.3, true
	o.Loss, o.Duplication, o.Replay, o.Corruption = max(o.Loss, 0.01), 0.1, 0.01, 0.01
	o.LinkMax, o.Drift = 32, 0.02
	for _, class := range []*int{
		&o.Sessions, &o.Crashes, &o.Partitions, &o.Mutes, &o.Scrambles, &o.Ambushes, &o.Clogs, &o.Cuts, &o.Shuns, &o.Flaps,
		&o.Pauses, &o.Jumps, &o.Bursts, &o.Strains, &o.FlushFailures, &o.FullDisks,
	} {
		*class = max(*class, 1)
	}
	kinds := o.faulty()
	*kinds[seed%uint64(len(kinds))] = 1
	if o.Losses+o.BadDisks > 0 {
		o.Interval, o.Window = min(o.Interval, 3), min(o.Window, 6)
	}
	return o
}

// BenchmarkSchedules measures how many schedules one processor runs in a second:
// of the full scope, of the fast models, of the real storage, and as FromSeed draws
// them.
func BenchmarkSchedules(b *testing.B) {
	measure := func(draw func(seed uint64) Options) func(b *testing.B) {
		return func(b *testing.B) {
			b.Helper()
			events, seed := 0, uint64(0)
			for b.Loop() {
				seed++
				res := Run(draw(seed))
				if res.Violation != nil {
					b.Fatal(res.Violation)
				}
				events += res.Events
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/float64(b.N), "events/schedule")
		}
	}
	four := func(seed uint64) Options {
		o := FromSeed(seed).On(4)
		o.RealStorage, o.RealSignatures = false, false
		return o
	}
	b.Run("full", measure(fullScope))
	b.Run("drawn", measure(FromSeed))
	b.Run("four", measure(four))
	b.Run("storage", measure(func(seed uint64) Options {
		o := four(seed)
		o.RealStorage = true
		return o
	}))
}
