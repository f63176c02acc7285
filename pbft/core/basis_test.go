package core

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// doorstep is the primary of a view that it is to open, alone: a test makes the view changes of
// the others, of which the first f may lie, and says which batches anybody gives.
type doorstep struct {
	r       *Replica
	view    wire.View
	changes map[wire.ReplicaID]*wire.ViewChange
	batches map[crypto.Digest]*wire.Batch
	given   map[crypto.Digest]bool
	asked   []crypto.Digest
	records int
	opened  *wire.NewView
	ticks   int
}

// newDoorstep returns the last replica of n, of the first view that it leads.
func newDoorstep(t rapid.TB, n int, change func(*Config)) *doorstep {
	t.Helper()
	q, err := NewQuorum(n)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(wire.ReplicaID(n-1), q) //nolint:gosec // small
	if change != nil {
		change(&cfg)
	}
	d := &doorstep{
		view: wire.View(n - 1), changes: map[wire.ReplicaID]*wire.ViewChange{}, //nolint:gosec // small
		batches: map[crypto.Digest]*wire.Batch{}, given: map[crypto.Digest]bool{},
	}
	if d.r, err = New(cfg, Restored{}); err != nil {
		t.Fatal(err)
	}
	for id := range wire.ReplicaID(n - 1) { //nolint:gosec // small
		d.changes[id] = &wire.ViewChange{View: d.view, Sender: id}
	}
	d.step(Start{1e18})
	return d
}

// prepared has replicas hand over a batch, by number ascending.
func (d *doorstep) prepared(seq wire.Seq, view wire.View, given bool, by ...wire.ReplicaID) crypto.Digest {
	batch := &wire.Batch{Time: wire.Time(1000*uint64(seq) + uint64(view)), Requests: []*wire.Request{requestOf(1, 1, 1)}} //nolint:gosec // small
	digest := batch.Digest()
	d.batches[digest] = batch
	d.given[digest] = d.given[digest] || given
	for _, id := range by {
		vc := d.changes[id]
		vc.Prepared = append(vc.Prepared, wire.PreparedCert{
			View: view, Seq: seq, Digest: digest, Prepares: make([]wire.Signed, d.r.q.Strong()-1),
		})
	}
	return digest
}

func (d *doorstep) step(ev Event) {
	for _, ev := range []Event{ev, TurnEnded{}} {
		var fx Effects
		d.r.Step(ev, &fx)
		for _, rec := range fx.Persist {
			if _, is := rec.(BatchRecord); is {
				d.records++
			}
		}
		for _, s := range fx.Send {
			if m, is := s.Message.(*wire.FetchBatches); is {
				d.asked = append(d.asked, m.Digests...)
			}
			if m, is := s.Message.(*wire.NewView); is {
				d.opened = m
			}
			if m, is := s.Message.(*wire.ViewChange); is {
				d.changes[m.Sender] = m
				d.step(Received{From: m.Sender, Message: wire.Reseal(m)})
			}
		}
	}
}

// run has the view changes come, and then the batches that are asked for and given, a tick after
// each question, until the view is open or so many ticks have passed.
func (d *doorstep) run(ticks int) {
	for id := range wire.ReplicaID(d.r.q.Replicas() - 1) { //nolint:gosec // small
		d.step(Received{From: id, Message: wire.Reseal(d.changes[id])})
	}
	for ; d.opened == nil && d.ticks < ticks; d.ticks++ {
		asked := d.asked
		d.asked = nil
		d.step(Tick{1e18})
		for _, digest := range asked {
			if d.given[digest] {
				d.step(Received{From: 1, Message: wire.Reseal(&wire.BatchBody{Batch: d.batches[digest]})})
			}
		}
	}
}

// check holds that the view is open, rests on a quorum, follows from it, and that every batch that it
// carries over is here.
func (d *doorstep) check() error {
	nv := d.opened
	if nv == nil {
		return fmt.Errorf("after %d ticks the view is not open; %d batches were recorded", d.ticks, d.records)
	}
	var named []*wire.ViewChange
	for i, ref := range nv.ViewChanges {
		vc := d.changes[ref.Sender]
		if vc.Digest() != ref.Digest || i > 0 && nv.ViewChanges[i-1].Sender >= ref.Sender {
			return fmt.Errorf("it names %+v, want replicas in ascending order, and what they said", nv.ViewChanges)
		}
		named = append(named, vc)
	}
	if len(named) < d.r.q.Strong() || !nv.Follows(named) {
		return fmt.Errorf("it does not follow from the %d view changes that it names", len(named))
	}
	for _, choice := range nv.Choices {
		if d.r.lacks(choice.Seq, choice.Digest) {
			return fmt.Errorf("the batch that it chooses for %d is not here", choice.Seq)
		}
	}
	return nil
}

