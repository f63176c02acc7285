package crypto

import (
	"crypto/sha256"
	"encoding/hex"
)

// DigestSize is the length of a Digest in bytes.
const DigestSize = sha256.Size

// Digest is a SHA-256 hash. The zero Digest stands for "none": nothing hashes
// to it.
type Digest [DigestSize]byte

// Sum returns the SHA-256 hash of the concatenation of parts. Callers make the
// concatenation unambiguous, by fixed widths or length prefixes.
func Sum(parts ...[]byte) Digest {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// String returns the whole digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first eight hexadecimal digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:4]) }

// IsZero tells whether d is the zero Digest.
func (d Digest) IsZero() bool { return d == Digest{} }
