package hostile

import (
	"cmp"
	"slices"
	"testing"

	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func viewRows() []row {
	return []row{
		{
			36, "bad certificates", "view changes with short, repeated, unsorted, far, contradicting and future " +
				"certificates, and without proof of their checkpoint",
			"refused, or dropped and counted, whole", badViewChanges, false,
		},
		{
			37, "a million views", "view changes for ever later views",
			"one is kept; f replicas change no view", manyViews, false,
		},
		{
			38, "bad new views", "new views with too few, repeated, foreign or stale view changes, or the wrong choice",
			"dropped and counted, refused, or never entered; a wrong choice ends the view at once", badNewViews, false,
		},
	}
}

// prepared returns a certificate that the primary of view and q−1 others seem to
// have signed.
func (c *cluster) prepared(t *testing.T, view wire.View, seq wire.Seq, from ...wire.ReplicaID) wire.PreparedCert {
	t.Helper()
	digest := crypto.Sum([]byte("prepared"))
	cert := wire.PreparedCert{View: view, Seq: seq, Digest: digest}
	vote := wire.Vote{View: view, Seq: seq, Digest: digest, Sender: view.Primary(replicas)}
	pp, ok := wire.Seal(c.keys[vote.Sender], c.genesis.Domain(), &wire.PrePrepare{Vote: vote}).Message().(*wire.PrePrepare)
	if !ok {
		t.Fatal("no pre-prepare")
	}
	cert.PrePrepare = pp.Signature
	for _, id := range from {
		vote.Sender = id
		prepare, ok := wire.Seal(c.keys[id], c.genesis.Domain(), &wire.Prepare{Vote: vote}).Message().(*wire.Prepare)
		if !ok {
			t.Fatal("no prepare")
		}
		cert.Prepares = append(cert.Prepares, wire.Signed{Sender: id, Signature: prepare.Signature})
	}
	return cert
}

func badViewChanges(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	view := wire.View(9)
	ask := func(stable wire.CheckpointCert, certs ...wire.PreparedCert) []byte {
		return p.sign(&wire.ViewChange{View: view, Stable: stable, Prepared: certs, Sender: p.liar})
	}
	whole := func(view wire.View, seq wire.Seq) wire.PreparedCert {
		var backups []wire.ReplicaID
		for id := range wire.ReplicaID(replicas) {
			if id != view.Primary(replicas) && len(backups) < 2 {
				backups = append(backups, id)
			}
		}
		return s.prepared(t, view, seq, backups...)
	}
	repeated := whole(0, 5)
	repeated.Prepares[1] = repeated.Prepares[0]
	unsorted := whole(0, 5)
	slices.Reverse(unsorted.Prepares)
	b := s.book()
	p.sends(t, ask(s.zero(), s.prepared(t, 0, 5, 1)))
	b.refused(t, wire.KindViewChange, "too few prepares")
	p.sends(t, ask(wire.CheckpointCert{State: crypto.Digest{1}}))
	b.refused(t, wire.KindViewChange, "not proven")
	b.scored(t, 0)
	for _, bad := range [][]byte{
		ask(s.zero(), repeated), ask(s.zero(), unsorted),
		ask(s.zero(), whole(0, 1<<20)),
		ask(s.zero(), whole(0, 5), whole(1, 5)), // two certificates for one number
		ask(s.zero(), whole(1, 6), whole(1, 5)),
		ask(s.zero(), whole(view+1, 5)),
		ask(wire.CheckpointCert{Seq: 128, State: crypto.Digest{1}, Signers: repeated.Prepares}),
	} {
		b := s.book()
		p.sends(t, bad)
		b.scored(t, 1)
	}
	b.none(t, "a change of view", changes)
}

// manyViews asks for 600 views, each of which would cost a place if all were kept.
func manyViews(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	b := s.book()
	for view := range wire.View(600) {
		p.sends(t, p.sign(&wire.ViewChange{View: 10 + view<<20, Stable: s.zero(), Sender: p.liar}))
	}
	p.fence(t)
	s.serves(t, 3)
	b.scored(t, 0)
	b.none(t, "a change of view", changes)
}

// badNewViews has the liar lead view 1, into which the others go when the primary
// of view 0 has stopped, and then view 5, in which nobody is.
func badNewViews(t *testing.T, _ *siege) {
	t.Helper()
	c := newCluster(t, options{liar: 1, timeout: hastyTimeout})
	c.startHonest(t)
	c.serves(t, 3)
	c.stop(t, 0)
	p := c.puppet(t)
	first := p.book()
	var named []wire.ViewChangeRef
	await(t, "two replicas ask for view 1", func() bool {
		p.sends(t, p.sign(&wire.Status{Active: true, Sender: p.liar})) // or they would think that they are cut off
		named = p.changesFor(1)
		return len(named) == 2
	})
	ours := &wire.ViewChange{View: 1, Stable: c.zero(), Sender: p.liar}
	named = append([]wire.ViewChangeRef{{Sender: p.liar, Digest: ours.Digest()}}, named...)
	// All at once, for nobody waits for view 1 long: q is three; twice the same; of a view that is
	// another one's; and as if nothing had been prepared in view 0.
	p.sends(t, p.newView(1, named[:2]), p.newView(1, append(named[:1:1], named[0], named[1])), p.newView(2, named),
		p.newView(1, named), p.sign(ours))
	first.refused(t, wire.KindNewView, "too few")
	first.scored(t, 2)
	first.refused(t, wire.KindNewView, "does not follow")
	first.convicted(t, wire.EvidenceChoices)
	first.observed(t, "a view that is left at once", func(o core.Observation) bool {
		left, ok := o.(core.LeftView)
		return ok && left.Why == "its new view is wrong"
	})
	c.start(t, 0)
	c.serves(t, 3)
	p.sends(t, p.newView(5, refs(0, 2, 3)))
	p.fence(t)
	c.serves(t, 3)
	first.none(t, "the liar's view", func(o core.Observation) bool {
		entered, ok := o.(core.EnteredView)
		return ok && entered.Primary == p.liar
	})
}

// newView returns a new view that carries nothing over.
func (p *puppet) newView(view wire.View, named []wire.ViewChangeRef) []byte {
	return p.sign(&wire.NewView{View: view, ViewChanges: named, StableState: checkpoint.EmptyRoot(), Sender: p.liar})
}

// changesFor returns the view changes for a view that were heard.
func (p *puppet) changesFor(view wire.View) []wire.ViewChangeRef {
	var out []wire.ViewChangeRef
	lim := p.genesis.WireLimits()
	for _, frame := range p.of(wire.KindViewChange) {
		m, err := wire.Decode(frame, &lim)
		if err != nil {
			continue
		}
		vc, ok := m.(*wire.ViewChange)
		if !ok || vc.View != view {
			continue
		}
		ref := wire.ViewChangeRef{Sender: vc.Sender, Digest: vc.Digest()}
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b wire.ViewChangeRef) int { return cmp.Compare(a.Sender, b.Sender) })
	return out
}
