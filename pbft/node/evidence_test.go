package node

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// unlessZero takes every signature for good that is not zero.
type unlessZero struct{}

func (unlessZero) Verify(checks []crypto.Check, ok []bool) bool {
	all := true
	for i := range checks {
		ok[i] = checks[i].Signature != crypto.Signature{}
		all = all && ok[i]
	}
	return all
}

// proofs makes true evidence, no two alike, and steps a node that does not run.
type proofs struct {
	*testing.T

	n        *Node
	verifier *counting
	client   crypto.PublicKey
	number   wire.Number
}

func newProofs(t *testing.T) *proofs {
	t.Helper()
	m := newMembers(t, 4)
	m.configs[0].Verifier = unlessZero{}
	m.configs[0].Limits.BatchRequestsMax = 512
	n, verifier := newCounting(t, m)
	p := &proofs{T: t, n: n, verifier: verifier, client: m.keys[0].Public()}
	p.step(core.Start{})
	return p
}

// unsigned is evidence that the primary of view proposed a batch of which the last request
// is not signed.
func (p *proofs) unsigned(view wire.View, requests int) *wire.Evidence {
	batch := &wire.Batch{Time: 1}
	for i := range requests {
		p.number++
		q := &wire.Request{Client: p.client, Session: 1, Number: p.number, Ops: [][]byte{nil}}
		if i < requests-1 {
			q.Signature = crypto.Signature{1}
		}
		batch.Requests = append(batch.Requests, q)
	}
	said := func(k wire.Kind, m wire.Message) wire.Statement {
		frame := wire.Encode(m)
		return wire.Statement{Kind: k, Body: frame[2 : len(frame)-len(crypto.Signature{})], Signature: crypto.Signature{1}}
	}
	vote := wire.Vote{View: view, Seq: 1, Digest: batch.Digest(), Sender: view.Primary(4)}
	e := &wire.Evidence{
		Proof: wire.EvidenceUnsigned, Culprit: vote.Sender, First: said(wire.KindPrePrepare, &wire.Commit{Vote: vote}),
		Attached: [][]byte{wire.Encode(&wire.BatchBody{Batch: batch})[2:]},
	}
	if view > 0 {
		nv := &wire.NewView{View: view, ViewChanges: []wire.ViewChangeRef{{Sender: 0}}, Sender: vote.Sender}
		e.Second = said(wire.KindNewView, nv)
	}
	return e
}

// prepares is evidence that a backup voted twice.
func (p *proofs) prepares(culprit wire.ReplicaID) *wire.Evidence {
	p.Helper()
	p.number++
	vote := func(what byte) *wire.Prepare {
		d := crypto.Sum([]byte{what, byte(p.number)})
		v := wire.Vote{View: 8, Seq: 1, Digest: d, Sender: culprit, Signature: crypto.Signature{1}}
		return &wire.Prepare{Vote: v}
	}
	e, err := wire.NewEvidence(wire.EvidencePrepares, culprit, vote(1), vote(2))
	if err != nil {
		p.Fatal(err)
	}
	return e
}

// hear has the node verify what peers send, in one batch.
func (p *proofs) hear(from wire.ReplicaID, all ...*wire.Evidence) []core.Event {
	p.Helper()
	for _, e := range all {
		p.n.fromPeer(p.Context(), from, wire.Encode(e))
	}
	return verifyAll(p.n)
}

// step has the core take events, publishes where it stands, and returns what it asks for.
func (p *proofs) step(events ...core.Event) core.Effects {
	var fx core.Effects
	for _, ev := range events {
		p.n.engine.Step(ev, &fx)
	}
	p.n.publish()
	return fx
}

// enter has others ask for a view, which the node then joins.
func (p *proofs) enter(view wire.View) {
	p.Helper()
	for _, id := range []wire.ReplicaID{2, 3} {
		vc := &wire.ViewChange{
			View: view, Stable: p.n.engine.Stable(), Sender: id, Signature: crypto.Signature{1},
		}
		p.step(core.Received{From: id, Message: wire.Reseal(vc)})
	}
	p.stands(view)
}

func (p *proofs) stands(view wire.View) {
	p.Helper()
	if got := p.n.standing.Load().view; got != view {
		p.Fatalf("the replica is in view %d, want %d", got, view)
	}
}

// spread tells whether evidence is sent to everybody.
func spread(fx core.Effects) bool {
	return slices.ContainsFunc(fx.Send, func(s core.Send) bool {
		return s.To == core.Everyone && s.Message != nil && s.Message.Kind() == wire.KindEvidence
	})
}

