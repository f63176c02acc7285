package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of what is sent to a peer again: votes in one answer; votes of all replicas together in
// an interval in which it showed nothing new; bytes of proposals then, for one goes at least; and
// both once the connection is up.
const (
	answerVotesMax   = 32
	repeatedVotesMin = 24
	repeatedVotes    = answersPerStatus * answerVotesMax
	repeatedBytesMin = 1
	repeatedBytes    = 128 << 10
)

// answerVotes sends this replica's own votes that a peer in the same view
// lacks.
func (r *Replica) answerVotes(st *wire.Status, fx *Effects) {
	again, sent := false, 0
	if r.primary() == r.id {
		r.hearOffered(st)
		again = r.mayRepropose(st)
	}
	p := &r.peers[st.Sender]
	for _, s := range r.slots {
		if s.seq <= st.Executed || r.beyond(st, s.seq) || sent >= answerVotesMax || p.votes.spent() {
			continue
		}
		n := r.answerSlot(st, s, again, fx)
		sent, p.votes.used = sent+n, p.votes.used+n
	}
}

// beyond tells whether st has no room for what its sender has of seq, or its sender has none
// for seq: that is above its window, and may be kept there for later.
func (r *Replica) beyond(st *wire.Status, seq wire.Seq) bool {
	return seq > st.Stable+r.cfg.Window || len(st.Slots) == statusSlotsMax && seq > st.Slots[statusSlotsMax-1].Seq
}

// repeating bounds how much of one thing is sent to a peer again in a status interval. What it
// does not show yet may be under way, on a line that is slow: then what is sent again holds up
// all that comes behind it. So a peer gets no more than twice what it has shown to have got in
// the last interval, or half as much as it might have had then, and what is least.
type repeating struct{ budget, used, shown int }

// mayHave lets a peer be sent again what left before its connection came up.
func (p *peer) mayHave() { p.votes.budget, p.shorts.budget = repeatedVotes, repeatedBytes }

// fewVotes returns the share of repeatedVotesMin that this replica has, but a number's votes.
func (r *Replica) fewVotes() int { return max(2, repeatedVotesMin/r.others()) }

func (g *repeating) spent() bool { return g.used >= g.budget }

// renew begins an interval.
func (g *repeating) renew(least, most int) {
	*g = repeating{budget: min(max(2*g.shown, g.budget/2, least), most)}
}

// proved is when a peer was sent the proof of a stable checkpoint, which is long, of which one,
// what it said then was its own one, and how often since.
type proved struct {
	seq    wire.Seq
	stable wire.Seq
	at     uint64 // one more than the tick, or 0
	times  int
}

// proves tells whether a peer that is behind this replica's stable checkpoint is sent its proof,
// and notes it: at once where it has another one of its own now, or another connection, or this
// replica one that is a window further; and then after one status interval, two, and four, up to
// sixteen.
func (r *Replica) proves(st *wire.Status) bool {
	p := &r.peers[st.Sender]
	switch last := &p.proved; {
	case last.at == 0, last.stable != st.Stable, last.at <= p.linked, r.low >= last.seq+r.cfg.Window:
		*last = proved{stable: st.Stable}
	case r.tick+1-last.at < uint64(r.cfg.StatusTicks)<<min(last.times-1, vainlyMax): //nolint:gosec // Validate: positive
		return false
	}
	p.proved.seq, p.proved.at, p.proved.times = r.low, r.tick+1, p.proved.times+1
	return true
}

// slotStatus returns what st says of seq, of which it may say nothing. Its slots
// are ascending.
func slotStatus(st *wire.Status, seq wire.Seq) wire.SlotStatus {
	i, found := slices.BinarySearchFunc(st.Slots, seq, func(s wire.SlotStatus, seq wire.Seq) int {
		return cmp.Compare(s.Seq, seq)
	})
	if !found {
		return wire.SlotStatus{}
	}
	return st.Slots[i]
}

// answerSlot sends a peer the votes of s that it lacks, but not those that are simply
// under way to it, nor to be signed a second time. again says that long batches may go.
func (r *Replica) answerSlot(st *wire.Status, s *slot, again bool, fx *Effects) int {
	to, has := st.Sender, slotStatus(st, s.seq)
	if s.proposal == nil || !s.voted || !r.overdue(to, s) {
		return 0
	}
	v := wire.Vote{View: r.view, Seq: s.seq, Digest: s.proposal.Digest, Sender: r.id}
	sent := 0
	if r.primary() == r.id && !has.HavePrePrepare && r.reproposes(&r.peers[to], s, again) {
		v.Signature = s.proposal.Signature
		r.repeat(to, v.Signature, &wire.PrePrepare{Vote: v, Batch: s.proposal.Batch}, fx)
		sent++
	}
	if r.primary() != r.id && !has.HavePrepared {
		v.Signature = s.prepares.signature(r.id, v.Digest)
		r.repeat(to, v.Signature, &wire.Prepare{Vote: v}, fx)
		sent++
	}
	if s.promised && !has.HaveCommitted {
		v.Signature = s.commits.signature(r.id, v.Digest)
		r.repeat(to, v.Signature, &wire.Commit{Vote: v}, fx)
		sent++
	}
	return sent
}

// overdue tells whether a peer that shows nothing of a vote of s has lost it: batches
// take some time, and in a large or busy cluster the Status of every peer speaks of
// some that are under way. Lost is, too, what left before the connection came up.
func (r *Replica) overdue(to wire.ReplicaID, s *slot) bool {
	return s.since < r.peers[to].linked || r.tick-s.since >= r.lostAfter()
}

// lostAfter returns how many ticks old a number is whose votes a peer should have:
// twice what a batch takes here, at least a status interval, but no more than a quarter
// of the request timeout: so what was lost comes again before anybody is suspected,
// however long batches take, or are made to take, and however seldom a Status comes.
func (r *Replica) lostAfter() uint64 {
	took := 2 * r.pace.agreement / fraction
	return uint64(max(1, min(max(r.cfg.StatusTicks, took), r.cfg.RequestTicks/4))) //nolint:gosec // at least 1
}

// repeat sends one replica an own message that was sent before: with the signature
// with which it came back, or, if it did not yet, to be signed again.
func (r *Replica) repeat(to wire.ReplicaID, signature crypto.Signature, m wire.Message, fx *Effects) {
	if isZero(signature) {
		r.tell(to, m, fx)
		return
	}
	r.relay(to, wire.Reseal(m), fx)
}

// repeatViewChange sends one replica the own view change again.
func (r *Replica) repeatViewChange(to wire.ReplicaID, fx *Effects) {
	own := r.change.own
	if h := r.change.votes[r.id]; h != nil && h.message.View == own.View && h.sealed.Digest() == own.Digest() {
		r.relay(to, h.sealed, fx)
		return
	}
	r.tell(to, own, fx)
}

// repeatCheckpoint sends one replica the own checkpoint of seq again.
func (r *Replica) repeatCheckpoint(to wire.ReplicaID, seq wire.Seq, fx *Effects) {
	m := &wire.Checkpoint{Seq: seq, State: r.snapshots[seq], Sender: r.id}
	if b := r.checkpoints[seq]; b != nil {
		m.Signature = b.signature(r.id, m.State)
	}
	r.repeat(to, m.Signature, m, fx)
}
