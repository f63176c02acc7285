package pbft

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// queriesOpenMax bounds the queries that are under way. Who reads meanwhile waits for one to
// end, in company: what waits together is signed together.
const queriesOpenMax = 4

// errDivided says that replicas do not say alike what a query asks for, or not in time.
var errDivided = errors.New("no q replicas answer alike")

// reading is one call of Query that waits.
type reading struct {
	op   []byte
	done chan answer // has room for the one answer
}

// querying is one query that is under way, for several calls.
type querying struct {
	nonce    uint64
	readings []*reading      // nil where one has its answer
	said     []*wire.Results // by replica
	due      time.Time       // to give up
}

// openQueries are the nonces of the queries that are under way, or 0, for any goroutine: an
// answer to another one need not be verified.
type openQueries [queriesOpenMax]atomic.Uint64

func (q *openQueries) swap(was, is uint64) {
	for i := range q {
		if q[i].CompareAndSwap(was, is) {
			return
		}
	}
}

func (q *openQueries) has(nonce uint64) bool {
	for i := range q {
		if nonce != 0 && q[i].Load() == nonce {
			return true
		}
	}
	return false
}

// Query has the cluster answer op by app.Querier, without changing anything, as Read does,
// and outside of the order: every replica answers from what it has executed, once that is
// all that it had prepared when it was asked, and the result is what q of them say alike.
// That takes a round trip and no disk, and is linearizable like all else (docs/PROTOCOL.md,
// step 8). Where no q answer alike in time, because what is read changes just then or
// replicas are slow, the cluster answers in order, as for Read.
//
// A Result that was not ordered has no Identity, Seq or Certificate; the errors are those of
// Read.
func (c *Client) Query(ctx context.Context, op []byte) (Result, error) {
	if err := c.cfg.refuse(op); err != nil {
		return Result{}, err
	}
	if c.cfg.noWait {
		defer c.calls.Add(-1)
		if c.calls.Add(1) > core.ClientWindowMax {
			return Result{}, c.full
		}
	}
	r := &reading{op: op, done: make(chan answer, 1)}
	select {
	case c.readings <- r:
	case <-ctx.Done():
		return Result{}, &UnfinishedError{Identity: Identity{Session: c.cfg.session}, Links: c.broken(), Err: ctx.Err()}
	case <-c.ended:
		return Result{}, c.closed()
	}
	a, ok := c.awaitReading(ctx, r)
	switch {
	case !ok:
		return Result{}, c.closed()
	case a.err == errDivided: //nolint:errorlint // the loop gave it, unwrapped
		return c.do(ctx, &call{op: op, readOnly: true})
	}
	return a.result, a.err
}

// awaitReading returns the answer to r, and false if the client ended.
func (c *Client) awaitReading(ctx context.Context, r *reading) (a answer, ok bool) {
	select {
	case a = <-r.done:
		return a, true
	case <-c.ended:
		return a, false
	case <-ctx.Done():
	}
	select {
	case c.errands <- errand{unread: r}:
	case <-c.ended:
		return a, false
	}
	select {
	case a = <-r.done: // it may have come first
		if unfinished, is := a.err.(*UnfinishedError); is { //nolint:errorlint // the loop made it, unwrapped
			unfinished.Err = ctx.Err()
		}
		return a, true
	case <-c.ended:
		return a, false
	}
}

// onUnread ends a reading whose context ended, if it has no answer.
func (l *clientLoop) onUnread(r *reading) {
	for _, q := range l.queries {
		if i := slices.Index(q.readings, r); i >= 0 {
			q.readings[i] = nil
			r.done <- answer{err: &UnfinishedError{Identity: Identity{Session: l.cfg.session}, Links: l.broken()}}
			return
		}
	}
	if l.held == r {
		l.held = nil
		r.done <- answer{err: &UnfinishedError{Identity: Identity{Session: l.cfg.session}, Links: l.broken()}}
	}
}

