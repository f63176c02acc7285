package adversary_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: a replica has entered a view only once the record of that is durable, the last;
// before, it may not vote there, and it enters whichever new view it sees next.
// Attack: R1 opens view 1 in two ways, one that carries a batch over for R3, and
// another when R3 has crashed, after each record in turn of entering the first.
func TestATornEntryOfAViewIsNoEntry(t *testing.T) {
	all := false
	for cut := 0; !all && !t.Failed(); cut++ {
		t.Run(fmt.Sprintf("%d records", cut), func(t *testing.T) { all = tearEntry(t, cut) })
	}
}

// tearEntry keeps the first records of R3's entry of view 1, and tells whether
// those are all.
func tearEntry(t *testing.T, cut int) bool {
	t.Helper()
	a := newTwoNewViews(t)
	l, r3 := a.lab, a.lab.hosts[3]
	l.give(r3, 1, a.first, a.of[1])
	if r3.replica.View() != 0 {
		t.Fatal("R3 leaves view 0 though only R2 is known to ask for it")
	}
	l.give(r3, 1, a.with)
	recorded, sent := len(r3.journal), len(l.sent)
	l.step(r3, core.Received{From: 1, Message: a.of[0]})
	entry := slices.Clone(r3.journal[recorded:])
	if !r3.replica.Active() || r3.replica.View() != 1 || len(entry) < 2 {
		t.Fatalf("R3 is in view %d (active %v) by %d records, want to enter view 1 by two at least",
			r3.replica.View(), r3.replica.Active(), len(entry))
	}
	whole := slices.Contains(entry[:cut], core.Record(core.ViewRecord{View: 1, Active: true}))
	all := cut == len(entry) // a reservation may follow, without which R3 votes the less early
	r3.journal, l.net = r3.journal[:recorded+cut], nil
	if !all {
		l.sent = l.sent[:sent] // what is not durable was not sent
	}
	l.boot(r3)
	l.run()
	if got := r3.replica.Active() && r3.replica.View() == 1; got != whole {
		t.Errorf("R3 is in view %d (active %v) by %d of %d records",
			r3.replica.View(), r3.replica.Active(), cut, len(entry))
	}
	l.give(r3, 1, wire.Reseal(&wire.BatchBody{Batch: a.carried}))
	r3Prepares(l, whole, a.carried)

	l.give(r3, 1, a.second, a.of[0], a.without, a.of[1])
	l.give(r3, 1, l.forge(&wire.PrePrepare{Vote: vote(1, 1, a.other.Digest(), 1), Batch: a.other}))
	r3Prepares(l, whole, a.carried)
	r3Prepares(l, !whole, a.other)
	return all
}

// r3Prepares requires that R3 sent, or did not send, a prepare of view 1 for a
// batch.
func r3Prepares(l *lab, want bool, batch *wire.Batch) {
	l.tb.Helper()
	p := lastSent(l, func(m *wire.Prepare) bool { return m.Sender == 3 && m.View == 1 && m.Digest == batch.Digest() })
	if got := p != nil; got != want {
		l.tb.Errorf("R3 prepares %s in view 1: got %v, want %v", batch.Digest().Short(), got, want)
	}
}

// twoNewViews is what R1, the primary of view 1, prepares while R3 is cut off:
// two new views that are valid both, for R1 signed two view changes.
type twoNewViews struct {
	lab            *lab
	of             [2]*wire.Sealed // the view changes of R0 and R2
	with, without  *wire.Sealed    // R1's, with and without a certificate
	first, second  *wire.Sealed    // the new views that name those
	carried, other *wire.Batch     // what they order as number 1
}

func newTwoNewViews(t *testing.T) *twoNewViews {
	t.Helper()
	l := newLab(t, 4, 1)
	l.passes = func(p packet) bool { return p.to != 3 && p.from != 3 }
	l.start()
	l.submit(l.request(0, 1, "carried"), l.hosts[0])
	l.run()
	pp := lastSent(l, func(*wire.PrePrepare) bool { return true })
	if pp == nil {
		t.Fatal("R0 proposes nothing")
	}
	own := content[*wire.Prepare](l, l.forge(&wire.Prepare{Vote: vote(0, 1, pp.Digest, 1)}))
	cert := certificate(pp.Vote, own, l.prepareOf(2, 1))
	a := &twoNewViews{
		lab:     l,
		with:    l.forge(&wire.ViewChange{View: 1, Stable: l.zero(), Prepared: []wire.PreparedCert{cert}, Sender: 1}),
		without: l.forge(&wire.ViewChange{View: 1, Stable: l.zero(), Sender: 1}),
		carried: pp.Batch,
		other:   l.batch(1, "other"),
	}
	l.submit(l.request(0, 2, "never ordered"), l.hosts[2])
	l.inject(content[*wire.ViewChange](l, a.without), 0, 2)
	l.run()
	for i, id := range []wire.ReplicaID{0, 2} {
		a.of[i] = a.viewChangeOf(id)
	}
	newView := func(own *wire.Sealed, choices ...wire.Choice) *wire.Sealed {
		return l.forge(&wire.NewView{
			View: 1, ViewChanges: refs(l, a.of[0], own, a.of[1]),
			StableState: l.zero().State, Choices: choices, Sender: 1,
		})
	}
	a.first = newView(a.with, wire.Choice{Seq: 1, Digest: pp.Digest})
	a.second = newView(a.without)
	return a
}

// viewChangeOf waits until a replica asks for view 1. R1's status keeps it in the
// company of a quorum.
func (a *twoNewViews) viewChangeOf(id wire.ReplicaID) *wire.Sealed {
	const ticksMax = 200
	l := a.lab
	l.tb.Helper()
	for range ticksMax {
		vc := lastSent(l, func(m *wire.ViewChange) bool { return m.Sender == id && m.View == 1 })
		if vc != nil {
			return wire.Reseal(vc)
		}
		l.wait()
		l.inject(&wire.Status{Sender: 1}, 0, 2)
	}
	l.tb.Fatalf("R%d does not ask for view 1 within %d ticks", id, ticksMax)
	return nil
}
