package pbft

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// queriesOpenMax bounds the queries that are under way. Who reads meanwhile waits for one to
// end, in company: what waits together is signed together.
const queriesOpenMax = 4

// queriesPause is for how many retransmissions' time all is asked in the order, after a query
// had no answers in time: so that what is asked meanwhile need not wait for the same.
const queriesPause = 8

// errDivided says that replicas do not say alike what a query asks for, or not in time.
var errDivided = errors.New("no q replicas answer alike")

// querying is one query that is under way, for several calls.
type querying struct {
	nonce    uint64
	frame    []byte
	readings []reading
	sent     []bool    // by replica, since its link is up
	said     []bool    // by replica
	decided  bool      // one of readings has its answer
	due      time.Time // to give up
}

// reading is one call of Query, and what replicas say so far.
type reading struct {
	call     *call // nil once it has its answer
	opinions []opinion
}

// opinion is a result that some replicas say.
type opinion struct {
	wire.QueryResult

	signers []wire.ReplicaID
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
// replicas are slow, the cluster answers in order, as for Read. A client that does not wait
// (DialConfig.NoWait) has as many calls under way as four queries carry.
//
// The time that op sees, outside of the order, is that of the last batch, which may be long
// ago. A Result that was not ordered has no Identity, Seq or Certificate; the errors are
// those of Read.
func (c *Client) Query(ctx context.Context, op []byte) (Result, error) {
	if err := c.cfg.refuse(op); err != nil {
		return Result{}, err
	}
	result, err := c.query(ctx, &call{op: op, readOnly: true, done: make(chan answer, 1)})
	if err == errDivided { //nolint:errorlint // the loop gave it, unwrapped
		return c.enter(ctx, &call{op: op, readOnly: true})
	}
	return result, err
}

// query has w answered outside of the order, or returns errDivided.
func (c *Client) query(ctx context.Context, w *call) (Result, error) {
	if c.cfg.noWait {
		defer c.queries.Add(-1)
		if most := queriesOpenMax * c.cfg.opsTogether(); c.queries.Add(1) > int64(most) {
			return Result{}, fmt.Errorf("%w: %d reads outside of the order have no result yet", ErrOverload, most)
		}
	}
	turn := time.NewTimer(c.cfg.retransmit)
	defer turn.Stop()
	select {
	case c.readings <- w:
		return c.await(ctx, w)
	case <-turn.C:
		return Result{}, errDivided
	case <-ctx.Done():
		return Result{}, c.unsent(ctx, w)
	case <-c.ended:
		return Result{}, c.closed()
	}
}

// opsTogether returns how many operations one request or query carries at most.
func (cfg *clientConfig) opsTogether() int { return cmp.Or(cfg.together, cfg.limits.OpsMax) }

// onReading takes a call of Query in.
func (l *clientLoop) onReading(w *call) {
	l.held = append(l.held, w)
	if time.Now().Before(l.ordering) {
		l.divideHeld()
	}
	l.sendQueries()
}

// divideHeld has all that was not sent yet asked in the order.
func (l *clientLoop) divideHeld() {
	for _, w := range l.held {
		w.done <- answer{err: errDivided}
	}
	l.held = nil
}

// sendQueries asks for what is held, as far as there is room.
func (l *clientLoop) sendQueries() {
	for len(l.held) > 0 && len(l.queries) < queriesOpenMax {
		l.newQuery()
	}
}

// newQuery asks all replicas for what is held and waits, as much as one query carries.
func (l *clientLoop) newQuery() {
	runtime.Gosched() // those who were answered together ask next
	q := &querying{
		sent: make([]bool, len(l.links)), said: make([]bool, len(l.links)),
		due: time.Now().Add(l.cfg.retransmit),
	}
	m := &wire.Query{Client: l.Key()}
	for m.Nonce == 0 || l.settled.queries.has(m.Nonce) {
		m.Nonce = rand.Uint64()
	}
	for most, bytes := l.cfg.opsTogether(), 0; len(m.Ops) < most; {
		w := l.nextReading(bytes)
		if w == nil {
			break
		}
		q.readings, m.Ops = append(q.readings, reading{call: w}), append(m.Ops, w.op)
		bytes += len(w.op)
	}
	q.nonce, q.frame = m.Nonce, wire.Seal(l.cfg.signer, l.cfg.domain, m).Frame()
	l.queries = append(l.queries, q)
	l.settled.queries.swap(0, q.nonce)
	for id := range l.links {
		l.sendQuery(q, wire.ReplicaID(id)) //nolint:gosec // one of few replicas
	}
	l.expect(q.due)
	l.decide(q)
}

func (l *clientLoop) sendQuery(q *querying, to wire.ReplicaID) {
	q.sent[to] = l.links[to].state != linkDown && l.transport.Send(to, q.frame)
}

// nextReading returns a call that is held or waits, if it fits beside so many bytes of
// others. One that does not is held for the next query.
func (l *clientLoop) nextReading(bytes int) *call {
	if len(l.held) == 0 {
		select {
		case w := <-l.readings:
			l.held = append(l.held, w)
		default:
			return nil
		}
	}
	w := l.held[0]
	if bytes > 0 && bytes+len(w.op) > l.cfg.limits.OpBytesMax {
		return nil
	}
	l.held = l.held[1:]
	return w
}

// onUnread ends a call of Query, if it has no answer, and tells whether it had none.
func (l *clientLoop) onUnread(w *call, why error) bool {
	if i := slices.Index(l.held, w); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
		l.unread(w, why)
		return true
	}
	for _, q := range l.queries {
		if i := slices.IndexFunc(q.readings, func(r reading) bool { return r.call == w }); i >= 0 {
			q.readings[i].call = nil
			l.unread(w, why)
			l.decide(q) // or it keeps its place from others
			return true
		}
	}
	return false
}

