package core

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// A replica votes for what it holds already without writing the batch again.

func numberedBatch(i int) *wire.Batch {
	return &wire.Batch{Time: wire.Time(i), Requests: []*wire.Request{{Session: 1, Number: 1, Ops: [][]byte{{byte(i)}}}}}
}

// proposed returns the primary's vote for a batch at number 1.
func proposed(v wire.View, i int) wire.Vote {
	return wire.Vote{
		View: v, Seq: 1, Digest: numberedBatch(i).Digest(), Sender: v.Primary(4), Signature: crypto.Signature{1},
	}
}

// backup returns replica 1 of four, restored from records.
func backup(t *testing.T, records ...Record) *Replica {
	t.Helper()
	q, err := NewQuorumWithFaults(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(DefaultConfig(1, q), Restored{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// carrying returns the records of a replica that has entered view 2, which carries batch 1
// over.
func carrying() []Record {
	nv := &wire.NewView{
		View: 2, Sender: 2, Signature: crypto.Signature{2},
		Choices: []wire.Choice{{Seq: 1, Digest: numberedBatch(1).Digest(), Signature: crypto.Signature{3}}},
	}
	return []Record{ViewRecord{2, false}, NewViewRecord{nv}, ViewRecord{2, true}, ReservationRecord{2, 100}}
}

// kept says which batches r holds of number 1.
func kept(r *Replica) (times []wire.Time) {
	for _, b := range r.slots.at(1).bodies {
		times = append(times, b.batch.Time)
	}
	return times
}

func persists[T Record](fx *Effects) bool {
	return slices.ContainsFunc(fx.Persist, func(rec Record) bool { _, is := rec.(T); return is })
}

// TestWhatIsHeldIsNotWrittenAgain has a new view carry over a batch that the replica holds,
// and one that it gets later.
func TestWhatIsHeldIsNotWrittenAgain(t *testing.T) {
	var fx Effects
	r := backup(t, append([]Record{BatchRecord{1, numberedBatch(1)}}, carrying()...)...)
	r.Step(Start{1}, &fx)
	if persists[AcceptedRecord](&fx) || !persists[VotedRecord](&fx) {
		t.Errorf("it persists %v, want the vote alone", fx.Persist)
	}

	fx = Effects{}
	r = backup(t, carrying()...)
	r.Step(Start{1}, &fx)
	r.onBatchBody(numberedBatch(1).Digest(), numberedBatch(1), &fx)
	if !persists[AcceptedRecord](&fx) || persists[VotedRecord](&fx) || persists[BatchRecord](&fx) {
		t.Errorf("it persists %v, want the vote with the batch", fx.Persist)
	}
}

// TestABatchWithoutItsVoteIsVotedFor has the records end between the batch of a number that
// was carried over and the vote for it.
func TestABatchWithoutItsVoteIsVotedFor(t *testing.T) {
	r := backup(t, append(carrying(), BatchRecord{1, numberedBatch(1)})...)
	if r.change.bodiesMissing != 0 {
		t.Errorf("%d batches are missing, and all are there", r.change.bodiesMissing)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	if !persists[VotedRecord](&fx) {
		t.Errorf("it persists %v, want a vote", fx.Persist)
	}
}

// TestALateVoteForWhatIsHeldIsFlushed has a batch commit, by the votes of others, before it
// is proposed to the replica, which has reserved nothing.
func TestALateVoteForWhatIsHeldIsFlushed(t *testing.T) {
	r := backup(t)
	batch := numberedBatch(1)
	var fx Effects
	r.Step(Start{batch.Time}, &fx)
	cert := wire.CommitCert{Seq: 1, Digest: batch.Digest()}
	for id := range wire.ReplicaID(3) {
		cert.Commits = append(cert.Commits, wire.Signed{Sender: id})
	}
	r.onCommitted(2, &wire.Committed{Cert: cert, Batch: batch}, &fx)
	fx = Effects{}
	r.onPrePrepare(Received{From: 0}, &wire.PrePrepare{Vote: proposed(0, 1), Batch: batch}, &fx)
	if len(fx.Persist) != 1 || !persists[VotedRecord](&fx) || !slices.ContainsFunc(fx.Send, lateVote) || !fx.MustFlush() {
		t.Errorf("it persists %v, flushed %t, and sends %v, want a vote that waits", fx.Persist, fx.MustFlush(), fx.Send)
	}
}

// TestVotesNameBatchesOfEarlierRecords restores a replica that has voted, in one view after the
// other, for more batches at one number than it keeps, and in the last view for the first of
// them again; and one whose records lack that batch, which no replica writes.
func TestVotesNameBatchesOfEarlierRecords(t *testing.T) {
	var records []Record
	last := wire.View(bodiesMax + 3)
	for v := wire.View(1); v < last; v++ {
		one := &wire.PrePrepare{Vote: proposed(v, int(v)), Batch: numberedBatch(int(v))} //nolint:gosec // few
		records = append(records, ViewRecord{v, true}, AcceptedRecord{one})
	}
	first := proposed(last, 1)
	again := []Record{ViewRecord{last, true}, VotedRecord{first}}

	r := backup(t, append(records, again...)...)
	s := r.slots.at(1)
	if s.proposal == nil || s.proposal.Vote != first || !s.voted || s.proposal.Batch == nil || s.proposal.Batch.Digest() != first.Digest {
		t.Errorf("got %+v, voted %t, want the vote for the first batch, with it", s.proposal, s.voted)
	}
	if s.body(first.Digest) == nil || len(s.bodies) != bodiesMax || s.forgotten != nil {
		t.Errorf("the batches of %v are kept, and %d others, want %d with the first", kept(r), len(s.forgotten), bodiesMax)
	}
	if !slices.ContainsFunc(r.Base(), func(rec Record) bool {
		a, is := rec.(AcceptedRecord)
		return is && a.PrePrepare.Vote == first && a.PrePrepare.Batch != nil
	}) {
		t.Error("the base lacks the vote with its batch")
	}

	r = backup(t, again...)
	s = r.slots.at(1)
	if s.proposal == nil || s.proposal.Vote != first || s.voted || r.change.bodiesMissing != 1 {
		t.Errorf("got %+v, voted %t, %d missing, want a proposal whose batch is missing", s.proposal, s.voted, r.change.bodiesMissing)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	for range r.cfg.CatchUpTicks {
		r.Step(Tick{1}, &fx)
	}
	if !slices.ContainsFunc(fx.Send, func(s Send) bool {
		m, is := s.Message.(*wire.FetchBatches)
		return is && slices.Equal(m.Digests, []crypto.Digest{first.Digest})
	}) {
		t.Error("it does not ask for the batch")
	}
}

// TestRestoredReplicasHoldTheSameBatches has a replica hear of more batches at one number than
// it keeps: it forgets the same ones when it is restored.
func TestRestoredReplicasHoldTheSameBatches(t *testing.T) {
	type step struct {
		view    wire.View
		batch   int
		prepare bool
	}
	for name, steps := range map[string][]step{
		"the prepared one changes": {
			{2, 1, true}, {3, 2, false}, {4, 3, false}, {6, 4, false}, {7, 5, true}, {8, 6, false},
		},
		"one comes again": {
			{2, 1, false}, {3, 2, false}, {4, 3, false}, {6, 4, false}, {7, 5, false}, {8, 1, false}, {10, 6, false}, {11, 1, false},
		},
	} {
		live := backup(t)
		var records []Record
		for _, one := range steps {
			var fx Effects
			live.view, live.active = one.view, true
			s := live.slot(1)
			s.forgetView()
			fx.persist(ViewRecord{one.view, true})
			s.proposal = &wire.PrePrepare{Vote: proposed(one.view, one.batch), Batch: numberedBatch(one.batch)}
			live.accept(s, &fx)
			if one.prepare {
				cert := wire.PreparedCert{View: one.view, Seq: 1, Digest: s.proposal.Digest}
				s.prepared, s.promised = &cert, true
				fx.persist(PreparedRecord{cert})
			}
			records = append(records, fx.Persist...)
		}
		restored := backup(t, records...)
		if diff := cmp.Diff(kept(live), kept(restored)); diff != "" {
			t.Errorf("%s: (-live +restored)\n%s", name, diff)
		}
		if diff := cmp.Diff(tellBase(live), tellBase(restored)); diff != "" {
			t.Errorf("%s: bases (-live +restored)\n%s", name, diff)
		}
	}
}

// TestRestoredReplicasHoldWhatCommitted has the journal begin anew while the replica votes for
// the batch that it has had for longest, which the base names last, and then hear of one more:
// it forgets another one than the restored replica, and that one commits.
func TestRestoredReplicasHoldWhatCommitted(t *testing.T) {
	live := backup(t)
	var records []Record
	for i, batch := range []int{1, 2, 3, 4, 1, 5} {
		var fx Effects
		live.view, live.active = []wire.View{2, 3, 4, 6, 7, 8}[i], true
		s := live.slot(1)
		s.forgetView()
		fx.persist(ViewRecord{live.view, true})
		s.proposal = &wire.PrePrepare{Vote: proposed(live.view, batch), Batch: numberedBatch(batch)}
		live.accept(s, &fx)
		if records = append(records, fx.Persist...); i == 4 {
			records = live.Base()
		}
	}
	var fx Effects
	cert := wire.CommitCert{View: 10, Seq: 1, Digest: numberedBatch(2).Digest(), Commits: make([]wire.Signed, 3)}
	live.onCommitted(2, &wire.Committed{Cert: cert, Batch: numberedBatch(2)}, &fx)
	if persists[BatchRecord](&fx) || live.executed != 1 {
		t.Fatalf("it persists %v, and executed %d: want the certificate of a batch that it holds", fx.Persist, live.executed)
	}
	restored := backup(t, append(records, fx.Persist...)...)
	restored.Step(Start{1}, &fx)
	if restored.executed != 1 {
		t.Errorf("it executes nothing, and holds the batches of %v, want that of 2", kept(restored))
	}
}
