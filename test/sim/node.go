package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// node is one replica with its process and disk.
type node struct {
	w      *world
	index  int // among the processes
	id     wire.ReplicaID
	signer crypto.Signer
	life   int // grows at every start; what was scheduled for an earlier life is void
	down   bool

	// What is wrong with it, if anything.
	fault     string // for people
	byzantine bool   // it may say anything
	strategy  adversary.Strategy
	skew      wire.Time
	jumped    wire.Time // and the wall clock is wrong by this for a while
	stopped   wire.Time // or stands still here
	tick      time.Duration
	role      role     // at the end of a liveness run
	slow      bool     // its disk is
	rotAt     wire.Seq // what was executed then
	rot       bool     // the state has changed by itself and is not repaired
	diverged  bool     // and the core knows that

	machine func() app.StateMachine // of its own, if not nil

	// The disk.
	journal ledger
	state   store
	lost    bool
	losses  int // of all data, ever

	// The process.
	replica  *core.Replica
	bounds   core.Sizes // that it promises to keep
	applier  *driver.Applier
	proposer app.Proposer // nil if the application takes no input
	held     []core.Send  // waiting for the flush
	free     []core.Send  // memory for it
	early    []core.Send  // leaves before it
	dirty    bool         // a flush is due
	reserves bool         // a reservation is not durable
	appended int          // records since the last flush
	risked   int          // those of them that votes have left before
	frozen   wire.Seq     // the last checkpoint that a snapshot was asked for
	covered  wire.Seq     // the same, of those whose records are durable: it may become so too
	overdue  int          // snapshots that wait for that alone
	fetched  wire.Seq     // the last state that was fetched
	unsent   bool         // the process ended with something held
	flushes  bool
	onFlush  func()             // what the agenda does for a flush in this life
	doom     doom               // where it is going to crash
	sends    int                // how much it sends before doomSend
	reports  []core.Snapshotted // durable snapshots that the core was not told of
	fetches  *fetching
	owed     map[debt]bool // pieces that were ever asked for
	queries  []heldQuery
	asked    *wire.Query // that a liar is answering
	paused   bool
	// connections are those to the other processes, as it was told of them, and cutFrom
	// tells from which replicas it was last told that it is.
	connections []connection
	cutFrom     []bool
	backlog     []func() // what waits for the end of the pause
	hoards      bool     // ticks are kept back
	hoarded     int
	failing     bool // the next flush fails
	dead        bool // it never starts again
	full        bool // the disk is
	archive     forensics.Log
	backup      ledger // a copy of the journal, and of the state
	saved       store

	prepared, committed wire.Seq // the highest, ever
	message             uint64   // what it takes in, for Options.Steps

	fx core.Effects
}

func newNode(w *world, id wire.ReplicaID, signer crypto.Signer) *node {
	n := &node{w: w, id: id, signer: signer, down: true, tick: w.o.Tick, owed: make(map[debt]bool)}
	n.unconnected()
	n.format()
	return n
}

// format makes the disk empty.
func (n *node) format() {
	n.journal, n.state = &modelLedger{}, newModelState()
	if n.w.o.RealStorage {
		journal, err := newRealLedger(n.w.domain, n.id, n.w.o.Replicas, n.w.o.SegmentBytes)
		n.check("create the journal", err)
		journal.crash(n.w.rng) // the first start is like any other
		n.journal, n.state = journal, newRealState()
	}
}

// check makes err, if it is one, the violation of the run.
func (n *node) check(what string, err error) bool {
	if err != nil {
		n.w.fail(fmt.Errorf("replica %d: %s: %w", n.id, what, err))
	}
	return err == nil
}

func (n *node) config() core.Config {
	c := n.w.o.config(n.id, n.w.quorum)
	if n.w.o.RealStorage {
		c.StateZero = checkpoint.EmptyRoot()
	}
	return c
}

// config returns how the replicas of a run are configured, with the fast models.
func (o *Options) config(id wire.ReplicaID, q core.Quorum) core.Config {
	c := core.DefaultConfig(id, q)
	c.Interval, c.Window = wire.Seq(o.Interval), wire.Seq(o.Window) //nolint:gosec // not negative
	c.InFlight, c.BatchRequestsMax, c.BatchBytesMax = o.InFlight, o.BatchRequests, o.BatchBytes
	c.QueueRequestsMax = o.QueueRequests
	c.ArchiveBytesMax, c.ClientsMax = o.ArchiveBytes, o.ClientsMax
	ticks := func(d time.Duration) int { return max(1, int(d/o.Tick)) }
	c.RequestTicks, c.StatusTicks = ticks(requestTimeout), ticks(o.StatusEvery)
	c.HeartbeatTicks, c.CatchUpTicks = ticks(heartbeatTimeout), ticks(5*tick)
	c.StateZero = modelRoot(app.NewMemory())
	c.Seed = o.Seed
	return c
}

