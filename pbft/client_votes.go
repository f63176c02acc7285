package pbft

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// vote is the last answer of one replica to one operation: which of some replies to
// this client. The zero vote is that of a replica that has not answered.
type vote struct {
	replies *wire.Replies
	at      int
	// alone, if there is one, stands in the place of replies, and holds on to no frame:
	// the one reply, without its result as long as that is not agreed on.
	alone *wire.Reply
	// leaf is the digest of all that is answered, if it was needed.
	leaf *crypto.Digest
}

// Bounds of what a client holds on to, for votes, of the frames of one replica, in which
// what it has no use for may be as long as results may be.
const (
	// heldBytesMax bounds those that wait for the votes of others.
	heldBytesMax = 4 << 20
	// keptBytesMax bounds, beside the result, those of a result that nobody has fetched.
	keptBytesMax = 16 << 10
)

func (v vote) cast() bool { return v.replies != nil || v.alone != nil }

func (v vote) answer() *wire.Answer { return &v.replies.Answers[v.at] }

func (v vote) digest() crypto.Digest {
	if v.leaf != nil {
		return *v.leaf
	}
	return wire.AnswerDigest(v.answer())
}

// digested returns v with its digest, which is then computed once.
func (v vote) digested() vote {
	d := v.digest()
	v.leaf = &d
	return v
}

// signer returns who voted, and in which view.
func (v vote) signer() (wire.ReplicaID, wire.View) {
	if v.alone != nil {
		return v.alone.Sender, v.alone.View
	}
	return v.replies.Sender, v.replies.View
}

// reply returns what is a proof together with those of others.
func (v vote) reply() *wire.Reply {
	if v.alone != nil {
		return v.alone
	}
	return v.replies.Reply(v.at)
}

// withResult returns v with the result that was agreed on.
func (v vote) withResult(result []byte) vote {
	if v.alone != nil {
		reply := *v.alone
		reply.Result = result
		v.alone = &reply
	}
	return v
}

// matches tells whether another replica says the same of the operation: where it
// was executed, how it ended, and the result.
func (v vote) matches(other vote) bool {
	if !v.cast() || !other.cast() {
		return false
	}
	if v.alone != nil || other.alone != nil {
		return v.digest() == other.digest()
	}
	a, b := v.answer(), other.answer()
	return a.Seq == b.Seq && a.Outcome == b.Outcome && bytes.Equal(a.Result, b.Result)
}

// repliesBytes returns how long the frame of m is, or so.
func repliesBytes(m *wire.Replies) int {
	const head = 64
	n := head * (len(m.Answers) + len(m.Outer.Path))
	for i := range m.Answers {
		n += len(m.Answers[i].Result)
	}
	return n
}

// hold notes that votes hold on to m, and has those of its sender let go of all frames
// once they may hold on to too many. To do so at once would cost every reply the hashes of
// its proof, and nearly all are soon of no use.
func (l *clientLoop) hold(m *wire.Replies) {
	k := &l.links[m.Sender]
	if k.held += repliesBytes(m); k.held <= heldBytesMax {
		return
	}
	k.held = 0
	provers := map[*wire.Replies]func(int) *wire.Reply{}
	for _, o := range l.window.table {
		if o.votes == nil || o.votes[m.Sender].replies == nil {
			continue
		}
		v := &o.votes[m.Sender]
		if provers[v.replies] == nil {
			provers[v.replies] = v.replies.Prover()
		}
		*v = v.digested()
		v.alone = provers[v.replies](v.at)
		v.alone.Result, v.replies = nil, nil
	}
}

// letGo has r hold on to no frame that is long beside it.
func (r *Result) letGo() {
	var own []byte // Value is the caller's
	for i := range r.votes {
		v := &r.votes[i]
		if v.replies == nil || repliesBytes(v.replies) <= keptBytesMax+len(r.Value) {
			continue
		}
		if own == nil {
			own = bytes.Clone(r.Value)
		}
		v.alone, v.replies = v.reply(), nil
		*v = v.withResult(own)
	}
}

