package pbft

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// vote is the last answer of one replica to one operation: which of some replies to
// this client. The zero vote is that of a replica that has not answered.
type vote struct {
	replies *wire.Replies
	at      int
}

func (v vote) answer() *wire.Answer { return &v.replies.Answers[v.at] }

// matches tells whether another replica says the same of the operation: where it
// was executed, how it ended, and the result.
func (v vote) matches(other vote) bool {
	if v.replies == nil || other.replies == nil {
		return false
	}
	a, b := v.answer(), other.answer()
	return a.Seq == b.Seq && a.Outcome == b.Outcome && bytes.Equal(a.Result, b.Result)
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
}

// onReplies counts the answers of one replica.
func (l *clientLoop) onReplies(m *wire.Replies) {
	for i := range m.Answers {
		if o, ok := l.window.table[m.Answers[i].Number]; ok && o.answer == nil {
			l.count(o, m.Sender, vote{m, i})
		}
	}
	l.learnView(m.Sender, m.View)
}

// count counts an answer to o. It replaces an earlier one of the same replica: a
// correct replica may have had no result at first.
func (l *clientLoop) count(o *operation, from wire.ReplicaID, v vote) {
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
			r.signedBy(other.replies.Sender, other.replies.View)
			r.votes = append(r.votes, other)
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
		return
	}
	switch m.Reason {
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
