package core

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// changing is what a replica knows of changing views.
type changing struct {
	votes      []*heldChange // by sender: the view change of its highest view
	own        *wire.ViewChange
	ownNewView *wire.NewView // the last that this replica sent
	candidates []*candidate  // by sender: a new view that is not entered yet

	entered       *wire.Sealed  // the new view that opened the current view
	newView       *wire.NewView // the same; nil in view 0
	named         []*heldChange // the view changes that it names, by sender
	chosen        wire.Seq      // its checkpoint
	bodiesMissing int           // batches of its choices that are not here

	since   uint64 // the tick at which the view was entered or left
	alone   uint64 // the last tick in which no quorum was within hearing
	heard   uint64 // the tick of the primary's last sign of life
	quorum  uint64 // the tick since which q replicas ask for the view; 0 before
	patient uint64 // the tick of the last change of backoff
	backoff int    // doublings of the timeouts
	worked  bool   // something executed since the view was entered
	jitter  uint64
	hurry   hurry
	// suspects is why this replica suspects the primary of the view that it is in, if it does.
	suspects string
	pauses   []pause // when the window was full: all of it executed, and nothing to order
}

// heldChange is a view change that the replica holds.
type heldChange struct {
	sealed  *wire.Sealed
	message *wire.ViewChange
	blamed  uint64 // ticks for which the primary of its view awaited a batch of it
}

// holders returns whose view changes for view are held, ascending.
func (c *changing) holders(view wire.View) []wire.ReplicaID {
	var out []wire.ReplicaID
	for _, h := range c.votes {
		if h != nil && h.message.View == view {
			out = append(out, h.message.Sender)
		}
	}
	return out
}

// asking returns how many replicas ask for view or a later one.
func (c *changing) asking(view wire.View) int {
	n := 0
	for _, h := range c.votes {
		if h != nil && h.message.View >= view {
			n++
		}
	}
	return n
}

// executed notes progress.
func (c *changing) executed() { c.worked = true }

// progressed shortens the timeouts again: a view that makes checkpoints works.
func (c *changing) progressed() { c.backoff = max(0, c.backoff-1) }

// leave moves the replica to view, which it asks for: it takes no more
// pre-prepares, prepares or commits of its own (I1), and hands over what it has
// prepared (PBFT §4.4). After a view that worked the timeouts are doubled once, if
// they were not. They double again only if the old view did not work although it had
// about as long as they are: one that was left at once, for a lie or a slow primary,
// says nothing about them. Who rejoins stays until it may enter another view: it cannot say
// that it left this one, and whoever had it leave alone would keep it silent.
func (r *Replica) leave(view wire.View, why string, fx *Effects) {
	if view <= r.view || r.active && r.rejoin != nil {
		return
	}
	c := &r.change
	switch {
	case c.worked:
		c.backoff = max(c.backoff, min(1, r.cfg.BackoffMax))
	case 2*(r.tick-c.since) >= r.patience(r.cfg.RequestTicks):
		c.backoff = min(c.backoff+1, r.cfg.BackoffMax)
	}
	r.noteSlow()
	r.goTo(view, false)
	c.own = &wire.ViewChange{View: view, Stable: r.stable, Prepared: r.preparedAbove(), Sender: r.id}
	fx.persist(ViewRecord{View: view})
	fx.persist(ViewChangeRecord{c.own})
	fx.observe(LeftView{view, why, r.executed, r.known()})
	r.say(c.own, fx)
	r.announceLoss(fx)
	r.countAsking()
	r.replayEarly(fx)
	r.maybeNewView(fx)
	r.maybeEnter(fx)
}

// goTo forgets what was of the old view only.
func (r *Replica) goTo(view wire.View, active bool) {
	assert(view > r.view || view == r.view && active && !r.active, "(I1) from view %d to %d", r.view, view)
	r.view, r.active = view, active
	c := &r.change
	c.own, c.entered, c.newView, c.named = nil, nil, nil, nil
	c.bodiesMissing, c.chosen = 0, 0
	c.since, c.heard, c.patient = r.tick, r.tick, r.tick
	c.quorum, c.worked = 0, false
	c.hurry.told, c.hurry.due, c.suspects = 0, false, ""
	r.reserved, r.unsure = 0, 0
	c.jitter = r.rng.below(uint64(max(1, r.cfg.RequestTicks/8))) //nolint:gosec // Validate: positive
	for _, s := range r.slots {
		s.forgetView()
	}
	clear(r.placed)
	r.pool.unpropose()
	for i := range r.peers {
		r.peers[i].offered.enter()
	}
	r.pace.enter()
}

