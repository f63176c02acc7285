package wire

import (
	"bytes"
	"slices"
)

// Reproposals returns what a new view that rests on changes carries over: the
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
func Reproposals(changes []*ViewChange) (CheckpointCert, []Choice) {
	stable := highest(changes)
	best, last := newest(changes, stable.Seq)
	choices := make([]Choice, 0, last-stable.Seq)
	for seq := stable.Seq + 1; seq <= last; seq++ {
		digest := NullDigest()
		if cert := best[seq]; cert != nil {
			digest = cert.Digest
		}
		choices = append(choices, Choice{Seq: seq, Digest: digest})
	}
	return stable, choices
}

// highest returns the highest stable checkpoint among changes.
func highest(changes []*ViewChange) CheckpointCert {
	var stable CheckpointCert
	for i, vc := range changes {
		if i == 0 || higher(&vc.Stable, &stable) {
			stable = vc.Stable
		}
	}
	return stable
}

// newest returns the prepared certificate of the highest view for every number
// above low, and the highest such number, or low.
func newest(changes []*ViewChange, low Seq) (map[Seq]*PreparedCert, Seq) {
	best, last := map[Seq]*PreparedCert{}, low
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
func higher(a, b *CheckpointCert) bool {
	return a.Seq > b.Seq || a.Seq == b.Seq && bytes.Compare(a.State[:], b.State[:]) > 0
}

// newer orders prepared certificates of one number, as higher does.
func newer(a, b *PreparedCert) bool {
	return a.View > b.View || a.View == b.View && bytes.Compare(a.Digest[:], b.Digest[:]) > 0
}

// Follows tells whether m says exactly what the view changes imply that it
// names: the result of Reproposals. Their numbers may be anything: what does not
// fit m is not computed.
func (m *NewView) Follows(changes []*ViewChange) bool {
	stable := highest(changes)
	_, last := newest(changes, stable.Seq)
	if m.Stable != stable.Seq || m.StableState != stable.State || Seq(len(m.Choices)) != last-stable.Seq {
		return false
	}
	_, choices := Reproposals(changes)
	return slices.EqualFunc(m.Choices, choices, func(a, b Choice) bool {
		return a.Seq == b.Seq && a.Digest == b.Digest
	})
}
