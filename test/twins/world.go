package twins

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	requestTicks  = 2
	deliveriesMax = 20_000 // a network that is busy for longer never comes to rest
	mendTicks     = 120    // within which a whole network must make progress
)

// World runs one scenario: all processes in lockstep, in one thread. Equal
// scenarios give equal runs.
type World struct {
	cast      *Cast
	shape     *Scenario // its replicas and twins; the rounds come one by one
	processes []*process
	turns     []*process // the same, in the order in which they take turns
	mirrored  bool       // the copies take each other's turns and sides
	queue     []packet
	now       wire.Time
	rounds    int // played
	oracle    oracle
	snapshots map[wire.Seq]core.Snapshot
	journals  bool      // for crashes
	trace     io.Writer // nil, or is told what happens
	deafened  bool      // nothing is delivered, and small talk is not even signed
	spare     []*core.Effects
}

// packet is one message on its way.
type packet struct {
	from, to int
	class    Class
	sealed   *wire.Sealed
	event    core.Event // what it is to the receiver
}

// NewWorld returns the cluster of s before its first round.
func NewWorld(cast *Cast, s *Scenario) (*World, error) { return newWorld(cast, s, false) }

// newWorld is NewWorld, with the copies in each other's places if it is mirrored.
func newWorld(cast *Cast, s *Scenario, mirrored bool) (*World, error) {
	w := &World{
		mirrored: mirrored,
		cast:     cast, shape: s, now: wallStart, oracle: newOracle(s), snapshots: map[wire.Seq]core.Snapshot{},
	}
	for _, r := range s.Rounds {
		w.journals = w.journals || r.Crash != 0
	}
	for i := range s.Processes() {
		p := &process{
			index: i, id: wire.ReplicaID(s.identity(i)), //nolint:gosec // small and not negative
			state:   core.Snapshot{State: cast.zero},
			clients: map[wire.ClientID]core.ClientState{},
		}
		var err error
		if p.replica, err = core.New(cast.config(int(p.id)), core.Restored{}); err != nil {
			return nil, err
		}
		w.processes = append(w.processes, p)
	}
	w.takeTurns()
	for _, p := range w.turns {
		w.step(p, core.Start{Now: w.now})
	}
	w.tick()
	w.queue = nil // nothing has happened; every process has said that it lives
	return w, nil
}

// takeTurns fills turns.
func (w *World) takeTurns() {
	w.turns = slices.Clone(w.processes)
	if w.mirrored {
		for i, t := range w.shape.Twins {
			copied := w.shape.Replicas + i
			w.turns[t], w.turns[copied] = w.turns[copied], w.turns[t]
		}
	}
}

// again returns a world that has gone through the same as w.
func (w *World) again() (*World, error) {
	twin := *w
	twin.spare = nil
	twin.queue = slices.Clone(w.queue)
	twin.oracle = w.oracle.again()
	twin.snapshots = maps.Clone(w.snapshots)
	twin.processes = make([]*process, len(w.processes))
	var fx core.Effects
	for i, p := range w.processes {
		var err error
		if twin.processes[i], err = p.again(w.cast.config(int(p.id)), &fx); err != nil {
			return nil, err
		}
	}
	twin.takeTurns()
	return &twin, nil
}

// Run plays a whole scenario and returns the first violation.
func Run(cast *Cast, s *Scenario, trace io.Writer) error {
	w, err := NewWorld(cast, s)
	if err != nil {
		return err
	}
	w.trace = trace
	for i := range s.Rounds {
		w.Round(&s.Rounds[i])
	}
	w.Mend()
	return w.Violation()
}

// Violation returns the first law that did not hold.
func (w *World) Violation() error { return w.oracle.violation }

func (w *World) tell(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, format+"\n", args...) //nolint:errcheck // a trace is for people
	}
}

