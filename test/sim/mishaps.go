package sim

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// doom is the effect at which a process is to end.
type doom int

const (
	doomNone    doom = iota
	doomFlush        // just before or just after the next flush
	doomSend         // among the messages that a flush let go
	doomExecute      // after an execution, before its answers
	doomCollect      // after a checkpoint became stable, before the journal begins anew
	dooms
)

// planMishaps schedules what happens to processes, clocks and disks.
func (w *world) planMishaps() {
	if w.o.Drift > 0 {
		for _, n := range w.nodes {
			n.tick += time.Duration((2*w.rng.Float64() - 1) * w.o.Drift * float64(w.o.Tick))
		}
		w.counters.Drifting++
	}
	for _, m := range []struct {
		times int
		do    func()
	}{
		{w.o.Pauses, w.pauseOne},
		{w.o.Jumps, w.jump},
		{w.o.Bursts, w.burst},
		{w.o.Strains, w.strain},
		{w.o.Cuts, w.cutSome},
		{w.o.Flaps, w.flap},
		{w.o.FlushFailures, w.failOne},
		{w.o.FullDisks, w.fillOne},
	} {
		for range m.times {
			w.sometime(m.do)
		}
	}
}

// pauseOne stops a process, and lets it go on later; what reached it meanwhile
// comes at once.
func (w *world) pauseOne() {
	w.counters.Pauses++
	w.someNode().pause(w.between(0, w.o.OutageMax))
}

// jump makes a wall clock wrong for a while: ahead, behind, or standing still.
func (w *world) jump() {
	n := w.someNode()
	w.counters.Jumps++
	if w.rng.IntN(3) == 0 {
		n.stopped = n.wall()
	} else {
		n.jumped = wire.Time(w.between(-2*time.Hour, 2*time.Hour))
	}
	w.tell("R%d's clock jumps by %v, stops at %d", n.id, time.Duration(n.jumped), n.stopped)
	w.after(w.between(0, w.o.OutageMax), n.setClock)
}

// setClock makes the wall clock right, but for a permanent skew.
func (n *node) setClock() { n.jumped, n.stopped = 0, 0 }

// burst keeps the ticks of a replica back, and lets them come all at once.
func (w *world) burst() {
	n := w.someNode()
	if n.hoards {
		return
	}
	n.hoards = true
	w.after(w.between(2*tick, w.o.OutageMax), n.spend)
}

// spend lets the ticks that were kept back come.
func (n *node) spend() {
	ticks, life := n.hoarded, n.life
	n.hoards, n.hoarded = false, 0
	for range ticks {
		if !n.alive(life) || n.paused {
			return
		}
		n.w.counters.BurstTicks++
		n.step(core.Tick{Now: n.wall()})
	}
}

// strain keeps the processors of a replica busy for a while.
func (w *world) strain() {
	n := w.someNode()
	if n.down || n.paused {
		return
	}
	w.counters.Strains++
	n.step(core.Measured{Busy: true})
	life := n.life
	w.after(w.between(0, w.o.OutageMax), func() {
		if n.alive(life) && !n.paused {
			n.step(core.Measured{})
		}
	})
}

// cutSome makes some links pass nothing, each in one direction.
func (w *world) cutSome() {
	links := w.links
	for range 1 + w.rng.IntN(len(w.nodes)) {
		from, to := w.rng.IntN(len(w.nodes)), w.rng.IntN(len(w.nodes))
		links.cut[from][to] = true
		w.counters.Cuts++
		w.after(w.between(0, w.o.OutageMax), func() { links.cut[from][to] = false })
	}
}

// die ends the process for good.
func (n *node) die() {
	n.w.counters.Deaths++
	n.w.tell("R%d dies", n.id)
	n.dead = true
	n.crash()
}

// recover ends what the mishaps of a turbulence left.
func (n *node) recover() {
	n.doom, n.failing = doomNone, false
	n.fill(false)
	n.setClock()
	if n.hoards {
		n.spend()
	}
	if n.paused {
		n.resume()
	}
}

// sendsLast tells whether the process ends here, with some of its messages sent.
func (n *node) sendsLast() bool {
	if n.sends > 0 {
		n.sends--
		return false
	}
	n.w.counters.HalfSent++
	n.crashFor(2 * time.Second)
	return true
}