// TestVotesWaitForFewSignaturesInEvidence has a member send true evidence against itself,
// again and again, with as many signatures as there may be in it, and one peer vote.
func TestVotesWaitForFewSignaturesInEvidence(t *testing.T) {
	const liar, honest, requests, rounds = 1, 2, 512, 40
	for name, c := range map[string]struct {
		requests int
		next     func(p *proofs, round int) wire.View // a new one of this view
		taken    bool
	}{
		"the same":                 {requests, nil, true},
		"ever others of one view":  {requests, func(*proofs, int) wire.View { return liar }, true},
		"of ever other views":      {requests, func(_ *proofs, round int) wire.View { return wire.View(liar + 4*round) }, true}, //nolint:gosec // small
		"with more than a batch":   {10_000, nil, false},
		"of views of some time on": {requests, func(*proofs, int) wire.View { return liar + 400 }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProofs(t)
			e := p.unsigned(liar, c.requests)
			vote := &wire.Commit{Vote: wire.Vote{Seq: 1, Sender: honest, Signature: crypto.Signature{1}}}
			for round := range rounds {
				if c.next != nil {
					e = p.unsigned(c.next(p, round), c.requests)
				}
				for range 4 {
					if p.n.penalties.wait(peerSource(liar)) == 0 {
						p.n.fromPeer(t.Context(), liar, wire.Encode(e))
					}
				}
				p.n.fromPeer(t.Context(), honest, wire.Encode(vote))
				before := p.verifier.checks
				events, waited := p.until(honest)
				if most := 2*requests + 1; waited-before > most {
					t.Errorf("%s: %d signatures were verified before the vote was passed on, want %d at most", name, waited-before, most)
				}
				p.step(events...)
				p.step(verifyAll(p.n)...)
			}
			if most := requests + 2 + 1; p.verifier.checks > most {
				t.Errorf("%s: %d signatures were verified in all, want %d at most: of one frame, and the vote", name, p.verifier.checks, most)
			}
			if lacks := p.n.standing.Load().convictions.Lacks(wire.EvidenceUnsigned, liar, 1); lacks == c.taken {
				t.Errorf("%s: the first proof is lacking: %t", name, lacks)
			}
			if bad := p.n.BadFrames().Peers; bad[honest] > 0 || bad[liar] == 0 {
				t.Errorf("%s: %v bad frames are counted, want some of the liar, and only of it", name, bad)
			}
		})
	}
}

// until verifies batches until one holds a message of a peer, and returns what they held,
// and how many signatures were verified until then.
func (p *proofs) until(from wire.ReplicaID) (events []core.Event, checks int) {
	var batch frames
	for came := false; !came && p.n.lanes.take(&batch); p.n.lanes.release(&batch) {
		for _, ev := range p.n.open(&batch, new(wire.Memory)) {
			r, is := ev.(core.Received)
			came = came || is && r.From == from
			events = append(events, ev)
		}
	}
	return events, p.verifier.checks
}

// TestEvidenceIsLookedAtWhereItIsNews goes through the views: the first proof of each kind
// is kept and spread; later ones are looked at where a view may be left for them, and then
// it is, however many there were before; and once is enough.
func TestEvidenceIsLookedAtWhereItIsNews(t *testing.T) {
	p := newProofs(t)
	hears := func(what string, want int, from wire.ReplicaID, e ...*wire.Evidence) core.Effects {
		t.Helper()
		checks := p.verifier.checks
		events := p.hear(from, e...)
		if len(events) != want {
			t.Errorf("%s: %d proofs were handed to the core, want %d", what, len(events), want)
		}
		if want == 0 && p.verifier.checks > checks {
			t.Errorf("%s: %d signatures were verified, want none", what, p.verifier.checks-checks)
		}
		return p.step(events...)
	}
	if fx := hears("the first of a kind", 1, 2, p.unsigned(1, 9)); !spread(fx) || len(fx.Persist) != 1 {
		t.Errorf("the first proof of a kind is spread: %t, and %d records are kept", spread(fx), len(fx.Persist))
	}
	hears("another of that kind", 0, 3, p.unsigned(1, 9))
	if fx := hears("the first of another kind", 1, 3, p.prepares(1)); !spread(fx) {
		t.Error("the first proof of another kind is not spread")
	}
	hears("a backup's lie of that kind", 0, 3, p.prepares(1))
	if fx := hears("the first against another", 1, 1, p.prepares(2)); !spread(fx) {
		t.Error("the first proof against another one is not spread")
	}

	p.enter(1)
	again := p.hear(3, p.unsigned(1, 9), p.unsigned(1, 9))
	again = append(again, p.hear(2, p.unsigned(1, 9))...)
	if len(again) != 1 {
		t.Errorf("%d proofs against the primary of the view were handed to the core, want one", len(again))
	}
	if fx := p.step(again...); !spread(fx) {
		t.Error("what the view is left for is not spread")
	}
	p.stands(2)
	hears("of the view before", 0, 2, p.unsigned(1, 9))

	hears("of one of the next views", 1, 2, p.unsigned(5, 9))
	hears("of it again", 0, 3, p.unsigned(5, 9))
	hears("of a view that is far off", 0, 3, p.unsigned(9, 9))
	p.stands(2)
	p.enter(5)
	hears("of the view that came", 1, 3, p.unsigned(5, 9))
	p.stands(6)
}

