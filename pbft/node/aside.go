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
// three votes comes too late to count, of many a third and more, and verifying is what
// a vote costs. Each is verified after all, and handed to the core, when it may prove a
// lie: when its sender votes otherwise for that number, or when anybody sends a
// certificate against it, or what view changes are in.
//
// A quorum has voted when the core says so. That may be late: many votes come at once.
// So a vote is also set aside when those passed on before it, with the own one, are
// enough, whether they are verified yet or not. It is passed on after all when one of
// them was none, or somebody votes twice, and so are all later ones for that number; and
// when its sender sends it again, for what the core did with the others is not known here.
// Any goroutine may call its methods.
type aside struct {
	self   wire.ReplicaID
	enough [2]int // votes passed on and own ones that make a quorum, by their kind

	mu struct {
		sync.Mutex
		slots []asideSlot // by number: the last one that a place stands for
		held  int         // frames in all of them
		early []asideEarly
	}
}

// asideEarly bounds what a sender has voted for before the core could count it: up to that
// number, in views up to that one, the core may have another vote of it than is known here.
type asideEarly struct {
	view wire.View
	seq  wire.Seq
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
	passed  []asideVote  // what was not set aside, and the own one, of different senders
	doubted bool         // passed may be more than what the core counts
}

// asideVote is the first vote of a sender that was passed on, whoever sent it.
type asideVote struct {
	sender wire.ReplicaID
	digest crypto.Digest
}

type asideFrame struct {
	from   wire.ReplicaID
	digest crypto.Digest // that it votes for
	frame  []byte
}