// step gives one event to a process and carries out what follows.
func (w *World) step(p *process, ev core.Event) {
	p.events = append(p.events, ev)
	fx := &core.Effects{}
	if last := len(w.spare) - 1; last >= 0 {
		fx, w.spare = w.spare[last], w.spare[:last]
	}
	p.replica.Step(ev, fx)
	p.replica.Step(core.TurnEnded{}, fx)
	w.carryOut(p, fx)
	fx.Reset()
	w.spare = append(w.spare, fx)
}

func (w *World) carryOut(p *process, fx *core.Effects) {
	w.oracle.moved(p)
	if w.journals {
		p.journal = append(p.journal, fx.Persist...)
	}
	for _, o := range fx.Observe {
		if w.trace != nil {
			w.tell("  %-3s %s", w.shape.name(p.index), core.Describe(o))
		}
		w.oracle.observed(p, o)
	}
	for i := range fx.Send {
		w.send(p, &fx.Send[i])
	}
	for _, target := range fx.Fetch {
		p.target = &target
	}
	for i := range fx.Execute {
		w.execute(p, &fx.Execute[i])
	}
}

func (w *World) execute(p *process, ex *core.Execution) {
	p.applied(ex)
	w.oracle.executed(p, ex)
	if w.trace != nil {
		w.tell("  %-3s executes n%d %s with %d operations", w.shape.name(p.index), ex.Seq, ex.Digest.Short(), len(ex.Orders))
	}
	for _, o := range ex.Orders {
		p.answered = p.answered || o.Number() > roundsMax
	}
	if ex.Checkpoint {
		w.snapshots[ex.Seq] = p.kept
		w.step(p, core.Snapshotted{Seq: ex.Seq, State: p.kept.State})
	}
}

// send puts a message on its way, once signed.
func (w *World) send(p *process, s *core.Send) {
	if status, ok := s.Message.(*wire.Status); ok && s.To == core.Everyone {
		p.fresh = status
	}
	if w.deafened && smallTalk(s) {
		return
	}
	sealed := s.Sealed
	if sealed == nil {
		sealed = w.seal(p, s.Message)
		w.oracle.signed(p, sealed)
	}
	class := classOf(sealed.Message())
	event := core.Event(core.Received{From: p.id, Message: sealed})
	for _, to := range w.turns {
		if s.To == core.Everyone || s.To == to.id {
			w.queue = append(w.queue, packet{p.index, to.index, class, sealed, event})
		}
	}
}

func (w *World) seal(p *process, m wire.Message) *wire.Sealed {
	return wire.Seal(w.cast.signers[p.id], w.cast.domain, m)
}

func classOf(m wire.Message) Class {
	switch m.Kind() {
	case wire.KindPrePrepare:
		return PrePrepares
	case wire.KindPrepare:
		return Prepares
	case wire.KindCommit:
		return Commits
	case wire.KindViewChange:
		return ViewChanges
	case wire.KindNewView:
		return NewViews
	default:
		return Rest
	}
}

// Round plays one round: timeouts that move every process which can move to the
// next view, crashes, requests that conflict between the groups, and everything
// that follows.
func (w *World) Round(r *Round) {
	if w.rounds > 0 && !w.deafened {
		w.expire()
	}
	w.deafened = false
	if w.trace != nil {
		w.tell("round %d: %s", w.rounds, w.shape.roundName(r))
	}
	for _, p := range w.processes {
		if r.Crash.Has(p.index) {
			w.restart(p)
		}
	}
	for _, group := range r.Groups {
		side := group
		if w.mirrored {
			side = w.shape.mirrorSet(group)
		}
		// Every copy's side asks for something else.
		request := core.Event(core.Submitted{Request: w.cast.requests[w.rounds][side>>w.shape.Replicas]})
		for _, p := range w.turns {
			if group.Has(p.index) {
				w.step(p, request)
			}
		}
	}
	w.deliver(r)
	w.rounds++
}