// TestNewPrimaryNeedsTheNewestBatchOfANumber: every correct replica hands over another batch for each
// of two numbers, more than a slot keeps. Only the newest of each is fetched, and recorded.
func TestNewPrimaryNeedsTheNewestBatchOfANumber(t *testing.T) {
	d := newDoorstep(t, 16, nil)
	for seq := range wire.Seq(2) {
		for id := range wire.ReplicaID(10) {
			d.prepared(seq+1, wire.View(id), true, id+5)
		}
	}
	d.run(100)
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	if d.records != 2 || d.ticks > 5 {
		t.Errorf("got %d batches recorded in %d ticks, want the newest of both numbers at once", d.records, d.ticks)
	}
}

// TestWhoHidesBatchesIsLeftOut: the liars hand over newer certificates for the first numbers than the
// correct replicas, one behind the other, and hide their batches. There are more of these than are
// asked for at once.
func TestWhoHidesBatchesIsLeftOut(t *testing.T) {
	d := newDoorstep(t, 16, func(c *Config) { c.RequestTicks = 800 })
	for seq := range wire.Seq(30) {
		for id := range wire.ReplicaID(10) {
			d.prepared(seq+1, wire.View(id/4), true, id+5)
		}
		for liar := range wire.ReplicaID(5) {
			d.prepared(seq+1, 10-wire.View(liar), false, liar)
		}
	}
	d.run(800)
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	if got := d.opened.ViewChanges[0].Sender; got != 5 || d.ticks > 800/2+100 {
		t.Errorf("the first that it names is %d, after %d ticks; want 5 after half of the time", got, d.ticks)
	}
}

// TestHiddenBatchesCrowdNoOthersOut: as many liars as batches are asked for at once hide one each, of
// lower numbers than those of the correct replicas.
func TestHiddenBatchesCrowdNoOthersOut(t *testing.T) {
	const n, ticks = 3*fetchedBodiesMax + 1, 1600
	d := newDoorstep(t, n, func(c *Config) { c.RequestTicks = ticks })
	for liar := range wire.ReplicaID(fetchedBodiesMax) {
		d.prepared(wire.Seq(liar)+1, 1, false, liar)
	}
	for id := range wire.ReplicaID(n - 1 - fetchedBodiesMax) {
		d.prepared(fetchedBodiesMax+1, 1, true, id+fetchedBodiesMax)
	}
	d.run(ticks)
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
}

// TestLiarsPushNoBatchOut: the liars give five newer batches for each of some numbers, and hide one
// of another number. When they are left out, the older batches have room.
func TestLiarsPushNoBatchOut(t *testing.T) {
	d := newDoorstep(t, 16, func(c *Config) { c.RequestTicks = 800 })
	for liar := range wire.ReplicaID(5) {
		d.prepared(1, 10-wire.View(liar), false, liar)
	}
	for seq := range wire.Seq(8) {
		for liar := range wire.ReplicaID(5) {
			d.prepared(seq+2, 10-wire.View(liar), true, liar)
		}
		for id := range wire.ReplicaID(10) {
			d.prepared(seq+2, wire.View(id/2), true, id+5)
		}
	}
	d.run(800)
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	if most := 8 * 6; d.records > most {
		t.Errorf("got %d batches recorded, want %d at most: one for each number and each that is left out", d.records, most)
	}
}

// TestNobodyIsLeftOutForGood: where too few are left, the batches that lack are late, and not hidden.
func TestNobodyIsLeftOutForGood(t *testing.T) {
	d := newDoorstep(t, 16, func(c *Config) { c.RequestTicks = 800 })
	late := d.prepared(1, 3, false, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
	if d.run(300); d.opened != nil {
		t.Fatal("the view is open without a batch that it carries over")
	}
	d.given[late] = true
	d.run(340)
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
}

// TestNewPrimaryOpensItsViewWhateverLiarsHandOver draws what the others hand over, and what of that of
// the liars is hidden.
func TestNewPrimaryOpensItsViewWhateverLiarsHandOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([][2]int{{4, 1}, {7, 2}, {16, 5}}).Draw(t, "n, f")
		n, f := size[0], size[1]
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		const ticks = 1600
		d := newDoorstep(t, n, func(c *Config) { c.RequestTicks = ticks })
		numbers := wire.Seq(rng.IntN(40)) //nolint:gosec // small
		for seq := range numbers {
			for id := range wire.ReplicaID(n - 1) { //nolint:gosec // small
				if rng.IntN(4) > 0 {
					lies := int(id) < f && rng.IntN(2) == 0
					view := wire.View(rng.IntN(n - 1)) //nolint:gosec // small
					if int(id) >= f {
						view = wire.View(rng.IntN(n-1) / 2 * 2) //nolint:gosec // small
					}
					d.prepared(seq+1, view, !lies, id)
				}
			}
		}
		d.run(ticks)
		if err := d.check(); err != nil {
			t.Fatal(err)
		}
		if most := int(numbers) * (f + 1); d.records > most { //nolint:gosec // small
			t.Fatalf("got %d batches recorded, want %d at most", d.records, most)
		}
	})
}
