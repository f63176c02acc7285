package crypto

import (
	"encoding/binary"
	"encoding/hex"
)

// ProtocolVersion is the version of the protocol that signatures are bound to.
const ProtocolVersion = 1

// signingTag begins whatever is signed, so that no signature of ours is one in
// another protocol that uses the same key.
const signingTag = "quorate\x00"

// SigningHeaderBytes is the length of what Message puts before the body.
const SigningHeaderBytes = len(signingTag) + 1 + 1 + DigestSize + 8

// Signature is an ed25519 signature.
type Signature [64]byte

// String returns the whole signature in hexadecimal.
func (s Signature) String() string { return hex.EncodeToString(s[:]) }

// Domain separates the signatures of one cluster and epoch from all others.
type Domain struct {
	Cluster Digest // hash of the genesis
	Epoch   uint64
}

// Message returns the bytes that are signed for a body of this kind: the tag
// "quorate\x00", one byte of protocol version, one byte of kind, 32 bytes of
// cluster digest, 8 bytes of epoch (big endian), and the body. All before the
// body has a fixed width, so no two (domain, kind, body) give the same bytes.
func (d Domain) Message(kind byte, body []byte) []byte {
	return append(d.AppendHeader(make([]byte, 0, SigningHeaderBytes+len(body)), kind), body...)
}

// AppendHeader appends to m what Message puts before the body.
func (d Domain) AppendHeader(m []byte, kind byte) []byte {
	m = append(m, signingTag...)
	m = append(m, ProtocolVersion, kind)
	m = append(m, d.Cluster[:]...)
	return binary.BigEndian.AppendUint64(m, d.Epoch)
}

// KindOf returns the kind in a message that Domain.Message made, for those who
// count. It is false for bytes too short to be one.
func KindOf(message []byte) (kind byte, ok bool) {
	if len(message) < SigningHeaderBytes {
		return 0, false
	}
	return message[len(signingTag)+1], true
}

// Signer signs for one key.
type Signer interface {
	// Public returns the key that verifies the signatures.
	Public() PublicKey
	// Sign returns the signature of message, which Domain.Message made.
	Sign(message []byte) Signature
}

// Check is one signature to verify.
type Check struct {
	Key       PublicKey
	Message   []byte // as Domain.Message made it
	Signature Signature
}

// Verifier applies the cluster's one verification rule, ZIP-215. Its methods
// may be called by many goroutines at once.
type Verifier interface {
	// Verify sets ok[i] to whether checks[i] is valid and returns whether all
	// are. len(ok) must be len(checks). It keeps neither checks nor their messages:
	// the caller uses that memory again.
	Verify(checks []Check, ok []bool) bool
}
