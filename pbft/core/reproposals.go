package core

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// reproposals returns what a new view that rests on changes carries over. It is
// a function of the set of changes alone, which evidence against a primary rests
// on as well: see wire.Reproposals.
func reproposals(changes []*wire.ViewChange) (wire.CheckpointCert, []wire.Choice) {
	return wire.Reproposals(changes)
}

// preparedAbove returns what a view change must hand over: the prepared
// certificate of the highest view of every number above the low watermark.
func (r *Replica) preparedAbove() []wire.PreparedCert {
	var out []wire.PreparedCert
	for _, s := range r.slots {
		if s.prepared != nil && s.seq <= r.high() {
			out = append(out, *s.prepared)
		}
	}
	return out
}

// refsOf returns the references of changes, in ascending order of sender.
func refsOf(changes []*heldChange) []wire.ViewChangeRef {
	refs := make([]wire.ViewChangeRef, 0, len(changes))
	for _, h := range changes {
		refs = append(refs, wire.ViewChangeRef{Sender: h.message.Sender, Digest: h.sealed.Digest()})
	}
	return refs
}

// isZero tells whether a signature is not there yet.
func isZero(s crypto.Signature) bool { return s == crypto.Signature{} }
