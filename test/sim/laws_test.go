package sim

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/wire"
)

// boastful is a machine whose state is the same everywhere, and whose results are
// not.
type boastful struct{ mood byte }

func (b *boastful) Execute(tx *app.Tx, _ []byte) []byte {
	tx.PutUint64("n", tx.Uint64("n")+1)
	return []byte{b.mood}
}

func TestResultsThatDifferFromAFreshMachinesAreFound(t *testing.T) {
	o := FromSeed(3).On(4)
	made := byte(0)
	o.Machine = func() app.StateMachine { made++; return &boastful{made} }
	o.Operation = func(*rand.Rand, int, int) []byte { return []byte{1} }
	if got := Run(o).Violation; got == nil || !strings.Contains(got.Error(), "answers wrongly") {
		t.Errorf("got %v, want a wrong result", got)
	}
}

// TestPanicsAreCounted: replicas panic alike, which breaks no law, so whoever runs an
// application must be told.
func TestPanicsAreCounted(t *testing.T) {
	o := Options{Seed: 1, Operations: 9, Machine: func() app.StateMachine {
		return execute(func(_ *app.Tx, op []byte) []byte { return op[2:] })
	}}
	for name, c := range map[string]struct {
		lengths  func(i int) int
		panicked int
	}{
		"never":     {func(int) int { return 2 }, 0},
		"sometimes": {func(i int) int { return i % 3 }, 6},
		"always":    {func(int) int { return 1 }, 9},
	} {
		o.Operation = func(_ *rand.Rand, _, i int) []byte { return make([]byte, c.lengths(i)) }
		res := Run(o)
		if res.Violation != nil || res.Counters.Operations != 9 || res.Counters.Panicked != c.panicked {
			t.Errorf("%s: %v, %d operations, %d panicked, want %d of 9",
				name, res.Violation, res.Counters.Operations, res.Counters.Panicked, c.panicked)
		}
		if c.panicked > 0 != strings.Contains(res.Panic, "slice bounds out of range") {
			t.Errorf("%s: got the panic %q", name, res.Panic)
		}
	}
}

// brief answers long operations shortly.
type brief struct{}

func (brief) Execute(_ *app.Tx, op []byte) []byte { return op[:1] }
func (brief) Query(_ *app.Tx, op []byte) []byte   { return op[:1] }

// TestLongOperationsAreAskedApart: clients count bytes, so that no request or query is longer
// than replicas take. What is too long by itself is no fault of anybody but the options.
func TestLongOperationsAreAskedApart(t *testing.T) {
	long := 150_000
	op := func(*rand.Rand, int, int) []byte { return make([]byte, long) }
	o := Options{
		Clients: 2, Operations: 12, Outstanding: 6, OpsMax: 6, FastReads: 0.5, Reencode: true, Operation: op, Query: op,
		Machine: func() app.StateMachine { return brief{} },
	}
	for o.Seed = range 5 {
		if res := Run(o); res.Violation != nil || res.Counters.FastReads == 0 {
			t.Fatalf("seed %d: %v, %d fast reads", o.Seed, res.Violation, res.Counters.FastReads)
		}
	}
	long = 256<<10 + 1
	res := Run(o)
	if res.Violation == nil || !strings.Contains(res.Violation.Error(), "has 262145 bytes, at most 262144 are possible") {
		t.Errorf("got %v, want that the operation is too long", res.Violation)
	}
	for _, v := range res.Oracles {
		if v.Err != nil {
			t.Errorf("a law is broken: %v", v.Err)
		}
	}
}

func TestMachineThatIsNilIsRefused(t *testing.T) {
	o := Options{Machine: func() app.StateMachine { return nil }, Operation: func(*rand.Rand, int, int) []byte { return nil }}
	for _, err := range []error{Run(o).Violation, CheckDeterminism(o)} {
		if err == nil || !strings.Contains(err.Error(), "returns nil") {
			t.Errorf("got %v, want that there is no machine", err)
		}
	}
}

func TestLateAnswersAreFound(t *testing.T) {
	o := Options{Seed: 1, Operations: 5, AnswerMax: 1}
	if got := Run(o).Violation; got == nil || !strings.Contains(got.Error(), "O6 liveness: client 0 waited") {
		t.Errorf("got %v, want a late answer", got)
	}
}

func TestHistoryThatFitsIntoNoOrderIsFound(t *testing.T) {
	reply := func(r kv.Result) *wire.Told { return &wire.Told{Answer: wire.Answer{Result: r.Encode()}} }
	for name, c := range map[string]struct {
		read *wire.Told
		want string
	}{
		"right":       {reply(kv.Result{Status: kv.StatusFound, Value: []byte("v")}), ""},
		"stale":       {reply(kv.Result{Status: kv.StatusNotFound}), `the key "k" fits into no order`},
		"undone":      {reply(kv.Result{Status: kv.StatusFound, Value: []byte("w")}), `the key "k" fits into no order`},
		"garbage":     {&wire.Told{Answer: wire.Answer{Result: []byte("x")}}, "malformed"},
		"rolled back": {&wire.Told{Answer: wire.Answer{Outcome: wire.OutcomeTooLarge, Result: []byte("x")}}, ""},
		"failed":      {&wire.Told{Answer: wire.Answer{Outcome: wire.OutcomePanicked}}, "outcome 1"},
	} {
		h := history{on: true}
		h.returned(2, h.called(1, 0, kv.Put("k", []byte("v"))), reply(kv.Result{Status: kv.StatusDone}))
		h.returned(3, h.called(2, 2, kv.Put("k", []byte("w"))), &wire.Told{Answer: wire.Answer{Outcome: wire.OutcomeTooLarge}})
		h.returned(4, h.called(3, 1, kv.Get("k")), c.read)
		h.called(5, 1, kv.Delete("k"))
		err := h.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
