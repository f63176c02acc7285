package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// candidate is a new view that is not entered yet: it may lack view changes
// that it names.
type candidate struct {
	sealed  *wire.Sealed
	message *wire.NewView
	have    []*heldChange // by sender: those that it names
}

// maybeNewView opens the view as its primary, once it holds at least q valid view
// changes from distinct senders for exactly this view, and the batches that they
// carry over. It is looked at again with every tick, for what lacks may come with a
// commit certificate too, or be settled by a checkpoint.
func (r *Replica) maybeNewView(fx *Effects) {
	c := &r.change
	if !r.opens() {
		return
	}
	held := r.basis()
	if len(held) < r.q.Strong() {
		return
	}
	stable, choices := reproposals(messagesOf(held))
	c.ownNewView = &wire.NewView{
		View: r.view, ViewChanges: refsOf(held),
		Stable: stable.Seq, StableState: stable.State, Choices: choices, Sender: r.id,
	}
	c.named = make([]*heldChange, r.q.Replicas()) // or their senders, who may ask for a later view, take them away
	for _, h := range held {
		c.named[h.message.Sender] = h
	}
	persistNamed(held, fx)
	fx.persist(NewViewRecord{c.ownNewView})
	r.say(c.ownNewView, fx)
}

// onNewView holds a new view until it can be checked and entered.
func (r *Replica) onNewView(sealed *wire.Sealed, nv *wire.NewView, fx *Effects) {
	c := &r.change
	switch {
	case nv.View == r.view && r.active && c.newView != nil && nv.Sender == c.newView.Sender:
		r.compareNewViews(c.newView, nv, fx)
		return
	case nv.View < r.view || nv.View == r.view && r.active:
		return
	case len(nv.ViewChanges) < r.q.Strong():
		fx.observe(Refused{wire.KindNewView, nv.Sender, "it names too few view changes"})
		return
	}
	old := c.candidates[nv.Sender]
	switch {
	case old == nil || old.message.View < nv.View:
		c.candidates[nv.Sender] = &candidate{sealed, nv, make([]*heldChange, r.q.Replicas())}
	case old.message.View == nv.View:
		r.compareNewViews(old.message, nv, fx)
		return
	default:
		return
	}
	for _, h := range slices.Concat(c.votes, c.named) {
		if h != nil {
			r.completeCandidates(h.sealed, h.message)
		}
	}
	// Later views of one sender take the place of earlier ones, so it could have everybody
	// asked without end. What is not asked for now is asked for with what still lacks.
	if r.mayAnswer(nv.Sender, func(a *answered) *int { return &a.opened }) {
		r.askViewChanges(fx)
	}
	r.maybeEnter(fx)
}

// compareNewViews keeps the proof of two new views for one view.
func (r *Replica) compareNewViews(first, second *wire.NewView, fx *Effects) {
	if isZero(first.Signature) || first.Signature == second.Signature {
		return
	}
	r.convict(wire.EvidenceNewViews, first, second, fx)
}

// completeCandidates gives a view change to the new views that name it.
func (r *Replica) completeCandidates(sealed *wire.Sealed, vc *wire.ViewChange) {
	for _, c := range r.change.candidates {
		if c == nil || c.message.View != vc.View {
			continue
		}
		for _, ref := range c.message.ViewChanges {
			if ref.Sender == vc.Sender && ref.Digest == sealed.Digest() {
				c.have[vc.Sender] = &heldChange{sealed: sealed, message: vc}
			}
		}
	}
}

// changes returns the view changes that c names, or false while one lacks.
func (c *candidate) changes() ([]*wire.ViewChange, bool) {
	out := make([]*wire.ViewChange, 0, len(c.message.ViewChanges))
	for _, ref := range c.message.ViewChanges {
		h := c.have[ref.Sender]
		if h == nil {
			return nil, false
		}
		out = append(out, h.message)
	}
	return out, true
}

// askViewChanges asks everyone for the view changes that candidates lack, of the lowest view
// first: others answer so many questions, and liars open views far ahead at no cost.
func (r *Replica) askViewChanges(fx *Effects) {
	var open []*candidate
	for _, c := range r.change.candidates {
		if c != nil && (c.message.View > r.view || c.message.View == r.view && !r.active) {
			open = append(open, c)
		}
	}
	slices.SortStableFunc(open, func(a, b *candidate) int { return cmp.Compare(a.message.View, b.message.View) })
	for _, c := range open {
		var refs []wire.ViewChangeRef
		for _, ref := range c.message.ViewChanges {
			if c.have[ref.Sender] == nil {
				refs = append(refs, ref)
			}
		}
		if len(refs) > 0 {
			fx.Send = append(fx.Send, Send{To: Everyone, Message: &wire.FetchViewChange{
				View: c.message.View, Refs: refs, Sender: r.id,
			}})
		}
	}
}

