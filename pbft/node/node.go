package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Node runs one replica. Make it with New, and call Run once.
type Node struct {
	cfg      Config
	self     wire.ReplicaID
	replicas int
	tick     time.Duration
	patience time.Duration // of who sends a query: as long as clients wait before they ask again
	clock    func() time.Time
	log      *logging.ZapEventLogger
	ran      atomic.Bool

	engine        engine       // step's
	rebasing      bool         // settle's: the journal is being rebased
	applier       *Applier     // apply's
	proposer      app.Proposer // nil if the application takes no input
	inputs        inputs
	offClock      offClock
	invalidPanics panics // of app.Validator
	suspicions    bucket // watch's: of warnings
	opener        *wire.Opener

	penalties *penalties
	clients   *clients
	outlet    *outlet

	lanes     *lanes            // receive → verify
	aside     *aside            // step → verify
	accused   *accused          // verify's
	verified  chan []core.Event // verify → step
	own       *own              // settle, apply, receive → step
	turns     chan *turn        // step → settle
	free      chan *turn        // settle → step
	work      *work             // step → apply
	pieces    *pieces           // verify → apply
	serving   *serving          // verify, step → serve
	responses *responses        // verify, step → respond
	watcher   *watcher          // step → watch
	archiver  *archiver         // settle → archive; nil without an archive
	failed    chan error        // the first failure in a background goroutine of the State
	flight    *flight           // every stage → dump
	dumps     chan dumping      // step → dump

	diagnosing *diagnosing // watch, verify → diagnose

	standing     atomic.Pointer[standing] // published by step
	journalBytes atomic.Int64             // published by settle
	journalLimit atomic.Int64             // at which the journal is rebased

	busy atomic.Bool // measure → step: the processors are

	stepBusy, settleBusy, applyBusy meter

	batches, operations, queries atomic.Int64 // executed; see Executed
}

// standing is where the replica stands.
type standing struct {
	view        wire.View
	active      bool
	silent      bool
	executed    wire.Seq
	readAfter   wire.Seq // see core.(*Replica).ReadAfter
	reads       bool
	stable      wire.Seq
	stableState crypto.Digest
	convictions *core.Convictions
}

// New returns a Node that stands where the State's newest snapshot and the
// journal's records left it. It starts nothing.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	applier := NewApplier(cfg.State, cfg.Machine, cfg.Domain, cfg.Limits.ResultBytesMax)
	state, err := applier.Load()
	if err != nil {
		return nil, err
	}
	_, cfg.Core.Inputs = cfg.Machine.(app.Proposer)
	records := fitting(cfg.Records, &cfg.Limits)
	replica, err := core.New(cfg.Core, core.Restored{Snapshot: state, Records: records, Rejoin: cfg.Rejoin, Life: cfg.Life})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return newNode(cfg, replica, applier), nil
}

// newNode builds the stages around an engine.
func newNode(cfg Config, e engine, applier *Applier) *Node {
	n := &Node{
		cfg: cfg, self: cfg.Core.ID, replicas: cfg.Core.Quorum.Replicas(), tick: cfg.Tick, clock: cfg.Clock,
		log: logging.Logger("pbft/node"), engine: e, applier: applier,
		verified: make(chan []core.Event, verifiedMax), own: newOwn(),
		turns: make(chan *turn, turnsMax), free: make(chan *turn, turnsMax),
		work: newWork(), pieces: newPieces(cfg.Life), responses: newResponses(),
		failed: make(chan error, 1), dumps: make(chan dumping, 1), invalidPanics: newPanics(),
		suspicions: newBucket(warningsPerSecond, warningsBurst),
	}
	if n.tick == 0 {
		n.tick = TickDefault
	}
	n.patience = time.Duration(cfg.Core.RequestTicks) * n.tick / 2
	if n.clock == nil {
		n.clock = time.Now
	}
	n.opener = wire.NewOpener(cfg.Domain, cfg.Keys, cfg.Limits, cfg.Verifier).WithSeen(newSeenCache(seenPlaces))
	n.inputs.fill()
	n.offClock.rate = newBucket(warningsPerSecond, warningsBurst)
	n.penalties = newPenalties(n.logPenalty)
	n.proposer, _ = cfg.Machine.(app.Proposer)
	n.flight = newFlight(runtime.GOMAXPROCS(0))
	n.lanes = newLanes(runtime.GOMAXPROCS(0), n.penalties.suspect)
	n.aside = newAside(n.self, cfg.Core.Window, cfg.Core.Quorum)
	n.accused = newAccused(n.replicas)
	n.outlet = &outlet{
		transport: cfg.Transport, self: n.self, replicas: wire.ReplicaID(n.replicas), //nolint:gosec // a cluster is small
	}
	n.clients = newClients(n.outlet.answer)
	n.serving = newServing(n)
	n.diagnosing = newDiagnosing(n)
	n.archiver = newArchiver(cfg.Archive)
	n.archiver.putKept(cfg.Records)
	n.watcher = newWatcher(cfg.Observe != nil || n.log.LevelEnabled(logging.LevelDebug))
	n.journalBytes.Store(cfg.Journal.Size())
	n.journalLimit.Store(journalBytesMax)
	for range turnsMax {
		n.free <- &turn{}
	}
	n.publish()
	if e.Rejoining() {
		n.log.Warn("the data was lost: follows without a vote, until the others have gone on far enough")
	}
	return n
}

