package golden

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// replica is one core with its process and its disk.
type replica struct {
	w      *World
	id     wire.ReplicaID
	signer crypto.Signer
	core   *core.Replica
	up     bool
	skew   wire.Time
	input  string // that its application proposes
	picky  bool   // and it refuses those of others, whatever they are

	journal   []core.Record // durable
	unflushed []core.Record
	held      []core.Send // waits for the flush
	lazy      bool        // flushes by command, and votes early
	dirty     bool        // a flush is due
	reserves  bool        // a reservation is not durable
	lost      bool
	lives     uint64 // how often it has started

	app    *state
	taking []wire.Seq // snapshots that become durable by command
	target *core.Target
	own    []*wire.Sealed // sent to itself
	later  bool           // and taken in by command
	rotten bool           // its state has been corrupt
	forgot bool           // it has lost its data

	promised map[wire.Seq]wire.View // the views of its last commits
}

// state is the replicated state: what was executed stands for all of it.
type state struct {
	core.Snapshot
	clients   map[wire.ClientID]core.ClientState
	corrupt   bool
	snapshots map[wire.Seq]core.Snapshot
}

func newState() *state {
	return &state{
		Snapshot: core.Snapshot{State: stateDigest(0, crypto.Digest{}, false)},
		clients:  map[wire.ClientID]core.ClientState{}, snapshots: map[wire.Seq]core.Snapshot{},
	}
}

func stateDigest(seq wire.Seq, history crypto.Digest, corrupt bool) crypto.Digest {
	return crypto.Sum(fmt.Appendf(nil, "state %d %v", seq, corrupt), history[:])
}

func (r *replica) name() string { return fmt.Sprintf("R%d", r.id) }

func (r *replica) now() wire.Time { return wallStart + r.w.elapsed + r.skew }

// start makes the core from what is on disk.
func (r *replica) start() error {
	if r.up {
		return fmt.Errorf("%s is up: crash it before it restarts", r.name())
	}
	cfg := r.w.config
	cfg.ID = r.id
	r.app.restore()
	r.lives++
	var err error
	r.core, err = core.New(cfg, core.Restored{Snapshot: r.app.Snapshot, Records: r.journal, Rejoin: r.lost, Life: r.lives})
	if err != nil {
		return err
	}
	if r.lost && r.w.byHand { // as a real driver: a start that ends early must not be taken for the first one
		r.journal = []core.Record{core.RejoinRecord{Open: true}}
	}
	r.up, r.lost, r.lazy = true, false, r.w.byHand
	r.step(core.Start{Now: r.now()})
	return nil
}

// restore goes back to the last snapshot.
func (s *state) restore() {
	s.Snapshot = newState().Snapshot
	for _, seq := range slices.Sorted(maps.Keys(s.snapshots)) {
		s.Snapshot = s.snapshots[seq]
	}
	s.corrupt = s.State == stateDigest(s.Seq, s.History, true)
	s.clients = map[wire.ClientID]core.ClientState{}
	for _, c := range s.Clients {
		s.clients[c.Client] = c
	}
}

// forget leaves no snapshot that is newer than that of last, if that is not
// negative.
func (s *state) forget(last int) {
	maps.DeleteFunc(s.snapshots, func(seq wire.Seq, _ core.Snapshot) bool {
		return last >= 0 && int(seq) > last //nolint:gosec // scripts are short
	})
}

// crash stops the process; so many of the records that are not flushed survive.
func (r *replica) crash(keep int) {
	r.journal = append(r.journal, r.unflushed[:min(keep, len(r.unflushed))]...)
	r.unflushed, r.held, r.own, r.taking, r.target = nil, nil, nil, nil, nil
	r.up, r.later, r.dirty, r.reserves = false, false, false, false
}

// lose empties the disk.
func (r *replica) lose() {
	r.crash(0)
	r.journal, r.app, r.lost, r.forgot = nil, newState(), true, true
}

func (r *replica) tick(n int) {
	for range n {
		r.w.elapse()
		r.step(core.Tick{Now: r.now()})
	}
}

