package crypto

import (
	"crypto/sha256"
	"slices"
)

// The trees are those of RFC 6962, section 2.1: a tree of n > 1 leaves splits
// at the largest power of two below n. Leaves and inner nodes are hashed with
// different first bytes, so that neither passes for the other, and no leaf is
// ever doubled to fill a level, so that a root has one sequence of leaves.
const (
	merkleLeafPrefix  = 0
	merkleInnerPrefix = 1
)

// MerkleTree is the tree over some leaves, which gives the path of each. It
// does not change, and many goroutines may use it at once. The zero MerkleTree
// has no leaves.
type MerkleTree struct {
	// levels are the nodes from the leaves' up to the root alone. Pairs make
	// the next level; a last node without a partner rises as it is, which gives
	// the tree of the RFC.
	levels [][]Digest
}

// NewMerkleTree returns the tree over the leaves in this order, which it
// copies. It costs two hashes a leaf.
func NewMerkleTree(leaves []Digest) *MerkleTree {
	if len(leaves) == 0 {
		return &MerkleTree{}
	}
	level := make([]Digest, len(leaves))
	for i := range leaves {
		level[i] = merkleLeaf(leaves[i])
	}
	t := &MerkleTree{levels: [][]Digest{level}}
	for len(level) > 1 {
		level = merkleParents(level)
		t.levels = append(t.levels, level)
	}
	return t
}

// Root returns the root of the tree. That of no leaves is the hash of nothing.
func (t *MerkleTree) Root() Digest {
	if len(t.levels) == 0 {
		return Sum()
	}
	return t.levels[len(t.levels)-1][0]
}

// Path returns what MerkleVerify needs to prove the leaf at index: its siblings
// from the leaf's level to below the root. It is nil if there is no such leaf,
// and also, rightly, for the only leaf.
func (t *MerkleTree) Path(index int) []Digest {
	if len(t.levels) == 0 || index < 0 || index >= len(t.levels[0]) {
		return nil
	}
	var path []Digest
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := index ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		index /= 2
	}
	return path
}

// MerkleRoot returns the root of the tree over the leaves in this order. That
// of no leaves is the hash of nothing.
func MerkleRoot(leaves []Digest) Digest { return MerkleFold(slices.Clone(leaves)) }

// MerkleFold is MerkleRoot for who needs the leaves no more: it overwrites them,
// and takes no other memory.
func MerkleFold(leaves []Digest) Digest {
	if len(leaves) == 0 {
		return Sum()
	}
	for i := range leaves {
		leaves[i] = merkleLeaf(leaves[i])
	}
	for level := leaves; len(level) > 1; level = level[:len(level)-len(level)/2] {
		for i := range len(level) / 2 {
			level[i] = merkleNode(level[2*i], level[2*i+1])
		}
		if last := len(level) - 1; last%2 == 0 {
			level[last/2] = level[last]
		}
	}
	return leaves[0]
}

// MerklePath returns MerkleTree.Path of one leaf. It hashes the whole tree: for
// several paths make the tree once.
func MerklePath(leaves []Digest, index int) []Digest { return NewMerkleTree(leaves).Path(index) }

// MerkleVerify tells whether path proves that the tree with this root and this
// number of leaves has leaf at index. The number must come from where the root
// comes from, such as under the same signature: trees of different sizes can
// have paths of one shape. A path that is longer or shorter than that of the
// place is refused.
func MerkleVerify(root, leaf Digest, index, leaves int, path []Digest) bool {
	got, ok := MerkleClimb(leaf, index, leaves, path)
	return ok && got == root
}

// MerkleClimb returns the root that path leads to from leaf, for who knows the root
// only by a signature over it; and false if there is no such place in a tree of so
// many leaves, or its path has another length.
func MerkleClimb(leaf Digest, index, leaves int, path []Digest) (Digest, bool) {
	if !MerklePathFits(index, leaves, len(path)) {
		return Digest{}, false
	}
	node := merkleLeaf(leaf)
	for width := leaves; width > 1; width -= width / 2 { // half, rounded up
		if sibling := index ^ 1; sibling < width {
			if sibling < index {
				node = merkleNode(path[0], node)
			} else {
				node = merkleNode(node, path[0])
			}
			path = path[1:]
		}
		index /= 2
	}
	return node, true
}

// MerklePathFits tells whether a tree of so many leaves has a place index, whose path
// has this length.
func MerklePathFits(index, leaves, length int) bool {
	if index < 0 || index >= leaves {
		return false
	}
	for width := leaves; width > 1; width -= width / 2 {
		if index^1 < width {
			length--
		}
		index /= 2
	}
	return length == 0
}

// merkleParents returns the level above this one of two nodes or more.
func merkleParents(level []Digest) []Digest {
	up := make([]Digest, 0, len(level)-len(level)/2)
	for i := 0; i+1 < len(level); i += 2 {
		up = append(up, merkleNode(level[i], level[i+1]))
	}
	if len(level)%2 == 1 {
		up = append(up, level[len(level)-1])
	}
	return up
}

func merkleLeaf(leaf Digest) Digest {
	var b [1 + DigestSize]byte
	b[0] = merkleLeafPrefix
	copy(b[1:], leaf[:])
	return sha256.Sum256(b[:])
}

func merkleNode(left, right Digest) Digest {
	var b [1 + 2*DigestSize]byte
	b[0] = merkleInnerPrefix
	copy(b[1:], left[:])
	copy(b[1+DigestSize:], right[:])
	return sha256.Sum256(b[:])
}