// boot makes the replica from what is on disk.
func (n *node) boot() bool {
	found, err := n.journal.reopen()
	switch {
	case errors.Is(err, errFull):
		n.retry()
		return false
	case err != nil && n.fault == corroded && !errors.Is(err, errInvented):
		n.w.counters.Corroded++
		n.lose() // which is what the operator is told to do
		return n.boot()
	case found.forgot:
		n.w.counters.Forgot++
	}
	if !n.check("open the journal", err) {
		return false
	}
	if found.kept < n.risked {
		n.w.counters.EarlyLost++
	}
	n.durable()
	if n.unsent && found.kept == found.open {
		n.w.counters.Unsent++
	}
	if found.torn {
		n.w.counters.Torn++
	}
	n.unsent = false
	if n.lost && !n.keepRejoin() {
		return false
	}
	machine := n.application()
	n.proposer, _ = machine.(app.Proposer)
	n.applier = driver.NewApplier(n.state, machine, n.w.domain, cmp.Or(n.w.o.ResultBytes, resultBytesMax))
	if n.w.o.UnsavedBytes > 0 {
		n.applier.BoundUnsaved(n.w.o.UnsavedBytes)
	}
	snapshot, err := n.applier.Load()
	if !n.check("load", err) {
		return false
	}
	n.proves(snapshot.Seq, found.records)
	n.holds(found.records)
	config := n.config()
	config.Inputs = n.proposer != nil
	n.bounds = config.Bounds(n.w.opener.Limits())
	n.replica, err = core.New(config, core.Restored{Snapshot: snapshot, Records: found.records, Rejoin: n.lost, Life: uint64(n.life) + 1})
	n.lost = false
	n.w.did(n, Step{Do: StepStart, Kept: found.kept, Seq: snapshot.Seq})
	return n.check("start", err)
}

// wall is the wall clock of this replica.
func (n *node) wall() wire.Time {
	if n.stopped != 0 {
		return n.stopped
	}
	wall := n.w.wall() + n.skew + n.jumped
	if n.fault == "" {
		n.w.latest = max(n.w.latest, wall)
	}
	return wall
}

func (n *node) restart() {
	if !n.down || n.dead || !n.boot() {
		return
	}
	n.down = false
	n.life++
	n.w.note(markStart, n.id, 0, 0)
	n.w.tell("R%d starts", n.id)
	n.w.moment(Moment{What: Started, Node: n.index})
	life := n.life
	n.onFlush = func() {
		if n.alive(life) {
			n.flush()
		}
	}
	n.step(core.Start{Now: n.wall()})
	n.ticking(life)
	for _, peer := range n.w.nodes {
		n.w.link(n, peer)
		n.w.link(peer, n)
	}
}

// ticking lets time pass, for this life.
func (n *node) ticking(life int) {
	var onTick func()
	onTick = func() {
		if !n.alive(life) {
			return
		}
		n.ticks()
		n.w.after(n.tick, onTick)
	}
	n.w.after(n.tick, onTick)
}

// ticks lets a tick pass.
func (n *node) ticks() {
	switch {
	case n.paused:
	case n.hoards:
		n.hoarded++
	default:
		n.step(core.Tick{Now: n.wall()})
		if n.strategy != nil {
			n.strategy.Tick(puppet{n})
		}
	}
}

func (n *node) alive(life int) bool { return !n.down && n.life == life }

// crash is a power cut: what was not flushed is lost, in part.
func (n *node) crash() { n.end(n.journal.crash) }

// end stops the process, and does something to its disk.
func (n *node) end(disk func(*rand.Rand)) {
	if n.down {
		return
	}
	n.w.note(markCrash, n.id, 0, 0)
	n.w.tell("R%d crashes", n.id)
	n.w.moment(Moment{What: Crashed, Node: n.index})
	c := &n.w.counters
	c.Crashes++
	if n.fetches != nil {
		c.BrokenTransfers++
	}
	if n.diverged {
		c.HalfRepaired++
	}
	c.LostQueries += len(n.queries)
	n.unsent = len(n.held) > 0
	n.held, n.flushes, n.doom, n.reports, n.fetches, n.queries = nil, false, doomNone, nil, nil, nil
	n.paused, n.backlog, n.failing, n.hoarded = false, nil, false, 0
	disk(n.w.rng)
	lost, err := n.state.crash(n.w.rng, n.covered)
	n.check("open the state", err)
	if lost {
		c.LostSnapshots++
	}
	n.stillRots()
	n.frozen, n.overdue = 0, 0
	n.down = true
	n.life++
	n.diverged = false
	n.w.did(n, Step{Do: StepCrash})
	n.unconnected()
	n.w.backlog.forget(n)
	n.w.hangUp(n)
}

// unconnected forgets the connections.
func (n *node) unconnected() {
	n.connections = make([]connection, n.w.o.Replicas+n.w.o.Twins)
	n.cutFrom = make([]bool, n.w.o.Replicas)
}

