package crypto

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// SeedSize is the length of a private key's seed in bytes.
const SeedSize = 32

// PrivateKey is an ed25519 private key, and a Signer. It may be copied, and
// used by many goroutines at once. Printing it, also inside other values, shows
// at most its public key. The zero PrivateKey is no key: its public key and
// signatures are zero, and nothing accepts them.
type PrivateKey struct {
	// secret returns the seed and then the public key; it is nil in the zero
	// key. It is a function because fmt prints the unexported fields of an outer
	// struct without calling Format, and for some verbs follows pointers there;
	// of a function it prints the address.
	secret func() *[SeedSize + PublicKeySize]byte
}

// GenerateKey returns a new key from 32 bytes of random, which is
// crypto/rand.Reader if nil. Errors are those of reading it.
func GenerateKey(random io.Reader) (PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	var seed [SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("crypto: read randomness for a key: %w", err)
	}
	return NewPrivateKey(seed[:])
}

// NewPrivateKey returns the key of a seed (RFC 8032, 5.1.5), which must be 32
// bytes long and secret; otherwise the error is ErrKeyLength.
func NewPrivateKey(seed []byte) (PrivateKey, error) {
	if len(seed) != SeedSize {
		return PrivateKey{}, fmt.Errorf("%w: seed of %d bytes, want %d", ErrKeyLength, len(seed), SeedSize)
	}
	var secret [SeedSize + PublicKeySize]byte
	copy(secret[:], ed25519.NewKeyFromSeed(seed))
	return PrivateKey{secret: func() *[SeedSize + PublicKeySize]byte { return &secret }}, nil
}

// Seed returns the secret that NewPrivateKey makes the key from.
func (k PrivateKey) Seed() [SeedSize]byte {
	if k.secret == nil {
		return [SeedSize]byte{}
	}
	return [SeedSize]byte(k.secret()[:SeedSize])
}

// Public returns the key that verifies the signatures.
func (k PrivateKey) Public() PublicKey {
	if k.secret == nil {
		return PublicKey{}
	}
	return PublicKey(k.secret()[SeedSize:])
}

// Sign returns the signature of message, which Domain.Message made. The same
// message always gets the same signature (RFC 8032).
func (k PrivateKey) Sign(message []byte) Signature {
	if k.secret == nil {
		return Signature{}
	}
	return Signature(ed25519.Sign(k.secret()[:], message))
}

// Equal tells, in constant time, whether both are the same key.
func (k PrivateKey) Equal(other PrivateKey) bool {
	if k.secret == nil || other.secret == nil {
		return k.secret == nil && other.secret == nil
	}
	return subtle.ConstantTimeCompare(k.secret()[:], other.secret()[:]) == 1
}

// Format prints, whatever the verb, the beginning of the public key and
// nothing of the private one.
func (k PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "private key of "+k.Public().Short())
}