// errEnded says that the transport ended by itself.
var errEnded = errors.New("the transport ended")

// Run serves until ctx is done, and then returns nil; or until the journal, the
// state or the transport fails, or the application ends a goroutine of its, and then
// returns why. Everything that it started
// has ended when it returns. The journal and the state are still open.
func (n *Node) Run(ctx context.Context) error {
	if n.ran.Swap(true) {
		return errors.New("node: Run was called before")
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{
		n.step, n.settle, n.apply, n.dumpAsked, n.serving.run, n.responding, n.watch, n.diagnosing.run, n.archive,
		n.await, n.carry, n.measure,
	} {
		g.Go(func() error { return n.stage(ctx, g, run) })
	}
	for _, hand := range n.flight.verify {
		verify := func(ctx context.Context) error { return n.verify(ctx, hand) }
		g.Go(func() error { return n.stage(ctx, g, verify) })
	}
	err := g.Wait()
	n.outlet.shut()
	if err != nil {
		n.dump(dumping{"stopped", err.Error()})
		return fmt.Errorf("node: replica %d: %w", n.self, err)
	}
	return nil
}

// carry runs the transport.
func (n *Node) carry(ctx context.Context) error {
	err := n.cfg.Transport.Run(ctx, n.inbound(ctx))
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	if err == nil {
		return errEnded
	}
	return err
}

// await ends Run when a background goroutine of the State fails.
func (n *Node) await(ctx context.Context) error {
	select {
	case err := <-n.failed:
		n.log.Errorf("the state failed, the replica stops: check the disk, then restart err=%q", err)
		return err
	case <-ctx.Done():
		return nil
	}
}

// fail ends Run with err, unless it has ended or is ending.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// publish makes known where the core stands. Step calls it before anything of the turn is
// sent that waits for the disk: so the commit of what is prepared does not leave before
// queries wait for it.
func (n *Node) publish() {
	cert := n.engine.Stable()
	s := standing{
		view: n.engine.View(), active: n.engine.Active(), silent: n.engine.Rejoining(),
		executed: n.engine.Executed(),
		stable:   cert.Seq, stableState: cert.State,
		convictions: n.engine.Convictions(),
	}
	s.readAfter, s.reads = n.engine.ReadAfter()
	if old := n.standing.Load(); old == nil || *old != s {
		n.standing.Store(&s)
	}
}

// Report tells where the replica stands: unsigned, and without a nonce. Any
// goroutine may call it.
func (n *Node) Report() wire.Report {
	s := n.standing.Load()
	seq, root := n.cfg.State.Last()
	return wire.Report{
		View: s.view, Active: s.active, Silent: s.silent,
		Executed: s.executed, Stable: s.stable, StableState: s.stableState,
		Checkpoint: seq, State: root, Division: n.diagnosing.division(), Sender: n.self,
	}
}

// BadFrames returns how many bad frames came from whom since New. Any goroutine
// may call it.
func (n *Node) BadFrames() BadFrames { return n.penalties.counts(n.replicas) }

// Executed is how much was executed and answered since New: batches, the operations in
// them, and those of queries.
type Executed struct{ Batches, Operations, Queries int64 }

// Executed returns how much was executed and answered so far. Any goroutine may call
// it.
func (n *Node) Executed() Executed {
	return Executed{n.batches.Load(), n.operations.Load(), n.queries.Load()}
}

// Busy are the shares of time, 0 to 1, that the sequential stages work: the one
// figure that tells whether the replica is healthy. One near 1 is what limits it.
type Busy struct{ Step, Settle, Apply float64 }

// BusyShares returns the shares of the last second or so. Any goroutine may call
// it.
func (n *Node) BusyShares() Busy {
	return Busy{n.stepBusy.share(), n.settleBusy.share(), n.applyBusy.share()}
}

// logPenalty logs the bad frames of a peer, with the one word for misbehaviour.
// Anyone may be a client, so theirs are for those who look.
func (n *Node) logPenalty(s source, kind wire.Kind, why string, more int) {
	if s.client {
		n.log.Debugf("bad frame conn=%d kind=%q why=%q more=%d", s.id, kind, why, more)
		return
	}
	n.log.Warnf("MISBEHAVIOUR peer=%d kind=%q why=%q more=%d", s.id, kind, why, more)
}
