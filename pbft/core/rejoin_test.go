package core

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestWhoRejoinsSaysForWhichViewItWaits has a replica lose its data that had left the view
// alone. Whatever the others order, it does not vote before they are in the view that it
// asked for; and an operator is told so, once.
func TestWhoRejoinsSaysForWhichViewItWaits(t *testing.T) {
	k := newTrack(t, nil)
	k.runners[3].r.rejoin = &rejoining{closed: true, until: k.cfg.Interval, floor: 1}
	k.ask(4, 1)
	k.run(400)
	if low, until := k.runners[3].r.low, k.cfg.Interval; low <= until {
		t.Fatalf("the stable checkpoint is %d, want more than %d", low, until)
	}
	if len(k.rejoins) != 1 || k.rejoins[0] != (AwaitsView{1}) {
		t.Errorf("in view 0 it says %v, want that it waits for view 1, once", k.rejoins)
	}
	k.delay = func(from, _ wire.ReplicaID, m wire.Message) int {
		if _, ok := m.(*wire.PrePrepare); ok && from == 0 {
			return -1 // until its view is left
		}
		return 1
	}
	k.run(400)
	if len(k.rejoins) != 2 {
		t.Fatalf("in view %d it says %v, want that it votes again", k.view(), k.rejoins)
	}
	if said, ok := k.rejoins[1].(Rejoined); !ok || said.View < 1 || k.runners[3].r.Rejoining() {
		t.Errorf("in view %d it says %v, want that it votes again", k.view(), k.rejoins[1])
	}
}

// TestWhoRejoinsVotesForWhatIsOpen has another replica fail when one that rejoined ends its
// silence, before its votes for what is open then have come: from now on every quorum needs
// the one that rejoined, and nobody is to blame.
func TestWhoRejoinsVotesForWhatIsOpen(t *testing.T) {
	k := newTrack(t, nil)
	back := k.runners[3].r
	back.rejoin = &rejoining{closed: true, until: k.cfg.Interval}
	const slow = 4
	k.delay = func(from, to wire.ReplicaID, _ wire.Message) int {
		switch {
		case from != 2 && to != 2:
			return 1
		case back.rejoin == nil:
			return -1
		default:
			return slow
		}
	}
	k.ask(8, 1)
	for back.rejoin != nil {
		k.run(1)
	}
	open := back.slots.at(back.executed + 1)
	if open == nil || !open.voted {
		t.Fatal("nothing is open for which it has voted")
	}
	for tick, parcels := range k.due {
		k.due[tick] = slices.DeleteFunc(parcels, func(p parcel) bool { return p.from == 2 && p.to != 2 })
	}
	if n := k.run(2 * k.cfg.RequestTicks); n == 0 || k.leaves > 0 {
		t.Errorf("%d answered; views left: %q", n, k.left)
	}
}

// TestSilenceEndsAfterTornRecords has the records end between the stable checkpoint that ends
// the silence and the record that says so: nothing need become stable any more.
func TestSilenceEndsAfterTornRecords(t *testing.T) {
	cert := wire.CheckpointCert{Seq: 128, State: crypto.Sum([]byte("right")), Signers: make([]wire.Signed, 3)}
	for until, silent := range map[wire.Seq]bool{128: false, 129: true} {
		q, err := NewQuorum(4)
		if err != nil {
			t.Fatal(err)
		}
		r, err := New(DefaultConfig(3, q), Restored{
			Snapshot: Snapshot{Seq: cert.Seq, State: cert.State},
			Records:  []Record{RejoinRecord{Until: until}, StableRecord{cert}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var fx Effects
		r.Step(Start{1}, &fx)
		if r.Rejoining() != silent || persists[RejoinRecord](&fx) == silent {
			t.Errorf("silent until %d, at 128: rejoining %v, persists %v", until, r.Rejoining(), fx.Persist)
		}
	}
}

// TestLyingPrimaryKeepsNobodyFromRejoining has a primary show to a replica that rejoins alone
// that it asks for another view, or that it lies: whom nobody else hears of, it must not leave
// the view alone, or it would wait for another view for as long as that primary leads this one.
func TestLyingPrimaryKeepsNobodyFromRejoining(t *testing.T) {
	for name, lie := range map[string]func(s *slot) wire.Message{
		"it asks for another view": func(*slot) wire.Message {
			return &wire.ViewChange{View: 9, Sender: 0, Signature: crypto.Signature{1}}
		},
		"it proposes another batch": func(s *slot) wire.Message {
			vote := wire.Vote{Seq: s.seq, Digest: numberedBatch(1).Digest(), Signature: crypto.Signature{1}}
			return &wire.PrePrepare{Vote: vote, Batch: numberedBatch(1)}
		},
	} {
		k := newTrack(t, nil)
		r := k.runners[3].r
		r.rejoin = &rejoining{closed: true, until: 4 * k.cfg.Interval}
		k.ask(8, 1)
		open := r.slots.at(1)
		for ; open == nil || open.proposal == nil; open = r.slots.at(r.executed + 1) {
			k.run(1)
		}
		k.step(3, Received{From: 0, Message: wire.Reseal(lie(open))})
		k.run(8 * k.cfg.RequestTicks)
		if low := k.runners[1].r.low; low <= 4*k.cfg.Interval {
			t.Fatalf("%s: only %d is stable", name, low)
		}
		if r.rejoin != nil {
			t.Errorf("%s: it is silent at %d, active %v in view %d, and the others in view %d",
				name, r.low, r.active, r.view, k.runners[1].r.view)
		}
	}
}