func (l *clientLoop) onArrival(a arrival) {
	switch {
	case a.link != nil:
		l.onLink(a.from, *a.link)
	case a.replies != nil:
		l.onReplies(a.replies)
	case a.refusal != nil:
		l.onRefusal(a.refusal)
	case a.report != nil:
		l.onReport(a.report)
	case a.outputs != nil:
		l.onOutputs(a.outputs)
	case a.results != nil:
		l.onResults(a.results)
	}
}

// onLink notes a change of a link. What a replica missed while its link was down
// is sent again at once; what was sent before the first connection waits in the
// transport's queue.
func (l *clientLoop) onLink(peer wire.ReplicaID, k link) {
	if int(peer) >= len(l.links) {
		return
	}
	was := l.links[peer]
	k.held = was.held
	k.introduced = was.introduced && was.state == linkUnknown && k.state == linkUp // what waited in the queue
	l.links[peer] = k
	for _, r := range l.requests {
		switch {
		case r.open <= 0:
		case k.state == linkUp && (was.state == linkDown || !r.sent[peer]):
			if r.everyone || peer == l.primary() || !l.links[peer].introduced {
				l.sendTo(peer, r)
			}
		case k.state == linkDown && was.state != linkDown && peer == l.primary() && !r.everyone:
			l.sendRequest(r)
		}
	}
	l.onAskLink(peer, was.state, k.state)
	l.onQueryLink(peer)
}

// onReplies counts the answers of one replica. That a number lies beyond the window is none:
// correct replicas say so where a lying primary has ordered what is of a session of the
// future, and execute it if it is ordered again later.
func (l *clientLoop) onReplies(m *wire.Replies) {
	counted := false
	for i := range m.Answers {
		o, ok := l.window.table[m.Answers[i].Number]
		if ok && o.answer == nil && m.Answers[i].Outcome != wire.OutcomeWindow {
			l.count(o, m.Sender, vote{replies: m, at: i})
			counted = true
		}
	}
	if counted {
		l.hold(m)
	}
	l.learnView(m.Sender, m.View)
}

// count counts an answer to o. It replaces an earlier one of the same replica: a
// correct replica may have had no result at first.
func (l *clientLoop) count(o *operation, from wire.ReplicaID, v vote) {
	if slices.ContainsFunc(o.votes, func(other vote) bool { return other.alone != nil }) {
		v = v.digested()
	}
	o.votes[from] = v
	matching := 0
	for _, other := range o.votes {
		if v.matches(other) {
			matching++
		}
	}
	if matching < l.cfg.quorum.Weak() {
		return
	}
	l.answer(o, answerOf(agreedOn(v, o.votes, matching)))
	if o.request.open <= 0 {
		now := time.Now()
		l.pace.add(now.Sub(o.request.began))
		l.expect(now.Add(l.cfg.retransmit)) // for others may have become due sooner
	}
}

// agreedOn returns the result that so many votes, by sender, prove with v.
func agreedOn(v vote, votes []vote, matching int) Result {
	told := v.replies.Told(v.at)
	r := resultOf(&told)
	r.Signers, r.votes = make([]wire.ReplicaID, 0, matching), make([]vote, 0, matching)
	for _, other := range votes {
		if v.matches(other) {
			r.signedBy(other.signer())
			r.votes = append(r.votes, other.withResult(told.Result))
		}
	}
	return r
}

func answerOf(r Result) answer {
	if r.Outcome != wire.OutcomeOK {
		return answer{err: &OutcomeError{Result: r}}
	}
	return answer{result: r}
}

