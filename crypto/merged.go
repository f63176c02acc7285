package crypto

import (
	"crypto/rand"
	"crypto/sha512"
	"sync/atomic"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// expandedKey is a public key with what makes checks fast: a small table of its
// multiples for batches; from the first single check on what those need; and, for
// one whose signatures are checked alone again and again, a large table.
type expandedKey struct {
	point     *curve.ExpandedEdwardsPoint
	single    atomic.Pointer[ed25519.ExpandedPublicKey]
	alone     atomic.Uint32 // single checks without the large table
	multiples atomic.Pointer[multiples]
}

// expandKey returns the expanded form of key, or nil if its bytes are no point.
func expandKey(key *PublicKey) *expandedKey {
	compressed := curve.CompressedEdwardsY(*key)
	var point curve.EdwardsPoint
	if _, err := point.SetCompressedY(&compressed); err != nil {
		return nil
	}
	return &expandedKey{point: curve.NewExpandedEdwardsPoint(&point)}
}

// forOne returns what single checks need. Two goroutines may both make it.
func (k *expandedKey) forOne(key *PublicKey) *ed25519.ExpandedPublicKey {
	if single := k.single.Load(); single != nil {
		return single
	}
	single, err := ed25519.NewExpandedPublicKey(key[:])
	if err != nil {
		return nil // it is a point, or there were no k
	}
	k.single.Store(single)
	return single
}

// randomBytes is the length of the random factor of one signature: who makes a
// batch of bad ones pass has guessed so many bytes (Bernstein et al., "High-speed
// high-security signatures", CHES 2011, §5).
const randomBytes = 16

// merged is the equation of one batch: that, with random factors z,
//
//	Σ zᵢRᵢ + Σ (Σ zᵢhᵢ)A − (Σ zᵢSᵢ)B
//
// has small order, where the second sum goes over the distinct keys A, and the
// third over the signatures of each. The terms of one key are one term: replicas
// and busy clients sign again and again, and a term costs as much as all else of a
// signature.
type merged struct {
	random []byte
	hashed []byte // memory for what a signature hashes
	terms  map[*expandedKey]int
	// Each scalar belongs to the point at the same place. The first of rest are
	// those of the base point.
	keyScalars []*scalar.Scalar
	keys       []*curve.ExpandedEdwardsPoint
	restScalar []*scalar.Scalar
	rest       []*curve.EdwardsPoint
}

// newMerged returns an equation with room for n signatures.
func newMerged(n int) *merged {
	m := &merged{
		random: make([]byte, n*randomBytes), terms: make(map[*expandedKey]int),
		restScalar: make([]*scalar.Scalar, 1, 1+n), rest: make([]*curve.EdwardsPoint, 1, 1+n),
	}
	_, _ = rand.Read(m.random) // never fails
	m.restScalar[0], m.rest[0] = scalar.New(), curve.ED25519_BASEPOINT_POINT
	return m
}

// add adds a signature, or returns false if it can be refused without arithmetic.
func (m *merged) add(c *Check, key *expandedKey) bool {
	s := &c.Signature
	compressed := curve.CompressedEdwardsY(s[:32])
	var r curve.EdwardsPoint
	var response, hash, factor scalar.Scalar
	if _, err := response.SetBits(s[32:]); err != nil || !scalar.ScMinimalVartime(s[32:]) {
		return false
	}
	if _, err := r.SetCompressedY(&compressed); err != nil {
		return false
	}
	m.hashed = append(append(append(m.hashed[:0], s[:32]...), c.Key[:]...), c.Message...)
	sum := sha512.Sum512(m.hashed)
	var z [32]byte
	copy(z[:], m.random[:randomBytes])
	m.random = m.random[randomBytes:]
	_, hashErr := hash.SetBytesModOrderWide(sum[:])
	_, factorErr := factor.SetBits(z[:])
	if hashErr != nil || factorErr != nil {
		return false // their lengths are right
	}
	m.rest, m.restScalar = append(m.rest, &r), append(m.restScalar, &factor)
	m.restScalar[0].Add(m.restScalar[0], response.Mul(&response, &factor))
	hash.Mul(&hash, &factor)
	if i, known := m.terms[key]; known {
		m.keyScalars[i].Add(m.keyScalars[i], &hash)
		return true
	}
	m.terms[key] = len(m.keys)
	m.keys, m.keyScalars = append(m.keys, key.point), append(m.keyScalars, &hash)
	return true
}

// holds tells whether all signatures added are valid; or, with a chance of 2^-128,
// some are not.
func (m *merged) holds() bool {
	m.restScalar[0].Neg(m.restScalar[0])
	var sum curve.EdwardsPoint
	return sum.ExpandedMultiscalarMulVartime(m.keyScalars, m.keys, m.restScalar, m.rest).IsSmallOrder()
}
