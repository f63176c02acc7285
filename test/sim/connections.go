package sim

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// connection is what one process was told of its connection to another one.
type connection struct {
	up bool
	// turn is when what it was told last happened: what happened before comes too late.
	turn uint64
}

// connections tells whether anybody hears of connections that break.
func (o *Options) connections() bool { return o.Breaks > 0 || o.Flaps > 0 }

// link tells n, a little later, that its connection to peer came up.
func (w *world) link(n, peer *node) {
	if n == peer {
		return
	}
	life, turn := n.life, w.order
	w.after(w.delay(), func() {
		c := &n.connections[peer.index]
		if n.alive(life) && !peer.down && w.links.open(peer.index, n.index) && c.turn <= turn {
			c.up, c.turn, n.cutFrom[peer.id] = true, turn, false
			n.step(core.Linked{Peer: peer.id})
		}
	})
}

// unlink tells n, a little later, that its connection to peer broke, if it had one.
func (w *world) unlink(n, peer *node) {
	if n == peer {
		return
	}
	life, turn := n.life, w.order
	var arrive func()
	arrive = func() {
		c := &n.connections[peer.index]
		switch {
		case !n.alive(life) || c.turn > turn || !c.up:
		case n.paused:
			n.surely(arrive)
		default:
			c.up, c.turn, n.cutFrom[peer.id] = false, turn, true
			w.counters.Unlinked++
			n.step(core.Unlinked{Peer: peer.id})
		}
	}
	w.after(w.delay(), arrive)
}

// hangUp tells the others that a process has ended, unless its machine has as well:
// then nobody closes its connections.
func (w *world) hangUp(ended *node) {
	if w.chance(w.o.Breaks) {
		for _, n := range w.nodes {
			w.unlink(n, ended)
		}
	}
}

// breakApart breaks connections between the groups of a split.
func (w *world) breakApart() {
	for _, n := range w.nodes {
		for _, peer := range w.nodes {
			if w.links.group[n.index] != w.links.group[peer.index] && w.chance(w.o.Breaks) {
				w.unlink(n, peer)
			}
		}
	}
}

// flap breaks the connections of one process to another one, or those of all, though
// everything still passes, and mends them soon or later.
func (w *world) flap() {
	peer := w.someNode()
	if some := w.someNode().replica; some != nil && w.rng.IntN(2) == 0 {
		peer = w.nodes[some.Primary()]
	}
	tellers := []*node{w.someNode()}
	if w.rng.IntN(3) == 0 {
		tellers = w.nodes
	}
	for _, n := range tellers {
		w.counters.Flaps++
		w.tell("R%d's connection to R%d flaps", n.id, peer.id)
		w.unlink(n, peer)
		w.after(w.between(0, []time.Duration{2 * tick, w.o.OutageMax}[w.rng.IntN(2)]), func() { w.link(n, peer) })
	}
}

// relink brings all connections up, where any may be down.
func (w *world) relink() {
	if !w.o.connections() {
		return
	}
	for _, n := range w.nodes {
		for _, peer := range w.nodes {
			w.link(n, peer)
		}
	}
}

// losses notes which replicas that keep their word lost the primary of a view while
// they were in it (O10).
type losses map[wire.View]map[wire.ReplicaID]bool

// watch looks at n before and after each of its steps.
func (l losses) watch(n *node) {
	if !n.w.o.connections() || n.replica == nil || !faithful(n) || !n.cutFrom[n.replica.Primary()] {
		return
	}
	v := n.replica.View()
	if l[v] == nil {
		l[v] = map[wire.ReplicaID]bool{}
	}
	l[v][n.id] = true
}

// left checks O10 when n leaves a view for a primary that no quorum reaches.
func (l losses) left(n *node, view wire.View) {
	w := n.w
	if !faithful(n) || w.o.Excess {
		return
	}
	w.checked(lawPatience)
	reach := 0
	for _, other := range w.nodes[:w.o.Replicas] {
		gone := other.replica != nil && other.replica.View() > view
		if !faithful(other) || !l[view][other.id] && !gone {
			reach++
		}
	}
	if reach >= w.quorum.Strong() {
		w.breach(lawPatience, "R%d leaves view %d for its primary, which %d may reach, a quorum", n.id, view, reach)
	}
}
