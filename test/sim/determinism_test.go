package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/bank"
	"github.com/quorate/quorate/app/counter"
	"github.com/quorate/quorate/crypto"
)

// execute is a function as a state machine.
type execute func(tx *app.Tx, op []byte) []byte

func (e execute) Execute(tx *app.Tx, op []byte) []byte { return e(tx, op) }

// noWait is for checks of what does not depend on seconds.
func noWait(time.Time) {}

// forgetful counts in its own memory too, which no replica shares.
type forgetful struct{ n uint64 }

func (f *forgetful) Execute(tx *app.Tx, _ []byte) []byte {
	f.n++
	tx.PutUint64("n", f.n)
	return nil
}

// hoarder keeps what the transaction returned.
type hoarder struct{ kept []byte }

func (h *hoarder) Execute(tx *app.Tx, _ []byte) []byte {
	before := append([]byte(nil), h.kept...)
	h.kept, _ = tx.Get("k")
	tx.Put("k", []byte("value"))
	return before
}

func TestCheckFindsWhatIsNotDeterministic(t *testing.T) {
	shared := uint64(0)
	words := map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true, "f": true}
	for name, c := range map[string]struct {
		machine func() app.StateMachine
		want    string
	}{
		"the clock": {func() app.StateMachine {
			return execute(func(*app.Tx, []byte) []byte { return fmt.Append(nil, time.Now().UnixNano()) })
		}, "once more"},
		"the order of a map": {func() app.StateMachine {
			return execute(func(tx *app.Tx, _ []byte) []byte {
				for w := range words {
					tx.Put("last", []byte(w))
				}
				return nil
			})
		}, "once more"},
		"memory of its own": {func() app.StateMachine { return &forgetful{} }, "restarts"},
		"memory that all share": {func() app.StateMachine {
			return execute(func(tx *app.Tx, _ []byte) []byte {
				shared++
				tx.PutUint64("n", shared)
				return nil
			})
		}, "once more"},
		"the view": {func() app.StateMachine {
			return execute(func(tx *app.Tx, _ []byte) []byte { return fmt.Append(nil, tx.View()) })
		}, "another view"},
		"results of an earlier operation": {func() app.StateMachine { return &hoarder{} }, "restarts"},
	} {
		err := checkDeterminism(Options{
			Seed: 1, Machine: c.machine, Operation: func(*rand.Rand, int, int) []byte { return []byte("op") },
		}, noWait)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "the first time") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// lister executes nothing, and lists words in the order of a map.
type lister struct {
	execute

	words map[string]bool
}

func (l lister) Query(*app.Tx, []byte) []byte {
	var list []byte
	for w := range l.words {
		list = append(list, w...)
	}
	return list
}

// TestCheckFindsReadsThatAreNotDeterministic: in the order, their results are in the
// checkpoint, and no quorum has the same.
func TestCheckFindsReadsThatAreNotDeterministic(t *testing.T) {
	op := func(*rand.Rand, int, int) []byte { return []byte("op") }
	o := Options{Seed: 1, Operation: op, Query: op, Machine: func() app.StateMachine {
		nothing := func(*app.Tx, []byte) []byte { return nil }
		return lister{nothing, map[string]bool{"a": true, "b": true, "c": true, "d": true}}
	}}
	err := checkDeterminism(o, noWait)
	if err == nil || !strings.Contains(err.Error(), "once more") || !strings.Contains(err.Error(), `then query "op"`) {
		t.Errorf("got %v, want the query", err)
	}
	o.Query = nil
	if err := checkDeterminism(o, noWait); err != nil {
		t.Errorf("without queries: %v", err)
	}
}

// TestCheckFindsWhatOnlyPanics: it panics alike under every condition, and so nothing of it
// is checked. One operation that does not is enough.
func TestCheckFindsWhatOnlyPanics(t *testing.T) {
	o := Options{Seed: 1, Machine: func() app.StateMachine {
		return execute(func(_ *app.Tx, op []byte) []byte { return op[2:] })
	}}
	o.Operation = func(*rand.Rand, int, int) []byte { return []byte("x") }
	if err := checkDeterminism(o, noWait); err == nil || !strings.Contains(err.Error(), `operation "x"`) ||
		!strings.Contains(err.Error(), "slice bounds out of range") {
		t.Errorf("got %v, want the first panic", err)
	}
	o.Operation = func(_ *rand.Rand, _, i int) []byte { return make([]byte, 1+i/20) }
	if err := checkDeterminism(o, noWait); err != nil {
		t.Error(err)
	}
}

// dice is an application that needs inputs and clients, as those of a run are. It has no
// input every third time.
type dice struct {
	execute

	rolls *uint64
}

