package adversary_test

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// The scenarios of this file have f+1 liars, who make the two correct replicas
// execute different batches as number 1. Then what either of the two has kept, alone
// and after a restart, must convict both liars, and nobody else.

// betray returns a started cluster of four of which 0 and 1 lie, and in which 2
// and 3 do not hear of each other.
func betray(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, 4, 0, 1)
	l.betrayed = true
	l.start()
	l.passes = func(p packet) bool { return p.from+p.to != 5 }
	l.run()
	return l
}

// commitTo has the two liars commit a batch with a victim, in a view in which one
// of them is the primary.
func (l *lab) commitTo(victim wire.ReplicaID, view wire.View, batch *wire.Batch) {
	l.tb.Helper()
	primary := view.Primary(4)
	digest := batch.Digest()
	l.inject(&wire.PrePrepare{Vote: vote(view, 1, digest, primary), Batch: batch}, victim)
	l.inject(&wire.Prepare{Vote: vote(view, 1, digest, 1-primary)}, victim)
	l.inject(&wire.Commit{Vote: vote(view, 1, digest, 0)}, victim)
	l.inject(&wire.Commit{Vote: vote(view, 1, digest, 1)}, victim)
	l.run()
	if h := l.hosts[victim]; len(h.executed) == 0 || h.executed[0].Digest != digest {
		l.tb.Fatalf("R%d did not execute the batch", victim)
	}
}

// meet lets the correct replicas hear of each other for a while.
func (l *lab) meet() {
	l.tb.Helper()
	l.passes = nil
	for range 60 {
		l.wait()
	}
}

// log returns what a host's driver would have archived.
func (h *host) log() *forensics.Log {
	log := &forensics.Log{Replica: h.id}
	for _, rec := range h.journal {
		past, kept := core.Archived(rec)
		log.Messages = append(append(log.Messages, past...), kept...)
	}
	return log
}

func (l *lab) cluster() *forensics.Cluster {
	c := &forensics.Cluster{Domain: l.domain, Quorum: l.quorum, Limits: wire.DefaultLimits(4), Verifier: l.scheme}
	for _, s := range l.signers {
		c.Keys = append(c.Keys, s.Public())
	}
	return c
}

// convicted audits what one host kept, and verifies as a stranger what is found.
func (l *lab) convicted(h *host, without ...wire.Kind) []wire.ReplicaID {
	l.tb.Helper()
	log := h.log()
	log.Messages = slices.DeleteFunc(log.Messages, func(m wire.Message) bool { return slices.Contains(without, m.Kind()) })
	found := forensics.Audit(l.cluster(), log)
	data, err := forensics.EncodeFile(l.domain, found.Proofs())
	if err != nil {
		l.tb.Fatal(err)
	}
	if _, err := forensics.VerifyFile(l.cluster(), data); err != nil {
		l.tb.Errorf("what R%d kept convicts by a proof that does not hold: %v", h.id, err)
	}
	return found.Culprits()
}

// expectBoth requires that each correct replica alone convicts both liars, also
// after a restart from what it kept.
func (l *lab) expectBoth(without ...wire.Kind) {
	l.tb.Helper()
	for _, h := range l.hosts[2:] {
		if got := l.convicted(h, without...); !slices.Equal(got, []wire.ReplicaID{0, 1}) {
			l.tb.Errorf("R%d alone convicts %v, want 0 and 1", h.id, got)
		}
		h.journal = h.replica.Base()
		l.boot(h)
		h.journal = h.replica.Base()
		if got := l.convicted(h, without...); !slices.Equal(got, []wire.ReplicaID{0, 1}) {
			l.tb.Errorf("R%d convicts %v after a restart, want 0 and 1", h.id, got)
		}
	}
}

// The primary proposes one batch to each, and both liars vote for both. The votes
// of the correct ones cross: each contests the other's.
func TestLiarsOfOneViewAreConvictedByEither(t *testing.T) {
	l := newLab(t, 4, 0, 1)
	l.betrayed = true
	l.start()
	l.commitTo(2, 0, l.batch(1, "a"))
	l.commitTo(3, 0, l.batch(2, "b"))
	l.expectBoth()
	l.expectBoth(wire.KindEvidence) // the two certificates say it as well
}

