package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// stored tells whether something reached the disk. A process whose disk is full
// ends, and tries again until there is room.
func (n *node) stored(what string, err error) bool {
	if !errors.Is(err, errFull) {
		return n.check(what, err)
	}
	n.w.counters.Filled++
	n.w.tell("R%d has no room: %s", n.id, what)
	if n.down { // it was about to start
		n.journal.kill(n.w.rng)
	}
	n.end(n.journal.kill)
	n.retry()
	return false
}

// keepRejoin makes durable, before anything else is done, that the replica lost
// its data: a start that ends early must not be taken for the first one.
func (n *node) keepRejoin() bool {
	return n.stored("rejoin", n.journal.Append([]core.Record{core.RejoinRecord{Open: true}})) &&
		n.stored("rejoin", n.journal.Flush())
}

// flushMax returns how long a flush may take.
func (n *node) flushMax() time.Duration {
	if n.slow {
		return slowFlush
	}
	return n.w.o.FlushMax
}

// snapshotMax returns how long a snapshot may take. The disks of a healed quorum
// are timely, as its network is.
func (n *node) snapshotMax() time.Duration {
	switch {
	case n.slow:
		return slowFlush
	case n.role == roleHealed && n.w.calm:
		return min(n.w.o.SnapshotMax, 5*tick)
	default:
		return n.w.o.SnapshotMax
	}
}

// retry starts the process again within a second.
func (n *node) retry() { n.w.after(n.w.between(0, time.Second), n.restart) }

// fill makes the disk full, or gives it room again.
func (n *node) fill(full bool) {
	n.full = full
	n.journal.fill(full)
}

func (w *world) fillOne() {
	n := w.someNode()
	n.fill(true)
	w.tell("R%d's disk is full", n.id)
	w.after(w.between(0, w.o.OutageMax), func() { n.fill(false) })
}

// failOne makes the next flush of a replica fail; it starts again later.
func (w *world) failOne() {
	n := w.someNode()
	n.failing = true
	w.after(w.between(0, w.o.OutageMax), n.restart)
}

// failFlush ends the process, for who cannot keep its word must stop.
func (n *node) failFlush() {
	n.w.counters.FailedFlushes++
	n.end(func(rng *rand.Rand) { n.check("a flush fails", n.journal.fail(rng)) })
}

// corrode makes the disk of a replica lie, from some moment on, and cuts the
// power now and then, for only who starts again reads what it wrote.
//
// What the operator is told to do when the damage is noticed is to put the
// directory aside and let the replica rejoin. Where it is not noticed, the
// replica forgets its votes: it is one of the faulty ones, and may be accused.
func (w *world) corrode(n *node) {
	n.byzantine = true
	w.after(w.between(0, w.o.Turbulence/3), func() { n.journal.spoil(w.rng) })
	for range 3 {
		w.sometime(func() { n.crashFor(time.Second) })
	}
}

// backUp copies the disk of a replica, and later starts it from that copy: what
// an operator must never do. Nothing on the disk can tell it, so the replica
// votes on, and may contradict itself: it is one of the faulty ones, and the
// others must hold, and may convict it.
func (w *world) backUp(n *node) {
	n.byzantine = true
	half := w.o.Turbulence / 2
	w.after(w.between(0, half), n.save)
	w.after(w.between(half, w.o.Turbulence), func() {
		if !w.calm && n.goBack() {
			w.after(w.between(0, time.Second), n.restart)
		}
	})
}

// save takes a backup.
func (n *node) save() { n.backup, n.saved = n.journal.copy(), n.state.copy() }

// goBack ends the process and puts the backup in place of its disk, if there is
// one.
func (n *node) goBack() bool {
	if n.backup == nil {
		return false
	}
	n.crash()
	n.w.counters.Restored++
	n.w.note(markFault, n.id, 2, 0)
	n.w.tell("R%d goes back to a backup", n.id)
	n.journal, n.backup = n.backup, nil
	switch {
	case n.saved != nil:
		n.state = n.saved
	case n.w.rng.IntN(2) == 0:
		n.state = newRealState()
	}
	return true
}

// Backup copies the disk of a replica, as it is now.
func (c *Control) Backup(id wire.ReplicaID) { c.w.nodes[id].save() }

// RestoreBackup ends a replica and puts the copy in place of its disk; Restart
// starts it from there. It is faulty then, for it has forgotten its votes.
func (c *Control) RestoreBackup(id wire.ReplicaID) {
	n := c.w.nodes[id]
	c.Faulty(id, restored)
	if !n.byzantine { // what it signs counts no more: fewer of the others make a quorum with it
		n.byzantine = true
		c.w.oracle.votes.enough--
	}
	if !n.goBack() {
		c.Fail("there is no backup of R%d", id)
	}
}
