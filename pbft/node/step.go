package node

// Stage step is sequential: one goroutine owns the core.Replica. It steps every
// event that waits, up to turnEventsMax, into one turn, then TurnEnded, and hands
// the turn's records and messages to settle. While settle is at work it goes on
// with the next turn. Everything else that a step asks for waits for nothing and
// is passed on at once.

import (
	"context"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// turnsMax is how many turns there are: one being filled, one waiting and one
	// being flushed. More would only delay what is in them.
	turnsMax = 3
	// turnEventsMax bounds the events of one turn before it ends: what a turn
	// sends should not wait for more.
	turnEventsMax = 256
	// turnFullEvents bounds the events that go into one turn while settle is
	// behind. Beyond it step waits: nothing it did could leave anyway.
	turnFullEvents = 4 * turnEventsMax
	// journalBytesMax is how long the journal may grow before it is rebased: two
	// of its segments.
	journalBytesMax = 32 << 20
	// journalGrowthMax is by how much it may grow before the next time where what it holds
	// then is long itself.
	journalGrowthMax = 8 * journalBytesMax
)

// engine is what step needs of a core.Replica.
type engine interface {
	Step(ev core.Event, fx *core.Effects)
	Base() []core.Record
	View() wire.View
	Active() bool
	Rejoining() bool
	Proposes() bool
	Executed() wire.Seq
	ReadAfter() (wire.Seq, bool)
	Stable() wire.CheckpointCert
	Convictions() *core.Convictions
}

// turn is what settle carries out as one: effects, and after their records
// perhaps a new beginning of the journal.
type turn struct {
	fx     core.Effects
	events int
	// rebase says that base, the records of everything up to the end of this
	// turn, replaces the journal.
	rebase bool
	base   []core.Record
	// durable, if there is one, is closed when the records of this turn are durable:
	// a snapshot waits for it.
	durable chan struct{}
	handed  time.Duration // when, for the flight recorder
}

// reset empties t and lets go of what it held.
func (t *turn) reset() {
	clear(t.fx.Persist)
	clear(t.fx.Send)
	t.fx.Reset()
	t.events, t.rebase, t.base, t.durable = 0, false, nil, nil
}

// mustFlush tells whether t must become durable by itself.
func (t *turn) mustFlush() bool { return t.durable != nil || t.fx.MustFlush() }

// settled lets the snapshot go on that waits for t.
func (t *turn) settled() {
	if t.durable != nil {
		close(t.durable)
	}
}

// wait makes nothing of t early.
func (t *turn) wait() {
	for i := range t.fx.Send {
		t.fx.Send[i].Early = false
	}
}

// stepper is the state of the step goroutine.
type stepper struct {
	n      *Node
	turn   *turn
	spare  []core.Event
	stable wire.Seq // of the last Stable effect
	based  wire.Seq // stable when the journal was last rebased
	log    stepLog

	inputWaits bool // the application had no input since the last tick
	busy       bool // what the core was told last
}

func (n *Node) step(ctx context.Context) error {
	ticker := time.NewTicker(n.tick)
	defer ticker.Stop()
	s := &stepper{n: n, turn: <-n.free}
	s.woke()
	s.one(core.Start{Now: n.now()})
	for {
		n.stepBusy.begin()
		s.gather()
		s.endTurn()
		n.stepBusy.end(true)
		s.ended()
		if !s.wait(ctx, ticker.C) {
			return nil
		}
	}
}

// wait waits for something to do, and does the first step of it. It returns
// false when ctx is done. A full turn waits for settle alone.
func (s *stepper) wait(ctx context.Context, tick <-chan time.Time) bool {
	verified, wake := s.n.verified, s.n.own.wake
	if s.turn.events >= turnFullEvents {
		verified, wake, tick = nil, nil, nil
		s.n.flight.step.enter(stepBlocked)
	}
	var free chan *turn
	if s.turn.holds() {
		free = s.n.free
	}
	select {
	case <-ctx.Done():
		return false
	case t := <-free:
		s.woke()
		s.handOver(t)
	case due := <-tick:
		s.ticked(due)
		s.inputWaits = false
		s.measured()
		s.one(core.Tick{Now: s.n.now()})
	case <-wake:
		s.woke()
	case events := <-verified:
		s.woke()
		s.all(events)
	}
	return true
}

