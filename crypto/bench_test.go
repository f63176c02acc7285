package crypto

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"
)

func benchChecks(b *testing.B, n, keys int) []Check {
	b.Helper()
	message := make([]byte, 128)
	checks := make([]Check, n)
	for i := range checks {
		copy(message, fmt.Sprint(i))
		checks[i] = signedCheck(b, uint64(i%keys), string(message))
	}
	return checks
}

// standardLibrary returns what one check costs there, for the ratios.
func standardLibrary(c Check) time.Duration {
	const rounds = 200
	start := time.Now()
	for range rounds {
		ed25519.Verify(c.Key[:], c.Message, c.Signature[:])
	}
	return time.Since(start) / rounds
}

// BenchmarkVerify reports a signature's cost and its ratio to the standard
// library's in the same run.
func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name    string
		n, keys int
		cached  bool
	}{
		{"1/unknown-key", 1, 1, false},
		{"1", 1, 1, true},
		{"3", 3, 3, true},
		{"8", 8, 8, true},
		{"64/unknown-keys", 64, 64, false},
		{"64", 64, 64, true},
		{"128", 128, 128, true},
		{"512", 512, 512, true},
		{"100/of-4-keys", 100, 4, true},
		{"100/of-100-keys", 100, 100, true},
		{"512/of-4-keys", 512, 4, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			size := 0
			if c.cached {
				size = c.keys
			}
			v, checks, ok := NewVerifier(size), benchChecks(b, c.n, c.keys), make([]bool, c.n)
			v.Verify(checks, ok)
			std := standardLibrary(checks[0])
			b.ReportAllocs()
			for b.Loop() {
				if !v.Verify(checks, ok) {
					b.Fatal("a valid signature was refused")
				}
			}
			each := b.Elapsed() / time.Duration(b.N*c.n)
			b.ReportMetric(float64(each.Nanoseconds()), "ns/signature")
			b.ReportMetric(float64(each)/float64(std), "of-stdlib")
		})
	}
}

func BenchmarkVerifyOneBadIn(b *testing.B) {
	for _, n := range []int{8, 64, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v, checks, ok := NewVerifier(n), benchChecks(b, n, n), make([]bool, n)
			v.Verify(checks, ok)
			checks[n/2].Signature[32] ^= 1 // of S: what is no point is refused before the batch
			for b.Loop() {
				v.Verify(checks, ok)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/signature")
		})
	}
}

func BenchmarkSign(b *testing.B) {
	k, message := testKey(b, 1), make([]byte, 128)
	seed := k.Seed()
	std := ed25519.NewKeyFromSeed(seed[:])
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			k.Sign(message)
		}
	})
	b.Run("standard-library", func(b *testing.B) {
		for b.Loop() {
			ed25519.Sign(std, message)
		}
	})
}

func BenchmarkMerkleTree(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			leaves := testLeaves(n)
			b.ReportAllocs()
			for b.Loop() {
				tree := NewMerkleTree(leaves)
				for i := range leaves {
					tree.Path(i)
				}
			}
		})
	}
}

// BenchmarkFold measures the root of a tree that overwrites its leaves, and of a wide one.
func BenchmarkFold(b *testing.B) {
	for _, n := range []int{16, 256} {
		for name, fold := range map[string]func([]Digest) Digest{"pairs": MerkleFold, "wide": WideFold} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				leaves := testLeaves(n)
				for b.Loop() {
					fold(leaves)
				}
			})
		}
	}
}

// BenchmarkSum measures the digest of a node of a Merkle tree, of a request, and of
// something long.
func BenchmarkSum(b *testing.B) {
	for _, length := range []int{64, 200, 4096} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			tag, left, right := []byte{1}, make([]byte, length/2), make([]byte, length-length/2)
			b.ReportAllocs()
			for b.Loop() {
				Sum(tag, left, right)
			}
		})
	}
}