// step takes events of one turn, and what the replica then sends to itself.
func (r *replica) step(events ...core.Event) {
	for r.up {
		r.turn(events...)
		switch {
		case len(r.own) > 0 && !r.later:
			events = []core.Event{r.nextOwn()}
		case len(r.taking) > 0 && !r.w.manual:
			events = []core.Event{r.taken()}
		default:
			return
		}
	}
}

// turn takes the events of one turn.
func (r *replica) turn(events ...core.Event) {
	fx := &core.Effects{}
	for _, ev := range events {
		r.core.Step(ev, fx)
	}
	r.core.Step(core.TurnEnded{}, fx)
	r.offer(fx)
	r.carryOut(fx)
}

// offer lets the application propose its input for as many batches as there may be.
func (r *replica) offer(fx *core.Effects) {
	for range r.w.config.InFlight {
		if !r.w.config.Inputs || r.input == "none" || !r.core.Proposes() {
			return
		}
		r.core.Step(core.Offered{Input: []byte(r.input)}, fx)
	}
}

// received is the event of a message, once the application has seen to an input.
func (r *replica) received(from wire.ReplicaID, sealed *wire.Sealed) core.Received {
	ev := core.Received{From: from, Message: sealed}
	if pp, is := sealed.Message().(*wire.PrePrepare); is && r.w.config.Inputs {
		if input := pp.Batch.Input; r.picky || strings.HasPrefix(string(input), "bad") {
			ev.Unfit = fmt.Sprintf("%q", input)
		}
	}
	return ev
}

// nextOwn takes the oldest message that the replica sent to itself.
func (r *replica) nextOwn() core.Received {
	ev := core.Received{From: r.id, Message: r.own[0]}
	r.own = r.own[1:]
	r.later = r.later && len(r.own) > 0
	return ev
}

// hearItself lets the oldest message that the replica sent to itself arrive.
func (r *replica) hearItself() {
	if len(r.own) > 0 {
		r.turn(r.nextOwn())
	}
}

// taken makes the oldest snapshot durable.
func (r *replica) taken() core.Snapshotted {
	seq := r.taking[0]
	r.taking = r.taking[1:]
	return core.Snapshotted{Seq: seq, State: r.app.snapshots[seq].State}
}

func (r *replica) carryOut(fx *core.Effects) {
	w := r.w
	for _, s := range fx.Send {
		w.names.meet(s.Message)
	}
	for _, o := range fx.Observe {
		w.emit(r.name(), core.Describe(o))
		w.accused(r, o)
	}
	for _, ex := range fx.Execute {
		r.execute(ex)
	}
	for _, a := range fx.Answer {
		w.emit(r.name(), "answers again "+w.names.request(a.Client, a.Session, a.Number))
	}
	for _, f := range fx.Refuse {
		name := w.names.request(f.Client, f.Session, f.Number)
		w.emit(r.name(), fmt.Sprintf("refuses %s: %s", name, reason(f.Reason)))
	}
	for _, t := range fx.Fetch {
		r.target = &t
	}
	for _, rec := range fx.Persist {
		if w.shown["records"] {
			w.emit(r.name(), "▪ "+w.names.record(rec))
		}
	}
	r.keep(fx)
	if !r.lazy {
		r.flush()
	}
}

// keep appends the records of fx, lets go what waits for no flush, and holds the rest.
func (r *replica) keep(fx *core.Effects) {
	r.unflushed = append(r.unflushed, fx.Persist...)
	r.dirty = r.dirty || fx.MustFlush() || !r.lazy
	r.reserves = r.reserves || fx.Reserves()
	early := func(s core.Send) bool { return r.lazy && s.Early && !r.reserves }
	for _, s := range fx.Send {
		if !early(s) {
			r.held = append(r.held, s)
		}
	}
	before := len(r.own)
	r.let(slices.DeleteFunc(fx.Send, func(s core.Send) bool { return !early(s) }))
	r.later = r.later || r.w.byHand && len(r.own) > before // as a flush by hand: by command
}

// rebase makes the journal begin anew, durably.
func (r *replica) rebase() {
	r.journal, r.unflushed, r.dirty, r.reserves = r.core.Base(), nil, false, false
}