// restart ends a process and starts it from what is durable.
func (w *World) restart(p *process) {
	w.tell("  %-3s restarts", w.shape.name(p.index))
	var err error
	p.replica, err = core.New(w.cast.config(int(p.id)), core.Restored{Snapshot: p.kept, Records: slices.Clone(p.journal)})
	if err != nil {
		w.oracle.fail("%s does not restart: %w", w.shape.name(p.index), err)
		return
	}
	p.installed(&p.kept)
	if p.kept.Seq == 0 {
		p.state.State = w.cast.zero
	}
	w.step(p, core.Start{Now: w.now})
}

// deliver hands over, in order of sending, until nothing is on its way.
func (w *World) deliver(r *Round) {
	var reach [classes][processesMax]Set
	for c := range classes {
		for from := range w.processes {
			for to := range w.processes {
				if r.passes(c, from, to) {
					reach[c][from] |= 1 << to
				}
			}
		}
	}
	for i := 0; i < len(w.queue); i++ {
		if i == deliveriesMax {
			w.oracle.fail("liveness: after %d messages the network is busy still", i)
			break
		}
		if one := w.queue[i]; reach[one.class][one.from].Has(one.to) {
			w.step(w.processes[one.to], one.event)
		}
	}
	w.queue = w.queue[:0]
}

// tick lets one tick pass for every process.
func (w *World) tick() {
	w.now += tickTime
	event := core.Event(core.Tick{Now: w.now})
	for _, p := range w.turns {
		w.step(p, event)
	}
}

// expire lets timeouts pass while the network delivers nothing but one thing:
// what the others said of themselves before the last round, late, so that a
// process believes itself in company, and waits for its primary in vain. Nobody
// knows yet that others may be ahead. View changes and what else is no small talk
// are still on their way at the end: they travel in the next round's network.
func (w *World) expire() {
	w.tell("timeouts")
	stale := make([]*wire.Sealed, len(w.processes))
	for i, p := range w.processes {
		stale[i] = w.seal(p, p.fresh)
	}
	w.deafened = true
	for range requestTicks<<(w.rounds-1) + 1 {
		w.greet(stale)
		w.tick()
	}
}

// greet delivers everyone's stale Status, but not the primary's.
func (w *World) greet(stale []*wire.Sealed) {
	for _, from := range w.turns {
		event := core.Event(core.Received{From: from.id, Message: stale[from.index]})
		for _, to := range w.turns {
			if from.id != to.id && from.id != to.replica.Primary() {
				w.step(to, event)
			}
		}
	}
}

// smallTalk tells whether a message is repeated all the time, or is an answer to
// such a one.
func smallTalk(s *core.Send) bool {
	if s.Message == nil {
		return true // relayed
	}
	switch s.Message.Kind() {
	case wire.KindStatus, wire.KindFetchBatches, wire.KindFetchCommitted, wire.KindFetchViewChange:
		return true
	default:
		return false
	}
}

// Mend makes the network whole, and demands that a fresh request then executes
// at every correct replica.
func (w *World) Mend() {
	w.deafened = false
	whole := Round{Groups: []Set{1<<len(w.processes) - 1}}
	w.tell("the network is whole")
	w.deliver(&whole)
	for i := range mendTicks {
		if i%4 == 0 {
			for _, p := range w.turns {
				w.step(p, core.Submitted{Request: w.cast.last})
			}
		}
		w.tick()
		w.deliver(&whole)
		w.transfer()
		if w.Violation() != nil || w.done() {
			w.tell("mended after %d ticks", i+1)
			return
		}
	}
	w.oracle.fail("liveness: the network is whole for %d ticks, and a request has not executed everywhere", mendTicks)
}

// transfer gives every process the state that it waits for.
func (w *World) transfer() {
	for _, p := range w.turns {
		if p.target == nil {
			continue
		}
		s, ok := w.snapshots[p.target.Cert.Seq]
		if !ok || s.State != p.target.Cert.State {
			continue
		}
		p.installed(&s)
		w.step(p, core.Transferred{State: s})
	}
}

// done tells whether every correct replica has executed the last request.
func (w *World) done() bool {
	for _, p := range w.processes {
		if !w.oracle.faulty[p.id] && !p.answered {
			return false
		}
	}
	return true
}