// learnView notes that a replica was in view v. The client believes the highest
// view that f+1 replicas have reached: one of them is correct, so no f liars
// send it to a view where nobody is.
func (l *clientLoop) learnView(from wire.ReplicaID, v wire.View) {
	if v <= l.views[from] {
		return
	}
	l.views[from] = v
	l.settled.enter(from, v)
	sorted := slices.Sorted(slices.Values(l.views))
	view := sorted[len(sorted)-l.cfg.quorum.Weak()]
	if view <= l.view {
		return
	}
	before := l.primary()
	l.view = view
	if l.primary() == before {
		return
	}
	for _, r := range l.requests {
		if !r.everyone && r.open > 0 {
			l.sendRequest(r)
		}
	}
}

// onRefusal counts a refusal. Only f+1 replicas with the same reason move the
// client; one alone, even the primary, cannot.
func (l *clientLoop) onRefusal(m *wire.Refusal) {
	l.underway.refused(m.Number, m.Sender)
	r := l.requestAt(m.Number)
	if r == nil || !r.isOwn(m) {
		return
	}
	if r.refusals == nil {
		r.refusals = make(map[wire.ReplicaID]wire.Refusal)
	}
	r.refusals[m.Sender] = *m
	var signers []wire.ReplicaID
	for _, id := range slices.Sorted(maps.Keys(r.refusals)) {
		if r.refusals[id].Reason == m.Reason {
			signers = append(signers, id)
		}
	}
	if len(signers) < l.cfg.quorum.Weak() {
		l.askOthers(r, m)
		return
	}
	switch r.refused = m.Reason; m.Reason {
	case wire.RefusalOverload:
		r.attempt++
		r.due = time.Now().Add(l.pause(r.attempt + 1))
		l.expect(r.due)
		clear(r.refusals)
		l.overloaded(r)
	case wire.RefusalInvalid:
		if len(r.ops) > 1 {
			l.split(r)
			return
		}
		l.refuse(r, m, signers)
	case wire.RefusalSessionOld:
		l.refuse(r, m, signers)
	case wire.RefusalRejoining: // others, or later, they will serve
		clear(r.refusals)
	}
}

// askOthers sends a request to all who were not asked, once one who was refuses it for
// good: what the primary alone says counts for nothing, and whoever shares the request with an
// operation that is invalid need not wait for the time in which others are asked. Who was
// not asked refuses nothing, or a liar could have every request sent to all.
func (l *clientLoop) askOthers(r *request, m *wire.Refusal) {
	if r.everyone || !r.sent[m.Sender] || m.Reason != wire.RefusalInvalid && m.Reason != wire.RefusalSessionOld {
		return
	}
	r.everyone = true
	for i, sent := range r.sent {
		if !sent {
			l.sendTo(wire.ReplicaID(i), r) //nolint:gosec // one of few replicas
		}
	}
}

// overloaded ends the calls of a request that the cluster has no room for now, if
// they do not wait. The request itself is sent again, later.
func (l *clientLoop) overloaded(r *request) {
	if !l.cfg.noWait {
		return
	}
	for _, o := range r.ops {
		if l.window.table[o.number] != o {
			continue
		}
		for _, w := range slices.Clone(o.calls) {
			l.release(o, w, ErrOverload)
		}
	}
}

// requestAt returns the open request whose first number is n.
func (l *clientLoop) requestAt(n wire.Number) *request {
	for _, r := range l.requests {
		if r.first == n && r.open > 0 {
			return r
		}
	}
	return nil
}

// refuse ends what is open of a request.
func (l *clientLoop) refuse(r *request, m *wire.Refusal, signers []wire.ReplicaID) {
	for _, o := range r.ops {
		if l.window.table[o.number] == o && o.answer == nil {
			id := Identity{l.cfg.session, o.number}
			l.answer(o, answer{err: &RefusedError{id, m.Reason, m.Detail, slices.Clone(signers)}})
		}
	}
}

// split sends the operations of a request one by one: of a refused one perhaps only one
// is invalid.
func (l *clientLoop) split(r *request) {
	r.open = 0
	for _, o := range r.ops {
		if l.window.table[o.number] != o || o.answer != nil {
			continue
		}
		l.sendNew([]*operation{o})
	}
}
