package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// inquiry is a query that is not answered yet.
type inquiry struct {
	query  *wire.Query
	ops    []*question // nil for one that is answered
	left   int
	voices []wire.ReplicaID // who answered, or said that it does not
}

// One waits for so long before it falls back, at least and at most.
const inquiryMin, inquiryMax = 4 * tick, 60 * tick

// query asks all replicas, outside of the order, by one query if the bytes allow it.
func (c *client) query(count int) {
	questions := make([]*question, count)
	for i := range questions {
		questions[i] = c.question(c.drawRead)
	}
	for _, part := range c.w.parts(questions) {
		c.inquire(part)
	}
}

// inquire asks one query.
func (c *client) inquire(questions []*question) {
	c.nonce++
	m := &wire.Query{Client: c.key, Nonce: c.nonce}
	r := &inquiry{ops: questions, left: len(questions)}
	for _, q := range questions {
		m.Ops = append(m.Ops, q.op)
	}
	r.query = c.w.sealQuery(c.signer, m)
	c.inquiries = append(c.inquiries, r)
	c.sendQuery(r)
	wait := inquiryMin + time.Duration(c.rng.Int64N(int64(inquiryMax-inquiryMin)))
	c.w.after(wait/2, func() { c.sendQuery(r) })
	c.w.after(wait, func() { c.fallBack(r) })
}

// drawRead draws what to read: of the key-value store, half of the time what was written
// last, for that is where a replica that is behind is wrong.
func (c *client) drawRead(rng *rand.Rand, client, i int) []byte {
	if c.w.written != "" && rng.IntN(2) == 0 {
		return kv.Get(c.w.written)
	}
	return c.w.o.Query(rng, client, i)
}

// wrote notes the key of an operation that was answered.
func (w *world) wrote(op []byte) {
	if w.o.FastReads == 0 || !w.o.isStore() {
		return
	}
	if parsed, err := kv.Parse(op); err == nil && parsed.Kind != kv.KindGet {
		w.written = parsed.Key
	}
}

// sealQuery signs a query, and takes it through its encoding.
func (w *world) sealQuery(signer crypto.Signer, m *wire.Query) *wire.Query {
	sealed := wire.Seal(signer, w.domain, m)
	if w.o.Reencode {
		var err error
		if sealed, err = w.open(sealed); err != nil {
			w.fail(fmt.Errorf("a query cannot be opened: %w", err))
			return m
		}
	}
	if signed, ok := message[*wire.Query](sealed); ok {
		return signed
	}
	return m
}

// sendQuery sends a query, as long as it is not answered: perhaps twice to one replica, or
// not at all.
func (c *client) sendQuery(r *inquiry) {
	if !slices.Contains(c.inquiries, r) {
		return
	}
	for _, n := range c.reachable() {
		if !c.w.calm && c.w.chance(c.w.o.Loss) {
			continue
		}
		for range c.w.copies() {
			c.w.after(c.w.delay(), func() { n.query(c, r.query) })
		}
	}
}

// read takes what one replica answers. A result that a quorum says alike is the one.
func (c *client) read(from wire.ReplicaID, m *wire.Results) {
	at := slices.IndexFunc(c.inquiries, func(r *inquiry) bool { return r.query.Nonce == m.Nonce })
	if at < 0 {
		return
	}
	r := c.inquiries[at]
	if !slices.Contains(r.voices, from) {
		r.voices = append(r.voices, from)
	}
	for i, got := range m.Results[:min(len(m.Results), len(r.ops))] {
		q := r.ops[i]
		if q == nil || q.say(crypto.Sum([]byte{byte(got.Outcome)}, got.Result), from) < c.w.quorum.Strong() {
			continue
		}
		c.hasRead(q, got)
		r.ops[i] = nil
		r.left--
	}
	switch {
	case r.left == 0:
		c.inquiries = slices.Delete(c.inquiries, at, at+1)
		c.begin()
	case c.divided(r):
		c.fallBack(r)
	}
}

func (c *client) hasRead(q *question, got wire.QueryResult) {
	c.w.counters.FastReads++
	c.w.note(markAnswer, wire.ReplicaID(c.id), 0, uint64(len(got.Result))) //nolint:gosec // small
	c.w.tell("C%d reads outcome %d, %.20q", c.id, got.Outcome, got.Result)
	c.w.moment(Moment{What: Answered, Node: len(c.w.nodes) + c.id, Peer: -1})
	c.w.oracle.hasRead(c, q, got)
	c.answered++
}

// divided tells whether a quorum can agree no more on one of the operations of r.
func (c *client) divided(r *inquiry) bool {
	silent := c.w.o.Replicas - len(r.voices)
	return slices.ContainsFunc(r.ops, func(q *question) bool {
		if q == nil {
			return false
		}
		most := 0
		for _, s := range q.replies {
			most = max(most, len(s.by))
		}
		return most+silent < c.w.quorum.Strong()
	})
}

// fallBack has what a query did not answer read in the order.
func (c *client) fallBack(r *inquiry) {
	at := slices.Index(c.inquiries, r)
	if at < 0 {
		return
	}
	c.inquiries = slices.Delete(c.inquiries, at, at+1)
	for _, q := range r.ops {
		if q != nil {
			c.fallen = append(c.fallen, q)
			c.w.counters.FallenBack++
		}
	}
	c.w.tell("C%d reads in the order what query %d asked", c.id, r.query.Nonce)
	c.begin()
}

// askFallen asks in the order what fell back, as far as there is room.
func (c *client) askFallen() {
	for len(c.fallen) > 0 && c.room() > 0 {
		count := min(len(c.fallen), c.w.o.OpsMax, c.room())
		questions := slices.Clone(c.fallen[:count])
		c.fallen = c.fallen[count:]
		c.order(questions, true)
	}
}
