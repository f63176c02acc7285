package core

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of what a replica keeps of lies: the first proof of each kind against
// each replica, while there is room, and some pairs of certificates that
// contradict each other.
const (
	proofsBytesMax     = 16 << 20
	firstProofBytesMax = 1 << 20 // of the first one against a replica, if there is no room otherwise
	conflictsMax       = 16
)

// proofs are the lies that a replica keeps, over restarts too.
type proofs struct {
	kept      []*wire.Evidence // in the order in which they came
	of        *Convictions     // of kept
	conflicts []ConflictRecord
}

// Convictions tell which proofs of lies a replica keeps. They do not change: any goroutine
// may ask them. Nil are those of who keeps none.
type Convictions struct {
	kinds []uint16 // by culprit: a bit for each kind of evidence
	bytes int
}

// has tells whether a proof of this kind against culprit is kept.
func (c *Convictions) has(proof wire.EvidenceKind, culprit wire.ReplicaID) bool {
	return c.of(culprit)&(1<<proof) != 0
}

// of returns the kinds of the proofs against culprit.
func (c *Convictions) of(culprit wire.ReplicaID) uint16 {
	if c == nil || int(culprit) >= len(c.kinds) {
		return 0
	}
	return c.kinds[culprit]
}

// Lacks tells whether evidence, with a frame of so many bytes, would be kept: it is the
// first of its kind, and there is room. For the first one against a replica there is,
// unless it is very long: large proofs against some liars must not hide the others.
func (c *Convictions) Lacks(proof wire.EvidenceKind, culprit wire.ReplicaID, bytes int) bool {
	if c.has(proof, culprit) {
		return false
	}
	return c.size()+bytes <= proofsBytesMax || bytes <= firstProofBytesMax && c.of(culprit) == 0
}

// size returns how many bytes the frames of the proofs have.
func (c *Convictions) size() int {
	if c == nil {
		return 0
	}
	return c.bytes
}

// with returns the convictions with one more.
func (c *Convictions) with(proof wire.EvidenceKind, culprit wire.ReplicaID, bytes int) *Convictions {
	more := &Convictions{bytes: c.size() + bytes}
	if c != nil {
		more.kinds = slices.Clone(c.kinds)
	}
	for len(more.kinds) <= int(culprit) {
		more.kinds = append(more.kinds, 0)
	}
	more.kinds[culprit] |= 1 << proof
	return more
}

// Convictions returns which proofs of lies the replica keeps now.
func (r *Replica) Convictions() *Convictions { return r.proofs.of }

// has tells whether the replica keeps a proof of this kind against culprit.
func (p *proofs) has(proof wire.EvidenceKind, culprit wire.ReplicaID) bool {
	return p.of.has(proof, culprit)
}

// add keeps e and returns true if those that are kept lack it.
func (p *proofs) add(e *wire.Evidence) bool {
	if p.has(e.Proof, e.Culprit) {
		return false // however long it is
	}
	size := len(wire.Encode(e))
	if !p.of.Lacks(e.Proof, e.Culprit, size) {
		return false
	}
	p.kept = append(p.kept, e)
	p.of = p.of.with(e.Proof, e.Culprit, size)
	return true
}

// addConflict keeps a pair of certificates, if there is room, and returns whether
// it is a new one.
func (p *proofs) addConflict(c ConflictRecord) bool {
	known := slices.ContainsFunc(p.conflicts, func(old ConflictRecord) bool {
		return old.Other.Seq == c.Other.Seq && old.Other.View == c.Other.View && old.Other.Digest == c.Other.Digest
	})
	if known || len(p.conflicts) == conflictsMax {
		return false
	}
	p.conflicts = append(p.conflicts, c)
	return true
}

// base returns the records of what is kept.
func (p *proofs) base() []Record {
	var base []Record
	for _, e := range p.kept {
		base = append(base, EvidenceRecord{e})
	}
	for _, c := range p.conflicts {
		base = append(base, c)
	}
	return base
}

