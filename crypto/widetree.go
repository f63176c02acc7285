package crypto

import (
	"crypto/sha256"
	"slices"
)

// wideFan is how many nodes have one parent in a wide tree. The parent of 16 costs nine blocks
// of SHA-256, where the 15 parents of two in its place cost 30; a path is three to four times
// as long.
const wideFan = 16

// wideInnerPrefix begins what an inner node hashes.
const wideInnerPrefix = 2

// WideTree is a Merkle tree in which up to 16 nodes in a row have one parent, for who makes
// many trees, and seldom needs a path. Its leaves are taken as they are, not hashed once
// more: they must be digests of something that begins with another byte than 2, as what Sum
// is given with a tag does, so that no inner node passes for a leaf. The number of leaves
// must come from where the root comes from. A last node alone rises as it is. It does not
// change, and many goroutines may use it at once. The zero WideTree has no leaves.
type WideTree struct{ levels [][]Digest }

// NewWideTree returns the tree over the leaves in this order, which it copies.
func NewWideTree(leaves []Digest) *WideTree {
	if len(leaves) == 0 {
		return &WideTree{}
	}
	level := slices.Clone(leaves)
	t := &WideTree{levels: [][]Digest{level}}
	for len(level) > 1 {
		level = wideParents(level, make([]Digest, 0, wideAbove(len(level))))
		t.levels = append(t.levels, level)
	}
	return t
}

// Root returns the root of the tree. That of no leaves is the hash of nothing.
func (t *WideTree) Root() Digest {
	if len(t.levels) == 0 {
		return Sum()
	}
	return t.levels[len(t.levels)-1][0]
}

// Path returns what WideClimb needs to go from the leaf at index to the root: at each
// level the others that have the same parent, in their order. It is nil if there is no
// such leaf, and also, rightly, for the only leaf.
func (t *WideTree) Path(index int) []Digest {
	if len(t.levels) == 0 || index < 0 || index >= len(t.levels[0]) {
		return nil
	}
	var path []Digest
	for _, level := range t.levels[:len(t.levels)-1] {
		from, to := wideRow(index, len(level))
		path = append(append(path, level[from:index]...), level[index+1:to]...)
		index /= wideFan
	}
	return path
}

// WideFold returns the root of the tree over the leaves in this order, for who needs them
// no more: it overwrites them, and takes no other memory.
func WideFold(leaves []Digest) Digest {
	if len(leaves) == 0 {
		return Sum()
	}
	for len(leaves) > 1 {
		leaves = wideParents(leaves, leaves[:0])
	}
	return leaves[0]
}

// WideClimb returns the root that path leads to from leaf; and false if there is no such
// place in a tree of so many leaves, or its path has another length.
func WideClimb(leaf Digest, index, leaves int, path []Digest) (Digest, bool) {
	if !WidePathFits(index, leaves, len(path)) {
		return Digest{}, false
	}
	node := leaf
	var row [wideFan]Digest
	for width := leaves; width > 1; width = wideAbove(width) {
		from, to := wideRow(index, width)
		copy(row[:index-from], path)
		row[index-from] = node
		copy(row[index-from+1:to-from], path[index-from:])
		path = path[to-from-1:]
		node = wideNode(row[:to-from])
		index /= wideFan
	}
	return node, true
}

// WidePathFits tells whether a tree of so many leaves has a place index, whose path has
// this length.
func WidePathFits(index, leaves, length int) bool {
	if index < 0 || index >= leaves {
		return false
	}
	for width := leaves; width > 1; width = wideAbove(width) {
		from, to := wideRow(index, width)
		length -= to - from - 1
		index /= wideFan
	}
	return length == 0
}

// wideAbove returns how many nodes the level above one of so many has.
func wideAbove(width int) int { return (width + wideFan - 1) / wideFan }

// wideRow returns from where to where those lie, in a level of so many, that have the same
// parent as the one at index.
func wideRow(index, width int) (from, to int) {
	from = index - index%wideFan
	return from, min(from+wideFan, width)
}

// wideParents appends the level above this one to up, which may be the beginning of it.
func wideParents(level, up []Digest) []Digest {
	for len(level) > 0 {
		n := min(wideFan, len(level))
		up = append(up, wideNode(level[:n]))
		level = level[n:]
	}
	return up
}

// wideNode returns the parent of nodes.
func wideNode(nodes []Digest) Digest {
	if len(nodes) == 1 {
		return nodes[0]
	}
	var b [1 + wideFan*DigestSize]byte
	b[0] = wideInnerPrefix
	for i := range nodes {
		copy(b[1+i*DigestSize:], nodes[i][:])
	}
	return sha256.Sum256(b[:1+len(nodes)*DigestSize])
}
