package core

import (
	"maps"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// restore takes one record of the journal, in order.
func (r *Replica) restore(rec Record) {
	switch rec := rec.(type) {
	case ViewRecord:
		r.restoreView(rec)
	case AcceptedRecord:
		r.restoreAccepted(rec.PrePrepare)
	case VotedRecord:
		r.restoreVoted(rec.Vote)
	case ReservationRecord:
		if rec.View == r.view && r.active {
			r.reserved = max(r.reserved, rec.Seq)
		}
	case BatchRecord:
		if rec.Seq > r.low {
			r.slot(rec.Seq).restore(rec.Batch.Digest(), rec.Batch)
		}
	case PreparedRecord:
		r.restorePrepared(rec.Cert)
	case CommittedRecord:
		r.restoreCommitted(&rec.Cert)
	case ViewChangeRecord:
		r.restoreViewChange(rec.ViewChange)
	case NewViewRecord:
		r.restoreNewView(rec.NewView)
	case CheckpointRecord:
		if rec.Seq > r.low {
			r.promises[rec.Seq] = rec.State
			if _, here := r.snapshots[rec.Seq]; !here {
				r.snapshots[rec.Seq] = rec.State
			}
		}
	case StableRecord:
		r.settle(&rec.Cert)
	case RejoinRecord:
		r.rejoin = nil
		if !rec.Over {
			r.rejoin = &rejoining{closed: !rec.Open, until: rec.Until, floor: rec.View}
		}
	case EvidenceRecord:
		r.proofs.add(rec.Evidence)
	case ConflictRecord:
		r.proofs.addConflict(rec)
	}
}

// restoreView repeats goTo.
func (r *Replica) restoreView(rec ViewRecord) {
	if rec.View < r.view || rec.View == r.view && rec.Active == r.active {
		return
	}
	kept, named := r.change.newView, r.change.named
	r.goTo(rec.View, rec.Active)
	if !rec.Active && kept != nil && kept.View == rec.View {
		r.change.named = named // of the new view that this replica sent, from Base
	}
	if rec.Active && kept != nil && kept.View == rec.View {
		r.change.newView, r.change.named, r.change.chosen = kept, named, kept.Stable
		if !isZero(kept.Signature) {
			r.change.entered = wire.Reseal(kept)
		}
		r.next = max(r.low, r.carried()) + 1
		r.adoptChoices()
	}
}

// restoreViewChange takes back the own view change, or one that a new view
// names; those are signed.
func (r *Replica) restoreViewChange(vc *wire.ViewChange) {
	c := &r.change
	if vc.Sender == r.id && !r.active && vc.View == r.view {
		c.own = vc
	}
	if isZero(vc.Signature) {
		return
	}
	if c.named == nil {
		c.named = make([]*heldChange, r.q.Replicas())
	}
	c.named[vc.Sender] = &heldChange{sealed: wire.Reseal(vc), message: vc}
}

func (r *Replica) restoreNewView(nv *wire.NewView) {
	if nv.View < r.view {
		return
	}
	r.change.newView = nv
	if nv.Sender == r.id {
		r.change.ownNewView = nv
	}
}

// restoreVoted repeats accept of a batch that was kept before. If it was not, which no
// replica writes, the proposal is as good as one that a new view carries over: the batch is
// fetched, and nothing else voted for.
func (r *Replica) restoreVoted(v wire.Vote) {
	if v.Seq > r.low {
		r.restoreAccepted(&wire.PrePrepare{Vote: v, Batch: r.slot(v.Seq).recall(v.Digest)})
	}
}

// restoreAccepted repeats propose and accept.
func (r *Replica) restoreAccepted(pp *wire.PrePrepare) {
	if pp.Seq <= r.low {
		return
	}
	s := r.slot(pp.Seq)
	if pp.View == r.view && r.active {
		s.proposal, s.voted = pp, pp.Batch != nil
		r.next = max(r.next, pp.Seq+1)
	}
	if pp.Batch == nil {
		return
	}
	if s.proposal == pp {
		r.place(pp)
	}
	s.restore(pp.Digest, pp.Batch)
}

func (r *Replica) restorePrepared(cert wire.PreparedCert) {
	if cert.Seq <= r.low {
		return
	}
	s := r.slot(cert.Seq)
	s.prepared = &cert
	s.promised = cert.View == r.view && r.active
}

// restoreCommitted repeats commit. What it names was held then: in a journal that began anew
// the batches of a number have another order, and others may have been forgotten.
func (r *Replica) restoreCommitted(cert *wire.CommitCert) {
	if cert.Seq <= r.low {
		return
	}
	s := r.slot(cert.Seq)
	s.committed = cert
	if batch := s.recall(cert.Digest); batch != nil {
		s.restore(cert.Digest, batch)
	}
}

// settleRestored makes what was restored fit together. A snapshot that was fetched may
// be newer than the last record; one may be older than the stable checkpoint, for it
// may have been lost.
func (r *Replica) settleRestored() {
	for _, s := range r.slots {
		s.settleRestored()
	}
	if r.active {
		r.unsure = r.reserved
		r.change.own = nil
		if nv := r.change.newView; nv != nil && nv.View != r.view {
			r.change.newView, r.change.named = nil, nil // the records end before it was entered
		}
		r.countMissing()
	} else {
		r.change.newView = nil
	}
	maps.DeleteFunc(r.snapshots, func(seq wire.Seq, _ crypto.Digest) bool { return seq > r.executed || seq <= r.low })
	if r.low > r.executed {
		r.ahead = &r.stable
	}
}

// onStart begins, or goes on where the records ended: votes that were recorded
// and perhaps not sent are sent again, to everyone, for the own vote counts
// only when it comes back.
func (r *Replica) onStart(ev Start, fx *Effects) {
	r.now = ev.Now
	c := &r.change
	c.since, c.heard, c.patient = r.tick, r.tick, r.tick
	if r.rejoin != nil && !r.rejoin.closed {
		fx.persist(RejoinRecord{Open: true, View: r.rejoin.floor})
	}
	r.endSilence(fx) // or the records end between the checkpoint that did, and the word that it has
	for _, seq := range slices.Sorted(maps.Keys(r.snapshots)) {
		if r.mayPromise(seq) {
			r.promises[seq] = r.snapshots[seq]
			fx.persist(CheckpointRecord{seq, r.snapshots[seq]})
			r.say(&wire.Checkpoint{Seq: seq, State: r.snapshots[seq], Sender: r.id}, fx)
		}
	}
	switch {
	case r.abdicate(fx):
	case r.active:
		r.resumeVotes(fx)
		r.adopt(fx)
	default:
		r.resumeChange(fx)
	}
	r.repeatProofs(fx)
	r.execute(fx)
	r.sendStatus(Everyone, fx)
}

// resumeChange asks again for the view that was asked for.
func (r *Replica) resumeChange(fx *Effects) {
	c := &r.change
	if c.own == nil || c.own.View != r.view {
		// The records end between leaving the old view and asking for this one.
		c.own = &wire.ViewChange{View: r.view, Stable: r.stable, Prepared: r.preparedAbove(), Sender: r.id}
		fx.persist(ViewChangeRecord{c.own})
	}
	r.say(c.own, fx)
	if c.ownNewView != nil && c.ownNewView.View == r.view {
		r.say(c.ownNewView, fx)
	}
}

// resumeVotes sends the votes of the current view again, to everyone.
func (r *Replica) resumeVotes(fx *Effects) {
	for _, s := range r.slots {
		if s.proposal == nil || !s.voted {
			continue
		}
		v := wire.Vote{View: r.view, Seq: s.seq, Digest: s.proposal.Digest, Sender: r.id}
		switch {
		case r.primary() == r.id && isZero(s.proposal.Signature):
			r.say(&wire.PrePrepare{Vote: v, Batch: s.proposal.Batch}, fx)
		case r.primary() != r.id:
			r.say(&wire.Prepare{Vote: v}, fx)
		}
		if s.promised {
			r.say(&wire.Commit{Vote: v}, fx)
		}
	}
}

// Base returns the records that a journal needs in order to forget everything
// before them: what New would restore to this replica's present memory.
func (r *Replica) Base() []Record {
	base := []Record{StableRecord{r.stable}}
	if j := r.rejoin; j != nil {
		base = append(base, RejoinRecord{Open: !j.closed, Until: j.until, View: j.floor})
	}
	for _, seq := range slices.Sorted(maps.Keys(r.promises)) {
		base = append(base, CheckpointRecord{seq, r.promises[seq]})
	}
	for _, s := range r.slots {
		base = append(base, s.unvoted()...)
	}
	base = append(base, r.change.base()...)
	base = append(base, ViewRecord{r.view, r.active})
	if r.reserved > 0 {
		base = append(base, ReservationRecord{r.view, r.reserved})
	}
	if r.change.own != nil {
		base = append(base, ViewChangeRecord{r.change.own})
	}
	for _, s := range r.slots {
		base = append(base, s.base()...)
	}
	return append(base, r.proofs.base()...)
}

// base returns the new view that was entered or sent, with the view changes that
// it names.
func (c *changing) base() []Record {
	var base []Record
	for _, h := range c.named {
		if h != nil {
			base = append(base, ViewChangeRecord{h.message})
		}
	}
	switch {
	case c.newView != nil:
		base = append(base, NewViewRecord{c.newView})
	case c.own != nil && c.ownNewView != nil && c.ownNewView.View == c.own.View:
		base = append(base, NewViewRecord{c.ownNewView})
	}
	return base
}

// unvoted returns the batches that are not with a proposal of the current view.
func (s *slot) unvoted() []Record {
	var base []Record
	for _, b := range s.bodies {
		if s.proposal == nil || !s.voted || s.proposal.Digest != b.digest {
			base = append(base, BatchRecord{s.seq, b.batch})
		}
	}
	return base
}

// base returns what was voted and proven at the slot.
func (s *slot) base() []Record {
	var base []Record
	if s.proposal != nil && s.voted {
		base = append(base, AcceptedRecord{s.proposal})
	}
	if s.prepared != nil {
		base = append(base, PreparedRecord{*s.prepared})
	}
	if s.committed != nil {
		base = append(base, CommittedRecord{*s.committed})
	}
	return base
}
