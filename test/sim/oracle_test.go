package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
)

// TestEqualOptionsGiveEqualRuns covers every kind of run, also with a trace.
func TestEqualOptionsGiveEqualRuns(t *testing.T) {
	for seed := range uint64(24) {
		o := FromSeed(seed)
		a := Run(o)
		lines := 0
		o.Trace = func(time.Duration, string) { lines++ }
		if b := Run(o); a.Trace != b.Trace || a.Counters != b.Counters || lines == 0 {
			t.Errorf("seed %d: two runs differ (%d lines of trace)", seed, lines)
		}
	}
}

// moody is a machine that is not deterministic: replicas differ.
type moody struct{ mood uint64 }

func (m *moody) Execute(tx *app.Tx, _ []byte) []byte {
	tx.PutUint64("mood", m.mood)
	return nil
}

func TestNondeterministicMachineIsFound(t *testing.T) {
	o := FromSeed(1).On(4)
	made := uint64(0)
	o.Machine = func() app.StateMachine { made++; return &moody{made} }
	o.Operation = func(*rand.Rand, int, int) []byte { return []byte{1} }
	res := Run(o)
	if res.Violation == nil || !strings.Contains(res.Violation.Error(), "O3 state") {
		t.Fatalf("got %v, want an O3 violation", res.Violation)
	}
	if !strings.Contains(res.Violation.Error(), "replay: sim.Run(sim.Options{Seed: 1, Replicas: 4,") {
		t.Errorf("%v does not say how to replay it", res.Violation)
	}
}

// TestStuckClusterIsFound also says what is stuck, and how to replay it.
func TestStuckClusterIsFound(t *testing.T) {
	o := Options{Seed: 5, Operations: 5, Loss: 1, Turbulence: time.Hour, Patience: time.Second}
	o.Turbulence = 10 * time.Second
	w := Run(o)
	if w.Violation != nil {
		t.Fatalf("after the losses end, all should be well: %v", w.Violation)
	}
	o.Patience = 1 // nanosecond
	got := fmt.Sprint(Run(o).Violation)
	for _, want := range []string{"liveness: 1ns after", "client 0 has 0 of 5", "R3 view", "replay: sim.Run(sim.Options{Seed: 5,"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"4 replicas cannot tolerate 2 faults":          {Replicas: 4, Faults: 2},
		"2 faulty replicas are more than the 1":        {Replicas: 4, Liars: 1, Losses: 1},
		"Options.Machine is set and Options.Operation": {Machine: func() app.StateMachine { return &moody{} }},
		"window is 2, want at least twice":             {Interval: 5, Window: 2},
	} {
		if res := Run(o); res.Violation == nil || !strings.Contains(res.Violation.Error(), want) {
			t.Errorf("%s: got %v, want %q", o, res.Violation, want)
		}
	}
}

func TestOnKeepsFaultyReplicasWithinBounds(t *testing.T) {
	for seed := range uint64(500) {
		for _, n := range []int{1, 4, 7} {
			o := FromSeed(seed).On(n)
			sum := 0
			for _, faulty := range o.faulty() {
				sum += *faulty
			}
			if o.Replicas != n || 3*o.Faults >= n || sum > o.Faults {
				t.Fatalf("seed %d: %s", seed, o)
			}
		}
	}
}

// TestLedgerMissesWhatWasFlushed holds the check of the real journal to account:
// a record that was flushed and does not come back is found.
func TestLedgerMissesWhatWasFlushed(t *testing.T) {
	l, err := newRealLedger(crypto.Domain{}, 0, 4, 4<<10)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	one, two := core.ViewRecord{View: 1}, core.ViewRecord{View: 2}
	if err := l.Append([]core.Record{one}); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	l.crash(rng)
	if found, err := l.reopen(); err != nil || len(found.records) != 1 {
		t.Fatalf("got %v, %v, want the record flushed", found.records, err)
	}
	for name, durable := range map[string][]core.Record{"lost": {one, two}, "other": {two}, "invented": {}} {
		l.durable = durable
		l.crash(rng)
		if _, err := l.reopen(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestStrangeOptionsAreRun: whatever somebody asks for, the simulator does not panic, and
// blames no cluster for what it does itself.
func TestStrangeOptionsAreRun(t *testing.T) {
	var ops [2][20][1]byte
	few := func(_ *rand.Rand, client, i int) []byte { return ops[client][i-1][:] }
	for name, o := range map[string]Options{
		"flushes of no time":   {FlushMax: 1},
		"snapshots of no time": {SnapshotMax: 1},
		"outages of no time":   {OutageMax: 1, Bursts: 3, Clogs: 3, Pauses: 3, Turbulence: time.Second},
		"no turbulence at all": {Turbulence: -1},
		"requests of too many": {Operations: 400, Outstanding: 200, OpsMax: 200, Reencode: true},
		"queries of too many":  {Operations: 400, Outstanding: 200, OpsMax: 200, FastReads: 0.9, Reencode: true},
		"many, one by one":     {Operations: 1000, DelayMin: 20 * time.Millisecond},
		"outlaws without words": {
			Clients: 2, Outlaws: 3, Machine: func() app.StateMachine { return brief{} }, Operation: few,
		},
	} {
		if res := Run(o); res.Violation != nil {
			t.Errorf("%s: %v", name, res.Violation)
		}
	}
}
