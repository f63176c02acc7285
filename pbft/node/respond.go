package node

// Stage respond is sequential: it signs what clients are told beside results,
// refusals and reports, at a bounded rate, so that questions cannot take the
// processors from the order. What finds no room is dropped; clients ask again.

import (
	"context"
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

// response is a report, if ask is set, or a refusal, to one connection.
type response struct {
	conn    uint64
	ask     *wire.Ask
	refusal *wire.Refusal
}

// respond queues r, if there is room.
func (n *Node) respond(r response) {
	select {
	case n.responses <- r:
	default:
	}
}

// respondRefusal queues a refusal of the core's.
func (n *Node) respondRefusal(conn uint64, r wire.Refusal) {
	r.Sender = n.self
	n.respond(response{conn: conn, refusal: &r})
}

func (n *Node) responding(ctx context.Context) error {
	rate := newBucket(responsesPerSecond, responsesBurst)
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-n.responses:
			if rate.take(time.Now(), 1) {
				n.sendResponse(r)
			}
		}
	}
}

func (n *Node) sendResponse(r response) {
	if r.ask != nil {
		report := n.Report()
		report.Nonce = r.ask.Nonce
		n.outlet.answer(r.conn, wire.Seal(n.cfg.Signer, n.cfg.Domain, &report).Frame())
		return
	}
	n.outlet.answer(r.conn, wire.Seal(n.cfg.Signer, n.cfg.Domain, r.refusal).Frame())
}
