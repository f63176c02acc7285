package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/sim"
)

// The fuzzer's settings.
const (
	fuzzDefault   = time.Minute
	fuzzGC        = 400  // percent: collecting garbage is a third of the time otherwise
	shrinkRunsMax = 4000 // of a run that fails
)

// fuzzOptions are the flags of scenario fuzz.
type fuzzOptions struct {
	duration time.Duration
	first    uint64
}

// fuzzResult is what came of it. Its JSON names do not change.
type fuzzResult struct {
	First     uint64  `json:"first_seed"`
	Schedules uint64  `json:"schedules"`
	Events    uint64  `json:"events"`
	Seconds   float64 `json:"seconds"`
	Cores     int     `json:"cores"`
	// Seed is the one that failed, if Violation is not empty; Shrunk is a simpler
	// run that breaks the same property, as Go.
	Seed       uint64 `json:"seed,omitempty"`
	Violation  string `json:"violation,omitempty"`
	Shrunk     string `json:"shrunk,omitempty"`
	ShrinkRuns int    `json:"shrink_runs,omitempty"`
	Replay     string `json:"replay,omitempty"`
}

func newScenarioFuzz(c *console) *cobra.Command {
	o := fuzzOptions{}
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Run random schedules until one breaks a property",
		Long: `Fuzz runs one simulated cluster after the other on all cores, each drawn from a
seed of its own: its size, its faults, its liars and its load. All oracles watch
every event. At the first violation it stops, looks for a simpler run that breaks
the same property, prints how to replay both, and ends with exit code 1. Ctrl-C
ends it early, with the count.`,
		Example: "  quorate scenario fuzz --for 60s\n  quorate scenario fuzz --for 8h --first 1000000 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.duration <= 0 {
				return usagef("--for is %v, want a positive time", o.duration)
			}
			if !cmd.Flags().Changed("first") {
				o.first = uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
			}
			return c.fuzz(cmd.Context(), o, sim.FromSeed)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.duration, "for", fuzzDefault, "how long")
	flags.Uint64Var(&o.first, "first", 0, "the first seed (default: by the clock)")
	return cmd
}

// fuzzer counts schedules; its workers share it.
type fuzzer struct {
	draw              func(seed uint64) sim.Options
	first             uint64
	next, ran, events atomic.Uint64
	stop              context.CancelFunc

	mu struct {
		sync.Mutex
		failed *sim.Result
		seed   uint64
	}
}

func (c *console) fuzz(ctx context.Context, o fuzzOptions, draw func(seed uint64) sim.Options) error {
	defer debug.SetGCPercent(debug.SetGCPercent(fuzzGC))
	began, cores := time.Now(), runtime.GOMAXPROCS(0)
	playing, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	f := &fuzzer{draw: draw, first: o.first, stop: stop}
	var workers sync.WaitGroup
	for range cores {
		workers.Go(func() { f.work(playing) })
	}
	c.watchFuzz(playing, f, began)
	workers.Wait()
	result := fuzzResult{
		First: o.first, Schedules: f.ran.Load(), Events: f.events.Load(), Seconds: time.Since(began).Seconds(), Cores: cores,
	}
	return c.concludeFuzz(ctx, f, result)
}

// work runs schedules until the end, or the first violation.
func (f *fuzzer) work(ctx context.Context) {
	for ctx.Err() == nil {
		seed := f.first + f.next.Add(1) - 1
		res := sim.Run(f.draw(seed)) //nolint:contextcheck // a run takes milliseconds, and has no context
		f.ran.Add(1)
		f.events.Add(uint64(res.Events)) //nolint:gosec // not negative
		if res.Violation == nil {
			continue
		}
		f.mu.Lock()
		if f.mu.failed == nil || seed < f.mu.seed {
			f.mu.failed, f.mu.seed = &res, seed
		}
		f.mu.Unlock()
		f.stop()
	}
}

// watchFuzz tells of the progress until the end: on a terminal every second on one
// line, elsewhere now and then.
func (c *console) watchFuzz(ctx context.Context, f *fuzzer, began time.Time) {
	every, format := time.Minute, "%s schedules, %.0f a second, no violation\n"
	if terminal, ok := c.err.(*os.File); ok && c.takesEscapes(terminal) {
		every, format = time.Second, "\r\x1b[K%s schedules, %.0f a second, no violation"
		defer c.tell("\r\x1b[K")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ran := f.ran.Load()
			c.tell(format, thousands(int(ran)), float64(ran)/time.Since(began).Seconds()) //nolint:gosec // small
		}
	}
}

// concludeFuzz prints the result, and simplifies what failed.
func (c *console) concludeFuzz(ctx context.Context, f *fuzzer, r fuzzResult) error {
	if f.mu.failed != nil {
		r.Seed, r.Violation = f.mu.seed, f.mu.failed.Violation.Error()
		r.Replay = fmt.Sprintf("quorate scenario replay %d", r.Seed)
		if ctx.Err() == nil {
			c.tell("seed %d broke a property; looking for a simpler run\n", r.Seed)
			shrunk, runs := sim.Shrink(f.draw(r.Seed), shrinkRunsMax) //nolint:contextcheck // it is bounded by its runs
			r.Shrunk, r.ShrinkRuns = "sim.Run("+shrunk.Options.String()+")", runs
		}
	}
	t := pairs(
		"schedules", fmt.Sprintf("%s, from seed %d on", thousands(int(r.Schedules)), r.First), //nolint:gosec // small
		"events", thousands(int(r.Events)), //nolint:gosec // small
		"time", fmt.Sprintf("%.1f s on %d cores: %.0f schedules a second", r.Seconds, r.Cores, float64(r.Schedules)/r.Seconds),
		"violations", "none",
	)
	if r.Violation != "" {
		t.rows[len(t.rows)-1][1] = "seed " + fmt.Sprint(r.Seed)
		t.rows = append(t.rows, []string{"replay", r.Replay})
	}
	if err := c.show(t, r); err != nil {
		return err
	}
	if r.Violation == "" {
		return nil
	}
	return fmt.Errorf("%s\nsimpler: %s\nas a golden scenario: go test ./test/golden -run SeedsBecomeScenarios -v -seed %d -write found.txt",
		r.Violation, r.Shrunk, r.Seed)
}
