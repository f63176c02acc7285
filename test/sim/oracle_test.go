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
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
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
	for _, want := range []string{"with the same Machine, Operation and Query", "sim.CheckDeterminism"} {
		if !strings.Contains(res.Violation.Error(), want) {
			t.Errorf("%v does not say %q", res.Violation, want)
		}
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

// watched returns an oracle that watches a run of four replicas which has not begun.
func watched(t *testing.T) *oracle {
	t.Helper()
	w := &world{o: Options{}.withDefaults()}
	var err error
	if w.quorum, err = core.NewQuorum(4); err != nil {
		t.Fatal(err)
	}
	w.oracle = newOracle(w)
	return &w.oracle
}

// expectBreach requires that a law was broken, or that none was.
func (o *oracle) expectBreach(t *testing.T, what, want string) {
	t.Helper()
	if got := o.w.violation; want == "" && got != nil || want != "" && (got == nil || !strings.Contains(got.Error(), want)) {
		t.Errorf("%s: got %v, want %q", what, got, want)
	}
}

func TestVotesInViewsThatWereLeftAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		kind   wire.Kind
		view   wire.View
		losses int
		want   string
	}{
		"the same view":           {wire.KindCommit, 3, 0, ""},
		"an older one":            {wire.KindCommit, 2, 0, "R1 signs a commit of view 2 after something of view 3"},
		"an older view change":    {wire.KindViewChange, 2, 0, "R1 signs a view-change of view 2"},
		"of who lost its data":    {wire.KindViewChange, 2, 1, ""},
		"its votes":               {wire.KindPrepare, 2, 1, ""},
		"checkpoints have no one": {wire.KindCheckpoint, 0, 0, ""},
	} {
		o := watched(t)
		n := &node{w: o.w, id: 1}
		o.goesOn(n, wire.KindPrepare, 3)
		n.losses = c.losses
		o.goesOn(&node{w: o.w, id: 2}, wire.KindPrepare, 1)
		o.goesOn(n, c.kind, c.view)
		o.expectBreach(t, name, c.want)
	}
}

func TestOutputsThatLackAreFound(t *testing.T) {
	out := func(number uint64, seq wire.Seq) driver.Output {
		return driver.Output{Number: number, Seq: seq, Payload: []byte{byte(number)}}
	}
	for name, c := range map[string]struct {
		applied driver.Applied
		want    string
	}{
		"all":          {driver.Applied{Seq: 5, Outputs: []driver.Output{out(2, 5), out(3, 5)}}, ""},
		"none":         {driver.Applied{Seq: 5}, "R1 emits [] in batch 5"},
		"the first":    {driver.Applied{Seq: 5, Outputs: []driver.Output{out(2, 5)}}, "R1 emits"},
		"another":      {driver.Applied{Seq: 5, Outputs: []driver.Output{out(2, 5), out(4, 5)}}, "R1 emits"},
		"none of none": {driver.Applied{Seq: 6}, ""},
		"too many":     {driver.Applied{Seq: 6, Outputs: []driver.Output{out(4, 6)}}, "R1 emits"},
	} {
		o := watched(t)
		o.reference.outputs = []driver.Output{out(1, 4), out(2, 5), out(3, 5), out(4, 7)}
		o.emitted(&node{w: o.w, id: 1}, &c.applied)
		o.expectBreach(t, name, c.want)
	}
}

func TestCoursesThatDifferAreFound(t *testing.T) {
	orders := []core.Order{{Request: &wire.Request{Ops: [][]byte{{1}}}, Run: true}}
	for name, c := range map[string]struct {
		ex   core.Execution
		want string
	}{
		"the same":       {core.Execution{Seq: 1, Time: 7, Orders: orders}, ""},
		"another time":   {core.Execution{Seq: 1, Time: 8, Orders: orders}, "O3 state"},
		"not executed":   {core.Execution{Seq: 1, Time: 7, Orders: []core.Order{{Request: orders[0].Request}}}, "O3 state"},
		"goes on":        {core.Execution{Seq: 2, Time: 8, Orders: orders}, ""},
		"time stands":    {core.Execution{Seq: 2, Time: 7, Orders: orders}, "O4 validity: batch 2 has the time 7"},
		"nothing in it":  {core.Execution{Seq: 2, Time: 7}, ""},
		"time goes back": {core.Execution{Seq: 2, Time: 6}, "O4 validity: batch 2 has the time 6"},
	} {
		o := watched(t)
		for _, ex := range []core.Execution{{Seq: 1, Time: 7, Orders: orders}, c.ex} {
			o.course(&ex)
			if ex.Seq > o.reference.seq {
				o.reference.seq, o.reference.time = ex.Seq, ex.Time
			}
		}
		o.expectBreach(t, name, c.want)
	}
}

func TestClientsThatAreTurnedAwayAreFound(t *testing.T) {
	for room, want := range map[int]string{2: "", 10_000: "O6 liveness: client 0 is told that its session is over"} {
		o := watched(t)
		o.w.o.ClientsMax = room
		o.expelled(&client{w: o.w})
		o.expectBreach(t, fmt.Sprint("with room for ", room), want)
	}
}

func TestCheckpointsThatTooFewSignedAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		liars   int
		signers []wire.ReplicaID
		want    string
	}{
		"a quorum":           {0, []wire.ReplicaID{0, 1, 3}, ""},
		"too few":            {0, []wire.ReplicaID{0, 1}, "R1 takes checkpoint 8 for stable, which 2 signed of those that do not lie, not 3"},
		"twice":              {0, []wire.ReplicaID{0, 1, 1}, "which 2 signed"},
		"with a liar":        {1, []wire.ReplicaID{0, 1}, ""},
		"a liar and another": {1, []wire.ReplicaID{0}, "which 1 signed"},
	} {
		o := watched(t)
		o.votes.enough -= c.liars
		for _, id := range c.signers {
			o.promise(&wire.Checkpoint{Seq: 8, Sender: id})
		}
		o.stable(&node{w: o.w, id: 1}, 8)
		o.expectBreach(t, name, c.want)
	}
}

func TestWhoVotesAgainTooEarlyIsFound(t *testing.T) {
	for stable, want := range map[wire.Seq]string{
		8: "", 12: "", 7: "O8 conflict: R1 votes again from checkpoint 7 on, and had voted on 8",
	} {
		o := watched(t)
		o.reach[1], o.reach[2] = 8, 20
		o.returned(&node{w: o.w, id: 1, fault: amnesiac}, stable)
		o.expectBreach(t, fmt.Sprint("from ", stable), want)
	}
}
