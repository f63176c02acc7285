package wire

import "github.com/quorate/quorate/crypto"

// climb returns the root that path leads to from leaf, and whether the path has
// the length of that place. It is crypto.MerkleVerify for a root that only its
// signature vouches for; a test holds the two together.
func climb(leaf crypto.Digest, index, leaves int, path []crypto.Digest) (crypto.Digest, bool) {
	if index < 0 || index >= leaves {
		return crypto.Digest{}, false
	}
	node := crypto.Sum([]byte{0}, leaf[:])
	for width := leaves; width > 1; width -= width / 2 {
		if sibling := index ^ 1; sibling < width {
			if len(path) == 0 {
				return crypto.Digest{}, false
			}
			left, right := &node, &path[0]
			if sibling < index {
				left, right = right, left
			}
			node = crypto.Sum([]byte{1}, left[:], right[:])
			path = path[1:]
		}
		index /= 2
	}
	return node, len(path) == 0
}

// root returns the Merkle root that the reply's path leads to.
func (m *Reply) root() (crypto.Digest, bool) {
	return climb(ReplyLeaf(m), int(m.Index), int(m.Leaves), m.Path)
}

// replyBody appends what the signature of a reply covers.
func (b buf) replyBody(m *Reply, root *crypto.Digest) buf {
	return b.view(m.View).u32(m.Leaves).digest(root).id(m.Sender)
}
