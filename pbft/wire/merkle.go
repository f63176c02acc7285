package wire

import "github.com/quorate/quorate/crypto"

// repliesRoot is what the signature of replies covers: the root of the tree of all
// groups, and how many there are.
type repliesRoot struct {
	view   View
	groups uint32
	root   crypto.Digest
	sender ReplicaID
}

func (b buf) repliesRoot(s *repliesRoot) buf {
	return b.view(s.view).u32(s.groups).digest(&s.root).id(s.sender)
}

func (s *repliesRoot) sign(signer crypto.Signer, d crypto.Domain) crypto.Signature {
	return signer.Sign(d.Message(byte(KindReply), buf(nil).repliesRoot(s)))
}

// climb returns the root that the path of a group leads to, if it fits.
func (p *Place) climb(group crypto.Digest) crypto.Digest {
	root, _ := crypto.MerkleClimb(group, int(p.Index), int(p.Leaves), p.Path)
	return root
}

// climbWide returns the root that the path of an answer leads to, if it fits.
func (p *Place) climbWide(answer crypto.Digest) crypto.Digest {
	root, _ := crypto.WideClimb(answer, int(p.Index), int(p.Leaves), p.Path)
	return root
}

// signed returns what the signature of m must cover.
func (m *Reply) signed() repliesRoot {
	answers := m.Inner.climbWide(AnswerDigest(&m.Answer))
	group := groupDigest(&m.Client, m.Session, int(m.Inner.Leaves), answers)
	return repliesRoot{m.View, m.Outer.Leaves, m.Outer.climb(group), m.Sender}
}

// signed returns what the signature of m must cover.
func (m *Replies) signed() repliesRoot {
	return repliesRoot{m.View, m.Outer.Leaves, m.Outer.climb(m.group()), m.Sender}
}

// group returns the leaf of m in the tree of all groups.
func (m *Replies) group() crypto.Digest {
	return groupDigest(&m.Client, m.Session, len(m.Answers), crypto.WideFold(m.leaves()))
}

// leaves returns those of the tree of m's answers.
func (m *Replies) leaves() []crypto.Digest {
	leaves := make([]crypto.Digest, len(m.Answers))
	for i := range m.Answers {
		leaves[i] = AnswerDigest(&m.Answers[i])
	}
	return leaves
}
