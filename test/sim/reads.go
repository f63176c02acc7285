package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/quorate/quorate/app"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// queriesMax bounds the queries that wait at one replica. It answers no more than that.
const queriesMax = 64

// heldQuery is a query that waits until a number is executed.
type heldQuery struct {
	client *client // nil for an outlaw, whom nobody tells
	query  *wire.Query
	after  wire.Seq // as the core says
	bound  wire.Seq // as its commits do
}

// query takes in a query of a client. What it had prepared by then, it executes first.
func (n *node) query(c *client, q *wire.Query) {
	if n.down {
		return
	}
	if n.paused {
		n.later(func() { n.query(c, q) })
		return
	}
	n.w.note(markQuery, n.id, q.Nonce, uint64(len(q.Ops)))
	n.w.tell("R%d hears query %d", n.id, q.Nonce)
	after, answers := n.replica.ReadAfter()
	h := heldQuery{c, q, after, n.w.oracle.bound[n.id]}
	switch {
	case n.strategy != nil: // a liar waits for nothing
		n.answerQuery(h)
	case !answers || len(n.queries) == queriesMax:
		n.w.counters.Unread++
		n.tellResults(c, q, wire.Results{Client: q.Client, Nonce: q.Nonce})
	case n.replica.Executed() < after:
		n.w.counters.HeldQueries++
		n.queries = append(n.queries, h)
	default:
		n.answerQuery(h)
	}
}

// answerHeld answers the queries that need wait no longer.
func (n *node) answerHeld() {
	executed := n.replica.Executed()
	n.queries = slices.DeleteFunc(n.queries, func(h heldQuery) bool {
		if executed < h.after {
			return false
		}
		n.answerQuery(h)
		return true
	})
}

// answerQuery answers a query from what was applied.
func (n *node) answerQuery(h heldQuery) {
	r := driver.NewReading(h.query)
	for more := true; more; {
		var err error
		if more, err = n.applier.Query(r); !n.check("query", err) {
			return
		}
	}
	n.w.oracle.queried(n, h, &r.Results)
	n.tellResults(h.client, h.query, r.Results)
}

// tellResults tells a client, or what a liar makes of it.
func (n *node) tellResults(c *client, q *wire.Query, m wire.Results) {
	m.Sender = n.id
	sealed := wire.Seal(n.signer, n.w.domain, &m)
	said := []*wire.Sealed{sealed}
	if n.strategy != nil {
		n.asked = q
		said = n.strategy.Answer(puppet{n}, sealed)
	}
	if c == nil {
		return
	}
	for _, one := range said {
		n.w.bringResults(n, c, one)
	}
}

// bringResults carries results to a client: through their encoding when asked to, or when
// they are a liar's, and perhaps twice, or not at all.
func (w *world) bringResults(from *node, c *client, sealed *wire.Sealed) {
	if w.o.Reencode || from.strategy != nil {
		opened, err := w.open(sealed)
		switch {
		case err != nil && from.strategy != nil:
			w.counters.Unopened++
			return
		case err != nil:
			w.fail(fmt.Errorf("replica %d answers what cannot be opened: %w", from.id, err))
			return
		}
		sealed = opened
	}
	m, ok := message[*wire.Results](sealed)
	if !ok || m.Sender != from.id || m.Client != c.key {
		return
	}
	for range w.copies() {
		c.incoming(func() { c.read(from.id, m) })
	}
}

// copies returns how often one message comes.
func (w *world) copies() int {
	if w.chance(w.o.Duplication) {
		return 2
	}
	return 1
}

// past is the state after a batch.
type past struct {
	time  wire.Time
	store *app.Memory
}

// read returns how a query ends after a batch, which is executed.
func (r *reference) read(client wire.ClientID, op []byte, seq wire.Seq) (wire.QueryResult, error) {
	p := r.past[seq]
	tx := app.NewTx(p.store, nil, app.Context{Seq: uint64(seq), Time: int64(p.time), Client: client}, true)
	longest := r.unsaved.longest
	result, failure, err := app.Run(r.machine, tx, op)
	outcome := wire.OutcomeOK
	switch {
	case err != nil:
		return wire.QueryResult{}, err
	case failure != nil:
		outcome, result = wire.OutcomePanicked, []byte(failure.Text)
		if failure.Kind == app.FailureReadOnly {
			outcome = wire.OutcomeReadOnly
		}
	case len(result) > longest:
		outcome, result = wire.OutcomeTooLarge, fmt.Appendf(nil, "the result has %d bytes, at most %d are possible", len(result), longest)
	}
	return wire.QueryResult{Outcome: outcome, Result: result[:min(len(result), longest)]}, nil
}

func sameResult(a, b wire.QueryResult) bool {
	return a.Outcome == b.Outcome && bytes.Equal(a.Result, b.Result)
}

// queried checks O5 of what a replica answers a query, beside whatever a client makes of it:
// it had executed all for which it had ever sent a commit when the query came; and what a
// correct one says is the result in the agreed log, at the number that it names.
func (o *oracle) queried(n *node, h heldQuery, m *wire.Results) {
	if n.byzantine {
		return
	}
	q := h.query
	o.w.checked(lawOrder)
	switch {
	case m.Seq < h.bound:
		o.w.breach(lawOrder, "R%d answers a query after %d, and had sent a commit for %d when it came", n.id, m.Seq, h.bound)
	case n.diverged:
		o.w.breach(lawOrder, "R%d answers a query from a state that it knows to be wrong", n.id)
	case m.Seq > o.reference.seq:
		o.w.breach(lawOrder, "R%d answers a query after %d, which nobody has executed", n.id, m.Seq)
	default:
		o.resembles(n, q, m)
	}
}

// resembles compares the results of a correct replica with the agreed log's.
func (o *oracle) resembles(n *node, q *wire.Query, m *wire.Results) {
	for i, got := range m.Results {
		want, err := o.reference.read(q.Client, q.Ops[i], m.Seq)
		if err != nil {
			o.w.fail(fmt.Errorf("sim: the reference: %w", err))
		} else if !sameResult(got, want) {
			o.w.breach(lawOrder, "R%d answers a query after %d wrongly: outcome %d, %.40q, not %d, %.40q",
				n.id, m.Seq, got.Outcome, got.Result, want.Outcome, want.Result)
		}
	}
}

// hasRead checks O5 of what a client takes for the answer to a query: so it was after some
// batch, none before one that was answered when it asked. Of several it counts as the
// earliest, which asks the least of what is read later; if any choice fits into the agreed
// order with all other reads, that one does.
func (o *oracle) hasRead(c *client, q *question, got wire.QueryResult) {
	o.w.checked(lawOrder)
	for seq := q.floor; seq <= o.reference.seq; seq++ {
		want, err := o.reference.read(c.key, q.op, seq)
		if err != nil {
			o.w.fail(fmt.Errorf("sim: the reference: %w", err))
			return
		}
		if !sameResult(got, want) {
			continue
		}
		o.timely(c, q, 0)
		o.history.read(o.w.now, q.place, seq, got)
		o.answered = max(o.answered, seq)
		return
	}
	o.w.breach(lawOrder, "client %d reads outcome %d, %.40q: so it was after no batch from %d, which was answered before it asked, to %d",
		c.id, got.Outcome, got.Result, q.floor, o.reference.seq)
}
