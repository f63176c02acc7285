package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// links tells what the network lets through, from process to process.
type links struct {
	group []int  // replicas of different groups do not hear each other
	mute  []bool // replicas that nobody hears
	deaf  []bool // replicas that hear nobody
	// blocked are, for each receiver, the kinds of messages that do not reach it:
	// bit k for kind k.
	blocked []uint32
	cut     [][]bool        // from one process to another
	loss    []float64       // of what a process sends and should hear, at any time
	speed   []int           // in bytes a second to a process; 0 is without limit
	free    []time.Duration // when a slow line has passed on what it has
}

func newLinks(n int) links {
	l := links{
		group: make([]int, n), mute: make([]bool, n), deaf: make([]bool, n), blocked: make([]uint32, n),
		cut: make([][]bool, n), loss: make([]float64, n), speed: make([]int, n), free: make([]time.Duration, n),
	}
	for i := range l.cut {
		l.cut[i] = make([]bool, n)
	}
	return l
}

func (l *links) blocks(to int, kind wire.Kind) bool { return l.blocked[to]>>kind&1 == 1 }

func (l *links) open(from, to int) bool {
	return l.group[from] == l.group[to] && !l.mute[from] && !l.deaf[to] && !l.cut[from][to]
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
	w.planWeather()
	w.planMishaps()
	for range w.o.Snipes {
		w.sometime(w.lieInWait)
	}
	w.planFaulty()
	w.planEnding()
	w.planOutlaws()
	if w.o.Script != nil {
		w.o.Script(&Control{w})
	}
	w.watchMemory()
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

// What may be wrong with a replica.
const (
	amnesiac = "amnesiac" // it loses its data
	rotten   = "rotten"   // its state changes by itself
	skewed   = "skewed"   // its wall clock is wrong
	lying    = "liar"
	twins    = "twin"     // two processes have its key
	corroded = "bad disk" // its disk lies
	restored = "restored" // it starts from an old copy of its disk
	dying    = "dying"    // it ends and never starts again
)

// planFaulty chooses the faulty replicas, each with one fault.
func (w *world) planFaulty() {
	victims := w.rng.Perm(w.o.Replicas)
	if first := w.o.Replicas - w.o.Liars; w.o.LiarLeads && w.o.Liars > 0 { // liars come last
		at := slices.Index(victims, 0)
		victims[at], victims[first] = victims[first], victims[at]
	}
	next := func(fault string) *node {
		n := w.nodes[victims[0]]
		victims = victims[1:]
		for n.fault != "" { // with a strategy, or a twin
			n, victims = w.nodes[victims[0]], victims[1:]
		}
		n.fault = fault
		return n
	}
	for range w.o.Losses {
		n := next(amnesiac)
		w.sometime(func() { w.loseData(n) })
	}
	for range w.o.Rots {
		w.rotEarly(next(rotten))
	}
	for range w.o.BadDisks {
		w.corrode(next(corroded))
	}
	for range w.o.Backups {
		w.backUp(next(restored))
	}
	for range w.o.Deaths {
		n := w.someNode()
		if !w.o.SafetyOnly {
			n = next(dying)
		}
		w.sometime(n.die)
	}
	for range w.o.Skews {
		next(skewed).skew = wire.Time(time.Hour)
	}
	for range w.o.Liars {
		n := next(lying)
		n.byzantine = true
		n.strategy = w.drawLiar()
	}
}

// rotEarly has the state of a replica change by itself, so early that a checkpoint comes while
// there are faults.
func (w *world) rotEarly(n *node) {
	w.after(w.between(0, w.o.Turbulence/3), func() {
		if !w.calm {
			w.rot(n)
		}
	})
}

// drawLiar returns what a liar does: half of those that are asked queries lie in their
// answers too, whatever else they do.
func (w *world) drawLiar() adversary.Strategy {
	s := w.drawStrategy()
	if w.o.FastReads > 0 && w.rng.IntN(2) == 0 {
		return adversary.All(s, adversary.StaleReads())
	}
	return s
}

// attacks returns the strategies that do something in a run.
func (o *Options) attacks() []adversary.Entry {
	return slices.DeleteFunc(adversary.Catalogue(), func(e adversary.Entry) bool {
		return e.Name == "stale-reads" && o.FastReads == 0
	})
}

// drawStrategy returns what a liar does: one of the attacks that have a name,
// anything at random, or small changes.
func (w *world) drawStrategy() adversary.Strategy {
	if named, ok := adversary.Find(w.o.Strategy); ok {
		return named.New()
	}
	switch named := w.o.attacks(); w.rng.IntN(4) {
	case 0:
		return adversary.Mutator()
	case 1:
		return adversary.SmallScope(0.1)
	default:
		return named[w.rng.IntN(len(named))].New()
	}
}

// idle hears that a client has no operation left. A hasty turbulence ends soon
// after the last one.
func (w *world) idle() {
	busy := func(c *client) bool { return !c.finished() }
	if w.o.Hasty && !slices.ContainsFunc(w.clients, busy) {
		w.after(w.between(0, 50*tick), w.becomeCalm)
	}
}

func (w *world) becomeCalm() {
	if w.calm {
		return
	}
	w.note(markFault, 0, 0, 0)
	w.tell("calm")
	w.calm, w.calmAt, w.snipes = true, w.now, nil // who was to be shot is not
	w.heal()
	w.moment(Moment{What: Calm, Node: -1})
	for _, n := range w.nodes {
		n.recover()
		n.restart()
	}
	w.relink()
	w.assign()
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
			n.doom, n.sends = 1+doom(w.rng.IntN(int(dooms)-1)), w.rng.IntN(2*w.o.Replicas)
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
	w.breakApart()
	w.after(w.between(0, w.o.OutageMax), func() {
		w.links.group = make([]int, len(w.nodes))
		w.tell("heal")
		for _, n := range w.nodes {
			w.link(w.someNode(), n)
		}
		w.relink()
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
	w.links.blocked[lone.index] = 0
	w.tell("only R%d hears a %s", lone.id, kind)
	w.after(w.between(5*tick, 40*tick), func() {
		clear(w.links.blocked)
		if w.calm {
			return
		}
		if w.o.Crashes == 0 || w.rng.IntN(2) == 0 {
			w.links.mute[lone.index], w.links.deaf[lone.index] = true, true
			w.after(w.between(0, w.o.OutageMax), func() { w.links.mute[lone.index], w.links.deaf[lone.index] = false, false })
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
	which[n.index] = true
	w.tell("R%d mute %v deaf %v", n.id, w.links.mute[n.index], w.links.deaf[n.index])
	w.after(w.between(0, w.o.OutageMax), func() { which[n.index] = false })
}

// loseData takes a replica's data away. It rejoins.
func (w *world) loseData(n *node) {
	n.crash()
	n.lose()
	w.after(w.between(0, time.Second), n.restart)
}

// rotKey is what appears in a state that changes by itself.
const rotKey = "rot"

// rot changes the state of a replica behind its back.
func (w *world) rot(n *node) {
	if n.down || n.fetches != nil {
		return
	}
	w.note(markFault, n.id, 1, 0)
	w.tell("R%d rots", n.id)
	n.rot, n.rotAt = true, n.replica.Executed()
	w.did(n, Step{Do: StepRot})
	n.check("rot", n.state.Put([]byte(rotKey), []byte{1}))
}

// heal ends every fault of the network.
func (w *world) heal() {
	w.links = newLinks(len(w.nodes))
	if w.weather != nil {
		w.weather.clear()
	}
}

// transmit carries a message to a replica: to all processes with that key, or to
// the sender itself.
func (w *world) transmit(from *node, to wire.ReplicaID, sealed *wire.Sealed) {
	if from.id == to {
		if sealed.Message().Kind() != wire.KindStatus { // its own tells nobody anything
			w.after(0, w.parcel(from, from, sealed).arrive)
		}
		return
	}
	for _, n := range w.byID[to] {
		w.pass(from, n, sealed)
	}
}

// pass carries a message from one process to another, or loses it.
func (w *world) pass(from, to *node, sealed *wire.Sealed) {
	w.messages++
	if w.ending != nil && from.role == roleHealed {
		w.ending.sent++
	}
	id := w.messages
	w.passage(Sent, from, to, id, sealed)
	if w.o.Steps != nil {
		w.did(from, Step{Do: StepSend, Peer: to.id, Message: id, Sealed: sealed})
	}
	if w.waits(from, to, letter{id, sealed}) {
		return
	}
	if !w.links.open(from.index, to.index) || w.links.blocks(to.index, sealed.Message().Kind()) ||
		!w.calm && w.chance(w.o.Loss) || w.chance(max(w.links.loss[from.index], w.links.loss[to.index])) {
		w.passage(Dropped, from, to, id, sealed)
		return
	}
	if w.weather != nil && !w.weather.admit(from, to, id, sealed) {
		w.passage(Dropped, from, to, id, sealed)
		return
	}
	for range w.copies() {
		d := w.delay()
		if w.links.speed[to.index] > 0 {
			d += w.queue(to.index, len(sealed.Frame()))
		}
		p := w.parcel(from, to, sealed)
		p.id = id
		if w.weather != nil {
			d = w.weather.carry(p, d)
		}
		w.after(d, p.arrive)
	}
}

// queue returns how long a message waits for a slow line.
func (w *world) queue(to, bytes int) time.Duration {
	l := &w.links
	l.free[to] = max(l.free[to], w.now) + time.Duration(bytes)*time.Second/time.Duration(l.speed[to])
	return l.free[to] - w.now
}

// calmDelayMax bounds the delays of a timely network, unless DelayMin is longer.
const calmDelayMax = 20 * time.Millisecond

func (w *world) delay() time.Duration {
	if w.calm {
		return w.between(w.o.DelayMin, min(w.o.DelayMax, calmDelayMax))
	}
	return w.between(w.o.DelayMin, w.o.DelayMax)
}

// deliver hands a message over, through its encoding when asked to, or when it
// is a liar's.
func (w *world) deliver(from, to *node, id uint64, sealed *wire.Sealed) {
	if !w.links.open(from.index, to.index) || to.down {
		w.passage(Dropped, from, to, id, sealed)
		return
	}
	lies := from.strategy != nil
	if w.o.Reencode || lies {
		o := w.opening(sealed)
		switch {
		case o.err != nil && lies:
			w.counters.Unopened++
			w.passage(Dropped, from, to, id, sealed)
			to.exposed(o.unsigned)
			return
		case o.err != nil:
			w.fail(fmt.Errorf("replica %d sends what cannot be opened: %w", from.id, o.err))
			return
		}
		sealed = o.sealed
	}
	w.passage(Received, from, to, id, sealed)
	to.receive(to.life, from.id, id, sealed)
}
