package sim

import (
	"time"

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
func (w *World) plan() {
	for _, n := range w.nodes {
		w.after(w.between(0, tick), n.restart)
	}
	for _, c := range w.clients {
		w.after(w.between(0, 5*tick), c.begin)
	}
	for range w.o.Crashes {
		w.after(w.between(0, w.o.Turbulence), w.crashSome)
	}
	for range w.o.Partitions {
		w.after(w.between(0, w.o.Turbulence), w.split)
	}
	for range w.o.Mutes {
		w.after(w.between(0, w.o.Turbulence), w.muteOne)
	}
	for range min(w.o.Losses, w.o.Faults) {
		w.after(w.between(0, w.o.Turbulence), w.loseOne)
	}
	w.after(w.o.Turbulence, w.becomeCalm)
}

func (w *World) becomeCalm() {
	w.note("calm")
	w.calm = true
	w.links = newLinks(w.o.Replicas)
	for _, n := range w.nodes {
		n.restart()
	}
}

func (w *World) someNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

func (w *World) crashSome() {
	if w.calm {
		return
	}
	victims := []*node{w.someNode()}
	if w.o.AllCrash && w.rng.IntN(3) == 0 {
		victims = w.nodes
	}
	for _, n := range victims {
		n.crash()
		w.after(w.between(0, 2*time.Second), n.restart)
	}
}

func (w *World) split() {
	if w.calm {
		return
	}
	for i := range w.links.group {
		w.links.group[i] = w.rng.IntN(2)
	}
	w.note("split %v", w.links.group)
	w.after(w.between(0, 3*time.Second), func() {
		w.links.group = make([]int, w.o.Replicas)
		w.note("heal")
	})
}

func (w *World) muteOne() {
	if w.calm {
		return
	}
	n, which := w.someNode(), w.links.mute
	if w.rng.IntN(2) == 0 {
		which = w.links.deaf
	}
	which[n.id] = true
	w.note("R%d mute %v deaf %v", n.id, w.links.mute[n.id], w.links.deaf[n.id])
	w.after(w.between(0, 3*time.Second), func() { which[n.id] = false })
}

// loseOne takes a replica's data away. It rejoins; the losses are among the f
// faults, for one that forgets what it signed is a Byzantine replica.
func (w *World) loseOne() {
	if w.calm {
		return
	}
	n := w.someNode()
	n.crash()
	n.lose()
	w.after(w.between(0, time.Second), n.restart)
}

// transmit carries a frame from one replica to another.
func (w *World) transmit(from, to wire.ReplicaID, sealed *wire.Sealed) {
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

func (w *World) delay() time.Duration {
	if w.calm {
		return w.between(w.o.DelayMin, min(w.o.DelayMax, 20*time.Millisecond))
	}
	return w.between(w.o.DelayMin, w.o.DelayMax)
}

// deliver hands a message over, through its encoding when asked to.
func (w *World) deliver(from, to wire.ReplicaID, sealed *wire.Sealed) {
	if !w.links.open(from, to) {
		return
	}
	if w.o.Reencode {
		opened, err := w.opener.OpenOne(sealed.Frame())
		if err != nil {
			w.fail(err)
			return
		}
		sealed = opened
	}
	n := w.nodes[to]
	n.receive(n.life, from, sealed)
}
