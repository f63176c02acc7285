package sim

import (
	"strings"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// memoryEvery is the time between two looks at what the replicas hold.
const memoryEvery = 10 * tick

// watchMemory checks O7 again and again: everything that a replica holds stays
// under the bounds that its configuration promises, whatever the others send.
func (w *world) watchMemory() {
	w.after(memoryEvery, func() {
		for _, n := range w.nodes {
			w.oracle.weigh(n)
		}
		w.watchMemory()
	})
}

// weigh checks O7 of one replica.
func (o *oracle) weigh(n *node) {
	if n.down || n.replica == nil {
		return
	}
	o.w.checked(lawMemory)
	if over := n.replica.Sizes().Over(n.bounds); len(over) > 0 {
		o.w.breach(lawMemory, "R%d holds too much: %s", n.id, strings.Join(over, "; "))
	}
}

// timely checks O6: an operation is answered within a time of its being asked,
// or of the end of the turbulence if that is later.
func (o *oracle) timely(c *client, q *question, number wire.Number) {
	if !o.w.calm {
		return
	}
	o.w.checked(lawLiveness)
	took, most := o.w.now-max(q.asked, o.w.calmAt), o.w.extended(o.w.o.AnswerMax)
	if took > most {
		o.w.breach(lawLiveness, "client %d waited %v for operation %d in a timely network, want at most %v",
			c.id, took.Round(time.Millisecond), number, most)
	}
}
