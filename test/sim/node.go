package sim

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// node is one replica with its process and disk.
type node struct {
	w      *World
	id     wire.ReplicaID
	signer crypto.Signer
	life   int // grows at every start; what was scheduled for an earlier life is void
	down   bool

	// The disk.
	journal []core.Record // durable
	state   *state
	lost    bool

	// The process.
	replica *core.Replica
	applier *driver.Applier
	buffer  []core.Record // appended, not flushed
	held    []core.Send   // waiting for the flush
	flushes bool
	fx      core.Effects
}

func newNode(w *World, id wire.ReplicaID, signer crypto.Signer) *node {
	n := &node{w: w, id: id, signer: signer, state: newState(), down: true}
	n.boot()
	return n
}

func (n *node) config() core.Config {
	c := core.DefaultConfig(n.id, n.w.quorum)
	c.Interval = wire.Seq(n.w.o.Interval)
	c.Window = 2 * c.Interval
	c.InFlight = n.w.o.InFlight
	c.BatchRequestsMax = 8
	c.RequestTicks, c.StatusTicks, c.HeartbeatTicks, c.CatchUpTicks = 50, 5, 40, 5
	c.StateZero = EmptyRoot()
	c.Seed = n.w.o.Seed
	return c
}

// boot makes the replica from what is on disk.
func (n *node) boot() {
	n.applier = driver.NewApplier(n.state, n.w.o.Machine(), n.w.domain, 1<<18)
	snapshot, err := n.applier.Load()
	if err != nil {
		n.w.fail(fmt.Errorf("R%d: load: %w", n.id, err))
		return
	}
	n.replica, err = core.New(n.config(), core.Restored{Snapshot: snapshot, Records: n.journal, Rejoin: n.lost})
	if err != nil {
		n.w.fail(fmt.Errorf("R%d: %w", n.id, err))
	}
	n.lost = false
}

func (n *node) start() {
	n.down = false
	n.life++
	n.w.note("R%d starts", n.id)
	n.step(core.Start{Now: n.w.wall()})
	n.ticking(n.life)
}

func (n *node) ticking(life int) {
	n.w.after(tick, func() {
		if n.alive(life) {
			n.step(core.Tick{Now: n.w.wall()})
			n.ticking(life)
		}
	})
}

func (n *node) alive(life int) bool { return !n.down && n.life == life }

// crash stops the process. Of what was appended and not flushed, any prefix may
// have reached the disk.
func (n *node) crash() {
	if n.down {
		return
	}
	survived := n.w.rng.IntN(len(n.buffer) + 1)
	n.w.note("R%d crashes, %d of %d unflushed records survive", n.id, survived, len(n.buffer))
	n.journal = append(n.journal, n.buffer[:survived]...)
	n.buffer, n.held, n.flushes = nil, nil, false
	n.state.crash()
	n.down = true
	n.life++
}

// lose empties the disk.
func (n *node) lose() {
	n.w.note("R%d loses its data", n.id)
	n.w.oracle.forget(n.id)
	n.journal, n.state, n.lost = nil, newState(), true
}

func (n *node) restart() {
	if !n.down {
		return
	}
	n.boot()
	if n.w.oracle.violation == nil {
		n.start()
	}
}

// receive takes a message in.
func (n *node) receive(life int, from wire.ReplicaID, sealed *wire.Sealed) {
	if !n.alive(life) {
		return
	}
	n.w.note("R%d←R%d %s %s", n.id, from, sealed.Message().Kind(), n.w.describe(sealed))
	if n.transfers(from, sealed) {
		return
	}
	n.step(core.Received{From: from, Message: sealed})
}

// step runs the core and carries out what follows.
func (n *node) step(ev core.Event) {
	n.fx.Reset()
	n.replica.Step(ev, &n.fx)
	n.replica.Step(core.TurnEnded{}, &n.fx)
	n.buffer = append(n.buffer, n.fx.Persist...)
	n.held = append(n.held, n.fx.Send...)
	n.w.oracle.observe(n, n.fx.Observe)
	n.execute(n.fx.Execute)
	n.answer(n.fx.Answer)
	for _, r := range n.fx.Refuse {
		n.w.note("R%d refuses %d: %d", n.id, r.Number, r.Reason)
	}
	for _, cert := range n.fx.Stable {
		n.state.Collect(cert.Seq)
	}
	if len(n.fx.Stable) > 0 && n.w.rng.IntN(2) == 0 {
		n.rebase()
	}
	for _, target := range n.fx.Fetch {
		n.fetch(target)
	}
	n.scheduleFlush()
}

// rebase makes the journal begin anew, durably.
func (n *node) rebase() {
	n.journal = n.replica.Base()
	n.buffer = nil
	if last, _ := n.state.Last(); last < n.replica.Stable().Seq && !n.replica.Transferring() {
		n.w.fail(fmt.Errorf("R%d: checkpoint %d is stable, and the own snapshot is of %d", n.id, n.replica.Stable().Seq, last))
	}
}