// newAside returns the aside of a replica for the numbers of a window, which it
// remembers as long as they can be voted for. A proposal is its sender's prepare.
func newAside(self wire.ReplicaID, window wire.Seq, q core.Quorum) *aside {
	a := &aside{self: self}
	a.enough[asidePrepares], a.enough[asideCommits] = q.Strong()-1, q.Strong()
	a.mu.slots = make([]asideSlot, window)
	a.mu.early = make([]asideEarly, q.Replicas())
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

// votesFor returns the votes of a kind for v's number in v's view, and nil if its place
// stands for something else. It needs the lock.
func (a *aside) votesFor(kind int, v *wire.Vote) *asideVotes {
	s := a.at(v.Seq)
	if s.view != v.View || s.seq != v.Seq {
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
	if votes == nil || a.cameEarly(v) || !votes.spare(v, a.enough[kind]) {
		return false
	}
	for i, held := range votes.held {
		switch {
		case held.from != from:
			continue
		case held.digest != v.Digest: // release gives it back, before v
			return false
		case votes.settled:
			return true
		}
		votes.held = slices.Delete(votes.held, i, i+1)
		a.mu.held--
		return false
	}
	votes.held = append(votes.held, asideFrame{from, v.Digest, frame})
	a.mu.held++
	return true
}

// spare tells whether the quorum that v could be of has no need of it, and v convicts
// nobody.
func (votes *asideVotes) spare(v *wire.Vote, enough int) bool {
	agree := 0
	for _, o := range votes.passed {
		switch {
		case o.sender != v.Sender && o.digest == v.Digest:
			agree++
		case o.sender == v.Sender && (o.digest != v.Digest || !votes.settled):
			return false
		}
	}
	if votes.settled {
		return votes.digest == v.Digest
	}
	return agree >= enough && !votes.doubted
}

// pass remembers a vote that is not set aside, if the core counts it where the replica
// stands: later ones cannot take its place then. It returns what was set aside, if it gives
// a doubt.
func (a *aside) pass(from wire.ReplicaID, frame []byte, lim *wire.Limits, now *standing) []asideFrame {
	kind, v := voteIn(frame, lim)
	if v == nil || v.View < now.view || v.Seq <= now.stable {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v.View > now.view || !now.active || v.Seq-now.stable > wire.Seq(len(a.mu.slots)) {
		if e := &a.mu.early[v.Sender]; from == v.Sender { // the core keeps no others
			e.view, e.seq = max(e.view, v.View), max(e.seq, v.Seq)
		}
		return nil
	}
	if a.cameEarly(v) || !a.hold(v.View, v.Seq) {
		return nil
	}
	votes := &a.at(v.Seq).votes[kind]
	if !votes.pass(v) {
		return a.doubt(votes)
	}
	return nil
}

// cameEarly tells whether the core may have a vote for v's number that its sender cast
// early. It needs the lock.
func (a *aside) cameEarly(v *wire.Vote) bool {
	e := &a.mu.early[v.Sender]
	return v.View <= e.view && v.Seq <= e.seq
}

// pass remembers that v was passed on, or returns false if another vote of its sender was.
func (votes *asideVotes) pass(v *wire.Vote) bool {
	for _, o := range votes.passed {
		if o.sender == v.Sender {
			return o.digest == v.Digest
		}
	}
	votes.passed = append(votes.passed, asideVote{v.Sender, v.Digest})
	return true
}

// doubt returns what was set aside because of what was passed on, on which no reliance is
// from now on. It needs the lock.
func (a *aside) doubt(votes *asideVotes) []asideFrame {
	votes.doubted = true
	return a.takeBack(votes, func(asideFrame) bool { return !votes.settled })
}

// cast takes in what the replica itself sends: its votes count like those passed on.
func (a *aside) cast(m wire.Message) {
	kind, v := voteOf(m)
	if v == nil || v.Sender != a.self {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hold(v.View, v.Seq) {
		a.at(v.Seq).votes[kind].pass(v)
	}
}

// failed takes in that a frame that was passed on was none, and returns what was set
// aside because of it.
func (a *aside) failed(frame []byte, lim *wire.Limits) []asideFrame {
	kind, v := voteIn(frame, lim)
	if v == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	votes := a.votesFor(kind, v)
	if votes == nil {
		return nil
	}
	return a.doubt(votes)
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
	return voteOf(m)
}

// voteOf returns the vote that m is, if it is one, and its kind.
func voteOf(m wire.Message) (int, *wire.Vote) {
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
	case wire.KindRequest, wire.KindPrePrepare, wire.KindStatus, wire.KindCheckpoint, wire.KindStableProof,
		wire.KindFetchPieces, wire.KindPiece,
		wire.KindFetchBatches, wire.KindBatchBody, wire.KindFetchCommitted, wire.KindFetchViewChange:
		return nil
	case wire.KindPrepare, wire.KindCommit:
		return a.releaseOf(frame, lim)
	case wire.KindCommitted:
		return a.releaseAgainst(frame, lim)
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
		out = append(out, a.takeBack(&s.votes[kind], func(held asideFrame) bool {
			return held.from == v.Sender && held.digest != v.Digest
		})...)
	}
	return out
}

// releaseAgainst is release for a committed batch: of everybody who voted for another one
// at its number, in its view. It needs the lock.
func (a *aside) releaseAgainst(frame []byte, lim *wire.Limits) []asideFrame {
	m, err := wire.Decode(frame, lim)
	if err != nil {
		return nil
	}
	c, is := m.(*wire.Committed)
	if !is {
		return nil
	}
	s := a.at(c.Cert.Seq)
	if s.view != c.Cert.View || s.seq != c.Cert.Seq {
		return nil
	}
	var out []asideFrame
	for kind := range s.votes {
		out = append(out, a.takeBack(&s.votes[kind], func(held asideFrame) bool { return held.digest != c.Cert.Digest })...)
	}
	return out
}

// takeBack returns those of the votes set aside that are wanted, which are so no more.
// It needs the lock.
func (a *aside) takeBack(votes *asideVotes, wanted func(asideFrame) bool) (out []asideFrame) {
	left := votes.held[:0]
	for _, held := range votes.held {
		if wanted(held) {
			out = append(out, held)
		} else {
			left = append(left, held)
		}
	}
	clear(votes.held[len(left):])
	votes.held = left
	a.mu.held -= len(out)
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
// that gives the reason, those that may prove something now.
func (a *aside) sort(batch *frames, lim *wire.Limits, now *standing) {
	kept := frames{frames: make([][]byte, 0, len(batch.frames)), from: make([]source, 0, len(batch.frames))}
	for i, frame := range batch.frames {
		if s := batch.from[i]; !s.client {
			if a.take(s.peer(), frame, lim) {
				continue
			}
			kept.put(a.release(frame, lim))
			kept.put(a.pass(s.peer(), frame, lim, now))
		}
		kept.frames, kept.from = append(kept.frames, frame), append(kept.from, batch.from[i])
	}
	batch.frames, batch.from = kept.frames, kept.from
}
