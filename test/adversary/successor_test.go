package adversary_test

import (
	"testing"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: a new primary keeps the view changes that its own new view names.
// Attack: R0, silent otherwise, asks for each view, and as soon as its view change
// was counted for the next one that it leads, which displaces the first.
func TestNewPrimaryKeepsTheViewChangesThatItNames(t *testing.T) {
	const attackTicks = 4000
	l := newLab(t, 4, 0)
	l.configure = func(c *core.Config) { c.BackoffMax = 2 }
	l.start()
	asked, moved := map[wire.View]bool{}, map[wire.View]bool{}
	l.spy = func(p packet) {
		if vc, ok := p.sealed.Message().(*wire.ViewChange); ok && vc.View.Primary(4) != 0 && !asked[vc.View] {
			asked[vc.View] = true
			l.rush(&wire.ViewChange{View: vc.View, Stable: l.zero(), Sender: 0}, vc.View.Primary(4))
		}
		if nv, ok := p.sealed.Message().(*wire.NewView); ok && !moved[nv.View] {
			moved[nv.View] = true
			l.rush(&wire.ViewChange{View: (nv.View/4 + 1) * 4, Stable: l.zero(), Sender: 0}, nv.Sender)
		}
	}
	l.submit(l.request(0, 1, "wanted"), l.hosts[1:]...)
	for range attackTicks {
		l.wait()
	}
	if len(asked) == 0 || len(moved) == 0 {
		t.Fatalf("R0 asked for %d views and left %d new views, want one of each at least", len(asked), len(moved))
	}
	l.executedBy(1, attackTicks, 1, 2, 3)
	asks := func(m *wire.FetchViewChange) bool { return m.Sender == m.View.Primary(4) }
	if m := lastSent(l, asks); m != nil {
		t.Errorf("R%d asks for a view change that its own new view of view %d names", m.Sender, m.View)
	}
}

// Law: a certificate whose batch only a faulty replica has stops no new view.
// Attack: while the network is bad, R0 alone gets a prepared certificate of view
// 0, and views pass until all others have forgotten its batch. Once the network
// is timely, R0 hands the certificate over in every view change, and hides the
// batch.
func TestACertificateWhoseBatchIsForgottenStopsNobody(t *testing.T) {
	const badTicksMax, badViews, timelyTicks = 20_000, 8, 10_000
	l := newLab(t, 4, 0)
	l.configure = func(c *core.Config) { c.BackoffMax = 3 }
	l.start()
	l.passes = func(p packet) bool {
		kind := p.sealed.Message().Kind()
		return kind != wire.KindPrepare && kind != wire.KindCommit
	}
	hidden := l.batch(66, "hidden")
	pp := l.inject(&wire.PrePrepare{Vote: vote(0, 1, hidden.Digest(), 0), Batch: hidden}, 1, 2, 3)
	l.submit(l.request(0, 1, "wanted"), l.hosts[1:]...)
	l.run()
	cert := certificate(content[*wire.PrePrepare](l, pp).Vote, l.prepareOf(1, 1), l.prepareOf(2, 1))
	for i := 0; i < badTicksMax && l.hosts[1].replica.View() < badViews; i++ {
		l.wait()
	}
	if got := l.hosts[1].replica.View(); got < badViews {
		t.Fatalf("R1 is in view %d after %d ticks of a bad network, want %d at least", got, badTicksMax, badViews)
	}
	l.passes = nil
	asked := map[wire.View]bool{}
	l.spy = func(p packet) {
		if vc, ok := p.sealed.Message().(*wire.ViewChange); ok && !asked[vc.View] {
			asked[vc.View] = true
			l.rush(&wire.ViewChange{
				View: vc.View, Stable: l.zero(), Prepared: []wire.PreparedCert{cert}, Sender: 0,
			}, 1, 2, 3)
		}
	}
	for range timelyTicks {
		l.wait()
	}
	if len(asked) == 0 {
		t.Fatal("R0 handed its certificate over in no view change")
	}
	l.executedBy(1, timelyTicks, 1, 2, 3)
}

// executedBy requires that replicas have executed a number, after so many ticks.
func (l *lab) executedBy(seq wire.Seq, ticks int, ids ...wire.ReplicaID) {
	l.tb.Helper()
	for _, id := range ids {
		if got := l.hosts[id].replica.Executed(); got < seq {
			l.tb.Errorf("R%d executed %d after %d timely ticks, want %d at least", id, got, ticks, seq)
		}
	}
}
