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

// stub is a keyed hash of 128 bits, spread over the signature.
func stub(secret *[crypto.SeedSize]byte, message []byte) (s crypto.Signature) {
	h := hasher{binary.LittleEndian.Uint64(secret[0:]), binary.LittleEndian.Uint64(secret[8:])}
	h.write(message)
	h.a, h.b = mix(h.a^binary.LittleEndian.Uint64(secret[16:]), h.b^binary.LittleEndian.Uint64(secret[24:]))
	h.sum(s[:])
	return s
}

// hasher is a hash of 128 bits. It is no cryptography, but nothing in a simulation
// looks for collisions, and chance finds none; it is many times as fast as SHA-256.
// Each step mixes 16 bytes by one multiplication into 128 bits (as wyhash does).
type hasher struct{ a, b uint64 }

// write takes in one piece: two pieces are not the same as both in one.
func (h *hasher) write(piece []byte) {
	a, b, length := h.a, h.b, uint64(len(piece))
	for ; len(piece) >= 16; piece = piece[16:] {
		a, b = mix(a^binary.LittleEndian.Uint64(piece), b^binary.LittleEndian.Uint64(piece[8:]))
	}
	var rest [16]byte
	copy(rest[:], piece)
	a, b = mix(a^binary.LittleEndian.Uint64(rest[:]), b^binary.LittleEndian.Uint64(rest[8:]))
	h.a, h.b = mix(a^length, b)
}

// sum fills out, in steps of 16 bytes, with the hash.
func (h *hasher) sum(out []byte) {
	for ; len(out) >= 16; out = out[16:] {
		binary.LittleEndian.PutUint64(out, h.a)
		binary.LittleEndian.PutUint64(out[8:], h.b)
	}
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
