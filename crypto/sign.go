package crypto

// PublicKey is an ed25519 public key that ParsePublicKey accepted, or bytes
// that claim to be one.
type PublicKey [32]byte

// Signature is an ed25519 signature.
type Signature [64]byte

// Domain separates the signatures of one cluster and epoch from all others.
type Domain struct {
	Cluster Digest // hash of the genesis
	Epoch   uint64
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
	// are. len(ok) must be len(checks).
	Verify(checks []Check, ok []bool) bool
}