// flush makes the records durable, if any must be, and lets go what waited for them.
func (r *replica) flush() {
	if r.dirty {
		r.journal = append(r.journal, r.unflushed...)
		r.unflushed, r.dirty, r.reserves = nil, false, false
	}
	held := r.held
	r.held = nil
	r.let(held)
}

// let signs and sends.
func (r *replica) let(sends []core.Send) {
	for _, s := range sends {
		sealed := s.Sealed
		if sealed == nil {
			sealed = wire.Seal(r.signer, r.w.domain, s.Message)
			r.w.signed(r, sealed)
		}
		r.w.readable(r, sealed)
		r.send(s.To, sealed)
	}
}

func (r *replica) send(to wire.ReplicaID, sealed *wire.Sealed) {
	w := r.w
	if kind := sealed.Message().Kind(); w.shown["sends"] && (kind != wire.KindStatus || w.shown["status"]) {
		receiver := "*"
		if to != core.Everyone {
			receiver = fmt.Sprintf("R%d", to)
		}
		w.emit(r.name()+"→"+receiver, w.names.message(sealed.Message()))
	}
	if to != core.Everyone {
		w.network.post(newEnvelope(r.id, to, sealed))
		return
	}
	if sealed.Message().Kind() != wire.KindStatus { // its own tells nobody anything
		r.own = append(r.own, sealed)
	}
	for _, peer := range w.replicas {
		if peer != r {
			w.network.post(newEnvelope(r.id, peer.id, sealed))
		}
	}
}

// execute applies a batch and watches agreement and exactly-once.
func (r *replica) execute(ex core.Execution) {
	w, s := r.w, r.app
	text := fmt.Sprintf("executes n%d:", ex.Seq)
	for _, o := range ex.Orders {
		name := w.names.request(o.Request.Client, o.Request.Session, o.Number())
		if !o.Run {
			text += fmt.Sprintf(" not %s (%s)", name, outcome(o.Outcome))
			continue
		}
		text += " " + name
		if at, ok := w.truth.ran[name]; ok && at != ex.Seq {
			text += " VIOLATION: twice"
		}
		w.truth.ran[name] = ex.Seq
	}
	if len(ex.Orders) == 0 {
		text += " nothing"
	}
	if len(ex.Input) > 0 {
		text += fmt.Sprintf(" with input %q", ex.Input)
	}
	w.emit(r.name(), text+w.truth.watch(&ex, s.Time))
	s.Seq, s.History, s.Time = ex.Seq, ex.History, ex.Time
	s.Floor = ex.Floor
	for _, id := range ex.Evicted {
		delete(s.clients, id)
	}
	for _, c := range ex.Clients {
		s.clients[c.Client] = c
	}
	s.State = stateDigest(s.Seq, s.History, s.corrupt)
	w.names.know(stateDigest(s.Seq, s.History, false), fmt.Sprintf("S%d", s.Seq))
	w.names.know(stateDigest(s.Seq, s.History, true), fmt.Sprintf("S%d!", s.Seq))
	if ex.Checkpoint {
		s.Clients = slices.SortedFunc(maps.Values(s.clients), func(a, b core.ClientState) int {
			return slices.Compare(a.Client[:], b.Client[:])
		})
		s.snapshots[s.Seq] = s.Snapshot
		r.taking = append(r.taking, s.Seq)
	}
}

// transfer installs the state that the core asked for, from another replica.
func (r *replica) transfer(c call) error {
	switch {
	case r.target == nil:
		return fmt.Errorf("%s asked for no state", r.name())
	case c.flag("fail"):
		seq := r.target.Cert.Seq
		r.target = nil
		r.step(core.TransferFailed{Seq: seq})
		return nil
	}
	for _, id := range r.target.From {
		source, ok := r.w.replicas[id].app.snapshots[r.target.Cert.Seq]
		if !ok || source.State != r.target.Cert.State {
			continue
		}
		r.target, r.taking = nil, nil
		r.app.corrupt = false
		maps.DeleteFunc(r.app.snapshots, func(seq wire.Seq, _ core.Snapshot) bool { return seq >= source.Seq })
		r.app.snapshots[source.Seq] = source
		r.app.restore()
		r.step(core.Transferred{State: source})
		return nil
	}
	return fmt.Errorf("nobody has the state of %d", r.target.Cert.Seq)
}
