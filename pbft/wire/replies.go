package wire

import (
	"encoding/binary"

	"github.com/quorate/quorate/crypto"
)

// Told returns the i-th answer with whose it is.
func (m *Replies) Told(i int) Told {
	return Told{Client: m.Client, Session: m.Session, Answer: m.Answers[i]}
}

// Reply returns the i-th answer with its proof. It hashes all answers: few need a
// proof for others.
func (m *Replies) Reply(i int) *Reply { return m.Prover()(i) }

// Prover returns what Reply is, for who needs more than one of m: all answers are hashed
// once.
func (m *Replies) Prover() func(i int) *Reply {
	tree := crypto.NewWideTree(m.leaves())
	return func(i int) *Reply {
		inner := Place{Index: uint32(i), Leaves: uint32(len(m.Answers)), Path: tree.Path(i)} //nolint:gosec // at most RepliesMax
		return &Reply{
			View: m.View, Told: m.Told(i), Inner: inner, Outer: m.Outer, Sender: m.Sender, Signature: m.Signature,
		}
	}
}

// SealReplies returns what sender, in view, answers to clients at once: a Replies
// for each client and session, or several where one has no room for all. All carry
// one signature. Answers keep their order, and Replies that of their first answers;
// results are shared with told.
func SealReplies(signer crypto.Signer, d crypto.Domain, view View, sender ReplicaID, told []Told) []*Sealed {
	return SealRepliesApart(signer, d, view, sender, [][]Told{told})[0]
}

// SealRepliesApart is SealReplies for several lists, such as of what was asked for in
// different places: no Replies has answers of two of them, but all carry one signature.
func SealRepliesApart(signer crypto.Signer, d crypto.Domain, view View, sender ReplicaID, lists [][]Told) [][]*Sealed {
	var all []Replies
	ends := make([]int, len(lists))
	for i, told := range lists {
		if len(told) > 0 {
			all = append(all, groupReplies(told)...)
		}
		ends[i] = len(all)
	}
	apart := make([][]*Sealed, len(lists))
	if len(all) == 0 {
		return apart
	}
	groups := make([]crypto.Digest, len(all))
	for i := range all {
		groups[i] = all[i].group()
	}
	tree := crypto.NewMerkleTree(groups)
	s := repliesRoot{view, uint32(len(all)), tree.Root(), sender} //nolint:gosec // a batch has far fewer operations
	signature := s.sign(signer, d)
	sealed := make([]*Sealed, len(all))
	for i := range all {
		m := &all[i]
		m.View, m.Sender, m.Signature = view, sender, signature
		m.Outer = Place{Index: uint32(i), Leaves: s.groups, Path: tree.Path(i)} //nolint:gosec // as above
		sealed[i] = Reseal(m)
	}
	from := 0
	for i, end := range ends {
		apart[i], from = sealed[from:end:end], end
	}
	return apart
}

// owner is whom answers are for.
type owner struct {
	client  ClientID
	session Session
}

// group is what groupReplies knows of one Replies.
type group struct {
	owner          owner
	last           Number
	answers, bytes int
}

// takes tells whether a may follow in the group. Numbers that do not ascend are of
// requests that came out of order, or twice: rare, so they are not sorted.
func (g *group) takes(a *Answer) bool {
	return a.Number > g.last && g.answers < RepliesMax && g.bytes+len(a.Result) <= RepliesBytesMax
}

// groupReplies puts answers into Replies, which lack all that the sender adds.
func groupReplies(told []Told) []Replies {
	var groups []group
	open := make(map[owner]int) // the group of each that may take more
	in := make([]int, len(told))
	at := -1
	for i := range told {
		t := &told[i]
		to := owner{t.Client, t.Session}
		if at < 0 || groups[at].owner != to { // most often a request has several operations
			var known bool
			if at, known = open[to]; !known {
				at = -1
			}
		}
		if at < 0 || !groups[at].takes(&t.Answer) {
			at = len(groups)
			groups = append(groups, group{owner: to})
			open[to] = at
		}
		g := &groups[at]
		g.last, g.answers, g.bytes = t.Number, g.answers+1, g.bytes+len(t.Result)
		in[i] = at
	}
	all, room := make([]Replies, len(groups)), make([]Answer, len(told))
	for i := range groups {
		g := &groups[i]
		all[i] = Replies{Client: g.owner.client, Session: g.owner.session, Answers: room[:0:g.answers]}
		room = room[g.answers:]
	}
	for i := range told {
		m := &all[in[i]]
		m.Answers = append(m.Answers, told[i].Answer)
	}
	return all
}

// RepliesHead is what the head of a frame of Replies says, which is not checked.
type RepliesHead struct {
	View  View // of the sender
	heads []byte
}

