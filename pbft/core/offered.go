package core

import "github.com/quorate/quorate/pbft/wire"

// A batch may be long, and the line to a peer slow, or the peer itself: then what it does
// not show yet is most likely under way, and what is sent again keeps back what comes
// behind it, until all is late. So of long batches a primary judges by what the peer
// shows:
//
//   - Proposals keep their order on the way. What is missing before one that the peer has
//     is lost. What is missing behind all that it has is so only when nothing new has come
//     for longer than long batches take to that peer.
//   - What was sent again is not sent once more, nor what comes behind it, before it is
//     there or has had that time as well; which doubles whenever that was in vain.
//   - What left before the connection came up is lost, whatever there was before.
//
// What is short goes again with every answer, as long as that is little: see repeating.
//
// A peer that lies about what it has gets less, or more within the bounds of an answer.
// Nothing of this is kept.

// offered is what a primary knows of how its proposals come to a peer.
type offered struct {
	took   int      // from a long batch to the peer's vote for it, on average, in fractions of a tick
	varies int      // how far that is from the average, on average
	shown  wire.Seq // the highest that the peer has shown, in this view and on this connection
	since  uint64   // the tick in which it did

	again  wire.Seq // the highest of the long ones that were sent again last
	at     uint64   // the tick in which they were
	vainly int      // how often in a row that was in vain
}

// vainlyMax bounds the doublings of the time between repetitions: what is lost again and
// again is never given up.
const vainlyMax = 4

// longFraction tells what is long: so large a part of what a batch may hold.
const longFraction = 16

// enter forgets what was of another view, or another connection.
func (o *offered) enter() { *o = offered{took: o.took, varies: o.varies} }

// show notes that a peer has the proposal of seq.
func (r *Replica) show(p *peer, seq wire.Seq) {
	if seq <= p.offered.shown {
		return
	}
	from, _ := r.slots.find(p.offered.shown + 1)
	for _, s := range r.slots[from:] {
		if s.seq > seq {
			break
		}
		if s.proposal != nil && s.proposal.Batch != nil {
			p.shorts.shown += s.proposal.Batch.Size()
		}
	}
	p.offered.shown, p.offered.since = seq, r.tick
}

// hearPrepare notes what a prepare shows of its sender where it is for this primary's own
// proposal: that this has come, and how long that took.
func (r *Replica) hearPrepare(s *slot, m *wire.Prepare) {
	p := &r.peers[m.Sender]
	o := &p.offered
	if r.primary() != r.id || !s.voted || s.proposal.Digest != m.Digest || m.Seq <= o.shown {
		return
	}
	r.show(p, m.Seq)
	took := fraction * int(r.tick-s.since) //nolint:gosec // a short time
	if o.took == 0 {
		o.took, o.varies = took, took/2
		return
	}
	o.varies += (max(took-o.took, o.took-took) - o.varies) / 4
	o.took += (took - o.took) / 8
}

// long tells whether it costs something to send a peer the batch of s again: whether it is
// large, or whatever comes to that peer takes long.
func (r *Replica) long(p *peer, s *slot) bool {
	return s.proposal.Batch.Size() > r.cfg.BatchBytesMax/longFraction || p.offered.took > fraction*r.cfg.RequestTicks/4
}

// hearOffered notes which of this primary's proposals a Status shows.
func (r *Replica) hearOffered(st *wire.Status) {
	for i := range st.Slots {
		if st.Slots[i].HavePrePrepare {
			r.show(&r.peers[st.Sender], st.Slots[i].Seq)
		}
	}
}

// mayRepropose tells whether the time has come to send a peer long batches again: those
// that were last are there, as st shows, or have had their time.
func (r *Replica) mayRepropose(st *wire.Status) bool {
	p := &r.peers[st.Sender]
	for _, s := range r.slots {
		if s.seq > st.Executed && s.proposal != nil && s.voted && r.long(p, s) && !slotStatus(st, s.seq).HavePrePrepare {
			return s.seq > p.offered.again || r.tick-p.offered.at >= r.stillAfter(p)<<p.offered.vainly
		}
	}
	return false
}

// reproposes tells whether a peer is sent the batch of s again, which is overdue there, and
// notes it. again says that the time for long ones has come.
func (r *Replica) reproposes(p *peer, s *slot, again bool) bool {
	switch {
	case p.answered.proposed >= answerBytesMax:
		return false
	case r.long(p, s) && (!again || !r.missed(p, s)):
		return false
	case !r.long(p, s) && p.shorts.spent():
		return false
	case r.long(p, s):
		p.offered.repeat(s.seq, r.tick)
	default:
		p.shorts.used += s.proposal.Batch.Size()
	}
	p.answered.proposed += s.proposal.Batch.Size()
	return true
}

// missed tells whether a peer that does not show the proposal of s has lost it.
func (r *Replica) missed(p *peer, s *slot) bool {
	switch {
	case s.since < p.linked:
		return true
	case s.seq < p.offered.shown:
		return r.tick-s.since >= r.lostAfter()
	default:
		return r.tick-max(s.since, p.offered.since) >= r.stillAfter(p)
	}
}

// stillAfter returns for how many ticks nothing new comes to a peer when all that is
// under way to it is lost: as long as a long batch takes to it, and four times as much as
// that varies (RFC 6298); no less than a quarter of the request timeout, and no more than
// all of it.
func (r *Replica) stillAfter(p *peer) uint64 {
	took := (p.offered.took + 4*p.offered.varies) / fraction
	return uint64(min(max(1, r.cfg.RequestTicks/4, took), r.cfg.RequestTicks)) //nolint:gosec // Validate: positive
}

// repeat notes that the long batch of seq is sent again.
func (o *offered) repeat(seq wire.Seq, tick uint64) {
	switch {
	case seq > o.again && tick == o.at: // one more with the same answer
	case seq > o.again:
		o.vainly = 0
	default:
		o.vainly = min(o.vainly+1, vainlyMax)
	}
	o.again, o.at = seq, tick
}
