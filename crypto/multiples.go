package crypto

import (
	"crypto/sha512"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

const (
	// multiplesAfter is after how many of its signatures were checked alone a key gets
	// a table of multiples: making one costs as much as it saves in so many checks.
	multiplesAfter = 8
	// multiplesMax bounds how many keys of a verifier have one, of multiplesBytes each.
	multiplesMax   = 128
	multiplesBytes = 40 << 10
	// aloneMax is how many signatures at once are checked one by one, if all their keys
	// have tables: a batch of more is cheaper.
	aloneMax = 3
	// hashedBytes is the length of what a signature hashes, mostly.
	hashedBytes = 640
)

// multiples is a table of the multiples of −A, for a key A. With it, and that of the base
// point B, S·B − h·A takes additions and no doublings.
type multiples struct{ table *curve.EdwardsBasepointTable }

func newMultiples(of *curve.ExpandedEdwardsPoint) *multiples {
	minus := of.Point()
	return &multiples{curve.NewEdwardsBasepointTable(minus.Neg(minus))}
}

// fits tells whether S·B − h·A has just the encoding R. Then the signature is valid: the
// encoding of a point is no other's, so S·B − h·A − R is zero, and of small order. One
// that does not fit may be valid all the same, by ZIP-215: if R has a part of small order,
// or another encoding. No signer makes such ones but on purpose.
func (m *multiples) fits(c *Check) bool {
	s := &c.Signature
	var response, hash scalar.Scalar
	if _, err := response.SetBits(s[32:]); err != nil || !scalar.ScMinimalVartime(s[32:]) {
		return false
	}
	var memory [hashedBytes]byte
	sum := sha512.Sum512(append(append(append(memory[:0], s[:32]...), c.Key[:]...), c.Message...))
	if _, err := hash.SetBytesModOrderWide(sum[:]); err != nil {
		return false // its length is right
	}
	var point, minus curve.EdwardsPoint
	point.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, &response)
	point.Add(&point, minus.MulBasepoint(m.table, &hash))
	var encoding curve.CompressedEdwardsY
	encoding.SetEdwardsPoint(&point)
	return encoding == curve.CompressedEdwardsY(s[:32])
}
