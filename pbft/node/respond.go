package node

// Stage respond is sequential: it signs what clients are told beside results,
// refusals and reports, at a bounded rate, so that questions cannot take the
// processors from the order. Where more is asked for than that, each connection that asks
// has an equal share, and what exceeds it is dropped; clients ask again.

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

const (
	// responsesMax bounds the responses that wait: what is answered in half a
	// second.
	responsesMax = 1024
	// responsesPerSecond and responsesBurst bound the signatures made for
	// responses to some percent of one processor.
	responsesPerSecond = 2000
	responsesBurst     = 500
)

// response is a report, if ask is set, or no answer to a query, or a refusal, to one
// connection.
type response struct {
	conn    uint64
	ask     *wire.Ask
	results *wire.Results // none
	refusal *wire.Refusal
}

// responses is what waits to be signed. Putting never blocks.
type responses struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		waiting shared[response]
	}
}

func newResponses() *responses {
	r := &responses{wake: make(chan struct{}, 1)}
	r.mu.waiting.max = responsesMax
	return r
}

func (r *responses) put(one response) {
	r.mu.Lock()
	r.mu.waiting.add(one.conn, one)
	r.mu.Unlock()
	token(r.wake)
}

func (r *responses) take() (response, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.waiting.take()
}

// respond queues r, if there is room.
func (n *Node) respond(r response) { n.responses.put(r) }

// respondNone queues that a query is not answered.
func (n *Node) respondNone(conn uint64, q *wire.Query) {
	n.respond(response{conn: conn, results: &wire.Results{Client: q.Client, Nonce: q.Nonce, Sender: n.self}})
}

// respondRefusal queues a refusal of the core's.
func (n *Node) respondRefusal(conn uint64, r wire.Refusal) {
	r.Sender = n.self
	n.respond(response{conn: conn, refusal: &r})
}

func (n *Node) responding(ctx context.Context) error {
	rate := newBucket(responsesPerSecond, responsesBurst)
	for {
		r, ok := n.responses.take()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-n.responses.wake:
			}
			continue
		}
		if wait := rate.wait(time.Now()); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
		rate.take(time.Now(), 1)
		n.sendResponse(r)
	}
}

func (n *Node) sendResponse(r response) {
	var m wire.Message = r.refusal
	switch {
	case r.ask != nil:
		report := n.Report()
		report.Nonce = r.ask.Nonce
		m = &report
	case r.results != nil:
		m = r.results
	}
	n.outlet.answer(r.conn, wire.Seal(n.cfg.Signer, n.cfg.Domain, m).Frame())
}
