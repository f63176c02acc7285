package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// bodiesMax bounds the batches that a slot keeps for one number: the prepared
// one, the one of the current view, and those of recent views that never
// prepared here but may be chosen by a new view.
const bodiesMax = 4

// slot is what a replica knows of one sequence number.
type slot struct {
	seq wire.Seq

	// Of the current view, forgotten when the view is left.
	proposal *wire.PrePrepare // Batch is nil while its body is being fetched
	since    uint64           // the tick at which proposal came
	prepares ballot           // of backups, by sender
	commits  ballot
	voted    bool // holds the batch and has sent Prepare (a backup), or proposed it (the primary)
	promised bool // has sent Commit: prepared is of the current view
	// aim is the batch that a primary which opens the view aims to carry over, or zero.
	aim crypto.Digest

	// Lasting over views.
	prepared  *wire.PreparedCert // of the highest view
	committed *wire.CommitCert
	bodies    []body    // the newest last
	forgotten []body    // of bodies, while records are restored
	heard     wire.Vote // the last proposal of an earlier view, in case another one comes to light
}

// slotList is what is known of the numbers, ascending. Hardly ever is one missing
// in between, so a number's place is nearly always its distance from the first;
// and every status walks them all in order, which a map would have to sort.
type slotList []*slot

// at returns the slot of seq, or nil.
func (l slotList) at(seq wire.Seq) *slot {
	if i, found := l.find(seq); found {
		return l[i]
	}
	return nil
}

// find returns where seq is or belongs.
func (l slotList) find(seq wire.Seq) (int, bool) {
	if len(l) == 0 || seq < l[0].seq {
		return 0, false
	}
	if i := seq - l[0].seq; i < wire.Seq(len(l)) && l[i].seq == seq {
		return int(i), true //nolint:gosec // below the length
	}
	return slices.BinarySearchFunc(l, seq, func(s *slot, seq wire.Seq) int { return cmp.Compare(s.seq, seq) })
}

// add puts s, whose number has none, in its place.
func (l *slotList) add(s *slot) {
	i, _ := l.find(s.seq)
	*l = slices.Insert(*l, i, s)
}

// dropTo drops the slots up to seq.
func (l *slotList) dropTo(seq wire.Seq) {
	i, _ := l.find(seq + 1)
	*l = slices.Delete(*l, 0, i)
}

type body struct {
	digest crypto.Digest
	batch  *wire.Batch
	bytes  int
}

// body returns the batch with this digest, or nil.
func (s *slot) body(digest crypto.Digest) *wire.Batch {
	for _, b := range s.bodies {
		if b.digest == digest {
			return b.batch
		}
	}
	if digest == wire.NullDigest() {
		return wire.NullBatch()
	}
	return nil
}

// keep remembers a batch, which is in a record of this step or of an earlier one. When there
// are too many it forgets, and returns, the oldest that neither a certificate nor the current
// view refers to.
func (s *slot) keep(digest crypto.Digest, batch *wire.Batch) (forgotten []body) {
	if s.body(digest) != nil {
		return nil
	}
	s.bodies = append(s.bodies, body{digest, batch, batch.Size()})
	for i := 0; len(s.bodies) > bodiesMax && i < len(s.bodies); {
		if s.needs(s.bodies[i].digest) {
			i++
			continue
		}
		forgotten = append(forgotten, s.bodies[i])
		s.bodies = slices.Delete(s.bodies, i, i+1)
	}
	return forgotten
}

// restore is keep while records are restored: a later one may name what is forgotten, for
// not all that a replica refers to is in its records.
func (s *slot) restore(digest crypto.Digest, batch *wire.Batch) {
	s.forgotten = append(s.forgotten, s.keep(digest, batch)...)
}

// recall returns the batch with this digest, also one that was forgotten while records are
// restored, or nil.
func (s *slot) recall(digest crypto.Digest) *wire.Batch {
	if batch := s.body(digest); batch != nil {
		return batch
	}
	for _, b := range s.forgotten {
		if b.digest == digest {
			return b.batch
		}
	}
	return nil
}

// settleRestored completes the proposal, whose batch may be in the records without a vote,
// and forgets what no record named.
func (s *slot) settleRestored() {
	if pp := s.proposal; pp != nil && pp.Batch == nil && s.recall(pp.Digest) != nil {
		s.proposal = &wire.PrePrepare{Vote: pp.Vote, Batch: s.recall(pp.Digest)}
		s.keep(pp.Digest, s.proposal.Batch)
	}
	s.forgotten = nil
}

func (s *slot) needs(digest crypto.Digest) bool {
	return s.prepared != nil && s.prepared.Digest == digest ||
		s.committed != nil && s.committed.Digest == digest ||
		s.proposal != nil && s.proposal.Digest == digest || s.aim == digest
}

// forgetView drops what was of the view that is left.
func (s *slot) forgetView() {
	if s.proposal != nil && !isZero(s.proposal.Signature) {
		s.heard = s.proposal.Vote
	}
	s.proposal, s.voted, s.promised = nil, false, false
	s.aim = crypto.Digest{}
	s.prepares, s.commits = ballot{}, ballot{}
}

// vote is one replica's choice in a ballot.
type vote struct {
	cast      bool
	digest    crypto.Digest
	signature crypto.Signature
}

// ballot counts one vote of each replica; the first counts.
type ballot struct{ votes []vote }

// add records v and returns the earlier vote of its sender, if it differs.
func (b *ballot) add(n int, sender wire.ReplicaID, v vote) (conflict vote, ok bool) {
	if b.votes == nil {
		b.votes = make([]vote, n)
	}
	v.cast = true
	switch old := b.votes[sender]; {
	case !old.cast:
		b.votes[sender] = v
		return vote{}, true
	case old.digest != v.digest:
		return old, false
	default:
		return vote{}, true
	}
}

// count returns how many voted for digest.
func (b *ballot) count(digest crypto.Digest) int {
	n := 0
	for _, v := range b.votes {
		if v.cast && v.digest == digest {
			n++
		}
	}
	return n
}

// signature returns that of sender's vote for digest, or zero.
func (b *ballot) signature(sender wire.ReplicaID, digest crypto.Digest) crypto.Signature {
	if b.votes == nil || b.votes[sender].digest != digest {
		return crypto.Signature{}
	}
	return b.votes[sender].signature
}

// winner returns a digest with at least k votes, or ok false. There is at most
// one when k is a strong quorum.
func (b *ballot) winner(k int) (crypto.Digest, bool) {
	for _, v := range b.votes {
		if v.cast && b.count(v.digest) >= k {
			return v.digest, true
		}
	}
	return crypto.Digest{}, false
}

// divided tells whether no digest can have k votes any more.
func (b *ballot) divided(k int) bool {
	cast, most := 0, 0
	for _, v := range b.votes {
		if v.cast {
			cast, most = cast+1, max(most, b.count(v.digest))
		}
	}
	return most+len(b.votes)-cast < k
}

// signers returns k votes for digest as a certificate's, in ascending order.
func (b *ballot) signers(digest crypto.Digest, k int) []wire.Signed {
	out := make([]wire.Signed, 0, k)
	for i, v := range b.votes {
		if v.cast && v.digest == digest && len(out) < k {
			out = append(out, wire.Signed{Sender: wire.ReplicaID(i), Signature: v.signature}) //nolint:gosec // i < n
		}
	}
	return out
}
