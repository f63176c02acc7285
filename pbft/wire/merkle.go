package wire

import "github.com/quorate/quorate/crypto"

// pathFits tells whether the reply's path has the length of its place.
func (m *Reply) pathFits() bool {
	return crypto.MerklePathFits(int(m.Index), int(m.Leaves), len(m.Path))
}

// root returns the Merkle root that the reply's path leads to, if it fits.
func (m *Reply) root() crypto.Digest {
	root, _ := crypto.MerkleClimb(ReplyLeaf(m), int(m.Index), int(m.Leaves), m.Path)
	return root
}

// replyBody appends what the signature of a reply covers.
func (b buf) replyBody(m *Reply, root *crypto.Digest) buf {
	return b.view(m.View).u32(m.Leaves).digest(root).id(m.Sender)
}
