package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// A new view may rest on any q view changes, and its primary must hold the batches that it
// carries over. Whoever hands over a certificate may hide its batch, which the others may have
// forgotten; and the correct ones may hand over more batches for one number than a slot has
// room for. Only the newest certificate of a number counts.
//
// So a primary opens its view with the first q of which it holds all batches; or else it aims at
// what all view changes for its view imply together, one batch for each number, fetches that,
// and keeps it whatever else comes. For how long the first batch that lacks is awaited counts
// against all that hand it over. Whose count is too high is left out of the aim, until too few
// are left: then the network was slow, and nobody is left out.
//
// All who hide something cost half of the time that the view has together, where that is long
// enough to ask for the first batch some times for each of them. The timeouts double, and so does
// what each may cost.

// opens tells whether this replica is the primary of a view that it has not opened yet.
func (r *Replica) opens() bool {
	nv := r.change.ownNewView
	return !r.active && r.primary() == r.id && r.rejoin == nil && (nv == nil || nv.View != r.view)
}

// basis returns the view changes that the new view may rest on: q, or those of the aim, which
// may be fewer, or more.
func (r *Replica) basis() []*heldChange {
	var held []*heldChange
	for _, h := range r.change.votes {
		if h != nil && h.message.View == r.view && r.holdsAll(h.message) {
			if held = append(held, h); len(held) == r.q.Strong() {
				return held
			}
		}
	}
	return r.achieved()
}

func messagesOf(held []*heldChange) []*wire.ViewChange {
	out := make([]*wire.ViewChange, 0, len(held))
	for _, h := range held {
		out = append(out, h.message)
	}
	return out
}

// holdsAll tells whether every batch that vc hands over is here.
func (r *Replica) holdsAll(vc *wire.ViewChange) bool {
	for i := range vc.Prepared {
		if cert := &vc.Prepared[i]; r.lacks(cert.Seq, cert.Digest) {
			return false
		}
	}
	return true
}

// lacks tells whether a batch is not here, of a number of which this replica can hold one.
func (r *Replica) lacks(seq wire.Seq, digest crypto.Digest) bool {
	if seq <= max(r.low, r.aheadSeq()) || seq > r.high() || digest == wire.NullDigest() {
		return false
	}
	s := r.slots.at(seq)
	return s == nil || s.body(digest) == nil
}

// achieved returns the view changes that the aim is of, once all of it is here. While
// something of the last aim lacks it looks no further: that costs a walk over all certificates.
func (r *Replica) achieved() []*heldChange {
	if slices.ContainsFunc(r.slots, r.awaits) {
		return nil
	}
	if held, lacking := r.aim(); len(lacking) == 0 {
		return held
	}
	return nil
}

// awaits tells whether the batch that the aim has for the number of s lacks.
func (r *Replica) awaits(s *slot) bool { return !s.aim.IsZero() && r.lacks(s.seq, s.aim) }

// aim settles, for each number, which batch the new view is to carry over. It returns the
// view changes that imply that, and the slots whose batch lacks, ascending.
func (r *Replica) aim() (held []*heldChange, lacking []*slot) {
	for _, h := range r.change.votes {
		if h != nil && h.message.View == r.view && !r.hides(h) {
			held = append(held, h)
		}
	}
	stable, choices := reproposals(messagesOf(held))
	for _, choice := range choices {
		if r.lacks(choice.Seq, choice.Digest) {
			r.slot(choice.Seq) // is there from now on
		}
	}
	for _, s := range r.slots {
		s.aim = crypto.Digest{}
		if s.seq > stable.Seq && s.seq-stable.Seq <= wire.Seq(len(choices)) {
			s.aim = choices[s.seq-stable.Seq-1].Digest
		}
		if r.awaits(s) {
			lacking = append(lacking, s)
		}
	}
	return held, lacking
}

// blame counts, whenever the batches that lack are asked for again, for whose view changes the
// first of them is: its answer waits behind no other one.
func (r *Replica) blame() {
	if !r.opens() {
		return
	}
	held, lacking := r.aim()
	left := len(held)
	for _, h := range held {
		if len(lacking) > 0 && h.handsOver(lacking[0]) {
			h.blamed += uint64(r.cfg.CatchUpTicks) //nolint:gosec // Validate: positive
			if r.hides(h) {
				left--
			}
		}
	}
	if left >= r.q.Strong() {
		return
	}
	for _, h := range r.change.votes {
		if h != nil {
			h.blamed = 0
		}
	}
}

// hides tells whether h handed over what did not come for too long.
func (r *Replica) hides(h *heldChange) bool {
	share := r.patience(r.cfg.RequestTicks) / uint64(2*(r.q.Faults()+1)) //nolint:gosec // positive
	return h.blamed > max(share, 2*uint64(r.cfg.CatchUpTicks))           //nolint:gosec // Validate: positive
}

// handsOver tells whether h has a certificate of the batch that s lacks.
func (h *heldChange) handsOver(s *slot) bool {
	at, found := slices.BinarySearchFunc(h.message.Prepared, s.seq, func(cert wire.PreparedCert, seq wire.Seq) int {
		return cmp.Compare(cert.Seq, seq)
	})
	return found && h.message.Prepared[at].Digest == s.aim
}

// takeAimed keeps a batch that the aim lacks.
func (r *Replica) takeAimed(digest crypto.Digest, batch *wire.Batch, fx *Effects) {
	if !r.opens() {
		return
	}
	came := false
	for _, s := range r.slots {
		if s.aim == digest && r.awaits(s) {
			s.keep(digest, batch)
			fx.persist(BatchRecord{s.seq, batch})
			came = true
		}
	}
	if came {
		r.maybeNewView(fx)
	}
}
