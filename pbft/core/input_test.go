package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// proposals steps events into a primary whose application has inputs, and returns the
// batches that it proposes.
func proposals(t *testing.T, inputs bool, events ...Event) []*wire.Batch {
	t.Helper()
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(0, q)
	cfg.Inputs, cfg.BatchRequestsMax = inputs, 1
	r, err := New(cfg, Restored{})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	for n := range wire.Number(3) {
		r.Step(Submitted{wire.Reseal(requestOf(1, 1, n+1))}, &fx)
	}
	if !r.Proposes() {
		t.Fatal("three requests wait, and the primary would propose nothing")
	}
	for _, ev := range events {
		r.Step(ev, &fx)
	}
	var batches []*wire.Batch
	for _, s := range fx.Send {
		if pp, is := s.Message.(*wire.PrePrepare); is {
			batches = append(batches, pp.Batch)
		}
	}
	return batches
}

func TestEveryBatchWaitsForAnInputOfItsOwn(t *testing.T) {
	if got := proposals(t, true, TurnEnded{}); len(got) != 0 {
		t.Errorf("got %d proposals without an input, want none", len(got))
	}
	got := proposals(t, true, TurnEnded{}, Offered{[]byte("one")}, TurnEnded{}, Offered{[]byte("two")})
	if len(got) != 2 || string(got[0].Input) != "one" || string(got[1].Input) != "two" {
		t.Errorf("got %v, want two proposals with inputs one and two", got)
	}
	if got := proposals(t, false, Offered{[]byte("one")}); len(got) != 0 {
		t.Errorf("got %v of an application that takes no inputs, want none", got)
	}
	if got := proposals(t, false, TurnEnded{}); len(got) != 3 || got[0].Input != nil {
		t.Errorf("got %v of an application that takes no inputs, want three proposals without", got)
	}
}

// TestAnEmptyInputIsNone holds that a primary has what the others decode.
func TestAnEmptyInputIsNone(t *testing.T) {
	got := proposals(t, true, Offered{[]byte{}})
	if len(got) != 1 || got[0].Input != nil {
		t.Errorf("got %v, want one proposal without input", got)
	}
}
