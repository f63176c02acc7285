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
