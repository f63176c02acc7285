package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quorate/quorate/app"
)

// TestShrinkingKeepsWhatIsBroken has a machine that differs between replicas: it
// needs no faults for that, and few operations.
func TestShrinkingKeepsWhatIsBroken(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		o := FromSeed(seed).On(7)
		o.RealStorage = false
		made := uint64(0)
		o.Machine = func() app.StateMachine { made++; return &moody{made} }
		o.Operation = moodyOperation
		before := Run(o)
		res, runs := Shrink(o, 400)
		if res.Violation == nil || res.Broken() != before.Broken() || runs > 400 {
			t.Fatalf("seed %d: %d runs; %s was broken, now %s", seed, runs, before.Broken(), res.Broken())
		}
		got := res.Options
		if faults := got.Crashes + got.Partitions + got.Mutes + got.Scrambles + got.Ambushes + got.Losses + got.Liars; faults > 0 {
			t.Errorf("seed %d: %d faults are left: %s", seed, faults, got)
		}
		if got.Clients > 1 || got.Operations >= o.Operations && o.Operations > 4 || got.Replicas != 4 {
			t.Errorf("seed %d: too much is left: %s", seed, got)
		}
		if again := Run(res.Options.with(o)); again.Broken() != res.Broken() {
			t.Errorf("seed %d: the options do not replay the run", seed)
		}
	}
}

// TestShrinkingKeepsTheBounds: a run that is in time is not broken by asking for less.
func TestShrinkingKeepsTheBounds(t *testing.T) {
	o := Options{Seed: 1, Operations: 40, DelayMax: 50 * time.Millisecond, Turbulence: time.Millisecond, Patience: time.Second}
	if before := Run(o); before.Broken() != lawLiveness.String() {
		t.Fatalf("got %q broken, want %s", before.Broken(), lawLiveness)
	}
	if res, _ := Shrink(o, 100); res.Options.Patience != o.Patience || res.Options.AnswerMax < 20*time.Second {
		t.Errorf("the bounds became %v and %v", res.Options.Patience, res.Options.AnswerMax)
	}
}

func TestShrinkingLeavesWhatHolds(t *testing.T) {
	o := FromSeed(1)
	res, runs := Shrink(o, 100)
	if res.Violation != nil || runs != 1 || res.Options.String() != o.String() {
		t.Errorf("%d runs, %v, %s", runs, res.Violation, res.Options)
	}
	invalid := Options{Replicas: 4, Faults: 2}
	if res, _ := Shrink(invalid, 100); res.Violation == nil || res.Broken() != "" {
		t.Errorf("invalid options break %q: %v", res.Broken(), res.Violation)
	}
}

// with returns o with the functions of other.
func (o Options) with(other Options) Options {
	o.Machine, o.Operation, o.Query = other.Machine, other.Operation, other.Query
	return o
}

func moodyOperation(*rand.Rand, int, int) []byte { return []byte{1} }
