package sim

import (
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// role is what becomes of a replica for good when the turbulence of a liveness
// run ends.
type role int

const (
	roleNone   role = iota // it stays what it is
	roleHealed             // one of the quorum that is up, timely and correct
	roleDead               // it never starts again
	roleCut                // nobody hears it, and it hears nobody
	roleLossy              // most of what it sends, and of what it should hear, is lost
	roleSlow               // every flush of its disk takes a second, and more
	roleLiar               // it plays a strategy from now on
	roles
)

// Figures of liveness runs. What they bound was measured over many seeds, and is
// far below.
const (
	lossyLoss = 0.7
	slowFlush = 2 * time.Second
	// A cluster with nothing to do is left alone for restTime, and then watched for
	// quietTime: again, if it changed its view, which is bounded by itself and has
	// every open slot voted on once more.
	restTime, quietTime = 3 * time.Second, 2 * time.Second
	// quietFactor is how many messages each replica may then send to each other in
	// the time between two of its Status messages.
	quietFactor = 3
	// votesAnswered is how many messages besides each may then send to one that is
	// behind, in that time: votes on 32 numbers, two for each.
	votesAnswered = 64
)

// ending is the end of a liveness run (after the liveness mode of TigerBeetle's
// simulator): a quorum is healed, everybody else is as bad as possible, for ever,
// and the quorum must answer all, agree, change views no more than it must, and
// fall silent.
type ending struct {
	bad    int       // replicas that are not of the quorum
	worst  wire.View // the highest view when the turbulence ends
	sent   int       // by the healed, since the watch began
	behind int       // that were behind when that was begun to be counted
	begun  bool      // all is done, and the rest has begun
	ended  bool
	within wire.View // how many views the quorum may take
	steps  wire.View // how far the quorum's view changes were when the rest began
}

// planEnding chooses the quorum, as small as possible or larger, and everybody
// else's role. No more than f of the others speak, as liars or badly: those who
// speak too little can force view changes once they are more than f.
func (w *world) planEnding() {
	if !w.o.Liveness {
		return
	}
	q, bad := w.quorum.Strong(), 0
	var correct []*node
	for _, i := range w.rng.Perm(w.o.Replicas) {
		if n := w.nodes[i]; n.fault == "" {
			correct = append(correct, n)
		} else {
			bad++
		}
	}
	healed := q
	if more := len(correct) - q; more > 0 && w.rng.IntN(3) == 0 {
		healed += w.rng.IntN(more + 1)
	}
	for i, n := range correct {
		if i < healed {
			n.role = roleHealed
			continue
		}
		if n.role = w.drawRole(bad < w.o.Faults); n.role >= roleLossy {
			bad++
		}
		if n.role == roleLiar {
			n.fault = lying
			w.oracle.votes.enough--
		}
	}
	w.ending = &ending{
		bad: w.o.Replicas - healed, within: wire.View(viewsPerBad * (w.o.Replicas - healed + 1)), //nolint:gosec // small
	}
}

// extended returns how long something may take that takes at most limit while no more
// than one replica is bad: each view that a further one leads in a row may double the
// timeouts once more.
func (w *world) extended(limit time.Duration) time.Duration {
	bad := 0
	if w.ending != nil {
		bad = w.ending.bad
	} else {
		for _, n := range w.nodes {
			if n.fault != "" {
				bad++
			}
		}
	}
	return limit << max(0, bad-1)
}

// drawRole draws the role of a replica outside of the quorum, which may speak or
// must be silent.
func (w *world) drawRole(speaks bool) role {
	if speaks {
		return roleDead + role(w.rng.IntN(int(roles-roleDead)))
	}
	return roleDead + role(w.rng.IntN(int(roleLossy-roleDead)))
}

// viewsPerBad is how many views each replica outside of the quorum may cost, and
// as many for free: the turbulence may leave a view change under way.
const viewsPerBad = 8

// assign gives the roles, when the network is whole and everybody is up.
func (w *world) assign() {
	if w.ending == nil {
		return
	}
	for _, n := range w.nodes {
		if n.replica != nil {
			w.ending.worst = max(w.ending.worst, n.replica.View())
		}
		w.counters.count(n.role)
		switch n.role {
		case roleDead:
			n.crash()
			n.dead = true
		case roleCut:
			w.links.mute[n.index], w.links.deaf[n.index] = true, true
		case roleLossy:
			w.links.loss[n.index] = lossyLoss
		case roleSlow:
			n.slow = true
		case roleLiar:
			entries := w.o.attacks()
			entry := entries[w.rng.IntN(len(entries))]
			n.byzantine, n.strategy = true, entry.New()
			w.tell("R%d plays %s from now on", n.id, entry.Name)
		case roleNone, roleHealed, roles:
		}
		if n.role >= roleDead {
			w.tell("R%d has role %d from now on", n.id, n.role)
		}
	}
}

// count counts a role.
func (c *Counters) count(r role) {
	for of, counter := range map[role]*int{
		roleDead: &c.Dead, roleCut: &c.CutOff, roleLossy: &c.Lossy, roleSlow: &c.Slow, roleLiar: &c.Turned,
	} {
		if r == of {
			*counter++
		}
	}
}

// counts tells whether the run waits for n to have what the others have.
func (n *node) counts() bool {
	return !n.byzantine && !n.dead && (n.w.ending == nil || n.role == roleHealed)
}

// rest tells whether the run is over when all is done: at once, or once a
// liveness run has been watched in its rest. Outlaws leave no rest: what they
// have waiting keeps the quorum busy, and lets it change views.
func (w *world) rest() bool {
	e := w.ending
	if e == nil || w.o.Outlaws > 0 {
		return true
	}
	if !e.begun {
		e.begun = true
		w.watchRest()
	}
	return e.ended
}

func (w *world) watchRest() {
	e := w.ending
	e.steps = w.viewSteps()
	w.after(restTime, func() {
		e.sent, e.behind = 0, w.behind()
		w.after(quietTime, w.checkQuiet)
	})
}

// behind counts the replicas that live outside of the quorum and do not know all
// that it has executed: they are told, as slowly as their disks and links want it.
func (w *world) behind() int {
	count, last := 0, wire.Seq(0)
	for _, n := range w.nodes {
		if n.role == roleHealed {
			last = max(last, n.replica.Executed())
		}
	}
	for _, n := range w.nodes {
		if n.role != roleHealed && !n.dead && (n.down || n.replica.Executed() < last) {
			count++
		}
	}
	return count
}

// viewSteps counts the beginnings and ends of the quorum's view changes. (One
// replica alone may wait in a view that nobody follows it to.)
func (w *world) viewSteps() wire.View {
	steps := wire.View(0)
	for _, n := range w.nodes {
		if n.role != roleHealed {
			continue
		}
		steps += 2 * n.replica.View()
		if !n.replica.Active() {
			steps--
		}
	}
	return steps
}

// checkQuiet checks what the rest was like.
func (w *world) checkQuiet() {
	e := w.ending
	for _, n := range w.nodes {
		if n.role == roleHealed && n.replica.View() > e.worst+e.within {
			w.breach(lawLiveness, "R%d is in view %d: the network became timely in view %d, want at most %d more",
				n.id, n.replica.View(), e.worst, e.within)
			return
		}
	}
	if w.viewSteps() != e.steps {
		w.watchRest()
		return
	}
	e.ended = true
	w.checked(lawLiveness)
	n := len(w.nodes)
	most := (quietFactor*n*n + votesAnswered*n*e.behind) * int(quietTime/w.o.StatusEvery)
	liar := func(n *node) bool { return n.byzantine && !n.dead } // liars have clients of their own
	if e.sent > most && !slices.ContainsFunc(w.nodes, liar) {
		w.breach(lawLiveness, "the quorum sends %d messages in %v with nothing to do, want at most %d", e.sent, quietTime, most)
	}
}
