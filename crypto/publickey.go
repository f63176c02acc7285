package crypto

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/curve"
)

// PublicKeySize is the length of a PublicKey in bytes.
const PublicKeySize = 32

// Why ParsePublicKey refuses a key, for errors.Is.
var (
	// ErrKeyLength says that a key has the wrong number of bytes or digits.
	ErrKeyLength = errors.New("crypto: key has the wrong length")
	// ErrKeyEncoding says that the bytes are not the one encoding of a point
	// of the curve.
	ErrKeyEncoding = errors.New("crypto: key is not the canonical encoding of a curve point")
	// ErrKeyWeak says that the point has small order: anyone can sign for it.
	ErrKeyWeak = errors.New("crypto: key has small order, so anyone can sign for it")
)

// PublicKey is an ed25519 public key that ParsePublicKey accepted, or bytes
// that claim to be one. It may be a map key: an accepted key has one encoding.
type PublicKey [PublicKeySize]byte

// ParsePublicKey returns the key with these bytes. It accepts exactly the
// canonical encodings of curve points that are not of small order, and says
// otherwise which of ErrKeyLength, ErrKeyEncoding and ErrKeyWeak it is. Every
// key is to pass through here before it is registered as a member's or a
// client's.
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: %d bytes, want %d", ErrKeyLength, len(b), PublicKeySize)
	}
	k := PublicKey(b)
	encoding := curve.CompressedEdwardsY(k)
	var point curve.EdwardsPoint
	if _, err := point.SetCompressedY(&encoding); err != nil {
		return PublicKey{}, fmt.Errorf("%w: %s is no point", ErrKeyEncoding, k)
	}
	var again curve.CompressedEdwardsY
	if again.SetEdwardsPoint(&point); again != encoding {
		return PublicKey{}, fmt.Errorf("%w: %s should be %s", ErrKeyEncoding, k, PublicKey(again))
	}
	if point.IsSmallOrder() { // [8]A is the identity
		return PublicKey{}, fmt.Errorf("%w: %s", ErrKeyWeak, k)
	}
	return k, nil
}

// ParsePublicKeyHex returns the key that String printed; see ParsePublicKey.
// Digits may be in either case.
func ParsePublicKeyHex(s string) (PublicKey, error) {
	if len(s) != hex.EncodedLen(PublicKeySize) {
		return PublicKey{}, fmt.Errorf("%w: %d hexadecimal digits, want %d",
			ErrKeyLength, len(s), hex.EncodedLen(PublicKeySize))
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKeyEncoding, err)
	}
	return ParsePublicKey(b)
}

// String returns the whole key in hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// Short returns the first eight hexadecimal digits, for people.
func (k PublicKey) Short() string { return hex.EncodeToString(k[:4]) }
