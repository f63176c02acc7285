package core

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Replica is one member of the cluster. It is a function of its events: Step
// takes one in and appends what follows from it. It is not safe for concurrent
// use.
//
// Invariants, which comments cite:
//
//	(I1) view never decreases; in one view, active becomes true at most once.
//	(I2) low ≤ every slot's number; slots at or below low are archived.
//	(I3) every vote, view change and new view that is sent is in a record first:
//	     Persist precedes Send. It is durable first, or reserved.
//	(I4) in one view, one digest is accepted per number, and prepared at most once.
//	(I5) executed numbers are consecutive, each with a commit certificate.
type Replica struct {
	cfg Config
	q   Quorum
	id  wire.ReplicaID
	rng source

	now  wire.Time
	tick uint64

	view     wire.View
	active   bool
	slots    slotList
	next     wire.Seq                   // the primary's next number
	proposed uint64                     // the tick at which the primary opened a batch last
	placed   map[crypto.Digest]wire.Seq // requests that are in the order of this view, above executed

	reserved wire.Seq // what it has voted in this view, unless its record is durable, is up to here
	unsure   wire.Seq // up to here it may have voted in this view, before it restarted
	told     bool     // that it abstains, at once; from then on it says so regularly

	low         wire.Seq // h, the last stable checkpoint
	stable      wire.CheckpointCert
	checkpoints map[wire.Seq]*ballot       // votes for numbers above low
	snapshots   map[wire.Seq]crypto.Digest // own states after numbers above low
	promises    map[wire.Seq]crypto.Digest // what it signed checkpoints of, for those numbers
	taken       wire.Seq                   // the newest own snapshot
	divided     wire.Seq                   // the last number of which it told that states differ
	ahead       *wire.CheckpointCert       // of a number that is not executed, or not snapshotted, yet

	executed wire.Seq
	history  crypto.Digest
	time     wire.Time
	clients  clientTable
	pool     pool

	change  changing
	pace    pace
	late    lateness
	company company
	early   buffer
	peers   []peer
	catchUp catchingUp
	archive archive

	transfer *wire.CheckpointCert // the state being fetched
	wrong    bool                 // the own state differs from a stable checkpoint's: it serves nothing until replaced
	rejoin   *rejoining
	proofs   proofs
}

// Restored is what a replica comes back with: its last durable snapshot and
// what its journal holds. The zero value is a first start.
type Restored struct {
	Snapshot Snapshot
	Records  []Record
	// Rejoin says that the kept data is missing: the replica may have voted on
	// anything, and stays silent until no vote of its own can conflict.
	Rejoin bool
	// Life names this start: no other of this replica has the same, nor one that anybody
	// could foresee, and it is not 0. A replica whose data is lost counts only what others
	// say in answer to it.
	Life uint64
}

// New returns a replica. Its first event must be Start.
func New(cfg Config, restored Restored) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("core: %w", err)
	}
	n := cfg.Quorum.Replicas()
	r := &Replica{
		cfg: cfg, q: cfg.Quorum, id: cfg.ID, rng: source{cfg.Seed ^ uint64(cfg.ID)<<32},
		active: true, next: 1,
		stable:      wire.CheckpointCert{State: cfg.StateZero},
		placed:      map[crypto.Digest]wire.Seq{},
		checkpoints: map[wire.Seq]*ballot{},
		snapshots:   map[wire.Seq]crypto.Digest{},
		promises:    map[wire.Seq]crypto.Digest{},
		pool:        newPool(),
		change:      changing{votes: make([]*heldChange, n), candidates: make([]*candidate, n)},
		late:        lateness{begun: map[wire.Seq]uint64{}},
		company:     newCompany(),
		early:       newBuffer(n),
		peers:       make([]peer, n),
	}
	for i := range r.peers {
		r.peers[i].mayHave()
	}
	r.install(restored.Snapshot)
	for _, rec := range restored.Records {
		r.restore(rec)
	}
	if restored.Rejoin && r.rejoin == nil {
		r.rejoin = &rejoining{}
	}
	if r.rejoin != nil && !r.rejoin.closed {
		if restored.Life == 0 {
			return nil, errors.New("core: a replica that rejoins needs a Life")
		}
		r.rejoin.life = restored.Life
	}
	r.settleRestored()
	return r, nil
}

// Step takes one event and appends what follows from it to fx.
func (r *Replica) Step(ev Event, fx *Effects) {
	switch ev := ev.(type) {
	case Start:
		r.onStart(ev, fx)
	case Tick:
		r.onTick(ev, fx)
	case Received:
		r.onReceived(ev, fx)
	case Submitted:
		r.onSubmitted(ev.Request, fx)
	case TurnEnded:
		r.propose(fx)
	case Offered:
		r.proposeWith(ev.Input, fx)
	case Snapshotted:
		r.onSnapshotted(ev, fx)
	case Transferred:
		r.onTransferred(ev.State, fx)
	case TransferFailed:
		r.onTransferFailed(ev.Seq)
	case Linked:
		r.onLinked(ev.Peer, fx)
	case Unlinked:
		r.onUnlinked(ev.Peer, fx)
	case Measured:
		r.company.busy = ev.Busy
	case Exposed:
		r.onExposed(ev.Proposal, fx)
	}
}