// convict reports, and spreads, two signed messages of one replica that no
// correct replica signs both of. Who repeats a lie makes this replica repeat the
// proof only so often, and make it no more often: one of its messages may be as short as
// a commit, and the other as long as a view change.
func (r *Replica) convict(proof wire.EvidenceKind, first, second wire.Message, fx *Effects) {
	culprit, _ := wire.SenderOf(second)
	told := &r.peers[culprit].answered
	if r.proofs.has(proof, culprit) && told.proofs[proof] >= answersPerStatus && !r.outworn(told) {
		return
	}
	evidence, err := wire.NewEvidence(proof, culprit, first, second)
	if err != nil {
		return // not signed yet, or the same statement twice: no proof
	}
	r.accuse(evidence, fx)
}

// convictNewView is convict for a new view that its view changes do not imply. A
// proof that is too large to travel is left to the archive.
func (r *Replica) convictNewView(nv *wire.NewView, changes []*wire.ViewChange, fx *Effects) {
	if evidence, err := wire.NewChoicesEvidence(nv, changes); err == nil {
		r.accuse(evidence, fx)
	}
}

// accuse keeps, reports and spreads a proof that this replica found.
func (r *Replica) accuse(e *wire.Evidence, fx *Effects) {
	r.keepProof(e, fx)
	r.tellProof(e, fx)
}

// tellProof reports and spreads a proof, so often and no more; also who rejoins, for a proof
// is no vote.
func (r *Replica) tellProof(e *wire.Evidence, fx *Effects) {
	if !r.mayAnswer(e.Culprit, func(a *answered) *int { return &a.proofs[e.Proof] }) {
		return
	}
	view, seq := e.Place(r.q.Replicas())
	fx.observe(Misbehaved{view, seq, e})
	fx.Send = append(fx.Send, Send{To: Everyone, Message: e})
}

// keepProof makes a proof durable, if it is the first of its kind.
func (r *Replica) keepProof(e *wire.Evidence, fx *Effects) bool {
	if !r.proofs.add(e) {
		return false
	}
	fx.persist(EvidenceRecord{e})
	return true
}

// onEvidence acts on a proof that another replica found: it is kept and, when it
// is news, passed on, for whoever found it may fail before others have it; and a
// primary that lied in the current view is left at once. What there is no room for
// is not passed on: it would be news each time, and go round for ever.
func (r *Replica) onEvidence(from wire.ReplicaID, e *wire.Evidence, fx *Effects) {
	if e.Check(r.q.Replicas()) != nil {
		return
	}
	news := r.keepProof(e, fx)
	if news {
		r.tellProof(e, fx)
	}
	view, led := e.Led(r.q.Replicas())
	if !led || view != r.view {
		return
	}
	if !news && from != r.id {
		r.tellProof(e, fx) // or else the culprit drives one replica out of the view, alone
	}
	r.leave(r.view+1, "the primary provably lied", fx)
}

// onExposed takes a pre-prepare of a request that nobody signed.
func (r *Replica) onExposed(u *wire.Unsigned, fx *Effects) {
	pp := u.Proposal()
	if s := r.slots.at(pp.Seq); s != nil && r.active && pp.View == r.view && s.proposal != nil &&
		s.proposal.Digest != pp.Digest {
		r.onAgain(s, pp, fx) // it is the second of its number as well
		return
	}
	var opened *wire.NewView
	if pp.View > 0 {
		if pp.View != r.view || r.change.newView == nil || isZero(r.change.newView.Signature) {
			return // no proof without the new view of its primary
		}
		opened = r.change.newView
	}
	evidence, err := wire.NewUnsignedEvidence(u, opened)
	if err != nil || evidence.Check(r.q.Replicas()) != nil {
		return
	}
	r.accuse(evidence, fx)
	if pp.View == r.view && r.active {
		r.leave(r.view+1, "the primary proposed a request that nobody signed", fx)
	}
}

// repeatProofs reports and spreads again, after a restart, what was kept.
func (r *Replica) repeatProofs(fx *Effects) {
	for _, e := range r.proofs.kept {
		r.accuse(e, fx)
	}
}

