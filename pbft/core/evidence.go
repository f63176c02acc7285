package core

import (
	"github.com/quorate/quorate/pbft/wire"
)

// convict reports, and spreads, two signed messages of one replica that no
// correct replica signs both of. Who repeats a lie makes this replica repeat the
// proof only so often.
func (r *Replica) convict(proof wire.EvidenceKind, first, second wire.Message, fx *Effects) {
	culprit, _ := wire.SenderOf(second)
	evidence, err := wire.NewEvidence(proof, culprit, first, second)
	if err != nil {
		return // not signed yet, or the same statement twice: no proof
	}
	if !r.mayAnswer(culprit, func(a *answered) *int { return &a.proofs[proof] }) {
		return
	}
	view, seq := evidence.Place(r.q.Replicas())
	fx.observe(Misbehaved{view, seq, evidence})
	r.say(evidence, fx)
}

// onEvidence acts on a proof that another replica found: a primary that lied in
// the current view is left at once.
func (r *Replica) onEvidence(e *wire.Evidence, fx *Effects) {
	if e.Check(r.q.Replicas()) != nil {
		return
	}
	view, seq := e.Place(r.q.Replicas())
	ofPrimary := e.Proof == wire.EvidencePrePrepares || e.Proof == wire.EvidenceNewViews
	if !ofPrimary || view != r.view || e.Culprit != r.primary() {
		return
	}
	fx.observe(Misbehaved{view, seq, e})
	r.leave(r.view+1, "the primary provably lied", fx)
}
