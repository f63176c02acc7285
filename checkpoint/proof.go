package checkpoint

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Proof shows what the value of one key is in a snapshot, or that it has none,
// to whoever knows the snapshot's root: from a checkpoint certificate.
type Proof struct {
	Seq   wire.Seq
	Root  crypto.Digest
	Pages [][]byte // on the way from the root to where the key is, or would be
}

// proofPagesMax bounds the length of a proof: a path cannot be longer.
const proofPagesMax = depthMax + 2

// ErrBadProof says that a proof does not show anything about its root.
var ErrBadProof = errors.New("proof does not hold")

// Prove returns the proof of key against the newest durable snapshot. Any
// goroutine may call it.
func (s *Store) Prove(key []byte) (Proof, error) {
	if s.dead.Load() {
		return Proof{}, s.failure()
	}
	v := s.acquire()
	defer s.release(v)
	proof := Proof{Seq: v.base.seq, Root: v.base.root.digest}
	var way []ref
	err := s.rd.walk(v.base.root, routeTo(key), func(r ref) bool {
		way = append(way, r)
		return true
	})
	for i := 0; err == nil && i < len(way); i++ {
		var p *page
		if p, err = s.rd.load(way[i]); err == nil {
			proof.Pages = append(proof.Pages, p.encode())
		}
	}
	if err != nil {
		return Proof{}, s.readFault(err)
	}
	return proof, nil
}

// VerifyProof returns the value of key in the snapshot with this root, as the
// proof shows it, or present false if it shows that there is none. It returns
// ErrBadProof if the proof shows neither. root must come from a checkpoint
// certificate, not from the proof.
func VerifyProof(root crypto.Digest, key []byte, proof Proof) (value []byte, present bool, err error) {
	if root == EmptyRoot() && len(proof.Pages) == 0 {
		return nil, false, nil
	}
	at, rt := place{ref: ref{digest: root}}, routeTo(key)
	for i, data := range proof.Pages {
		p, err := at.proven(data)
		if err != nil || i == proofPagesMax {
			return nil, false, fmt.Errorf("page %d of the proof: %w", i, errors.Join(err, ErrBadProof))
		}
		next, below := p.next(rt)
		if below {
			at = place{p, rt.label(p.depth), next}
			continue
		}
		if i != len(proof.Pages)-1 {
			return nil, false, fmt.Errorf("pages after the last one: %w", ErrBadProof)
		}
		value, present = p.find(key)
		return value, present, nil
	}
	return nil, false, fmt.Errorf("pages lack: %w", ErrBadProof)
}

// proven decodes a page that must be the one of this place.
func (at place) proven(data []byte) (*page, error) {
	if len(data) > PageBytesMax || pageDigest(data) != at.ref.digest {
		return nil, errors.New("not the one that belongs there")
	}
	p, err := decodePage(data)
	if err != nil {
		return nil, err
	}
	return p, at.refuse(p)
}
