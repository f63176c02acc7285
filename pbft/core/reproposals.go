package core

import (
	"bytes"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// reproposals returns what a new view that rests on changes carries over: the
// highest stable checkpoint among them, and for every number above it, up to
// the highest prepared one, the digest of the prepared certificate with the
// highest view, or the null batch (PBFT §4.4, TOCS §4.5). Signatures of the
// choices are left empty.
//
// It is a function of the set of changes alone, whatever their order. changes
// are valid and of distinct senders. The new primary computes it, and every
// backup computes it again. What committed anywhere below view is in the result
// for every quorum of changes: q replicas hold its prepared certificate, and
// two quorums share a correct one.
func reproposals(changes []*wire.ViewChange) (wire.CheckpointCert, []wire.Choice) {
	var stable wire.CheckpointCert
	for i, vc := range changes {
		if i == 0 || higher(&vc.Stable, &stable) {
			stable = vc.Stable
		}
	}
	best, last := newest(changes, stable.Seq)
	choices := make([]wire.Choice, 0, last-stable.Seq)
	for seq := stable.Seq + 1; seq <= last; seq++ {
		digest := wire.NullDigest()
		if cert := best[seq]; cert != nil {
			digest = cert.Digest
		}
		choices = append(choices, wire.Choice{Seq: seq, Digest: digest})
	}
	return stable, choices
}

// newest returns the prepared certificate of the highest view for every number
// above low, and the highest such number, or low.
func newest(changes []*wire.ViewChange, low wire.Seq) (map[wire.Seq]*wire.PreparedCert, wire.Seq) {
	best, last := map[wire.Seq]*wire.PreparedCert{}, low
	for _, vc := range changes {
		for i := range vc.Prepared {
			cert := &vc.Prepared[i]
			if cert.Seq <= low {
				continue
			}
			last = max(last, cert.Seq)
			if old := best[cert.Seq]; old == nil || newer(cert, old) {
				best[cert.Seq] = cert
			}
		}
	}
	return best, last
}

// higher orders checkpoint certificates. Two valid ones of one number agree
// unless more than f lie; then the digest decides, so that all choose alike.
func higher(a, b *wire.CheckpointCert) bool {
	return a.Seq > b.Seq || a.Seq == b.Seq && bytes.Compare(a.State[:], b.State[:]) > 0
}

// newer orders prepared certificates of one number, as higher does.
func newer(a, b *wire.PreparedCert) bool {
	return a.View > b.View || a.View == b.View && bytes.Compare(a.Digest[:], b.Digest[:]) > 0
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

// matches tells whether nv says exactly what the view changes it names imply.
func matches(nv *wire.NewView, stable *wire.CheckpointCert, choices []wire.Choice) bool {
	return nv.Stable == stable.Seq && nv.StableState == stable.State &&
		slices.EqualFunc(nv.Choices, choices, func(a, b wire.Choice) bool {
			return a.Seq == b.Seq && a.Digest == b.Digest
		})
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
