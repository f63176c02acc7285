package crypto

import (
	"crypto/rand"
	"crypto/sha512"
	"slices"
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

// hashedMax is the most memory that an equation keeps for what a signature hashes:
// most requests and all votes are shorter.
const hashedMax = 64 << 10

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
	// signatures are the memory of those scalars and points, one for each that was
	// added, and one more for the base point.
	signatures []signature
}

// signature is what the equation has of one.
type signature struct {
	r            curve.EdwardsPoint
	factor, hash scalar.Scalar
}

func newMerged() *merged { return &merged{terms: make(map[*expandedKey]int)} }

// begin makes an equation without signatures, and with room for n of them.
func (m *merged) begin(n int) {
	m.random = slices.Grow(m.random[:0], n*randomBytes)[:n*randomBytes]
	_, _ = rand.Read(m.random) // never fails
	m.signatures = slices.Grow(m.signatures[:0], 1+n)[:1]
	m.signatures[0].factor.Zero()
	m.restScalar = append(m.restScalar, &m.signatures[0].factor)
	m.rest = append(m.rest, curve.ED25519_BASEPOINT_POINT)
}

// end forgets the signatures, and holds on to none of their keys, nor to the memory
// of a long message.
func (m *merged) end() {
	clear(m.terms)
	clear(m.keys)
	if cap(m.hashed) > hashedMax {
		m.hashed = nil
	}
	m.keyScalars, m.keys, m.restScalar, m.rest = m.keyScalars[:0], m.keys[:0], m.restScalar[:0], m.rest[:0]
}

// add adds a signature, or returns false if it can be refused without arithmetic.
func (m *merged) add(c *Check, key *expandedKey) bool {
	s := &c.Signature
	compressed := curve.CompressedEdwardsY(s[:32])
	var response scalar.Scalar
	if _, err := response.SetBits(s[32:]); err != nil || !scalar.ScMinimalVartime(s[32:]) {
		return false
	}
	added := len(m.signatures)
	m.signatures = m.signatures[:added+1]
	own := &m.signatures[added]
	if _, err := own.r.SetCompressedY(&compressed); err != nil {
		m.signatures = m.signatures[:added]
		return false
	}
	m.hashed = append(append(append(m.hashed[:0], s[:32]...), c.Key[:]...), c.Message...)
	sum := sha512.Sum512(m.hashed)
	var z [32]byte
	copy(z[:], m.random[(added-1)*randomBytes:added*randomBytes])
	_, hashErr := own.hash.SetBytesModOrderWide(sum[:])
	_, factorErr := own.factor.SetBits(z[:])
	if hashErr != nil || factorErr != nil {
		return false // their lengths are right
	}
	m.rest, m.restScalar = append(m.rest, &own.r), append(m.restScalar, &own.factor)
	m.restScalar[0].Add(m.restScalar[0], response.Mul(&response, &own.factor))
	own.hash.Mul(&own.hash, &own.factor)
	if i, known := m.terms[key]; known {
		m.keyScalars[i].Add(m.keyScalars[i], &own.hash)
		return true
	}
	m.terms[key] = len(m.keys)
	m.keys, m.keyScalars = append(m.keys, key.point), append(m.keyScalars, &own.hash)
	return true
}

// holds tells whether all signatures added are valid; or, with a chance of 2^-128,
// some are not.
func (m *merged) holds() bool {
	m.restScalar[0].Neg(m.restScalar[0])
	var sum curve.EdwardsPoint
	return sum.ExpandedMultiscalarMulVartime(m.keyScalars, m.keys, m.restScalar, m.rest).IsSmallOrder()
}
