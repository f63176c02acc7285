package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// Control is what a script sees of a run and does in it. Its functions may be
// called from Options.Script and from what that schedules, never later. Replica
// ids name the first process with that id, not its twin.
type Control struct{ w *world }

// Glimpse is what a script sees of a replica.
type Glimpse struct {
	Down                    bool
	Active                  bool
	View                    wire.View
	Executed, Stable        wire.Seq
	Prepared, Committed     wire.Seq // the highest numbers that have these certificates
	Rejoining, Transferring bool
}

// watcher is something to be done once a condition holds.
type watcher struct {
	cond func() bool
	do   func()
}

// Now returns the virtual time since the start.
func (c *Control) Now() time.Duration { return c.w.now }

// Timeout returns the request timeout T.
func (c *Control) Timeout() time.Duration { return requestTimeout }

// At does something at a time; at once if that has passed.
func (c *Control) At(at time.Duration, do func()) { c.w.after(max(0, at-c.w.now), do) }

// When does something once, after the first event after which cond holds.
func (c *Control) When(cond func() bool, do func()) {
	c.w.watchers = append(c.w.watchers, watcher{cond, do})
}

// Expect makes it a violation if cond does not hold after some event within a
// time from now.
func (c *Control) Expect(what string, within time.Duration, cond func() bool) {
	met := false
	c.w.expected++
	c.When(cond, func() {
		met = true
		c.w.expected--
		c.w.checked(lawScript)
	})
	c.w.after(within, func() {
		if !met {
			c.w.breach(lawScript, "not within %s: %s", within, what)
		}
	})
}

// Fail makes the run a violation.
func (c *Control) Fail(format string, args ...any) { c.w.breach(lawScript, format, args...) }

// Replicas returns n.
func (c *Control) Replicas() int { return c.w.o.Replicas }

// Replica tells how replica id is.
func (c *Control) Replica(id wire.ReplicaID) Glimpse {
	n := c.w.nodes[id]
	g := Glimpse{Down: n.down, Prepared: n.prepared, Committed: n.committed}
	if r := n.replica; r != nil {
		g.Active, g.View, g.Executed, g.Stable = r.Active(), r.View(), r.Executed(), r.Stable().Seq
		g.Rejoining, g.Transferring = r.Rejoining(), r.Transferring()
	}
	return g
}

// Accused tells whether a correct replica has proof that id lied.
func (c *Control) Accused(id wire.ReplicaID) bool { return c.w.accused[id] > 0 }

// Answered returns how many operations of client i, counted from 0, are
// answered.
func (c *Control) Answered(i int) int { return c.w.clients[i].answered }

// AllAnswered returns how many operations of all clients are answered.
func (c *Control) AllAnswered() int {
	sum := 0
	for _, client := range c.w.clients {
		sum += client.answered
	}
	return sum
}

// Counters returns the run's counters so far.
func (c *Control) Counters() Counters { return c.w.counters }

// Crash ends the process of a replica; what was not flushed is lost, in part.
func (c *Control) Crash(id wire.ReplicaID) { c.w.nodes[id].crash() }

// Restart starts it again.
func (c *Control) Restart(id wire.ReplicaID) { c.w.nodes[id].restart() }

// Lose ends the process of a replica and empties its disk: it will rejoin. It
// is faulty then.
func (c *Control) Lose(id wire.ReplicaID) {
	c.Faulty(id, amnesiac)
	c.w.nodes[id].crash()
	c.w.nodes[id].lose()
}

// Rot changes the state of a replica behind its back. It is faulty then.
func (c *Control) Rot(id wire.ReplicaID) {
	c.Faulty(id, rotten)
	c.w.rot(c.w.nodes[id])
}

// Skew makes the wall clock of a replica wrong by d. It is faulty then.
func (c *Control) Skew(id wire.ReplicaID, d time.Duration) {
	c.Faulty(id, skewed)
	c.w.nodes[id].skew = wire.Time(d)
}

// Pause stops a process for a time; what reaches it meanwhile waits.
func (c *Control) Pause(id wire.ReplicaID, d time.Duration) { c.w.nodes[id].pause(d) }

// Flap tells a replica that its connection to another one broke, and after a time that it
// is up again. Everything passes all the same.
func (c *Control) Flap(id, peer wire.ReplicaID, d time.Duration) {
	n, to := c.w.nodes[id], c.w.nodes[peer]
	c.fault("R%d's connection to R%d flaps", id, peer)
	c.w.unlink(n, to)
	c.w.after(d, func() { c.w.link(n, to) })
}

// FailFlush makes the next flush of a replica fail.
func (c *Control) FailFlush(id wire.ReplicaID) { c.w.nodes[id].failing = true }

// Cut stops what one replica sends to another; Mend lets it through again.
func (c *Control) Cut(from, to wire.ReplicaID) { c.w.links.cut[from][to] = true }

// Mend ends Cut.
func (c *Control) Mend(from, to wire.ReplicaID) { c.w.links.cut[from][to] = false }

// Isolate cuts a replica off from all others, in both directions.
func (c *Control) Isolate(id wire.ReplicaID) {
	c.w.links.mute[id], c.w.links.deaf[id] = true, true
	c.fault("R%d is isolated", id)
}

// Partition splits the replicas into groups; those not named are in the first.
func (c *Control) Partition(groups ...[]wire.ReplicaID) {
	for i := range c.w.links.group {
		c.w.links.group[i] = max(0, slices.IndexFunc(groups, func(g []wire.ReplicaID) bool {
			return slices.Contains(g, c.w.nodes[i].id)
		}))
	}
	c.fault("the network splits into %v", groups)
}

// Heal ends every fault of the network.
func (c *Control) Heal() {
	c.w.heal()
	c.fault("the network heals")
}

// Block keeps messages of some kinds from a replica, until Heal.
func (c *Control) Block(to wire.ReplicaID, kinds ...wire.Kind) {
	for _, kind := range kinds {
		c.w.links.blocked[to] |= 1 << kind
	}
}

// Slow limits what reaches a replica to so many bytes a second, until Heal.
func (c *Control) Slow(id wire.ReplicaID, bytesPerSecond int) {
	c.w.links.speed[id] = bytesPerSecond
	c.fault("R%d hears %d bytes a second", id, bytesPerSecond)
}

// Faulty accounts a replica as faulty: oracles expect no truth of it. A run with
// more of them than Faults is a violation.
func (c *Control) Faulty(id wire.ReplicaID, why string) {
	n := c.w.nodes[id]
	if n.fault == "" {
		n.fault = why
	}
	faulty := 0
	for _, n := range c.w.nodes[:c.w.o.Replicas] {
		if n.fault != "" {
			faulty++
		}
	}
	if faulty > c.w.o.Faults && !c.w.o.Excess {
		c.Fail("%d faulty replicas are more than the %d of Faults", faulty, c.w.o.Faults)
	}
	c.fault("R%d is faulty: %s", id, why)
}

func (c *Control) fault(format string, args ...any) {
	if c.w.watching() || c.w.tracing() {
		text := fmt.Sprintf(format, args...)
		c.w.tell("%s", text)
		c.w.moment(Moment{What: Faulted, Node: -1, Text: text})
	}
}

// settle does what scripts wait for. What is done may make other conditions
// hold, or new ones.
func (w *world) settle() {
	for i := 0; i < len(w.watchers); {
		next := w.watchers[i]
		if !next.cond() {
			i++
			continue
		}
		w.watchers = slices.Delete(w.watchers, i, i+1)
		next.do()
		i = 0
	}
}
