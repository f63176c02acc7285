package core

import (
	"github.com/quorate/quorate/pbft/wire"
)

// What a replica signs it must not contradict after a crash. For a pre-prepare or a
// prepare there are two ways: its record is durable before it leaves, or a
// reservation is, made ahead: "in this view I may have voted up to this number".
// A replica that restarts in a view for which it finds a reservation abstains in it
// up to that number wherever its records do not say how it voted: it signs no
// pre-prepare, prepare or commit there. So votes for reserved numbers wait for no
// flush, and only the one before the commit is on the way of an operation.
//
// What a new view carried over is no exception, and needs none: the new view, which
// is durable before any vote in it, says what a correct replica votes for there.
//
// A primary cannot propose around what it may have proposed, so one that restarts
// leaves its view. A backup stays, and holds and executes what the others agree on;
// above the reservation it votes again. Where so many abstain that no quorum is left,
// they say so in their Status, and leave the view without waiting for a timeout.
// Only abstaining replicas count the abstaining, so who lies about it costs the
// cluster no more than one view for each honest restart.

// reserveBatches is how far ahead a reservation reaches, in multiples of the batches
// that are open at once: far enough that it is seldom due, and near enough that a
// backup that restarts soon votes again.
const reserveBatches = 8

// reserve makes sure, durably, that the votes of this view soon after seq are
// reserved. It is called where a flush is due anyway.
func (r *Replica) reserve(seq wire.Seq, fx *Effects) {
	ahead := min(wire.Seq(reserveBatches*r.cfg.InFlight), r.cfg.Window) //nolint:gosec // Validate: positive
	if r.rejoin != nil || r.reserved >= seq+ahead/2 {
		return
	}
	r.reserved = seq + ahead
	fx.persist(ReservationRecord{View: r.view, Seq: r.reserved})
}

// vote says a pre-prepare or prepare of seq, early if seq is reserved.
func (r *Replica) vote(seq wire.Seq, m wire.Message, fx *Effects) {
	if r.rejoin == nil {
		fx.Send = append(fx.Send, Send{To: Everyone, Message: m, Early: seq <= r.reserved})
	}
}

// abstains tells whether the replica may have voted for seq in this view, in an
// earlier life, and not know it. Who asks knows that it has no record of a vote.
func (r *Replica) abstains(seq wire.Seq) bool { return seq <= r.unsure && seq > r.carried() }

// carried returns the last number of which the new view of this view says what is
// there.
func (r *Replica) carried() wire.Seq {
	nv := r.change.newView
	if nv == nil {
		return 0
	}
	return nv.Stable + wire.Seq(len(nv.Choices))
}

// abstain holds the proposal of s, whose batch may yet commit by the votes of
// others.
func (r *Replica) abstain(s *slot, fx *Effects) {
	pp := s.proposal
	if s.body(pp.Digest) == nil {
		s.keep(pp.Digest, pp.Batch)
		fx.persist(BatchRecord{pp.Seq, pp.Batch})
	}
	r.place(pp)
	fx.observe(Abstained{pp.View, pp.Seq})
	if !r.told {
		r.told = true
		r.sendStatus(Everyone, fx)
	}
	r.progress(s, fx)
}

// abstaining tells whether the replica has the proposal of s and does not vote.
func (r *Replica) abstaining(s *slot) bool {
	return s != nil && s.proposal != nil && s.proposal.Batch != nil && !s.voted && r.abstains(s.seq)
}

// deserted tells whether the next number waits for votes that nobody will cast:
// this replica and so many others abstain there, or have left the view, that no quorum
// is left.
func (r *Replica) deserted() bool {
	next := r.executed + 1
	if !r.abstaining(r.slots.at(next)) || r.known() > r.executed {
		return false
	}
	willing := r.q.Replicas() - 1
	for i := range r.peers {
		p := &r.peers[i]
		left := p.view > r.view                                                            // perhaps for the same reason: it votes here no more
		if wire.ReplicaID(i) != r.id && (left || p.view == r.view && p.abstains == next) { //nolint:gosec // i < n
			willing--
		}
	}
	return willing < r.q.Strong()
}

// hearAbstaining notes which is the first number at which a peer abstains.
func (p *peer) hearAbstaining(st *wire.Status) {
	p.view, p.abstains = st.View, 0
	for _, s := range st.Slots {
		if s.Abstains {
			p.abstains = s.Seq
			return
		}
	}
}

// abdicate leaves a view that this replica leads, at a start, if it may have
// proposed what it does not know.
func (r *Replica) abdicate(fx *Effects) bool {
	if !r.active || r.primary() != r.id || r.rejoin != nil || !r.abstains(r.next) {
		return false
	}
	r.leave(r.view+1, "it leads it, and may have proposed what it has forgotten", fx)
	return true
}

// follow leaves a view whose primary asks for a later one: nobody leads it any more.
func (r *Replica) follow(fx *Effects) {
	h := r.change.votes[r.primary()]
	if r.active && r.primary() != r.id && h != nil && h.message.View > r.view {
		r.leave(r.view+1, "its primary has left it", fx)
	}
}
