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
	// blocked are, for each receiver, the kinds of messages that do not reach it:
	// bit k for kind k.
	blocked []uint32
}

func newLinks(n int) links {
	return links{make([]int, n), make([]bool, n), make([]bool, n), make([]uint32, n)}
}

func (l *links) blocks(to wire.ReplicaID, kind wire.Kind) bool { return l.blocked[to]>>kind&1 == 1 }

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
	for range w.o.Scrambles {
		w.sometime(w.scramble)
	}
	for range w.o.Ambushes {
		w.sometime(w.ambush)
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

// amnesiac is the fault of a replica that loses its data.
const amnesiac = "amnesiac"

// planFaulty chooses the faulty replicas, each with one fault.
func (w *world) planFaulty() {
	victims := w.rng.Perm(len(w.nodes))
	next := func(fault string) *node {
		n := w.nodes[victims[0]]
		victims, n.fault = victims[1:], fault
		return n
	}
	for range w.o.Losses {
		n := next(amnesiac)
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
		n.doomed = false
		n.restart()
	}
}

func (w *world) someNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

func (w *world) crashSome() {
	victims := []*node{w.someNode()}
	if w.o.AllCrash && w.rng.IntN(3) == 0 {
		victims = w.nodes
	}
	doomed := w.rng.IntN(2) == 0
	for _, n := range victims {
		if doomed && !n.down {
			n.doomed = true
			continue
		}
		n.crashFor(2 * time.Second)
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

// scramble draws anew which kinds of the messages that make and change views
// reach whom. So it happens that one replica alone prepares, that nobody learns
// of a commit, or that a new view rests on those who know least: what view
// changes must survive, and loss alone hardly ever makes.
func (w *world) scramble() {
	for to := range w.links.blocked {
		w.links.blocked[to] = 0
		if w.rng.IntN(3) == 0 {
			continue
		}
		for kind := wire.KindPrePrepare; kind <= wire.KindNewView; kind++ {
			if w.rng.IntN(3) == 0 {
				w.links.blocked[to] |= 1 << kind
			}
		}
	}
	w.tell("scramble %b", w.links.blocked)
}

// ambush lets one replica alone learn that batches prepare, or commit, and then
// takes it away for a while: it is cut off, or the power fails everywhere and it
// comes back last. The others change the view without it, and what it knew must
// be in what they kept.
func (w *world) ambush() {
	lone, kind := w.someNode(), wire.KindPrepare+wire.Kind(w.rng.IntN(2)) //nolint:gosec // 0 or 1
	if lone.replica != nil && w.rng.IntN(2) == 0 {
		lone = w.nodes[lone.replica.Primary()]
	}
	for to := range w.links.blocked {
		w.links.blocked[to] = 1 << kind
	}
	w.links.blocked[lone.id] = 0
	w.tell("only R%d hears a %s", lone.id, kind)
	w.after(w.between(5*tick, 40*tick), func() {
		clear(w.links.blocked)
		if w.calm {
			return
		}
		if w.o.Crashes == 0 || w.rng.IntN(2) == 0 {
			w.links.mute[lone.id], w.links.deaf[lone.id] = true, true
			w.after(w.between(0, w.o.OutageMax), func() { w.links.mute[lone.id], w.links.deaf[lone.id] = false, false })
			return
		}
		for _, n := range w.nodes {
			if n != lone {
				n.crashFor(10 * tick)
			}
		}
		lone.crash()
		w.after(w.between(50*tick, 400*tick), lone.restart)
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
	if !w.links.open(from, to) || w.links.blocks(to, sealed.Message().Kind()) || !w.calm && w.chance(w.o.Loss) {
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
