package core

import "github.com/quorate/quorate/pbft/wire"

// A process that ends closes its connections, and whoever had one to it learns of that
// within milliseconds, long before any timeout. So a replica that has lost its connection
// to the primary of its view says so in its Status, at once, and takes it back as soon as
// the connection is up again. It leaves the view without waiting when so many say so
// that no quorum has the primary in it, even if f of them lie.
//
//   - What others say moves nobody whose own connection is up: it is kept, of each
//     sender its last word, for the view that this word names.
//   - What f say is not enough beside a few who lost a connection for a moment: it takes
//     so many that, without f of them, those who may reach the primary are no quorum.
//   - A connection that was never up is not lost.
//   - The same holds between views, for a primary that is to open its view: where several
//     are down together, those after the first need no timeout either. But no more than f
//     views are left so in the time of one request timeout: a network whose connections
//     come and go, or somebody who makes them do so, sets no faster pace than that.
//
// All this is about when a replica asks for the next view. Safety does not depend on it,
// and nothing of it is kept.

// hurry bounds how many views are left for lost connections, and how often they are told
// of.
type hurry struct {
	since uint64 // the tick at which counting began
	left  int    // views left since
	told  uint64 // one more than the tick in which a loss was last told of out of turn
	due   bool   // there was another one in that tick
	said  bool   // the last Status to everyone tells of a loss
}

// onLinked tells a peer whose connection came up where this replica stands; and everyone,
// if they were told that it is lost.
func (r *Replica) onLinked(peer wire.ReplicaID, fx *Effects) {
	p := &r.peers[peer]
	if r.cutOff() {
		r.catchUp.question.vain = r.catchUp.question.usual
	}
	p.lost, p.linked = false, r.tick+1
	p.offered.enter()
	p.mayHave()
	if peer == r.primary() && r.change.hurry.said {
		peer = Everyone
	}
	r.sendStatus(peer, fx)
}

// onUnlinked notes that the connection to a peer went down.
func (r *Replica) onUnlinked(peer wire.ReplicaID, fx *Effects) {
	if peer == r.id || r.peers[peer].lost {
		return
	}
	r.peers[peer].lost = true
	if q := &r.catchUp.question; q.open && q.asked == peer {
		q.open = false
		r.mute(peer, muteTimes)
	}
	r.announceLoss(fx)
	r.maybeAbandon(fx)
}

// cutOff tells whether so many connections are lost that one to a correct replica is among
// them: what was in vain until then may have been so for that reason.
func (r *Replica) cutOff() bool {
	return r.peersWho(func(p *peer) bool { return p.lost }) > r.q.Faults()
}

// lostPrimary tells whether the connection to the primary was up and is down.
func (r *Replica) lostPrimary() bool { return r.peers[r.primary()].lost }

// announceLoss tells everyone at once that the primary is lost, if it is; but no more than
// once in a tick of one view, so that a connection that comes and goes makes no flood.
func (r *Replica) announceLoss(fx *Effects) {
	h := &r.change.hurry
	h.due = r.lostPrimary() && h.told == r.tick+1
	if r.lostPrimary() && !h.due {
		h.told = r.tick + 1
		r.sendStatus(Everyone, fx)
	}
}

// maybeAbandon leaves a view whose primary no quorum reaches.
func (r *Replica) maybeAbandon(fx *Effects) {
	if r.rejoin != nil || !r.lostPrimary() || r.losses() < r.q.Cut() || !r.inCompany() || !r.mayHurry() {
		return
	}
	r.leave(r.view+1, "no quorum reaches its primary", fx)
}

// losses counts the replicas that say that they lost the primary of this view, or have left
// the view, perhaps for that reason, and this one.
func (r *Replica) losses() int {
	n := 1
	for i := range r.peers {
		p, id := &r.peers[i], wire.ReplicaID(i) //nolint:gosec // i < n
		if id != r.id && id != r.primary() && (p.view > r.view || p.view == r.view && p.lostPrimary) {
			n++
		}
	}
	return n
}

// mayHurry counts a view that is left for a lost connection, and tells whether there were
// not too many.
func (r *Replica) mayHurry() bool {
	h := &r.change.hurry
	if r.tick-h.since >= r.patience(r.cfg.RequestTicks) {
		h.since, h.left = r.tick, 0
	}
	if h.left >= max(1, r.q.Faults()) {
		return false
	}
	h.left++
	return true
}