// gather steps what waits, own messages first: they complete what others wait
// for.
func (s *stepper) gather() {
	limit := s.turn.events + turnEventsMax
	for s.turn.events < min(limit, turnFullEvents) {
		s.spare = s.n.own.take(s.spare)
		s.all(s.spare)
		select {
		case events := <-s.n.verified:
			s.all(events)
		default:
			return
		}
	}
}

func (s *stepper) all(events []core.Event) {
	for _, ev := range events {
		s.one(ev)
	}
}

// one steps one event, and records it.
func (s *stepper) one(ev core.Event) {
	s.take(ev)
	s.record(ev)
}

// take steps one event. Executions and fetches are passed on at once, because
// their order among each other counts.
func (s *stepper) take(ev core.Event) {
	fx := &s.turn.fx
	s.turn.events++
	if q, ok := ev.(submitted); ok {
		s.n.engine.Step(q.Submitted, fx)
		s.tell(q.conn)
	} else {
		s.n.engine.Step(ev, fx)
	}
	if len(fx.Execute)+len(fx.Fetch) == 0 {
		return
	}
	if s.turn.durable == nil && fx.Freezes() {
		s.turn.durable = make(chan struct{})
	}
	s.n.work.put(s.n.flight.now(), fx.Execute, s.turn.durable, fx.Fetch)
	clear(fx.Execute)
	fx.Execute, fx.Fetch = fx.Execute[:0], fx.Fetch[:0]
}

// tell passes on what a client is told of its request, besides what is executed: over the
// connection alone that it came over. Anyone can replay a request, and shall neither take
// the answers to others' away, nor have others refused once more.
func (s *stepper) tell(conn uint64) {
	fx := &s.turn.fx
	s.n.work.answer(conn, fx.Answer)
	for i := range fx.Refuse {
		s.n.respondRefusal(conn, fx.Refuse[i])
	}
	fx.Answer, fx.Refuse = fx.Answer[:0], fx.Refuse[:0]
}

// endTurn lets a primary propose, passes on what waits for nothing, and hands
// the turn over if settle can take it.
func (s *stepper) endTurn() {
	n, fx := s.n, &s.turn.fx
	n.flight.step.enter(stepPropose)
	s.one(core.TurnEnded{})
	s.offer()
	n.flight.step.enter(stepPass)
	for _, cert := range fx.Stable {
		s.stable = max(s.stable, cert.Seq)
		n.serving.collect(cert.Seq)
	}
	n.aside.observe(fx.Observe)
	n.watcher.put(fx.Observe)
	clear(fx.Observe)
	fx.Stable, fx.Observe, s.log.observed = fx.Stable[:0], fx.Observe[:0], 0
	n.publish()
	if !s.turn.holds() {
		s.turn.reset()
		return
	}
	select {
	case t := <-n.free:
		s.handOver(t)
	default:
	}
}

// holds tells whether t has anything for settle.
func (t *turn) holds() bool { return len(t.fx.Persist)+len(t.fx.Send) > 0 || t.durable != nil }

// handOver gives the turn to settle and goes on with another. There are as many
// turns as n.turns has room for, so it does not wait.
func (s *stepper) handOver(next *turn) {
	s.maybeRebase()
	s.turn.handed = s.n.flight.now()
	s.n.turns <- s.turn
	s.turn = next
}

// maybeRebase lets the journal begin anew, with what the replica still needs,
// once it has grown and the replica's own snapshot makes the rest superfluous.
// The base says everything up to this turn, so it is taken when nothing more is
// stepped into the turn.
func (s *stepper) maybeRebase() {
	n := s.n
	if s.stable <= s.based || n.journalBytes.Load() < n.journalLimit.Load() {
		return
	}
	if last, _ := n.cfg.State.Last(); last < s.stable {
		return
	}
	s.based = s.stable
	s.turn.rebase, s.turn.base = true, n.engine.Base()
}

// now is the wall clock.
func (n *Node) now() wire.Time { return wire.Time(n.clock().UnixNano()) }
