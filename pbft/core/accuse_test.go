package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// accuser returns R0 of four, whose archive has commits of R3 in view 5 for the
// numbers up to archived.
func accuser(t *testing.T, archived wire.Seq) *Replica {
	t.Helper()
	q, _ := NewQuorum(4)
	r, err := New(DefaultConfig(0, q), Restored{})
	if err != nil {
		t.Fatal(err)
	}
	signer := func(id wire.ReplicaID) wire.Signed { return wire.Signed{Sender: id, Signature: crypto.Signature{1}} }
	for seq := wire.Seq(1); seq <= archived; seq++ {
		batch := &wire.Batch{Time: wire.Time(seq), Requests: []*wire.Request{{Number: 1, Ops: [][]byte{{1}}}}}
		s := &slot{seq: seq, committed: &wire.CommitCert{
			View: 5, Seq: seq, Digest: batch.Digest(), Commits: []wire.Signed{signer(0), signer(1), signer(3)},
		}}
		s.keep(batch.Digest(), batch)
		r.archive.add(s, r.cfg.ArchiveBytesMax)
	}
	r.low = archived
	return r
}

// changeOf3 is a view change of R3 that hands over nothing.
func changeOf3(r *Replica, view wire.View) Received {
	vc := &wire.ViewChange{
		View: view, Stable: wire.CheckpointCert{State: r.cfg.StateZero}, Sender: 3, Signature: crypto.Signature{2},
	}
	return Received{From: 3, Message: wire.Reseal(vc)}
}

// told counts what fx reports of lies, and what it spreads of them.
func told(fx *Effects) (reported, spread int) {
	for _, o := range fx.Observe {
		if _, ok := o.(Misbehaved); ok {
			reported++
		}
	}
	for _, s := range fx.Send {
		if _, ok := s.Message.(*wire.Evidence); ok {
			spread++
		}
	}
	return reported, spread
}

// TestOneHiddenCommitConvicts holds that a view change which hides everything
// costs no more than one that hides a single commit, the first time and later:
// else a few short messages would keep a replica busy.
func TestOneHiddenCommitConvicts(t *testing.T) {
	r := accuser(t, 1000)
	var fx Effects
	r.Step(changeOf3(r, 9), &fx)
	if reported, spread := told(&fx); reported != 1 || spread != 1 {
		t.Errorf("%d reports and %d proofs of one view change, want one of each", reported, spread)
	}
	again := changeOf3(r, 9)
	if n := testing.AllocsPerRun(20, func() { r.Step(again, &Effects{}) }); n > 100 {
		t.Errorf("to hear it again takes %.0f allocations with 1000 batches in the archive", n)
	}
}

// TestAConvictedLiarCostsNothing repeats a commit that a long view change hides: its proof is
// made no more than a few times.
func TestAConvictedLiarCostsNothing(t *testing.T) {
	r := accuser(t, 0)
	change := changeOf3(r, 9)
	vc := change.Message.Message().(*wire.ViewChange) //nolint:errcheck,forcetypeassert // made so
	for seq := wire.Seq(2); seq <= r.cfg.Window; seq++ {
		vc.Prepared = append(vc.Prepared, wire.PreparedCert{Seq: seq, Prepares: make([]wire.Signed, 2)})
	}
	r.Step(Received{From: 3, Message: wire.Reseal(vc)}, &Effects{})
	hides := wire.Vote{Seq: 1, Digest: crypto.Digest{1}, Sender: 3, Signature: crypto.Signature{3}}
	again := Received{From: 3, Message: wire.Reseal(&wire.Commit{Vote: hides})}
	var fx Effects
	for range 2 * answersPerStatus {
		r.Step(again, &fx)
	}
	if reported, spread := told(&fx); reported != answersPerStatus || spread != answersPerStatus {
		t.Errorf("%d reports and %d proofs, want %d of each", reported, spread, answersPerStatus)
	}
	if n := testing.AllocsPerRun(20, func() { r.Step(again, &Effects{}) }); n > 2 {
		t.Errorf("to hear it again takes %.0f allocations, want two: the effects, and the commit", n)
	}
	for range r.cfg.StatusTicks {
		r.Step(Tick{}, &fx)
	}
	fx.Reset()
	r.Step(again, &fx)
	if reported, _ := told(&fx); reported != 1 {
		t.Errorf("%d reports, want one: the interval is over", reported)
	}
}

// TestTheArchiveIsSearchedOnlySoOften holds that view changes, of which a liar
// signs as many as it likes, make a replica look through its archive a few times
// in a status interval and no more, and later again.
func TestTheArchiveIsSearchedOnlySoOften(t *testing.T) {
	r := accuser(t, 10)
	var fx Effects
	for view := wire.View(1); view <= answersPerStatus; view++ {
		r.Step(changeOf3(r, view), &fx) // hides nothing: the commits are of a later view
	}
	r.Step(changeOf3(r, 9), &fx)
	if reported, _ := told(&fx); reported > 0 {
		t.Fatal("the archive is searched for every view change")
	}
	for range r.cfg.StatusTicks {
		r.Step(Tick{}, &fx)
	}
	r.Step(changeOf3(r, 9), &fx)
	if reported, _ := told(&fx); reported != 1 {
		t.Errorf("%d reports, want one: the interval is over", reported)
	}
}

// TestAProofWithoutRoomIsNotPassedOn holds that a proof which a replica cannot
// keep ends there: it would be news each time it comes, and two such replicas would
// send it to each other for ever.
func TestAProofWithoutRoomIsNotPassedOn(t *testing.T) {
	r := accuser(t, 0)
	if !r.proofs.add(proofOf(3, wire.EvidenceChoices, proofsBytesMax-200)) {
		t.Fatal("there is no room for the first proof")
	}
	for _, c := range []struct {
		culprit wire.ReplicaID
		spread  int
		why     string
	}{
		{3, 0, "there is no room for another proof against it"},
		{3, 0, "there is no room for another proof against it"},
		{2, 1, "it is the first against this replica, for which there is always room"},
		{2, 0, "it is no news"},
	} {
		vote := func(n byte) *wire.Prepare {
			return &wire.Prepare{Vote: wire.Vote{View: 1, Seq: 1, Digest: crypto.Digest{n}, Sender: c.culprit}}
		}
		e, err := wire.NewEvidence(wire.EvidencePrepares, c.culprit, vote(1), vote(2))
		if err != nil {
			t.Fatal(err)
		}
		var fx Effects
		r.Step(Received{From: 1, Message: wire.Reseal(e)}, &fx)
		if _, spread := told(&fx); spread != c.spread {
			t.Errorf("a proof against R%d is passed on %d times, want %d: %s", c.culprit, spread, c.spread, c.why)
		}
	}
}
