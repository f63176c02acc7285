package sim

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// links tells what the network lets through.
type links struct {
	group []int  // replicas of different groups do not hear each other
	mute  []bool // replicas that nobody hears
	deaf  []bool // replicas that hear nobody
}

func newLinks(n int) links { return links{make([]int, n), make([]bool, n), make([]bool, n)} }

func (l *links) open(from, to wire.ReplicaID) bool {
	return l.group[from] == l.group[to] && !l.mute[from] && !l.deaf[to]
}

// plan schedules the faults, and the end of all faults.
func (w *world) plan() {
	for _, n := range w.nodes {
		w.after(w.between(0, tick), n.restart)
	}
	for _, c := range w.clients {
		w.after(w.between(0, 5*tick), c.begin)
		for range w.o.Sessions {
			w.sometime(c.startAnew)
		}
	}
	for range w.o.Crashes {
		w.sometime(w.crashSome)
	}
	for range w.o.Partitions {
		w.sometime(w.split)
	}
	for range w.o.Mutes {
		w.sometime(w.muteOne)
	}
	w.planFaulty()
	w.after(w.o.Turbulence, w.becomeCalm)
}

// sometime schedules do for a time within the turbulence.
func (w *world) sometime(do func()) {
	w.after(w.between(0, w.o.Turbulence), func() {
		if !w.calm {
			do()
		}
	})
}

// planFaulty chooses the faulty replicas, each with one fault.
func (w *world) planFaulty() {
	victims := w.rng.Perm(len(w.nodes))
	next := func(fault string) *node {
		n := w.nodes[victims[0]]
		victims, n.fault = victims[1:], fault+" "
		return n
	}
	for range w.o.Losses {
		n := next("amnesiac")
		w.sometime(func() { w.loseData(n) })
	}
	for range w.o.Rots {
		n := next("rotten")
		w.sometime(func() { w.rot(n) })
	}
	for range w.o.Skews {
		next("skewed").skew = wire.Time(time.Hour)
	}
	for range w.o.Liars {
		n := next("liar")
		n.liar = newLiar(n)
	}
}

func (w *world) becomeCalm() {
	w.note(markFault, 0, 0, 0)
	w.tell("calm")
	w.calm = true
	w.links = newLinks(w.o.Replicas)
	for _, n := range w.nodes {
		n.restart()
	}
}

func (w *world) someNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

func (w *world) crashSome() {
	victims := []*node{w.someNode()}
	if w.o.AllCrash && w.rng.IntN(3) == 0 {
		victims = w.nodes
	}
	for _, n := range victims {
		n.crash()
		w.after(w.between(0, 2*time.Second), n.restart)
	}
}

func (w *world) split() {
	for i := range w.links.group {
		w.links.group[i] = w.rng.IntN(2)
	}
	w.tell("split %v", w.links.group)
	w.after(w.between(0, w.o.OutageMax), func() {
		w.links.group = make([]int, w.o.Replicas)
		w.tell("heal")
		for _, n := range w.nodes {
			w.link(w.someNode(), n)
		}
	})
}

func (w *world) muteOne() {
	n, which := w.someNode(), w.links.mute
	if w.rng.IntN(2) == 0 {
		which = w.links.deaf
	}
	which[n.id] = true
	w.tell("R%d mute %v deaf %v", n.id, w.links.mute[n.id], w.links.deaf[n.id])
	w.after(w.between(0, w.o.OutageMax), func() { which[n.id] = false })
}

// loseData takes a replica's data away. It rejoins.
func (w *world) loseData(n *node) {
	n.crash()
	n.lose()
	w.after(w.between(0, time.Second), n.restart)
}

// rot changes the state of a replica behind its back.
func (w *world) rot(n *node) {
	if n.down || n.fetches != nil {
		return
	}
	w.note(markFault, n.id, 1, 0)
	w.tell("R%d rots", n.id)
	n.rot = true
	n.check("rot", n.state.Put([]byte("rot"), []byte{1}))
}

// link tells n, a little later, that its connection to peer came up.
func (w *world) link(n, peer *node) {
	if n == peer {
		return
	}
	life := n.life
	w.after(w.delay(), func() {
		if n.alive(life) && !peer.down && w.links.open(peer.id, n.id) {
			n.step(core.Linked{Peer: peer.id})
		}
	})
}

// transmit carries a message from one replica to another.
func (w *world) transmit(from, to wire.ReplicaID, sealed *wire.Sealed) {
	if from == to {
		n := w.nodes[to]
		life := n.life
		w.after(0, func() { n.receive(life, from, sealed) })
		return
	}
	if !w.links.open(from, to) || !w.calm && w.chance(w.o.Loss) {
		return
	}
	copies := 1
	if w.chance(w.o.Duplication) {
		copies = 2
	}
	for range copies {
		w.after(w.delay(), func() { w.deliver(from, to, sealed) })
	}
}

func (w *world) delay() time.Duration {
	if w.calm {
		return w.between(w.o.DelayMin, max(w.o.DelayMin, min(w.o.DelayMax, 20*time.Millisecond)))
	}
	return w.between(w.o.DelayMin, w.o.DelayMax)
}

// deliver hands a message over, through its encoding when asked to, or when a
// liar made it.
func (w *world) deliver(from, to wire.ReplicaID, sealed *wire.Sealed) {
	if !w.links.open(from, to) {
		return
	}
	lies := w.nodes[from].liar != nil
	if w.o.Reencode || lies {
		opened, err := w.opener.OpenOne(sealed.Frame())
		switch {
		case err != nil && lies:
			w.counters.Unopened++
			return
		case err != nil:
			w.fail(fmt.Errorf("replica %d sends what cannot be opened: %w", from, err))
			return
		}
		sealed = opened
	}
	n := w.nodes[to]
	n.receive(n.life, from, sealed)
}
