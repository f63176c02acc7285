package wire

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
)

// TestClimbIsMerkleVerifyWithoutARoot holds climb to the trees of crypto: the
// root of every leaf's path, and a refusal of every path of another length.
func TestClimbIsMerkleVerifyWithoutARoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := make([]crypto.Digest, rapid.IntRange(1, 70).Draw(t, "leaves"))
		for i := range leaves {
			leaves[i] = crypto.Sum([]byte{byte(i)})
		}
		i := rapid.IntRange(0, len(leaves)-1).Draw(t, "index")
		path := crypto.MerklePath(leaves, i)
		root, ok := climb(leaves[i], i, len(leaves), path)
		if !ok || root != crypto.MerkleRoot(leaves) || !crypto.MerkleVerify(root, leaves[i], i, len(leaves), path) {
			t.Fatalf("leaf %d of %d: got %s, %t, want %s", i, len(leaves), root, ok, crypto.MerkleRoot(leaves))
		}
		if _, ok := climb(leaves[i], i, len(leaves), append(path, crypto.Digest{})); ok {
			t.Fatal("a longer path leads to a root")
		}
		if len(path) > 0 {
			if _, ok := climb(leaves[i], i, len(leaves), path[1:]); ok {
				t.Fatal("a shorter path leads to a root")
			}
		}
		for _, wrong := range []int{-1, len(leaves)} {
			if _, ok := climb(leaves[i], wrong, len(leaves), path); ok {
				t.Fatalf("leaf %d of %d leads to a root", wrong, len(leaves))
			}
		}
		other := rapid.IntRange(0, len(leaves)-1).Draw(t, "other")
		if got, ok := climb(leaves[i], other, len(leaves), path); ok && other != i && got == root {
			t.Fatalf("the path of leaf %d is one of leaf %d", i, other)
		}
	})
}