// stillRots asks the state whether what changed by itself is there: a crash goes
// back to the last snapshot.
func (n *node) stillRots() {
	if n.rot {
		_, there, err := n.state.Get([]byte(rotKey))
		n.check("read the state", err)
		n.rot = there
	}
}

// crashFor crashes, and starts again within a time.
func (n *node) crashFor(most time.Duration) {
	n.crash()
	n.w.after(n.w.between(0, most), n.restart)
}

// lose empties the disk.
func (n *node) lose() {
	n.w.note(markLoss, n.id, 0, 0)
	n.w.tell("R%d loses its data", n.id)
	n.w.counters.Lost++
	n.format()
	n.lost, n.unsent = true, false
	n.losses++
	n.w.did(n, Step{Do: StepLose})
}

// receive takes a message in.
func (n *node) receive(life int, from wire.ReplicaID, id uint64, sealed *wire.Sealed) {
	if !n.alive(life) {
		return
	}
	if n.paused {
		again := func() { n.receive(life, from, id, sealed) }
		if from == n.id {
			n.surely(again)
		} else {
			n.later(again)
		}
		return
	}
	n.w.note(markReceive, n.id, uint64(from), tag(sealed))
	if n.w.tracing() {
		n.w.tell("R%d←R%d %s %s", n.id, from, sealed.Message().Kind(), n.w.describe(sealed))
	}
	if n.transfers(from, sealed) {
		return
	}
	if early(n.replica, wire.Seq(n.w.o.Window), sealed) { //nolint:gosec // not negative
		n.w.counters.Early++
	}
	before := n.replica.Executed()
	n.message = id
	if n.strategy != nil && from != n.id {
		n.hear(from, sealed)
	} else {
		n.step(n.received(from, sealed))
	}
	if _, late := sealed.Message().(*wire.Committed); late {
		n.w.counters.CaughtUp += int(n.replica.Executed() - before) //nolint:gosec // small
	}
}

// step runs the core and carries out what follows.
func (n *node) step(ev core.Event) {
	n.w.stepped(n, ev)
	n.fx.Reset()
	n.w.oracle.losses.watch(n)
	n.replica.Step(ev, &n.fx)
	n.replica.Step(core.TurnEnded{}, &n.fx)
	n.offer()
	n.w.oracle.losses.watch(n)
	if !n.stored("append", n.journal.Append(n.fx.Persist)) {
		return
	}
	n.archived(n.fx.Persist)
	if n.sort(); n.down {
		return
	}
	n.w.oracle.observe(n, n.fx.Observe)
	if n.execute(n.fx.Execute); n.down {
		return
	}
	n.answerHeld()
	n.answer(n.fx.Answer)
	n.refuse(n.fx.Refuse)
	for _, cert := range n.fx.Stable {
		n.state.Collect(cert.Seq)
	}
	if n.doom == doomCollect && len(n.fx.Stable) > 0 {
		n.w.counters.HalfStable++
		n.crashFor(2 * time.Second)
		return
	}
	for _, target := range n.fx.Fetch {
		n.fetch(target)
	}
	if len(n.fx.Stable) > 0 && n.w.rng.IntN(2) == 0 && !n.rebase() {
		return
	}
	n.scheduleFlush()
}

// rebase makes the journal begin anew, durably. It returns false if a crash cut
// it.
func (n *node) rebase() bool {
	last, _ := n.state.Last()
	if last < n.replica.Stable().Seq && !n.replica.Transferring() {
		n.w.fail(fmt.Errorf("replica %d: checkpoint %d is stable, and the own snapshot is of %d", n.id, n.replica.Stable().Seq, last))
	}
	until := -1
	if n.w.o.RealStorage && n.w.o.Crashes > 0 && !n.w.calm && n.w.rng.IntN(8) == 0 {
		until = n.w.rng.IntN(12)
	}
	n.w.counters.Rebases++
	err := n.journal.Rebase(n.replica.Base(), until)
	if errors.Is(err, errPower) {
		n.w.counters.HalfRebases++
		n.crashFor(2 * time.Second)
		return false
	}
	if n.stored("rebase", err) {
		n.durable()
		n.w.did(n, Step{Do: StepRebase})
		return true
	}
	return false
}

// exposed hears of a proposal of a request that nobody signed.
func (n *node) exposed(u *wire.Unsigned) {
	if u != nil && !n.down && !n.paused {
		n.step(core.Exposed{Proposal: u})
	}
}

// send lets a message go, or what a liar makes of it.
func (n *node) send(to wire.ReplicaID, sealed *wire.Sealed) {
	if n.doom == doomSend && n.sendsLast() {
		return
	}
	if n.strategy != nil && to != n.id {
		n.say(to, sealed)
		return
	}
	n.w.transmit(n, to, sealed)
}
