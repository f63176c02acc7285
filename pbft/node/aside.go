package node

import (
	"slices"
	"sync"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// aside holds the votes that the order needs no more, unverified: what comes for a
// number after a quorum has voted for it, and says the same. Of four replicas one in
// three votes comes too late to count, and verifying is what a vote costs. Each is
// verified after all, and handed to the core, when it may prove a lie: when its
// sender votes otherwise for that number, or when anybody sends what certificates or
// view changes are in. Any goroutine may call its methods.
type aside struct {
	mu struct {
		sync.Mutex
		slots []asideSlot // by number: the last one that a place stands for
		held  int         // frames in all of them
	}
}

// asideSlot is what is known of one number in one view.
type asideSlot struct {
	view  wire.View
	seq   wire.Seq
	votes [2]asideVotes // prepares and commits
}

// asideVotes are the votes of one kind. Settled says that a quorum voted for digest.
type asideVotes struct {
	settled bool
	digest  crypto.Digest
	held    []asideFrame // of different senders
	passed  []asideVote  // what was not set aside, of different senders
}

// asideVote is the first vote of a sender that was passed on.
type asideVote struct {
	from   wire.ReplicaID
	digest crypto.Digest
}

type asideFrame struct {
	from  wire.ReplicaID
	frame []byte
}

// newAside returns an aside for the numbers of a window, which it remembers as long
// as they can be voted for.
func newAside(window wire.Seq) *aside {
	a := &aside{}
	a.mu.slots = make([]asideSlot, window)
	return a
}

// Places in asideSlot.votes.
const (
	asidePrepares = iota
	asideCommits
)

// observe takes in what the core has certificates for.
func (a *aside) observe(seen []core.Observation) {
	for _, o := range seen {
		if p, is := o.(core.BecamePrepared); is {
			a.settle(asidePrepares, p.View, p.Seq, p.Digest)
		}
		if c, is := o.(core.BecameCommitted); is {
			a.settle(asideCommits, c.View, c.Seq, c.Digest)
		}
	}
}

// settle notes that a quorum voted for digest.
func (a *aside) settle(kind int, v wire.View, seq wire.Seq, digest crypto.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hold(v, seq) {
		votes := &a.at(seq).votes[kind]
		votes.settled, votes.digest = true, digest
	}
}

// at returns the place of seq. It needs the lock.
func (a *aside) at(seq wire.Seq) *asideSlot { return &a.mu.slots[seq%wire.Seq(len(a.mu.slots))] }

// votesFor returns the votes of m's kind for its number, and nil if no quorum is
// known. It needs the lock.
func (a *aside) votesFor(kind int, v *wire.Vote) *asideVotes {
	s := a.at(v.Seq)
	if s.view != v.View || s.seq != v.Seq || !s.votes[kind].settled {
		return nil
	}
	return &s.votes[kind]
}

// take keeps a vote that its sender itself sends and that nobody needs, and tells
// whether it did.
func (a *aside) take(from wire.ReplicaID, frame []byte, lim *wire.Limits) bool {
	kind, v := voteIn(frame, lim)
	if v == nil || v.Sender != from {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	votes := a.votesFor(kind, v)
	if votes == nil || votes.digest != v.Digest || votes.contradicts(v) {
		return false
	}
	for _, held := range votes.held {
		if held.from == from {
			return true
		}
	}
	votes.held = append(votes.held, asideFrame{from, frame})
	a.mu.held++
	return true
}

// contradicts tells whether v's sender has cast another vote, which v convicts.
func (votes *asideVotes) contradicts(v *wire.Vote) bool {
	return slices.ContainsFunc(votes.passed, func(o asideVote) bool { return o.from == v.Sender && o.digest != v.Digest })
}

// pass remembers a vote that its sender itself sends, and that is not set aside, if it
// is for a number above stable in view: later ones cannot take its place then.
func (a *aside) pass(from wire.ReplicaID, frame []byte, lim *wire.Limits, view wire.View, stable wire.Seq) {
	kind, v := voteIn(frame, lim)
	if v == nil || v.Sender != from || v.View != view || v.Seq <= stable {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v.Seq-stable > wire.Seq(len(a.mu.slots)) || !a.hold(v.View, v.Seq) {
		return
	}
	votes := &a.at(v.Seq).votes[kind]
	if !slices.ContainsFunc(votes.passed, func(o asideVote) bool { return o.from == from }) {
		votes.passed = append(votes.passed, asideVote{from, v.Digest})
	}
}

// hold makes the place of seq stand for it in view v, and tells whether it does: not
// if it stands for something later. It needs the lock.
func (a *aside) hold(v wire.View, seq wire.Seq) bool {
	s := a.at(seq)
	if s.view > v || s.seq > seq {
		return false
	}
	if s.view != v || s.seq != seq {
		a.mu.held -= len(s.votes[asidePrepares].held) + len(s.votes[asideCommits].held)
		*s = asideSlot{view: v, seq: seq}
	}
	return true
}

// voteIn returns the vote in a frame, and its kind.
func voteIn(frame []byte, lim *wire.Limits) (int, *wire.Vote) {
	if k := wire.Kind(frame[1]); k != wire.KindPrepare && k != wire.KindCommit {
		return 0, nil
	}
	m, err := wire.Decode(frame, lim)
	if err != nil {
		return 0, nil
	}
	if p, is := m.(*wire.Prepare); is {
		return asidePrepares, &p.Vote
	}
	if c, is := m.(*wire.Commit); is {
		return asideCommits, &c.Vote
	}
	return 0, nil
}

// release returns the votes that frame gives reason to look at.
func (a *aside) release(frame []byte, lim *wire.Limits) []asideFrame {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.held == 0 {
		return nil
	}
	switch wire.Kind(frame[1]) {
	case wire.KindRequest, wire.KindPrePrepare, wire.KindStatus, wire.KindCheckpoint, wire.KindFetchPieces, wire.KindPiece,
		wire.KindFetchBatches, wire.KindBatchBody, wire.KindFetchCommitted, wire.KindFetchViewChange:
		return nil
	case wire.KindPrepare, wire.KindCommit:
		return a.releaseOf(frame, lim)
	default:
		return a.releaseAll()
	}
}

// releaseOf is release for a vote: of its sender for its number. It needs the lock.
func (a *aside) releaseOf(frame []byte, lim *wire.Limits) []asideFrame {
	_, v := voteIn(frame, lim)
	if v == nil {
		return nil
	}
	s := a.at(v.Seq)
	if s.view != v.View || s.seq != v.Seq {
		return nil
	}
	var out []asideFrame
	for kind := range s.votes {
		votes := &s.votes[kind]
		left := votes.held[:0]
		for _, held := range votes.held {
			if held.from == v.Sender && votes.digest != v.Digest {
				out = append(out, held)
				a.mu.held--
			} else {
				left = append(left, held)
			}
		}
		clear(votes.held[len(left):])
		votes.held = left
	}
	return out
}

// releaseAll releases everything. It needs the lock.
func (a *aside) releaseAll() []asideFrame {
	out := make([]asideFrame, 0, a.mu.held)
	for i := range a.mu.slots {
		for kind := range a.mu.slots[i].votes {
			votes := &a.mu.slots[i].votes[kind]
			out = append(out, votes.held...)
			votes.held = nil
		}
	}
	a.mu.held = 0
	return out
}

// sort takes out of batch the votes that nobody needs, and puts in, before the frame
// that gives the reason, those that may prove something now. The replica is in view,
// and has the checkpoint stable.
func (a *aside) sort(batch *frames, lim *wire.Limits, view wire.View, stable wire.Seq) {
	kept, from := make([][]byte, 0, len(batch.frames)), make([]source, 0, len(batch.frames))
	for i, frame := range batch.frames {
		if s := batch.from[i]; !s.client {
			if a.take(s.peer(), frame, lim) {
				continue
			}
			for _, held := range a.release(frame, lim) {
				kept, from = append(kept, held.frame), append(from, peerSource(held.from))
			}
			a.pass(s.peer(), frame, lim, view, stable)
		}
		kept, from = append(kept, frame), append(from, batch.from[i])
	}
	batch.frames, batch.from = kept, from
}
