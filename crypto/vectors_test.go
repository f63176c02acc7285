package crypto

import (
	"crypto/sha512"
	"encoding/binary"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// field is arithmetic on the curve −x² + y² = 1 + d·x²·y² over the integers
// modulo p = 2²⁵⁵ − 19 with math/big alone, so that the vectors owe nothing to
// the libraries they are to test.
type field struct {
	p, d, order *big.Int // order is L, that of the base point
}

type affine struct{ x, y *big.Int }

func newField() field {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	p.Sub(p, big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	tail, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	return field{p: p, d: d, order: tail.Add(tail, new(big.Int).Lsh(big.NewInt(1), 252))}
}

// lift returns the point with this y and the x of either sign, or false.
func (f field) lift(y *big.Int) (affine, bool) {
	yy := new(big.Int).Mul(y, y)
	top := new(big.Int).Sub(yy, big.NewInt(1))
	bottom := new(big.Int).Mul(f.d, yy)
	bottom.Add(bottom, big.NewInt(1)).ModInverse(bottom.Mod(bottom, f.p), f.p)
	xx := top.Mul(top.Mod(top, f.p), bottom)
	x := new(big.Int).ModSqrt(xx.Mod(xx, f.p), f.p)
	return affine{x: x, y: new(big.Int).Mod(y, f.p)}, x != nil
}

func (f field) add(a, b affine) affine {
	ratio := func(top, bottom *big.Int) *big.Int {
		bottom.Mod(bottom, f.p)
		top.Mul(top.Mod(top, f.p), bottom.ModInverse(bottom, f.p))
		return top.Mod(top, f.p)
	}
	mul := func(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
	cross := mul(f.d, mul(mul(a.x, b.x), mul(a.y, b.y)))
	one := big.NewInt(1)
	return affine{
		x: ratio(new(big.Int).Add(mul(a.x, b.y), mul(a.y, b.x)), new(big.Int).Add(one, cross)),
		y: ratio(new(big.Int).Add(mul(a.y, b.y), mul(a.x, b.x)), new(big.Int).Sub(one, cross)),
	}
}

func (f field) times(n *big.Int, a affine) affine {
	sum := affine{x: big.NewInt(0), y: big.NewInt(1)}
	for i := n.BitLen() - 1; i >= 0; i-- {
		sum = f.add(sum, sum)
		if n.Bit(i) == 1 {
			sum = f.add(sum, a)
		}
	}
	return sum
}

// encode writes y, which need not be reduced, and a sign.
func (f field) encode(y *big.Int, sign uint) [32]byte {
	var b [32]byte
	new(big.Int).SetBit(y, 255, sign).FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

// smallOrderEncodings returns every 32 bytes that decode, by the lenient rule
// of ZIP-215, to one of the eight points of small order: L times a point kills
// all of it but that.
func (f field) smallOrderEncodings(tb testing.TB) [][32]byte {
	tb.Helper()
	var generator affine // of the group of eight
	for y := int64(2); ; y++ {
		a, ok := f.lift(big.NewInt(y))
		if !ok {
			continue
		}
		generator = f.times(f.order, a)
		if f.times(big.NewInt(4), generator).y.Cmp(big.NewInt(1)) != 0 {
			break
		}
	}
	seen := make(map[[32]byte]bool)
	var encodings [][32]byte
	for point, i := generator, 0; i < 8; point, i = f.add(point, generator), i+1 {
		unreduced := new(big.Int).Add(point.y, f.p)
		for _, y := range []*big.Int{point.y, unreduced} {
			for sign := range uint(2) {
				if e := f.encode(y, sign); y.BitLen() <= 255 && !seen[e] {
					seen[e] = true
					encodings = append(encodings, e)
				}
			}
		}
	}
	return encodings
}

// unreducedEncodings returns the encodings of large-order points with y ≥ p.
func (f field) unreducedEncodings() [][32]byte {
	var encodings [][32]byte
	for y := int64(2); y < 19; y++ {
		if _, ok := f.lift(big.NewInt(y)); ok {
			big := new(big.Int).Add(big.NewInt(y), f.p)
			encodings = append(encodings, f.encode(big, 0), f.encode(big, 1))
		}
	}
	return encodings
}

// offCurve returns an encoding of no point.
func (f field) offCurve() [32]byte {
	y := big.NewInt(2)
	for {
		if _, ok := f.lift(y); !ok {
			return f.encode(y, 0)
		}
		y.Add(y, big.NewInt(1))
	}
}

// plusOrder returns the signature with L added to S: the same modulo L.
func (f field) plusOrder(s Signature) Signature {
	le := slices.Clone(s[32:])
	slices.Reverse(le)
	sum := new(big.Int).Add(new(big.Int).SetBytes(le), f.order)
	sum.FillBytes(le)
	slices.Reverse(le)
	copy(s[32:], le)
	return s
}

func TestFourteenEncodingsHaveSmallOrder(t *testing.T) {
	t.Parallel()
	encodings := newField().smallOrderEncodings(t)
	if len(encodings) != 14 {
		t.Fatalf("got %d encodings, want 14", len(encodings))
	}
	canonical := 0
	for _, e := range encodings {
		encoding := curve.CompressedEdwardsY(e)
		var p curve.EdwardsPoint
		if _, err := p.SetCompressedY(&encoding); err != nil || !p.IsSmallOrder() {
			t.Errorf("%x: got error %v, small order %v, want a point of small order", e, err, p.IsSmallOrder())
		}
		if encoding.IsCanonicalVartime() {
			canonical++
		}
	}
	if canonical != 8 {
		t.Errorf("got %d canonical encodings, want 8", canonical)
	}
}

// torsionSigner signs for a key with a small-order component, with another in R.
type torsionSigner struct {
	secret scalar.Scalar
	keyT   curve.EdwardsPoint
	nonceT curve.EdwardsPoint
}

func newTorsionSigner(tb testing.TB, seed uint64, keyT, nonceT [32]byte) *torsionSigner {
	tb.Helper()
	s := &torsionSigner{secret: *hashScalar(tb, "secret", binary.BigEndian.AppendUint64(nil, seed))}
	for _, p := range []struct {
		encoding curve.CompressedEdwardsY
		point    *curve.EdwardsPoint
	}{{keyT, &s.keyT}, {nonceT, &s.nonceT}} {
		if _, err := p.point.SetCompressedY(&p.encoding); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// sign returns the check of a signature that is valid but for the torsion.
func (s *torsionSigner) sign(tb testing.TB, message []byte) Check {
	tb.Helper()
	public := s.point(&s.secret, &s.keyT)
	r := hashScalar(tb, "nonce", message)
	nonce := s.point(r, &s.nonceT)
	k := hashScalar(tb, "", nonce[:], public[:], message)
	k.Add(k.Mul(k, &s.secret), r)
	c := Check{Key: PublicKey(public), Message: message}
	copy(c.Signature[:32], nonce[:])
	if err := k.ToBytes(c.Signature[32:]); err != nil {
		tb.Fatal(err)
	}
	return c
}

// point returns the encoding of [n]B + torsion.
func (*torsionSigner) point(n *scalar.Scalar, torsion *curve.EdwardsPoint) curve.CompressedEdwardsY {
	var p curve.EdwardsPoint
	p.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, n)
	p.Add(&p, torsion)
	var c curve.CompressedEdwardsY
	c.SetEdwardsPoint(&p)
	return c
}

func hashScalar(tb testing.TB, label string, parts ...[]byte) *scalar.Scalar {
	tb.Helper()
	h := sha512.New()
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	s, err := scalar.NewFromBytesModOrderWide(h.Sum(nil))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestTorsionSignerWithoutTorsionSignsOrdinarily(t *testing.T) {
	t.Parallel()
	identity := newField().encode(big.NewInt(1), 0)
	c := newTorsionSigner(t, 1, identity, identity).sign(t, []byte("m"))
	ok := make([]bool, 1)
	NewVerifier(0).Verify([]Check{c}, ok)
	if diff := cmp.Diff([]bool{true}, ok); diff != "" {
		t.Error(diff)
	}
}
