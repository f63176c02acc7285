package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// client submits operations, retransmits to all, and takes a result when f+1
// replicas say the same.
type client struct {
	w       *World
	id      int
	signer  crypto.Signer
	rng     *rand.Rand
	next    wire.Number
	open    map[wire.Number]*question
	answers map[wire.Number]bool
	acked   wire.Number

	answered int
}

type question struct {
	sealed  *wire.Sealed
	replies map[crypto.Digest][]wire.ReplicaID
}

func newClient(w *World, id int, signer crypto.Signer) *client {
	return &client{
		w: w, id: id, signer: signer, rng: rand.New(rand.NewPCG(w.o.Seed, uint64(100+id))), next: 1,
		open: map[wire.Number]*question{}, answers: map[wire.Number]bool{},
	}
}

func (c *client) finished() bool { return c.answered == c.w.o.Operations }

// begin fills the window of outstanding operations.
func (c *client) begin() {
	for len(c.open) < c.w.o.Outstanding && int(c.next) <= c.w.o.Operations {
		number := c.next
		c.next++
		op := c.w.o.Operation(c.rng, c.id, int(number))
		sealed := wire.Seal(c.signer, c.w.domain, &wire.Request{
			Client: c.signer.Public(), Session: 1, Number: number, Acked: c.acked, Ops: [][]byte{op},
		})
		c.open[number] = &question{sealed, map[crypto.Digest][]wire.ReplicaID{}}
		c.send(number, 0)
	}
}

// send asks one replica first, and all when no answer comes in time.
func (c *client) send(number wire.Number, try int) {
	q := c.open[number]
	if q == nil {
		return
	}
	to := c.w.nodes
	if try == 0 {
		to = []*node{c.w.someNode()}
	}
	for _, n := range to {
		if !c.w.calm && c.w.chance(c.w.o.Loss) {
			continue
		}
		c.w.after(c.w.delay(), func() {
			if !n.down {
				c.w.note("R%d←C%d request %d", n.id, c.id, number)
				n.step(core.Submitted{Request: q.sealed})
			}
		})
	}
	c.w.after(time.Duration(min(try+1, 4))*25*tick, func() { c.send(number, try+1) })
}

// incoming carries a reply to the client it is for.
func (c *client) incoming(from wire.ReplicaID, sealed *wire.Sealed) {
	reply, ok := sealed.Message().(*wire.Reply)
	if !ok || reply.Client != c.signer.Public() || !c.w.calm && c.w.chance(c.w.o.Loss) {
		return
	}
	c.w.after(c.w.delay(), func() { c.take(from, reply) })
}

func (c *client) take(from wire.ReplicaID, reply *wire.Reply) {
	q := c.open[reply.Number]
	if q == nil {
		return
	}
	leaf := wire.ReplyLeaf(reply)
	if slices.Contains(q.replies[leaf], from) {
		return
	}
	q.replies[leaf] = append(q.replies[leaf], from)
	if len(q.replies[leaf]) < c.w.quorum.Weak() {
		return
	}
	c.w.note("C%d has the result of %d at %d", c.id, reply.Number, reply.Seq)
	c.w.oracle.acknowledged(c, reply)
	delete(c.open, reply.Number)
	c.answers[reply.Number] = true
	c.answered++
	for c.answers[c.acked+1] {
		c.acked++
	}
	c.begin()
}
