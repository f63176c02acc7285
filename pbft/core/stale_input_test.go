package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// keptEarly returns a backup that took a proposal of view 1 with an input that its
// application accepted, so many ticks before it entered that view.
func keptEarly(t *testing.T, inputs bool, ticks int) *Replica {
	t.Helper()
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(2, q)
	cfg.Inputs = inputs
	r, err := New(cfg, Restored{})
	if err != nil {
		t.Fatal(err)
	}
	batch := &wire.Batch{Time: 1, Requests: []*wire.Request{requestOf(1, 1, 1)}}
	if inputs {
		batch.Input = []byte("a reading of then")
	}
	pp := &wire.PrePrepare{
		Vote: wire.Vote{View: 1, Seq: 1, Digest: batch.Digest(), Sender: 1, Signature: crypto.Signature{1}}, Batch: batch,
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	r.Step(Received{From: 1, Message: wire.Reseal(pp)}, &fx)
	for range ticks {
		r.tick++
		r.replayEarly(&fx) // as where a checkpoint becomes stable: it is kept again
	}
	r.view = 1
	r.replayEarly(&fx)
	return r
}

// TestAnInputIsNotAcceptedLongAfterItWasChecked holds that a lying primary of a later view
// cannot have an input checked when it is true, and executed when it is no more.
func TestAnInputIsNotAcceptedLongAfterItWasChecked(t *testing.T) {
	timeout := DefaultConfig(0, Quorum{}).RequestTicks
	for _, c := range []struct {
		name     string
		inputs   bool
		ticks    int
		accepted bool
	}{
		{"soon after", true, timeout, true},
		{"long after", true, timeout + 1, false},
		{"no input", false, timeout + 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := keptEarly(t, c.inputs, c.ticks)
			s := r.slots.at(1)
			if got := s != nil && s.proposal != nil; got != c.accepted {
				t.Errorf("accepted: %t, want %t", got, c.accepted)
			}
			if left := len(r.early.drain()); left != 0 {
				t.Errorf("%d messages are still kept, want none", left)
			}
		})
	}
}