// TestEvidenceComesWithTheViewItIsAbout has the core go on to a view while evidence of a lie in
// it is verified: as where it comes right behind what opens the view.
func TestEvidenceComesWithTheViewItIsAbout(t *testing.T) {
	p := newProofs(t)
	p.step(p.hear(2, p.unsigned(1, 9))...)
	for _, id := range []wire.ReplicaID{2, 3} {
		vc := &wire.ViewChange{View: 4, Stable: p.n.engine.Stable(), Sender: id, Signature: crypto.Signature{1}}
		p.step(core.Received{From: id, Message: wire.Reseal(vc)})
	}
	events := p.hear(2, p.unsigned(5, 9))
	p.enter(5)
	p.step(events...)
	p.stands(6)
}

// TestForgedEvidenceHidesNothing has a liar send evidence that its culprit did not sign, or
// that proves nothing, before another one sends what is true.
func TestForgedEvidenceHidesNothing(t *testing.T) {
	forge := func(e *wire.Evidence) *wire.Evidence {
		forged := *e
		forged.First.Signature = crypto.Signature{}
		return &forged
	}
	p := newProofs(t)
	true1 := p.unsigned(1, 9)
	p.n.fromPeer(t.Context(), 3, wire.Encode(forge(true1)))
	p.n.fromPeer(t.Context(), 2, wire.Encode(true1))
	if got := len(p.step(verifyAll(p.n)...).Persist); got != 1 {
		t.Errorf("%d proofs are kept, want one", got)
	}
	p.enter(1)
	true2 := p.unsigned(1, 9)
	if got := p.hear(3, forge(true2)); len(got) > 0 {
		t.Error("forged evidence was handed to the core")
	}
	p.step(p.hear(2, true2)...)
	p.stands(2)
	if bad := p.n.BadFrames().Peers; bad[3] != 2 || bad[2] > 0 {
		t.Errorf("%v bad frames, want two of replica 3", bad)
	}
}

// TestWhoTellsOfItsOwnLiesWithoutEndIsReadSlowly holds that nobody else is: others may
// have to repeat a proof.
func TestWhoTellsOfItsOwnLiesWithoutEndIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProofs(t)
		e := p.prepares(1)
		p.step(p.hear(2, e)...)
		for range 10 * penaltyBurst {
			p.hear(2, e)
		}
		if bad := p.n.BadFrames().Peers; bad[2] > 0 {
			t.Errorf("%v bad frames, want none of who repeats a proof against another one", bad)
		}
		for range penaltyBurst {
			p.hear(1, e)
		}
		if bad := p.n.BadFrames().Peers; bad[1] > 0 {
			t.Errorf("%v bad frames, want none of who has had to tell of itself a few times", bad)
		}
		for i := 0; p.n.penalties.wait(peerSource(1)) == 0; i++ {
			if i > 2*penaltyBurst {
				t.Fatal("it is read as fast as before")
			}
			p.hear(1, e)
		}
	})
}

// TestLongEvidenceInAJournalIsNotSpread holds that a replica starts that was given a proof
// which is beyond the limits, and does not spread what others would take for rubbish.
func TestLongEvidenceInAJournalIsNotSpread(t *testing.T) {
	p := newProofs(t)
	m := newMembers(t, 4)
	m.configs[0].Limits.BatchRequestsMax = 8
	m.configs[0].Records = []core.Record{
		core.EvidenceRecord{Evidence: p.unsigned(1, 9)},
		core.EvidenceRecord{Evidence: p.unsigned(2, 8)},
		core.EvidenceRecord{Evidence: p.prepares(1)},
	}
	n, err := New(m.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	var fx core.Effects
	n.engine.Step(core.Start{}, &fx)
	var told []wire.EvidenceKind
	for _, s := range fx.Send {
		if e, is := s.Message.(*wire.Evidence); is {
			told = append(told, e.Proof)
		}
	}
	if want := []wire.EvidenceKind{wire.EvidenceUnsigned, wire.EvidencePrepares}; !slices.Equal(told, want) {
		t.Errorf("proofs of %v are spread, want %v", told, want)
	}
	if n.standing.Load().convictions.Lacks(wire.EvidencePrepares, 1, 1) || !n.standing.Load().convictions.Lacks(wire.EvidenceUnsigned, 1, 1) {
		t.Error("the proof that fits is not held, or the other one is")
	}
}