// The same, but the victims meet only later: votes are not repeated then, and it
// is the next checkpoint that shows the disagreement.
func TestLiarsAreConvictedWhenTheirVictimsMeet(t *testing.T) {
	l := betray(t)
	l.commitTo(2, 0, l.batch(1, "a"))
	l.commitTo(3, 0, l.batch(2, "b"))
	l.meet()
	if got := l.convicted(l.hosts[2]); len(got) > 0 {
		t.Logf("already convicted: %v", got)
	}
	for seq := wire.Seq(2); seq <= 4; seq++ {
		batch := l.batch(int(seq)+2, "c")
		l.inject(&wire.PrePrepare{Vote: vote(0, seq, batch.Digest(), 0), Batch: batch}, 2, 3)
		l.inject(&wire.Commit{Vote: vote(0, seq, batch.Digest(), 0)}, 2, 3)
		l.run()
	}
	if n := l.hosts[2].replica.Executed(); n != 4 || l.hosts[3].replica.Executed() != 4 {
		t.Fatalf("the victims executed %d and %d, want 4", n, l.hosts[3].replica.Executed())
	}
	l.expectBoth()
	l.expectBoth(wire.KindEvidence)
}

// The liars commit one batch with replica 2 in view 0, hide that in their view
// changes, and commit another one with replica 3 in view 1.
func TestLiarsOfTwoViewsAreConvictedByEither(t *testing.T) {
	l := betray(t)
	l.commitTo(2, 0, l.batch(1, "a"))
	hidden := []*wire.Sealed{
		l.inject(&wire.ViewChange{View: 1, Stable: l.zero(), Sender: 0}, 3),
		l.inject(&wire.ViewChange{View: 1, Stable: l.zero(), Sender: 1}, 3),
	}
	l.run()
	own := lastSent(l, func(m *wire.ViewChange) bool { return m.Sender == 3 })
	if own == nil {
		t.Fatal("R3 did not join the liars' view")
	}
	hidden = append(hidden, l.forge(own))
	l.inject(&wire.NewView{
		View: 1, ViewChanges: refs(l, hidden...), StableState: l.zero().State, Sender: 1,
	}, 3)
	l.run()
	l.commitTo(3, 1, l.batch(2, "b"))
	l.meet()
	l.expectBoth()
}

// Both victims have a stable checkpoint, of different states, when they meet.
func TestLiarsAreConvictedByTwoStableCheckpoints(t *testing.T) {
	l := betray(t)
	for i, victim := range []wire.ReplicaID{2, 3} {
		l.commitTo(victim, 0, l.batch(1+10*i, "a"))
		for seq := wire.Seq(2); seq <= 4; seq++ {
			batch := l.batch(int(seq)+10*i, "more")
			l.inject(&wire.PrePrepare{Vote: vote(0, seq, batch.Digest(), 0), Batch: batch}, victim)
			l.inject(&wire.Prepare{Vote: vote(0, seq, batch.Digest(), 1)}, victim)
			l.inject(&wire.Commit{Vote: vote(0, seq, batch.Digest(), 0)}, victim)
			l.inject(&wire.Commit{Vote: vote(0, seq, batch.Digest(), 1)}, victim)
			l.run()
		}
		state := l.hosts[victim].snapshot.State
		l.inject(&wire.Checkpoint{Seq: 4, State: state, Sender: 0}, victim)
		l.inject(&wire.Checkpoint{Seq: 4, State: state, Sender: 1}, victim)
		l.run()
		if got := l.hosts[victim].replica.Stable().Seq; got != 4 {
			t.Fatalf("the checkpoint of R%d is %d, want 4", victim, got)
		}
	}
	l.passes = nil
	// One repeats its checkpoint, as it does for whoever is behind.
	own := lastSent(l, func(m *wire.Checkpoint) bool { return m.Sender == 3 })
	l.give(l.hosts[2], 3, l.forge(own))
	l.run()
	l.expectBoth()
	l.expectBoth(wire.KindEvidence)
}

// One liar, who votes for another batch at every number, gets certificates, and
// convicts nobody but itself.
func TestALoneLiarConvictsNobodyElse(t *testing.T) {
	l := newLab(t, 4, 1)
	l.start()
	l.passes = nil
	for seq := wire.Seq(1); seq <= 6; seq++ {
		l.submit(l.request(1, wire.Number(seq), "x"), l.hosts[0])
		l.inject(&wire.Commit{Vote: vote(0, seq, crypto.Sum([]byte("lie")), 1)}, 0, 2, 3)
		l.run()
		l.inject(&wire.Prepare{Vote: vote(0, seq, crypto.Sum([]byte("another lie")), 1)}, 0, 2, 3)
		l.inject(&wire.ViewChange{View: 1, Stable: l.zero(), Sender: 1}, 0, 2, 3)
		l.run()
		l.wait()
	}
	for _, id := range []wire.ReplicaID{0, 2, 3} {
		if got := l.convicted(l.hosts[id]); len(got) > 1 || len(got) == 1 && got[0] != 1 {
			t.Errorf("R%d convicts %v, want nobody but 1", id, got)
		}
	}
}