// unread answers a call that was not sent, or one of Query, that it has no answer.
func (l *clientLoop) unread(w *call, why error) {
	w.done <- answer{err: &UnfinishedError{Identity: Identity{Session: l.cfg.session}, Links: l.broken(), Err: why}}
}

// endReadings ends all calls of Query.
func (l *clientLoop) endReadings(why error) {
	for _, q := range l.queries {
		for i := range q.readings {
			if w := q.readings[i].call; w != nil {
				l.unread(w, why)
			}
		}
	}
	for _, w := range l.held {
		l.unread(w, why)
	}
}

// onQueryLink asks a replica whose link came up what it was not asked, and does not wait for
// one whose link is down.
func (l *clientLoop) onQueryLink(peer wire.ReplicaID) {
	state := l.links[peer].state
	for _, q := range slices.Clone(l.queries) {
		switch {
		case state == linkDown:
			q.sent[peer] = false
		case state == linkUp && !q.sent[peer] && !q.said[peer]:
			l.sendQuery(q, peer)
		}
		l.decide(q)
	}
}

// onResults counts what one replica says, the first time.
func (l *clientLoop) onResults(m *wire.Results) {
	i := slices.IndexFunc(l.queries, func(q *querying) bool { return q.nonce == m.Nonce })
	if i < 0 || l.queries[i].said[m.Sender] || len(m.Results) > len(l.queries[i].readings) {
		return
	}
	q := l.queries[i]
	q.said[m.Sender] = true
	for i := range m.Results {
		q.readings[i].count(m.Sender, m.Results[i])
	}
	l.decide(q)
}

// count counts what a replica says, once.
func (r *reading) count(from wire.ReplicaID, said wire.QueryResult) {
	if r.call == nil {
		return
	}
	for i := range r.opinions {
		if o := &r.opinions[i]; o.Outcome == said.Outcome && bytes.Equal(o.Result, said.Result) {
			o.signers = append(o.signers, from)
			return
		}
	}
	r.opinions = append(r.opinions, opinion{said, []wire.ReplicaID{from}})
}

// most returns what most replicas say.
func (r *reading) most() (most opinion) {
	for _, o := range r.opinions {
		if len(o.signers) > len(most.signers) {
			most = o
		}
	}
	return most
}

// decide ends the calls of q of which q replicas say the same, and those of which no so many
// can any more. What nobody had room to answer, beside another one that is decided, is asked
// again.
func (l *clientLoop) decide(q *querying) {
	open, silent, strong := 0, q.silent(), l.cfg.quorum.Strong()
	for i := range q.readings {
		r := &q.readings[i]
		if r.call == nil {
			continue
		}
		most := r.most()
		switch votes := len(most.signers); {
		case votes >= strong:
			q.decided = true
			slices.Sort(most.signers)
			r.call.done <- answerOf(Result{
				Value: bytes.Clone(most.Result), Outcome: most.Outcome, Client: l.Key(), Signers: most.signers,
			})
		case votes+silent >= strong || votes == 0 && open > 0: // what comes may decide it, or others before it
			open++
			continue
		case votes == 0 && q.decided:
			l.held = append(l.held, r.call)
		default:
			r.call.done <- answer{err: errDivided}
		}
		*r = reading{}
	}
	if open == 0 {
		l.endQuery(q)
	}
}

// silent returns how many replicas were asked and may still answer.
func (q *querying) silent() int {
	n := 0
	for id, sent := range q.sent {
		if sent && !q.said[id] {
			n++
		}
	}
	return n
}

// endQuery forgets q.
func (l *clientLoop) endQuery(q *querying) {
	l.settled.queries.swap(q.nonce, 0)
	l.queries = slices.DeleteFunc(l.queries, func(o *querying) bool { return o == q })
	l.sendQueries()
}

// onQueryDeadline gives up what has waited long enough.
func (l *clientLoop) onQueryDeadline(now time.Time) {
	for _, q := range slices.Clone(l.queries) {
		if now.Before(q.due) {
			l.expect(q.due)
			continue
		}
		l.ordering = now.Add(queriesPause * l.cfg.retransmit)
		l.divideHeld()
		for i := range q.readings {
			if w := q.readings[i].call; w != nil {
				w.done <- answer{err: errDivided}
			}
		}
		l.endQuery(q)
	}
}
