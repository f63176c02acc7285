package crypto

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func testLeaves(n int) []Digest {
	leaves := make([]Digest, n)
	for i := range leaves {
		leaves[i] = Sum(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return leaves
}

// merkleByDefinition is RFC 6962, section 2.1, read aloud.
func merkleByDefinition(leaves []Digest) Digest {
	switch len(leaves) {
	case 0:
		return Sum()
	case 1:
		return Sum([]byte{0}, leaves[0][:])
	}
	split := 1
	for 2*split < len(leaves) {
		split *= 2
	}
	left, right := merkleByDefinition(leaves[:split]), merkleByDefinition(leaves[split:])
	return Sum([]byte{1}, left[:], right[:])
}

func TestMerkleRootIsThatOfTheDefinition(t *testing.T) {
	t.Parallel()
	for n := range 70 {
		leaves := testLeaves(n)
		if got, want := MerkleRoot(leaves), merkleByDefinition(leaves); got != want {
			t.Errorf("%d leaves: got %s, want %s", n, got, want)
		}
	}
}

func TestMerkleRootHasItsGoldenBytes(t *testing.T) {
	t.Parallel()
	got := []string{MerkleRoot(nil).Short(), MerkleRoot(testLeaves(1)).Short(), MerkleRoot(testLeaves(5)).Short()}
	want := []string{"e3b0c442", "aea83306", "aa33f608"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryLeafHasAPathForItsPlaceAlone(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 33; n++ {
		leaves := testLeaves(n)
		tree := NewMerkleTree(leaves)
		for i, leaf := range leaves {
			path := tree.Path(i)
			if diff := cmp.Diff(MerklePath(leaves, i), path); diff != "" {
				t.Fatalf("leaf %d of %d: the two paths differ:\n%s", i, n, diff)
			}
			for j := -1; j <= n; j++ {
				if got, want := MerkleVerify(tree.Root(), leaf, j, n, path), i == j; got != want {
					t.Errorf("path of %d of %d at %d: got %v, want %v", i, n, j, got, want)
				}
			}
		}
	}
}

func TestMerkleVerifyWantsExactlyThePath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		leaves := testLeaves(rapid.IntRange(1, 200).Draw(t, "leaves"))
		n := len(leaves)
		i := rapid.IntRange(0, n-1).Draw(t, "index")
		root, path := MerkleRoot(leaves), MerklePath(leaves, i)
		if !MerkleVerify(root, leaves[i], i, n, path) {
			t.Fatal("the path itself is refused")
		}
		flip := func(d Digest) Digest {
			d[rapid.IntRange(0, DigestSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			return d
		}
		refused := func(what string, root, leaf Digest, path []Digest) {
			if MerkleVerify(root, leaf, i, n, path) {
				t.Errorf("%s is accepted", what)
			}
		}
		refused("another root", flip(root), leaves[i], path)
		refused("another leaf", root, flip(leaves[i]), path)
		refused("the node of the leaf", root, merkleLeaf(leaves[i]), path)
		refused("a longer path", root, leaves[i], append(slices.Clone(path), flip(root)))
		refused("a path with the root", root, leaves[i], append(slices.Clone(path), root))
		if len(path) == 0 {
			return
		}
		refused("a shorter path", root, leaves[i], path[:len(path)-1])
		changed := slices.Clone(path)
		at := rapid.IntRange(0, len(path)-1).Draw(t, "at")
		changed[at] = flip(changed[at])
		refused("another path", root, leaves[i], changed)
	})
}

// A tree that doubles its last leaf gives [a b c] and [a b c c] one root.
func TestDifferentLeavesHaveDifferentRoots(t *testing.T) {
	t.Parallel()
	seen := make(map[Digest]string)
	alphabet := testLeaves(3)
	alphabet = append(alphabet, MerkleRoot(alphabet[:2]), merkleLeaf(alphabet[0]))
	var visit func(leaves []Digest, name string)
	visit = func(leaves []Digest, name string) {
		root := MerkleRoot(leaves)
		if other, found := seen[root]; found {
			t.Errorf("%q and %q have one root", name, other)
		}
		seen[root] = name
		if len(leaves) == 5 {
			return
		}
		for i, d := range alphabet {
			visit(append(slices.Clone(leaves), d), name+fmt.Sprint(i))
		}
	}
	visit(nil, "")
}

func TestNoSuchLeafHasNoPath(t *testing.T) {
	t.Parallel()
	leaves := testLeaves(5)
	for _, i := range []int{-1, 5, 1 << 40} {
		if path := MerklePath(leaves, i); path != nil {
			t.Errorf("leaf %d of 5: got a path of %d", i, len(path))
		}
	}
	if new(MerkleTree).Path(0) != nil || new(MerkleTree).Root() != MerkleRoot(nil) {
		t.Error("the zero tree is not the empty one")
	}
	const huge = int(^uint(0) >> 1)
	for _, n := range []int{-1, 0, huge} {
		if MerkleVerify(MerkleRoot(leaves), leaves[0], 0, n, nil) {
			t.Errorf("a path of nothing proves a leaf of %d", n)
		}
	}
}

func TestMerkleTreeKeepsNoHoldOnTheLeaves(t *testing.T) {
	t.Parallel()
	leaves := testLeaves(3)
	tree := NewMerkleTree(leaves)
	root, path := tree.Root(), tree.Path(2)
	leaves[0], leaves[1] = Digest{}, Digest{}
	if tree.Root() != root || !cmp.Equal(tree.Path(2), path) {
		t.Error("the tree changed along with the slice it was made from")
	}
}

// TestMerkleClimbEndsAtTheRoot: the path of every leaf leads to the root, and none of
// another length, or of a place that is none, leads anywhere.
func TestMerkleClimbEndsAtTheRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := make([]Digest, rapid.IntRange(1, 70).Draw(t, "leaves"))
		for i := range leaves {
			leaves[i] = Sum([]byte{byte(i)})
		}
		i := rapid.IntRange(0, len(leaves)-1).Draw(t, "index")
		path := MerklePath(leaves, i)
		if root, ok := MerkleClimb(leaves[i], i, len(leaves), path); !ok || root != MerkleRoot(leaves) {
			t.Fatalf("leaf %d of %d: got %s, %t, want %s", i, len(leaves), root, ok, MerkleRoot(leaves))
		}
		if MerklePathFits(i, len(leaves), len(path)+1) || MerklePathFits(i, len(leaves), len(path)-1) {
			t.Fatalf("a path of another length than %d fits leaf %d of %d", len(path), i, len(leaves))
		}
		if root, ok := MerkleClimb(leaves[i], i, len(leaves), append(path, Digest{})); ok || !root.IsZero() {
			t.Fatal("a longer path leads to a root")
		}
		for _, wrong := range []int{-1, len(leaves)} {
			if MerklePathFits(wrong, len(leaves), len(path)) {
				t.Fatalf("there is no leaf %d of %d", wrong, len(leaves))
			}
		}
	})
}