// onReceived hands a message to its phase.
func (r *Replica) onReceived(ev Received, fx *Effects) {
	if r.impersonal(ev) {
		return
	}
	switch m := ev.Message.Message().(type) {
	case *wire.Request:
		r.onForwarded(ev.Message, m)
	case *wire.PrePrepare:
		r.onPrePrepare(ev, m, fx)
	case *wire.Prepare:
		r.onPrepare(ev, m, fx)
	case *wire.Commit:
		r.onCommit(ev, m, fx)
	case *wire.Checkpoint:
		r.onCheckpoint(ev, m, fx)
	case *wire.ViewChange:
		r.onViewChange(ev.Message, m, fx)
	case *wire.NewView:
		r.onNewView(ev.Message, m, fx)
	case *wire.Status:
		r.onStatus(m, fx)
	case *wire.FetchBatches:
		r.onFetchBatches(m, fx)
	case *wire.BatchBody:
		r.onBatchBody(ev.Message.Digest(), m.Batch, fx)
	case *wire.FetchCommitted:
		r.onFetchCommitted(m, fx)
	case *wire.Committed:
		r.onCommitted(ev.From, m, fx)
	case *wire.FetchViewChange:
		r.onFetchViewChange(m, fx)
	case *wire.StableProof:
		r.onStableProof(ev.From, &m.Cert, fx)
	case *wire.Evidence:
		r.onEvidence(ev.From, m, fx)
	case *wire.CommitProof:
		r.onCommitProof(ev.From, &m.Cert, fx)
	case *wire.Replies, *wire.Reply, *wire.Refusal, *wire.Ask, *wire.Report, *wire.AskOutputs, *wire.Outputs,
		*wire.Query, *wire.Results, *wire.FetchPieces, *wire.Piece, *wire.Prepared:
		// Not the core's: the driver answers or ignores these.
	}
}

// impersonal tells whether ev relays what is only worth hearing from its sender
// itself: an old status is no sign of life, and a question that somebody else
// repeats deserves no answer.
func (r *Replica) impersonal(ev Received) bool {
	m := ev.Message.Message()
	switch m.Kind() {
	case wire.KindStatus, wire.KindFetchBatches, wire.KindFetchCommitted, wire.KindFetchViewChange:
		sender, _ := wire.SenderOf(m)
		return sender != ev.From
	default:
		return false
	}
}

// View returns the view that the replica is in, or asks for.
func (r *Replica) View() wire.View { return r.view }

// Active tells whether the replica has entered its view.
func (r *Replica) Active() bool { return r.active }

// Executed returns the last number handed over for execution.
func (r *Replica) Executed() wire.Seq { return r.executed }

// Stable returns the certificate of the last stable checkpoint.
func (r *Replica) Stable() wire.CheckpointCert { return r.stable }

// Primary returns the primary of the replica's view.
func (r *Replica) Primary() wire.ReplicaID { return r.primary() }

// Rejoining tells whether the replica lost its data and does not vote yet.
func (r *Replica) Rejoining() bool { return r.rejoin != nil }

// Transferring tells whether the replica is fetching a state.
func (r *Replica) Transferring() bool { return r.transfer != nil }

func (r *Replica) primary() wire.ReplicaID { return r.view.Primary(r.q.Replicas()) }

func (r *Replica) high() wire.Seq { return r.low + r.cfg.Window }

// slot returns what is known of seq, making a place for it.
func (r *Replica) slot(seq wire.Seq) *slot {
	assert(seq > r.low, "(I2) a slot for %d at or below %d", seq, r.low)
	s := r.slots.at(seq)
	if s == nil {
		s = &slot{seq: seq}
		r.slots.add(s)
	}
	return s
}

// say sends an own message to every replica, unless this one must be silent.
func (r *Replica) say(m wire.Message, fx *Effects) {
	if r.rejoin == nil {
		fx.Send = append(fx.Send, Send{To: Everyone, Message: m})
	}
}

// tell sends an own message to one replica, unless this one must be silent.
func (r *Replica) tell(to wire.ReplicaID, m wire.Message, fx *Effects) {
	if r.rejoin == nil && to != r.id {
		fx.Send = append(fx.Send, Send{To: to, Message: m})
	}
}

// relay sends one replica an own message that is signed, unless this one must be
// silent.
func (r *Replica) relay(to wire.ReplicaID, sealed *wire.Sealed, fx *Effects) {
	if r.rejoin == nil && to != r.id {
		fx.Send = append(fx.Send, Send{To: to, Sealed: sealed})
	}
}

func (fx *Effects) persist(rec Record) { fx.Persist = append(fx.Persist, rec) }

func (fx *Effects) observe(o Observation) { fx.Observe = append(fx.Observe, o) }

// source is a small generator of pseudo-random numbers (SplitMix64): the core's
// only source of jitter, seeded by Config.Seed.
type source struct{ state uint64 }

func (s *source) below(n uint64) uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) % n
}
