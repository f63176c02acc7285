package node

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
)

// stepLog is what step remembers for the flight recorder. Step's goroutine owns it.
type stepLog struct {
	woken    time.Duration // when the turn began
	at       time.Duration // when the last event ended
	waits    time.Duration // since when step has waited for the next turn
	due      time.Duration // when the tick that is stepped next was
	events   int           // of the turn of the recorder
	observed int           // observations of the turn that are recorded
	dump     dumping       // to be asked for, if it has a word
}

// woke says that step has something to do.
func (s *stepper) woke() {
	s.log.woken = s.n.flight.step.enter(stepEvents)
	s.log.at = s.log.woken
}

// ticked says that step has a tick to do, and when that was due.
func (s *stepper) ticked(due time.Time) {
	s.woke()
	s.log.due = due.Sub(s.n.flight.began)
}

// ended says that step has nothing more to do for now.
func (s *stepper) ended() {
	l := &s.log
	l.waits = s.n.flight.step.end([countsMax]uint32{count(l.events), count(s.turn.events)})
	l.events = 0
	if l.dump.word != "" {
		s.n.askDump(l.dump)
		l.dump = dumping{}
	}
}

// record notes an event that was stepped, and what the core observed; of inputs that are
// refused it has the log say. It reads the
// clock once: an event begins when the one before has ended.
func (s *stepper) record(ev core.Event) {
	l, f := &s.log, s.n.flight
	now := f.now()
	e := eventEntry(ev)
	e.at, e.parts[eventTook] = l.at, microsOf(now-l.at)
	switch e.what {
	case 0:
	case eventSubmitted: // there may be thousands, which say little one by one
		f.events.join(e, l.woken)
	case eventTick:
		e.parts[tickLate], e.parts[tickStarved] = microsOf(l.at-l.due), microsOf(l.at-max(l.due, l.waits))
		f.ticks.add(e)
	default:
		f.events.add(e)
	}
	if e.what != 0 {
		l.events++
	}
	if own, ok := s.n.proposed(ev); ok {
		own.at = now
		f.milestones.add(own)
	}
	for _, o := range s.turn.fx.Observe[l.observed:] {
		f.observe(now, o)
		s.n.reportUnfit(o)
		s.n.reportClock(o)
		if d := dumpOf(o); d.word != "" {
			l.dump = d
		}
	}
	l.observed = len(s.turn.fx.Observe)
	l.at = now
}