// onViewChange holds the view change of each sender's highest view, so that a
// sender costs constant memory; joins the views that f+1 replicas are at or
// beyond; and opens the view as its primary.
func (r *Replica) onViewChange(sealed *wire.Sealed, vc *wire.ViewChange, fx *Effects) {
	if why := r.refuseViewChange(vc); why != "" {
		fx.observe(Refused{wire.KindViewChange, vc.Sender, why})
		return
	}
	r.searchChange(vc, fx)
	r.searchProposals(vc, fx)
	r.completeCandidates(sealed, vc)
	if r.rejoin != nil && vc.Sender == r.id {
		r.rejoin.hearView(vc.View, fx)
	}
	held := r.change.votes[vc.Sender]
	news := held == nil || held.message.View < vc.View
	switch {
	case news:
		r.change.votes[vc.Sender] = &heldChange{sealed: sealed, message: vc}
	case held.message.View == vc.View && held.sealed.Digest() != sealed.Digest():
		r.convict(wire.EvidenceViewChanges, held.message, vc, fx)
	}
	r.compareStable(vc.Sender, &vc.Stable, fx)
	if vc.Stable.Seq > r.low {
		r.learn(&vc.Stable, fx)
	}
	r.countAsking()
	r.join(fx)
	r.follow(fx)
	r.maybeDistrust(fx)
	r.maybeNewView(fx)
	r.maybeEnter(fx)
	if news && vc.View == r.view && !r.active { // anybody can repeat old ones without end
		r.askBodies(fx)
	}
}

// refuseViewChange says why a view change is dropped whole, before anything is
// chosen from it. Its signatures and order were checked before, whatever this
// replica's own height (docs/PROTOCOL.md step 7.2).
func (r *Replica) refuseViewChange(vc *wire.ViewChange) string {
	if !r.provenBy(&vc.Stable) {
		return "its checkpoint is not proven"
	}
	for i := range vc.Prepared {
		cert := &vc.Prepared[i]
		switch {
		case len(cert.Prepares) < r.q.Strong()-1:
			return "a prepared certificate has too few prepares"
		case cert.View >= vc.View:
			return "a prepared certificate is of a later view"
		case cert.Seq <= vc.Stable.Seq || cert.Seq > vc.Stable.Seq+r.cfg.Window:
			return "a prepared certificate is outside the window"
		}
	}
	return ""
}

// countAsking starts the timer of the new view once q replicas ask for it
// (TOCS §4.5: a replica that waits alone does not run through the views).
func (r *Replica) countAsking() {
	c := &r.change
	if !r.active && c.quorum == 0 && c.asking(r.view) >= r.q.Strong() {
		c.quorum = max(r.tick, 1)
	}
}

// join follows f+1 replicas that ask for higher views, to the highest view that
// f+1 of them are at or beyond: one of them is correct.
func (r *Replica) join(fx *Effects) {
	var views []wire.View
	for _, h := range r.change.votes {
		if h != nil && h.message.View > r.view {
			views = append(views, h.message.View)
		}
	}
	if len(views) < r.q.Weak() {
		return
	}
	slices.Sort(views)
	r.leave(views[len(views)-r.q.Weak()], "f+1 replicas ask for it", fx)
}

// onFetchViewChange answers with the view changes that a new view names. Questions about the
// own view, which has one new view, are counted by themselves: who asks has new views of liars,
// too, for views far ahead, and asks about each of them as often.
func (r *Replica) onFetchViewChange(m *wire.FetchViewChange, fx *Effects) {
	which := func(a *answered) *int { return &a.changes }
	if m.View == r.view {
		which = func(a *answered) *int { return &a.opening }
	}
	if m.Sender == r.id || !r.mayAnswer(m.Sender, which) {
		return
	}
	for _, ref := range m.Refs {
		if sealed := r.findViewChange(m.View, ref); sealed != nil {
			fx.Send = append(fx.Send, Send{To: m.Sender, Sealed: sealed})
		}
	}
}

func (r *Replica) findViewChange(view wire.View, ref wire.ViewChangeRef) *wire.Sealed {
	if int(ref.Sender) >= len(r.change.votes) {
		return nil
	}
	if h := r.change.votes[ref.Sender]; h != nil && h.sealed.Digest() == ref.Digest {
		return h.sealed
	}
	if r.view == view && r.change.named != nil {
		if h := r.change.named[ref.Sender]; h != nil && h.sealed.Digest() == ref.Digest {
			return h.sealed
		}
	}
	for _, c := range r.change.candidates {
		if c == nil || c.message.View != view {
			continue
		}
		if h := c.have[ref.Sender]; h != nil && h.sealed.Digest() == ref.Digest {
			return h.sealed
		}
	}
	return nil
}