// maybeEnter enters the lowest new view that is complete and right. It is a
// predicate, evaluated again whenever something that it depends on changes. A
// new view that does not follow from its view changes is refused by all alike,
// and its view left at once.
func (r *Replica) maybeEnter(fx *Effects) {
	for {
		c := r.nextCandidate()
		if c == nil {
			return
		}
		r.change.candidates[c.message.Sender] = nil
		changes, _ := c.changes()
		if c.message.Follows(changes) {
			stable, _ := reproposals(changes)
			r.enter(c, &stable, fx)
			return
		}
		fx.observe(Refused{wire.KindNewView, c.message.Sender, "its choice does not follow from its view changes"})
		r.convictNewView(c.message, changes, fx)
		r.leave(c.message.View+1, "its new view is wrong", fx)
	}
}

// nextCandidate returns the complete candidate with the lowest view that could
// be entered, or nil.
func (r *Replica) nextCandidate() *candidate {
	var best *candidate
	for _, c := range r.change.candidates {
		if c == nil || c.message.View < r.view || c.message.View == r.view && r.active {
			continue
		}
		if _, whole := c.changes(); whole && (best == nil || c.message.View < best.message.View) {
			best = c
		}
	}
	return best
}

// enter makes the new view the current one, durably, and votes for what it
// carries over.
func (r *Replica) enter(c *candidate, stable *wire.CheckpointCert, fx *Effects) {
	nv := c.message
	if nv.View > r.view {
		r.goTo(nv.View, false)
	}
	r.goTo(nv.View, true)
	r.change.entered, r.change.newView, r.change.chosen = c.sealed, nv, nv.Stable
	r.change.named = c.have
	persistNamed(c.have, fx)
	fx.persist(NewViewRecord{nv})
	fx.persist(ViewRecord{View: nv.View, Active: true})
	fx.observe(EnteredView{nv.View, nv.Sender, nv.Stable, len(nv.Choices)})
	r.next = max(r.low, r.carried()) + 1
	r.reserve(r.next-1, fx)
	if stable.Seq > r.low {
		r.learn(stable, fx)
	}
	r.adopt(fx)
	r.askBodies(fx)
	r.maybeRejoined(fx)
	r.reoffer(fx)
	r.announceLoss(fx)
	r.replayEarly(fx)
}

// persistNamed keeps the view changes that a new view names with it: whoever is
// behind needs them all, and their senders may have moved on.
func persistNamed(held []*heldChange, fx *Effects) {
	for _, h := range held {
		if h != nil {
			fx.persist(ViewChangeRecord{h.message})
		}
	}
}

// adopt takes the new view's choices inside the own window as pre-prepares, and
// votes for those whose batch is here, also for what is executed already, for
// others may need it.
func (r *Replica) adopt(fx *Effects) {
	r.adoptChoices()
	if nv := r.change.newView; r.active && nv != nil {
		for _, choice := range nv.Choices {
			if s := r.slots.at(choice.Seq); s != nil && s.proposal != nil {
				r.accept(s, fx)
			}
		}
	}
}

// adoptChoices is adopt without votes.
func (r *Replica) adoptChoices() {
	nv := r.change.newView
	if !r.active || nv == nil {
		return
	}
	for _, choice := range nv.Choices {
		if choice.Seq <= r.low || choice.Seq > r.high() {
			continue
		}
		s := r.slot(choice.Seq)
		if s.proposal != nil {
			continue
		}
		s.since = r.tick
		s.proposal = &wire.PrePrepare{
			Vote: wire.Vote{
				View: nv.View, Seq: choice.Seq, Digest: choice.Digest,
				Sender: nv.Sender, Signature: choice.Signature,
			},
			Batch: s.body(choice.Digest),
		}
	}
	r.countMissing()
}

// countMissing counts the carried-over numbers whose batch is not here.
func (r *Replica) countMissing() {
	r.change.bodiesMissing = 0
	for _, s := range r.slots {
		if s.proposal != nil && s.proposal.Batch == nil {
			r.change.bodiesMissing++
		}
	}
}

// reoffer passes what waits on to the new primary.
func (r *Replica) reoffer(fx *Effects) {
	const most = 256
	if r.primary() == r.id {
		return
	}
	sent := 0
	for _, one := range r.pool.arrivals {
		if !one.gone && !one.proposed && one.sealed != nil && sent < most && !r.clients.spent(one.req) {
			fx.Send = append(fx.Send, Send{To: r.primary(), Sealed: one.sealed})
			sent++
		}
	}
}
