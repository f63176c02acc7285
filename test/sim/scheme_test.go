package sim

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// TestStubSignaturesBindKeyAndMessage changes every bit of a message, its length
// and the key: no two signatures may be the same, nor verify for another.
func TestStubSignaturesBindKeyAndMessage(t *testing.T) {
	scheme := NewScheme()
	var signers []crypto.Signer
	for i := range byte(3) {
		key, err := crypto.NewPrivateKey(append(make([]byte, crypto.SeedSize-1), i))
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, scheme.Signer(key))
	}
	verifies := func(s crypto.Signer, message []byte, signature crypto.Signature) bool {
		return scheme.Verify([]crypto.Check{{Key: s.Public(), Message: message, Signature: signature}}, make([]bool, 1))
	}
	seen := map[crypto.Signature]bool{}
	fresh := func(s crypto.Signer, message []byte) {
		signature := s.Sign(message)
		if seen[signature] {
			t.Fatalf("%x has the signature of another message or key", message)
		}
		seen[signature] = true
		if !verifies(s, message, signature) {
			t.Fatalf("the signature of %x does not verify", message)
		}
		if verifies(signers[0], append(bytes.Clone(message), 0), signature) || verifies(signers[0], nil, signature) {
			t.Fatalf("the signature of %x verifies for another message", message)
		}
		signature[len(signature)-1] ^= 1
		if verifies(s, message, signature) {
			t.Fatalf("a changed signature of %x verifies", message)
		}
	}
	for _, s := range signers {
		for length := 1; length < 100; length++ {
			message := make([]byte, length)
			fresh(s, message)
			for bit := range 8 * length {
				message[bit/8] ^= 1 << (bit % 8)
				fresh(s, message)
				message[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}
