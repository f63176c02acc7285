package sim

import (
	"crypto/sha256"

	"github.com/quorate/quorate/crypto"
)

// Scheme is a stub signature scheme: signatures are keyed hashes, which nothing
// inside the simulation can forge without the key. It makes schedules fast. It
// is its own verifier. The keys are real, so that they parse.
type Scheme struct {
	secrets map[crypto.PublicKey][crypto.SeedSize]byte
}

// NewScheme returns a scheme without keys.
func NewScheme() *Scheme { return &Scheme{map[crypto.PublicKey][crypto.SeedSize]byte{}} }

// stubSigner signs for one key of a Scheme.
type stubSigner struct {
	public crypto.PublicKey
	secret [crypto.SeedSize]byte
}

// Signer makes key known and returns its signer.
func (s *Scheme) Signer(key crypto.PrivateKey) crypto.Signer {
	s.secrets[key.Public()] = key.Seed()
	return stubSigner{key.Public(), key.Seed()}
}

// stub hashes with SHA-256, which is four times as fast here as SHA-512 is: half
// of the signature is zero.
func stub(secret [crypto.SeedSize]byte, message []byte) (s crypto.Signature) {
	var short [512]byte
	hash := sha256.Sum256(append(append(short[:0], secret[:]...), message...))
	copy(s[:], hash[:])
	return s
}

// Public returns the key.
func (s stubSigner) Public() crypto.PublicKey { return s.public }

// Sign returns the stub signature of message.
func (s stubSigner) Sign(message []byte) crypto.Signature { return stub(s.secret, message) }

// Verify checks stub signatures.
func (s *Scheme) Verify(checks []crypto.Check, ok []bool) bool {
	all := true
	for i, c := range checks {
		secret, known := s.secrets[c.Key]
		ok[i] = known && stub(secret, c.Message) == c.Signature
		all = all && ok[i]
	}
	return all
}
