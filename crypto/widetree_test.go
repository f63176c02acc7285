package crypto

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wideByDefinition is the definition read aloud: rows of 16 have one parent, one alone rises.
func wideByDefinition(level []Digest) Digest {
	if len(level) == 0 {
		return Sum()
	}
	for len(level) > 1 {
		var above []Digest
		for row := range slices.Chunk(level, 16) {
			if len(row) == 1 {
				above = append(above, row[0])
				continue
			}
			hashed := []byte{2}
			for _, d := range row {
				hashed = append(hashed, d[:]...)
			}
			above = append(above, Sum(hashed))
		}
		level = above
	}
	return level[0]
}

func TestWideRootIsThatOfTheDefinition(t *testing.T) {
	t.Parallel()
	for n := range 600 {
		leaves := testLeaves(n)
		want := wideByDefinition(leaves)
		if got := NewWideTree(leaves).Root(); got != want {
			t.Errorf("tree of %d leaves: got %s, want %s", n, got, want)
		}
		if diff := cmp.Diff(testLeaves(n), leaves); diff != "" {
			t.Fatalf("a tree of %d leaves changed them:\n%s", n, diff)
		}
		if got := WideFold(leaves); got != want {
			t.Errorf("fold of %d leaves: got %s, want %s", n, got, want)
		}
	}
}

func TestWideRootHasItsGoldenBytes(t *testing.T) {
	t.Parallel()
	var got []string
	for _, n := range []int{0, 1, 5, 40} {
		got = append(got, NewWideTree(testLeaves(n)).Root().Short())
	}
	want := []string{"e3b0c442", "af5570f5", "97099c10", "ba625bed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryWideLeafHasAPathForItsPlaceAlone(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 15, 16, 17, 18, 32, 33, 100, 255, 256, 257, 273} {
		leaves := testLeaves(n)
		tree := NewWideTree(leaves)
		for i, leaf := range leaves {
			path := tree.Path(i)
			for j := -1; j <= n; j++ {
				got, ok := WideClimb(leaf, j, n, path)
				if (ok && got == tree.Root()) != (i == j) {
					t.Errorf("path of %d of %d at %d: leads to %s, %t, want the root of its own place alone", i, n, j, got, ok)
				}
			}
		}
	}
}

func TestWideClimbWantsExactlyThePath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		leaves := testLeaves(rapid.IntRange(1, 600).Draw(t, "leaves"))
		n := len(leaves)
		i := rapid.IntRange(0, n-1).Draw(t, "index")
		tree := NewWideTree(leaves)
		root, path := tree.Root(), tree.Path(i)
		flip := func(d Digest) Digest {
			d[rapid.IntRange(0, DigestSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			return d
		}
		refused := func(what string, leaf Digest, path []Digest) {
			if got, ok := WideClimb(leaf, i, n, path); ok && got == root {
				t.Errorf("%s is accepted", what)
			}
		}
		if got, ok := WideClimb(leaves[i], i, n, path); !ok || got != root {
			t.Fatal("the path itself is refused")
		}
		refused("another leaf", flip(leaves[i]), path)
		refused("a longer path", leaves[i], append(slices.Clone(path), root))
		if WidePathFits(i, n, len(path)+1) || WidePathFits(i, n, len(path)-1) || !WidePathFits(i, n, len(path)) {
			t.Fatalf("another length than %d fits leaf %d of %d", len(path), i, n)
		}
		if WidePathFits(-1, n, len(path)) || WidePathFits(n, n, len(path)) {
			t.Fatalf("there is no such leaf of %d", n)
		}
		if len(path) == 0 {
			return
		}
		refused("a shorter path", leaves[i], path[:len(path)-1])
		changed := slices.Clone(path)
		at := rapid.IntRange(0, len(path)-1).Draw(t, "at")
		changed[at] = flip(changed[at])
		refused("another path", leaves[i], changed)
		if above := tree.levels[1][i/wideFan]; above != leaves[i] { // or it rose
			refused("the node above", above, path)
		}
	})
}

// TestWideTreesOfOneSizeDiffer: lists of the same length, of leaves of which some are nodes of
// others, have roots of their own.
func TestWideTreesOfOneSizeDiffer(t *testing.T) {
	t.Parallel()
	alphabet := testLeaves(3)
	alphabet = append(alphabet, WideFold(slices.Clone(alphabet[:2])))
	for n := 1; n <= 5; n++ {
		seen := make(map[Digest]string)
		var visit func(leaves []Digest, name string)
		visit = func(leaves []Digest, name string) {
			if len(leaves) < n {
				for i, leaf := range alphabet {
					visit(append(slices.Clone(leaves), leaf), name+string(rune('a'+i)))
				}
				return
			}
			root := WideFold(slices.Clone(leaves))
			if other, found := seen[root]; found {
				t.Errorf("%q and %q have one root", name, other)
			}
			seen[root] = name
		}
		visit(nil, "")
	}
}

func TestWideTreeWithoutLeavesHasNoPaths(t *testing.T) {
	t.Parallel()
	tree := NewWideTree(testLeaves(3))
	if tree.Path(-1) != nil || tree.Path(3) != nil || NewWideTree(testLeaves(1)).Path(0) != nil {
		t.Error("there is a path where there is no leaf, or only one")
	}
	if new(WideTree).Path(0) != nil || new(WideTree).Root() != Sum() || WideFold(nil) != Sum() {
		t.Error("no leaves have a path, or another root than the hash of nothing")
	}
}