// searchChange looks, in the commits of its sender that are here, for one that a
// view change hides. One is enough: a view change may hide all that was archived.
func (r *Replica) searchChange(vc *wire.ViewChange, fx *Effects) {
	commit := r.hiddenInSlots(vc)
	if commit == nil {
		commit = r.hiddenInArchive(vc)
	}
	if commit != nil {
		r.convict(wire.EvidenceHidden, commit, vc, fx)
	}
}

// hiddenInSlots returns a commit of vc's sender above the low watermark that vc
// hides, or nil.
func (r *Replica) hiddenInSlots(vc *wire.ViewChange) *wire.Commit {
	for _, s := range r.slots {
		if s.commits.votes != nil {
			v := s.commits.votes[vc.Sender]
			commit := wire.Vote{View: r.view, Seq: s.seq, Digest: v.digest, Sender: vc.Sender, Signature: v.signature}
			if v.cast && vc.Hides(&commit) {
				return &wire.Commit{Vote: commit}
			}
		}
		if commit := hidden(s.committed, vc); commit != nil {
			return commit
		}
	}
	return nil
}

// hidden returns the commit of vc's sender in a certificate, which may be nil, if vc hides it.
func hidden(cert *wire.CommitCert, vc *wire.ViewChange) *wire.Commit {
	if cert == nil || !vc.Hides(&wire.Vote{View: cert.View, Seq: cert.Seq, Digest: cert.Digest, Sender: vc.Sender}) {
		return nil
	}
	return cert.CommitOf(vc.Sender)
}

// hiddenInArchive is hiddenInSlots for what was collected. The archive is long, and a view
// change costs its sender nothing, and less who repeats another one's: of each sender it is
// searched once for a view, in ascending order, and only so often; and not for one who is
// convicted of this already.
func (r *Replica) hiddenInArchive(vc *wire.ViewChange) *wire.Commit {
	p := &r.peers[vc.Sender]
	if len(r.archive.entries) == 0 || vc.Stable.Seq >= r.low || vc.View <= p.searched ||
		r.proofs.has(wire.EvidenceHidden, vc.Sender) ||
		!r.mayAnswer(vc.Sender, func(a *answered) *int { return &a.searched }) {
		return nil
	}
	p.searched = vc.View
	for _, entry := range r.archive.entries {
		if commit := hidden(&entry.Cert, vc); commit != nil {
			return commit
		}
	}
	return nil
}

// searchProposals looks for a primary that proposed another batch to this replica
// than the one that a view change holds a certificate of.
func (r *Replica) searchProposals(vc *wire.ViewChange, fx *Effects) {
	for i := range vc.Prepared {
		cert := &vc.Prepared[i]
		s := r.slots.at(cert.Seq)
		if s == nil {
			continue
		}
		heard := s.heard
		if s.proposal != nil && s.proposal.View == cert.View && !isZero(s.proposal.Signature) {
			heard = s.proposal.Vote
		}
		if heard.View != cert.View || heard.Digest == cert.Digest || isZero(heard.Signature) {
			continue
		}
		other := wire.Vote{
			View: cert.View, Seq: cert.Seq, Digest: cert.Digest, Sender: heard.Sender, Signature: cert.PrePrepare,
		}
		r.convict(wire.EvidencePrePrepares, &wire.PrePrepare{Vote: heard}, &wire.PrePrepare{Vote: other}, fx)
	}
}

// searchCommit looks, in the view changes of its sender that are here, for one
// that hides a commit.
func (r *Replica) searchCommit(commit *wire.Vote, fx *Effects) {
	c := &r.change
	for _, h := range [2]*heldChange{c.votes[commit.Sender], c.namedOf(commit.Sender)} {
		if h != nil && h.message.Hides(commit) {
			r.convict(wire.EvidenceHidden, &wire.Commit{Vote: *commit}, h.message, fx)
			return
		}
	}
}

// namedOf returns the view change of sender that the current new view names.
func (c *changing) namedOf(sender wire.ReplicaID) *heldChange {
	if c.named == nil {
		return nil
	}
	return c.named[sender]
}
