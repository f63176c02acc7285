package wire_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/wire"
)

// lie is two messages that one replica must not sign both of.
type lie struct {
	proof         wire.EvidenceKind
	view          wire.View // where
	seq           wire.Seq
	first, second wire.Message
	led           wire.View // the view that it led when it lied, 0 for none
}

// lies returns one lie of each kind, by replica 2, sealed.
func (w *world) lies() []lie {
	vote := func(name string) wire.Vote {
		return wire.Vote{View: 6, Seq: 300, Digest: digest(name), Sender: 2}
	}
	prePrepare := func(name string) wire.Message {
		return wire.Seal(w.replicas[2], w.domain, &wire.PrePrepare{Vote: vote(name)}).Message()
	}
	sealed := func(m wire.Message) wire.Message { return w.seal(m).Message() }
	viewChange := func(s wire.Seq) wire.Message {
		return sealed(&wire.ViewChange{View: 8, Prepared: []wire.PreparedCert{sampleCert(6, s, 0, 1)}, Sender: 2})
	}
	newView := func(name string) wire.Message {
		refs := []wire.ViewChangeRef{{Sender: 1, Digest: digest(name)}}
		return sealed(&wire.NewView{View: 10, ViewChanges: refs, Choices: []wire.Choice{{Seq: 1}}, Sender: 2})
	}
	return []lie{
		{wire.EvidencePrePrepares, 6, 300, prePrepare("a"), prePrepare("b"), 6},
		{wire.EvidencePrepares, 6, 300, sealed(&wire.Prepare{Vote: vote("a")}), sealed(&wire.Prepare{Vote: vote("b")}), 0},
		{wire.EvidenceCommits, 6, 300, sealed(&wire.Commit{Vote: vote("a")}), sealed(&wire.Commit{Vote: vote("b")}), 0},
		{
			wire.EvidenceCheckpoints, 0, 8,
			sealed(&wire.Checkpoint{Seq: 8, State: digest("a"), Sender: 2}),
			sealed(&wire.Checkpoint{Seq: 8, State: digest("b"), Sender: 2}), 0,
		},
		{wire.EvidenceViewChanges, 8, 0, viewChange(1), viewChange(2), 0},
		{wire.EvidenceNewViews, 10, 0, newView("a"), newView("b"), 10},
		{wire.EvidenceHidden, 6, 300, sealed(&wire.Commit{Vote: vote("a")}), viewChange(1), 0},
	}
}

func TestEvidenceOfEveryKindOpensAnywhere(t *testing.T) {
	w := newWorld(t)
	for _, l := range w.lies() {
		e, err := wire.NewEvidence(l.proof, 2, l.first, l.second)
		if err != nil {
			t.Errorf("%s: %v", l.proof, err)
			continue
		}
		got, err := w.opener().OpenOne(wire.Encode(e))
		if err != nil {
			t.Errorf("%s: %v", l.proof, err)
			continue
		}
		if diff := cmp.Diff(wire.Message(e), got.Message()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", l.proof, diff)
		}
		view, seq := e.Place(replicas)
		if view != l.view || seq != l.seq {
			t.Errorf("%s: is for view %d, number %d, want %d, %d", l.proof, view, seq, l.view, l.seq)
		}
		if at, led := e.Led(replicas); led != (l.led > 0) || led && at != l.led {
			t.Errorf("%s: lied as the primary of %d, %t; want %d", l.proof, at, led, l.led)
		}
		e.Second.Signature[5]++
		if _, err := w.opener().OpenOne(wire.Encode(e)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s with a forged statement: got %v, want ErrSignature", l.proof, err)
		}
	}
}

func TestNothingIsEvidenceAgainstTheHonest(t *testing.T) {
	w := newStubWorld(t)
	lies := w.lies()
	for i, l := range lies {
		for j, other := range lies {
			if i == j || l.proof == wire.EvidenceHidden && other.second.Kind() == wire.KindViewChange {
				continue
			}
			if _, err := wire.NewEvidence(l.proof, 2, l.first, other.second); !errors.Is(err, wire.ErrNoEvidence) {
				t.Errorf("%s of a %s: got %v, want ErrNoEvidence", l.proof, other.second.Kind(), err)
			}
		}
		if _, err := wire.NewEvidence(l.proof, 2, l.first, l.first); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("%s, the same twice: got %v, want ErrNoEvidence", l.proof, err)
		}
		if _, err := wire.NewEvidence(l.proof, 1, l.first, l.second); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("%s against another: got %v, want ErrNoEvidence", l.proof, err)
		}
	}
	ask := &wire.Ask{}
	if _, err := wire.NewEvidence(0, 0, ask, ask); !errors.Is(err, wire.ErrNoEvidence) {
		t.Errorf("evidence of no kind: got %v, want ErrNoEvidence", err)
	}
}