// Len returns how many answers the frame should have.
func (h RepliesHead) Len() int { return len(h.heads) / repliesEntryBytes }

// Number returns which operation the i-th is the answer to.
func (h RepliesHead) Number(i int) Number {
	return Number(binary.BigEndian.Uint64(h.heads[i*repliesEntryBytes:]))
}

// PeekReplies returns the head of a frame of Replies, so that what nobody waits for
// need not be taken apart. It returns false for other frames, and for those whose
// answers are none or cannot all be there; the rest may still be wrong.
func PeekReplies(frame []byte) (RepliesHead, bool) {
	const count = headerBytes + 8 + len(ClientID{}) + 8 // View, Client, Session
	const heads = count + countBytes
	if k, err := FrameKind(frame); err != nil || k != KindReplies || len(frame) < heads {
		return RepliesHead{}, false
	}
	n := int(binary.BigEndian.Uint32(frame[count:]))
	if n == 0 || n > RepliesMax || len(frame) < heads+n*repliesEntryBytes {
		return RepliesHead{}, false
	}
	view := View(binary.BigEndian.Uint64(frame[headerBytes:]))
	return RepliesHead{View: view, heads: frame[heads : heads+n*repliesEntryBytes]}, true
}

// PeekResults returns the nonce of a frame of Results, so that what nobody waits for need
// not be verified, and false for other frames; the rest may be wrong.
func PeekResults(frame []byte) (nonce uint64, is bool) {
	const at = headerBytes + len(ClientID{})
	if k, err := FrameKind(frame); err != nil || k != KindResults || len(frame) < at+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(frame[at:]), true
}

func (b buf) answerHead(a *Answer) buf {
	return b.u64(uint64(a.Number)).seq(a.Seq).u8(byte(a.Outcome))
}

func (b buf) place(p *Place) buf { return b.u32(p.Index).u32(p.Leaves).digests(p.Path) }

func (b buf) replies(m *Replies) buf {
	b = append(b.view(m.View), m.Client[:]...)
	b = b.u64(uint64(m.Session)).count(len(m.Answers))
	for i := range m.Answers {
		a := &m.Answers[i]
		b = b.answerHead(a).count(len(a.Result))
	}
	for i := range m.Answers {
		b = append(b, m.Answers[i].Result...)
	}
	return b.place(&m.Outer).id(m.Sender).signature(&m.Signature)
}

// answerHead reads an answer without its result.
func (r *reader) answerHead() Answer {
	a := Answer{Number: r.someNumber(), Seq: r.seq(), Outcome: Outcome(r.u8())}
	r.need(a.Outcome <= OutcomeTooLarge, "unknown outcome")
	return a
}

// outer reads the place of a group.
func (r *reader) outer() Place { return r.place(outerPathMax, crypto.MerklePathFits) }

// inner reads the place of an answer in its group.
func (r *reader) inner() Place {
	p := r.place(innerPathMax, crypto.WidePathFits)
	r.need(p.Leaves <= RepliesMax, "a group has too many answers")
	return p
}

func (r *reader) place(pathMax int, fits func(index, leaves, length int) bool) Place {
	p := Place{Index: r.u32(), Leaves: r.u32(), Path: r.digests("digests of a path", pathMax)}
	if r.err == nil {
		r.need(fits(int(p.Index), int(p.Leaves), len(p.Path)), "the path does not lead from its leaf to a root")
	}
	return p
}

func (r *reader) replies() Message {
	m := &Replies{View: r.view()}
	copy(m.Client[:], r.take(len(m.Client)))
	m.Session = Session(r.u64())
	n := r.count("answers", RepliesMax, repliesEntryBytes)
	r.need(n > 0, "no operation is answered")
	if r.err != nil {
		return m
	}
	m.Answers = make([]Answer, n)
	r.answers(m.Answers)
	m.Outer = r.outer()
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}

// answers reads the heads of all answers, and then their results.
func (r *reader) answers(answers []Answer) {
	var lengths [RepliesMax]int
	var above Number
	bytes := 0
	for i := range answers {
		a := r.answerHead()
		lengths[i] = r.count("bytes of a result", r.lim.ResultBytesMax, 1)
		if r.err == nil && a.Number <= above {
			r.fail("the answer to %d follows that to %d, want ascending order", a.Number, above)
		}
		if r.err != nil {
			return
		}
		answers[i], above, bytes = a, a.Number, bytes+lengths[i]
	}
	if len(answers) > 1 && bytes > RepliesBytesMax {
		r.fail("%d bytes of several results, at most %d are allowed", bytes, RepliesBytesMax)
	}
	for i := range answers {
		if lengths[i] > 0 {
			answers[i].Result = r.take(lengths[i])
		}
	}
}
