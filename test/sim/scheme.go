package sim

import (
	"encoding/binary"
	"math/bits"

	"github.com/quorate/quorate/crypto"
)

// Scheme is a stub signature scheme: signatures are keyed hashes, which nothing
// inside the simulation can forge without the key. It makes schedules fast. It
// is its own verifier. The keys are real, so that they parse.
type Scheme struct {
	secrets map[crypto.PublicKey]*[crypto.SeedSize]byte
}

// NewScheme returns a scheme without keys.
func NewScheme() *Scheme { return &Scheme{map[crypto.PublicKey]*[crypto.SeedSize]byte{}} }

// stubSigner signs for one key of a Scheme.
type stubSigner struct {
	public crypto.PublicKey
	secret *[crypto.SeedSize]byte
}

// Signer makes key known and returns its signer.
func (s *Scheme) Signer(key crypto.PrivateKey) crypto.Signer {
	secret := key.Seed()
	s.secrets[key.Public()] = &secret
	return stubSigner{key.Public(), &secret}
}

// stub is a keyed hash of 128 bits, spread over the signature. It is no
// cryptography, but nothing in a simulation looks for collisions, and chance finds
// none; it is many times as fast as SHA-256. Each step mixes 16 bytes by one
// multiplication into 128 bits (as wyhash does).
func stub(secret *[crypto.SeedSize]byte, message []byte) (s crypto.Signature) {
	word := binary.LittleEndian.Uint64
	a, b, length := word(secret[0:]), word(secret[8:]), uint64(len(message))
	for ; len(message) >= 16; message = message[16:] {
		a, b = mix(a^word(message), b^word(message[8:]))
	}
	var rest [16]byte
	copy(rest[:], message)
	a, b = mix(a^word(rest[:]), b^word(rest[8:]))
	a, b = mix(a^word(secret[16:])^length, b^word(secret[24:]))
	for i := 0; i < len(s); i += 16 {
		binary.LittleEndian.PutUint64(s[i:], a)
		binary.LittleEndian.PutUint64(s[i+8:], b)
	}
	return s
}

// mix spreads every bit of a and b over both results.
func mix(a, b uint64) (uint64, uint64) {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xe7037ed1a0b428db)
	return high ^ bits.RotateLeft64(a, 32) ^ b, low ^ bits.RotateLeft64(b, 32) + a
}

// Public returns the key.
func (s stubSigner) Public() crypto.PublicKey { return s.public }

// Sign returns the stub signature of message.
func (s stubSigner) Sign(message []byte) crypto.Signature { return stub(s.secret, message) }

// Verify checks stub signatures.
func (s *Scheme) Verify(checks []crypto.Check, ok []bool) bool {
	all := true
	for i := range checks {
		c := &checks[i]
		secret, known := s.secrets[c.Key]
		ok[i] = known && stub(secret, c.Message) == c.Signature
		all = all && ok[i]
	}
	return all
}