// scheduleFlush makes what is appended durable, and sends what waits for that.
func (n *node) scheduleFlush() {
	if n.flushes || len(n.held) == 0 && len(n.buffer) == 0 {
		return
	}
	n.flushes = true
	life := n.life
	n.w.after(n.w.between(time.Microsecond, n.w.o.FlushMax), func() {
		if n.alive(life) {
			n.flush()
		}
	})
}

func (n *node) flush() {
	n.flushes = false
	n.journal = append(n.journal, n.buffer...)
	n.buffer = nil
	held := n.held
	n.held = nil
	for _, s := range held {
		sealed := s.Sealed
		if sealed == nil {
			sealed = wire.Seal(n.signer, n.w.domain, s.Message)
			n.w.oracle.signed(n.id, sealed)
		}
		if s.To != core.Everyone {
			n.w.transmit(n.id, s.To, sealed)
			continue
		}
		for to := range n.w.nodes {
			n.w.transmit(n.id, wire.ReplicaID(to), sealed)
		}
	}
}

// execute applies committed batches at once; snapshots become durable later.
func (n *node) execute(executions []core.Execution) {
	for _, ex := range executions {
		n.w.oracle.executed(n, ex)
		applied, err := n.applier.Apply(ex)
		if err != nil {
			n.w.fail(fmt.Errorf("R%d: apply %d: %w", n.id, ex.Seq, err))
			return
		}
		n.reply(applied.Replies)
		if ex.Checkpoint {
			n.checkpoint(ex.Seq)
		}
	}
}

func (n *node) checkpoint(seq wire.Seq) {
	life := n.life
	n.state.Checkpoint(seq, func(root crypto.Digest, _ error) {
		n.w.oracle.snapshotted(n, seq, root)
		n.step(core.Snapshotted{Seq: seq, State: root})
	})
	n.w.after(n.w.between(time.Microsecond, n.w.o.SnapshotMax), func() {
		if n.alive(life) {
			n.state.persist()
		}
	})
}

func (n *node) answer(answers []core.Answer) {
	for _, a := range answers {
		reply, ok, err := n.applier.Answer(a)
		if err != nil {
			n.w.fail(fmt.Errorf("R%d: answer: %w", n.id, err))
			return
		}
		if ok {
			n.reply([]*wire.Reply{reply})
		}
	}
}

func (n *node) reply(replies []*wire.Reply) {
	for _, r := range replies {
		r.View, r.Sender = n.replica.View(), n.id
	}
	for _, sealed := range wire.SealReplies(n.signer, n.w.domain, replies) {
		for _, c := range n.w.clients {
			c.incoming(n.id, sealed)
		}
	}
}

// fetch asks the signers of a checkpoint for the state.
func (n *node) fetch(t core.Target) {
	n.w.oracle.transfers++
	n.w.note("R%d fetches the state of %d", n.id, t.Cert.Seq)
	if err := n.state.BeginTransfer(t.Cert.Seq, t.Cert.State); err != nil {
		n.w.fail(err)
	}
	life := n.life
	n.askPiece(life, t, 0)
}

func (n *node) askPiece(life int, t core.Target, try int) {
	if !n.alive(life) || n.state.target.seq != t.Cert.Seq || len(n.state.Wanted(1)) == 0 || !n.replica.Transferring() {
		return
	}
	if try == 8 {
		n.step(core.TransferFailed{Seq: t.Cert.Seq})
		return
	}
	m := &wire.FetchPieces{Seq: t.Cert.Seq, Root: t.Cert.State, Digests: n.state.Wanted(1), Sender: n.id}
	sealed := wire.Seal(n.signer, n.w.domain, m)
	n.w.transmit(n.id, t.From[try%len(t.From)], sealed)
	n.w.after(100*tick/10, func() { n.askPiece(life, t, try+1) })
}

// transfers handles the messages of a transfer.
func (n *node) transfers(from wire.ReplicaID, sealed *wire.Sealed) bool {
	switch m := sealed.Message().(type) {
	case *wire.FetchPieces:
		for _, d := range m.Digests {
			if data, ok := n.state.Piece(d); ok {
				n.w.transmit(n.id, from, wire.Reseal(&wire.Piece{Root: m.Root, Data: data}))
			}
		}
	case *wire.Piece:
		n.takePiece(m)
	default:
		return false
	}
	return true
}

func (n *node) takePiece(m *wire.Piece) {
	if !n.replica.Transferring() || m.Root != n.state.target.root {
		return
	}
	if used, err := n.state.AddPiece(m.Data); err != nil || !used {
		return
	}
	if err := n.state.FinishTransfer(); err != nil {
		n.w.fail(err)
		return
	}
	snapshot, err := n.applier.Load()
	if err != nil {
		n.w.fail(fmt.Errorf("R%d: load after transfer: %w", n.id, err))
		return
	}
	n.step(core.Transferred{State: snapshot})
}
