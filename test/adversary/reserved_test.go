package adversary_test

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: a backup that restarts votes nowhere where it may have voted, and follows the
// others there.
// Attack: R0 proposes a batch to R2, whose prepare leaves before its record is durable;
// R2 loses power, and R0 proposes another batch for that number.
func TestABackupDoesNotVoteWhereItMayHaveVoted(t *testing.T) {
	l := newLab(t, 4, 0)
	l.start()
	r2 := l.hosts[2]
	propose := func(seq wire.Seq, batch *wire.Batch, to ...wire.ReplicaID) *wire.Sealed {
		return l.inject(&wire.PrePrepare{Vote: vote(0, seq, batch.Digest(), 0), Batch: batch}, to...)
	}
	propose(1, l.batch(0, "first"), 1, 2, 3)
	l.run()
	if got := r2.replica.Executed(); got != 1 {
		t.Fatalf("R2 executed %d, want 1: then it has a reservation", got)
	}
	durable := len(r2.journal)

	forgotten, other := l.batch(1, "forgotten"), l.batch(2, "other")
	var fx core.Effects
	r2.replica.Step(core.Received{From: 0, Message: propose(2, forgotten)}, &fx)
	i := slices.IndexFunc(fx.Send, func(s core.Send) bool { return s.Early && s.Message.Kind() == wire.KindPrepare })
	if i < 0 {
		t.Fatalf("no prepare of R2 leaves before its record is durable: it sends %v", fx.Send)
	}
	l.send(r2, fx.Send[i])
	r2.journal = r2.journal[:durable]
	l.boot(r2)

	propose(2, other, 1, 2, 3)
	l.inject(&wire.Commit{Vote: vote(0, 2, other.Digest(), 0)}, 1, 2, 3)
	l.run()
	if p := lastSent(l, func(m *wire.Prepare) bool { return m.Sender == 2 && m.Digest == other.Digest() }); p != nil {
		t.Error("R2 prepares another batch than before it lost power")
	}
	if c := lastSent(l, func(m *wire.Commit) bool { return m.Sender == 2 && m.Seq == 2 }); c != nil {
		t.Error("R2 commits where it does not know how it voted")
	}
	if got := r2.replica.Executed(); got != 2 {
		t.Errorf("R2 executed %d, want 2: the others agreed on it", got)
	}
}