// onReading asks all replicas for what r and the others that wait want to know.
func (l *clientLoop) onReading(r *reading) {
	runtime.Gosched() // those who were answered with r ask next
	q := &querying{said: make([]*wire.Results, len(l.links)), due: time.Now().Add(l.cfg.retransmit)}
	m := &wire.Query{Client: l.Key()}
	for q.nonce == 0 || l.settled.queries.has(q.nonce) {
		q.nonce = rand.Uint64()
	}
	m.Nonce = q.nonce
	most := cmp.Or(l.cfg.together, l.cfg.limits.OpsMax)
	for bytes := 0; r != nil; r = l.nextReading(bytes) {
		q.readings, m.Ops = append(q.readings, r), append(m.Ops, r.op)
		if bytes += len(r.op); len(m.Ops) == most {
			break
		}
	}
	frame := wire.Seal(l.cfg.signer, l.cfg.domain, m).Frame()
	l.queries = append(l.queries, q)
	l.settled.queries.swap(0, q.nonce)
	for id, k := range l.links {
		if k.state != linkDown {
			l.transport.Send(wire.ReplicaID(id), frame) //nolint:gosec // one of few replicas
		}
	}
	l.expect(q.due)
	l.decide(q)
}

// nextReading returns one that waits, if it fits beside so many bytes of others. One that
// does not is the first of the next query.
func (l *clientLoop) nextReading(bytes int) *reading {
	if l.held != nil {
		return nil
	}
	select {
	case r := <-l.readings:
		if bytes+len(r.op) > l.cfg.limits.OpBytesMax {
			l.held = r
			return nil
		}
		return r
	default:
		return nil
	}
}

// onHeld asks for what did not fit into the query before.
func (l *clientLoop) onHeld() {
	for l.held != nil && len(l.queries) < queriesOpenMax {
		r := l.held
		l.held = nil
		l.onReading(r)
	}
}

// onResults counts what one replica says, the first time.
func (l *clientLoop) onResults(m *wire.Results) {
	i := slices.IndexFunc(l.queries, func(q *querying) bool { return q.nonce == m.Nonce })
	if i < 0 || l.queries[i].said[m.Sender] != nil || len(m.Results) > len(l.queries[i].readings) {
		return
	}
	l.queries[i].said[m.Sender] = m
	l.decide(l.queries[i])
}

// decide ends the readings of q of which q replicas say the same, and those of which no so
// many can any more.
func (l *clientLoop) decide(q *querying) {
	open := 0
	for i, r := range q.readings {
		if r == nil {
			continue
		}
		result, votes := l.alike(q, i)
		switch {
		case votes >= l.cfg.quorum.Strong():
			r.done <- answerOf(result)
		case votes+l.silent(q) < l.cfg.quorum.Strong():
			r.done <- answer{err: errDivided}
		default:
			open++
			continue
		}
		q.readings[i] = nil
	}
	if open == 0 {
		l.endQuery(q)
	}
}

// alike returns what most replicas say of the i-th reading of q, and how many they are.
func (l *clientLoop) alike(q *querying, i int) (most Result, votes int) {
	for _, m := range q.said {
		if m == nil || i >= len(m.Results) {
			continue
		}
		one := &m.Results[i]
		var signers []wire.ReplicaID
		for id, other := range q.said {
			if other != nil && i < len(other.Results) && other.Results[i].Outcome == one.Outcome &&
				bytes.Equal(other.Results[i].Result, one.Result) {
				signers = append(signers, wire.ReplicaID(id)) //nolint:gosec // one of few replicas
			}
		}
		if len(signers) > votes {
			votes = len(signers)
			most = Result{Value: one.Result, Outcome: one.Outcome, Client: l.Key(), Signers: signers}
		}
	}
	most.Value = bytes.Clone(most.Value)
	return most, votes
}

// silent returns how many replicas may still answer q.
func (l *clientLoop) silent(q *querying) int {
	n := 0
	for id, m := range q.said {
		if m == nil && l.links[id].state != linkDown {
			n++
		}
	}
	return n
}

// endQuery forgets q.
func (l *clientLoop) endQuery(q *querying) {
	l.settled.queries.swap(q.nonce, 0)
	l.queries = slices.DeleteFunc(l.queries, func(o *querying) bool { return o == q })
	l.onHeld()
}

// onQueryDeadline gives up what has waited long enough.
func (l *clientLoop) onQueryDeadline(now time.Time) {
	for _, q := range slices.Clone(l.queries) {
		if now.Before(q.due) {
			l.expect(q.due)
			continue
		}
		for _, r := range q.readings {
			if r != nil {
				r.done <- answer{err: errDivided}
			}
		}
		l.endQuery(q)
	}
}