// TestVotesOfDifferentPlacesAreNoEvidence holds that what a correct replica
// signs in different views, or for different numbers, never convicts it.
func TestVotesOfDifferentPlacesAreNoEvidence(t *testing.T) {
	w := newStubWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := draw{rt, w}
		a := wire.Vote{View: d.view(0), Seq: d.seq(0), Digest: d.digest(), Sender: 2}
		b := wire.Vote{View: d.view(0), Seq: d.seq(0), Digest: d.digest(), Sender: 2}
		samePlace, sameDigest := a.View == b.View && a.Seq == b.Seq, a.Digest == b.Digest
		e, err := wire.NewEvidence(wire.EvidenceCommits, 2, &wire.Commit{Vote: a}, &wire.Commit{Vote: b})
		if got, want := err == nil, samePlace && !sameDigest; got != want {
			rt.Fatalf("%+v and %+v are evidence: got %t, want %t", a, b, got, want)
		}
		if err == nil {
			if err := e.Check(replicas); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func TestIllegalEvidenceProvesNothing(t *testing.T) {
	w := newStubWorld(t)
	for _, c := range []struct {
		name   string
		change func(e *wire.Evidence)
	}{
		{"unknown kind", func(e *wire.Evidence) { e.Proof = 99 }},
		{"kind 0", func(e *wire.Evidence) { e.Proof = 0 }},
		{"another culprit", func(e *wire.Evidence) { e.Culprit = (e.Culprit + 1) % replicas }},
		{"equal statements", func(e *wire.Evidence) { e.Second = e.First }},
		{"no body", func(e *wire.Evidence) { e.First.Body = nil }},
		{"cut body", func(e *wire.Evidence) { e.Second.Body = e.Second.Body[:len(e.Second.Body)-1] }},
		{"long body", func(e *wire.Evidence) { e.Second.Body = append(e.Second.Body, 0) }},
		{"kinds that differ", func(e *wire.Evidence) { e.Second.Kind = wire.KindStatus }},
		{"a kind without evidence", func(e *wire.Evidence) { e.First = wire.Statement{Kind: wire.KindAsk} }},
		{"an attachment too many", func(e *wire.Evidence) { e.Attached = [][]byte{{1}} }},
		{"no second statement", func(e *wire.Evidence) { e.Second = wire.Statement{} }},
		{"half a second statement", func(e *wire.Evidence) { e.Second.Kind = 0 }},
		{"the kind of another proof", func(e *wire.Evidence) { e.Proof = wire.EvidenceUnsigned }},
		{"the kind of yet another", func(e *wire.Evidence) { e.Proof = wire.EvidenceChoices }},
		{"another place", func(e *wire.Evidence) { e.Second.Body[7]++ }},
	} {
		for _, l := range w.lies() {
			e, err := wire.NewEvidence(l.proof, 2, l.first, l.second)
			if err != nil {
				t.Fatal(err)
			}
			if l.proof == wire.EvidenceHidden && c.name == "another place" {
				continue // it hides the commit in every later view
			}
			c.change(e)
			if err := e.Check(replicas); !errors.Is(err, wire.ErrNoEvidence) {
				t.Errorf("%s, %s: got %v, want ErrNoEvidence", l.proof, c.name, err)
			}
			if _, err := w.opener().OpenOne(wire.Encode(e)); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s, %s: opening gives %v, want ErrMalformed", l.proof, c.name, err)
			}
		}
	}
}

// TestBackupsProposeNothingToBeEvidence holds that pre-prepares convict only
// the primary of their view: nobody else's count for anything.
func TestBackupsProposeNothingToBeEvidence(t *testing.T) {
	a := wire.Vote{View: 7, Seq: 300, Digest: digest("a"), Sender: 2}
	b := a
	b.Digest = digest("b")
	e, err := wire.NewEvidence(wire.EvidencePrePrepares, 2, &wire.PrePrepare{Vote: a}, &wire.PrePrepare{Vote: b})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(replicas); !errors.Is(err, wire.ErrNoEvidence) {
		t.Errorf("got %v, want ErrNoEvidence", err)
	}
	if err := e.Check(5); err != nil { // of 5 replicas, 2 is the primary of view 7
		t.Error(err)
	}
}

// TestBatchesDoNotTravelInEvidence holds that a pre-prepare with its batch and
// one without make the same statement.
func TestBatchesDoNotTravelInEvidence(t *testing.T) {
	w := newStubWorld(t)
	sealed := w.seal(&wire.PrePrepare{Vote: wire.Vote{View: 6, Seq: 300, Sender: 2}, Batch: w.sampleBatch()})
	with := message[*wire.PrePrepare](sealed)
	other := w.lies()[0].first
	a, err := wire.NewEvidence(wire.EvidencePrePrepares, 2, with, other)
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.NewEvidence(wire.EvidencePrePrepares, 2, &wire.PrePrepare{Vote: with.Vote}, other)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("(-with +without):\n%s", diff)
	}
}