func (d dice) ProposeInput() ([]byte, error) {
	if *d.rolls++; *d.rolls%3 == 0 {
		return nil, errUnread
	}
	return binary.BigEndian.AppendUint64(nil, *d.rolls), nil
}

func (dice) CheckInput([]byte) error { return nil }

// TestCheckGivesInputsAndClients: an application that cannot do without them executes, is
// given the same ones under every condition, and so is found where it is not deterministic.
func TestCheckGivesInputsAndClients(t *testing.T) {
	rolls, noise := uint64(0), uint64(0)
	clients, inputs := map[crypto.PublicKey]bool{}, map[uint64]bool{}
	note := func(tx *app.Tx, _ []byte) []byte {
		clients[tx.Client()], inputs[binary.BigEndian.Uint64(tx.Input())] = true, true
		return append(tx.Input(), fmt.Append(nil, tx.Client())...)
	}
	o := Options{Seed: 1, Clients: 3, Operations: 10, Operation: func(*rand.Rand, int, int) []byte { return []byte("op") }}
	o.Machine = func() app.StateMachine { return dice{note, &rolls} }
	if err := checkDeterminism(o, noWait); err != nil {
		t.Error(err)
	}
	if clients[crypto.PublicKey{}] || len(clients) != 3 || len(inputs) != 30 {
		t.Errorf("got %d clients and %d inputs, want 3 and 30, one for each operation", len(clients), len(inputs))
	}
	o.Machine = func() app.StateMachine {
		return dice{func(tx *app.Tx, op []byte) []byte {
			noise++
			return fmt.Append(note(tx, op), noise)
		}, &rolls}
	}
	if err := checkDeterminism(o, noWait); err == nil || !strings.Contains(err.Error(), "once more") {
		t.Errorf("got %v, want what is not deterministic", err)
	}
}

// TestCheckFindsClocksOfSeconds: a check takes less than a second, in which such a clock
// stands still, so one condition begins in a later one.
func TestCheckFindsClocksOfSeconds(t *testing.T) {
	clock, waited := int64(1), 0
	o := Options{Machine: func() app.StateMachine {
		return execute(func(*app.Tx, []byte) []byte { return fmt.Append(nil, clock) })
	}, Operation: func(*rand.Rand, int, int) []byte { return []byte("op") }}
	err := checkDeterminism(o, func(ended time.Time) {
		clock, waited = clock+1, waited+1
		if since := time.Since(ended); since < 0 || since > time.Minute {
			t.Errorf("the first time ended %s ago", since)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "in a later second: result \"2\"") ||
		!strings.Contains(err.Error(), "the first time: result \"1\"") || waited != 1 {
		t.Errorf("got %v after %d waits", err, waited)
	}
}

func TestNextSecondComesInTime(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(d) }
	for _, c := range []struct{ before, now, want time.Duration }{
		{300 * time.Millisecond, 400 * time.Millisecond, 600*time.Millisecond + slew},
		{999 * time.Millisecond, time.Second, 0},
		{0, 0, time.Second + slew},
		{0, 5 * time.Second, 0},
		{time.Hour, 0, time.Second + slew},
	} {
		if got := untilNextSecond(at(c.before), at(c.now)); got != c.want {
			t.Errorf("from %s, at %s: got %s, want %s", c.before, c.now, got, c.want)
		}
	}
}

func TestCheckNeedsAnInput(t *testing.T) {
	o := Options{Machine: func() app.StateMachine { return inputless{} }, Operation: func(*rand.Rand, int, int) []byte { return nil }}
	if err := checkDeterminism(o, noWait); !errors.Is(err, errUnread) {
		t.Errorf("got %v, want that there is no input", err)
	}
}

// inputless never has an input.
type inputless struct{ dice }

func (inputless) ProposeInput() ([]byte, error) { return nil, errUnread }

func TestOwnApplicationsAreDeterministic(t *testing.T) {
	for name, o := range map[string]Options{
		"kv":      {},
		"sensor":  {Inputs: true},
		"counter": {Machine: func() app.StateMachine { return counter.Machine{} }},
		"bank":    {Machine: func() app.StateMachine { return bank.Machine{} }},
	} {
		switch name {
		case "counter":
			o.Operation = func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, "add ", rng.Uint64N(9)) }
		case "bank":
			o.Operation = bankOperation
		}
		for seed := range uint64(5) {
			o.Seed, o.Operations, o.Clients = seed, 100, 2
			if err := checkDeterminism(o, noWait); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func bankOperation(rng *rand.Rand, _, i int) []byte {
	one, other := fmt.Sprint("a", rng.IntN(4)), fmt.Sprint("a", rng.IntN(4))
	switch {
	case i < 5:
		return bank.Open(one)
	case rng.IntN(2) == 0:
		return bank.Mint(one, 10)
	default:
		return bank.Transfer(one, other, rng.Uint64N(12))
	}
}
