package adversary_test

import (
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// doubler says, hears and answers everything twice, and counts ticks.
type doubler struct {
	adversary.Honest

	ticks int
}

func (*doubler) Say(_ adversary.Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return []*wire.Sealed{m, m}
}

func (*doubler) Hear(_ adversary.Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return []*wire.Sealed{m, m}
}

func (*doubler) Answer(_ adversary.Env, m *wire.Sealed) []*wire.Sealed { return []*wire.Sealed{m, m} }

func (d *doubler) Tick(adversary.Env) { d.ticks++ }

// copies counts what becomes of one message that is said, heard and answered.
func copies(e *stage, s adversary.Strategy, m *wire.Sealed) [3]int {
	return [3]int{len(s.Say(e, 1, m)), len(s.Hear(e, 1, m)), len(s.Answer(e, m))}
}

func TestAllPassesEachMessageThroughEveryStrategy(t *testing.T) {
	e := newStage(t, 0, 1)
	a, b := &doubler{}, &doubler{}
	s := adversary.All(a, adversary.Honest{}, b)
	if got := copies(e, s, e.Sign(&wire.Ask{})); got != [3]int{4, 4, 4} {
		t.Errorf("two doublers make %v copies, want 4 of each", got)
	}
	if s.Tick(e); a.ticks != 1 || b.ticks != 1 {
		t.Errorf("%d and %d ticks, want 1 each", a.ticks, b.ticks)
	}
}

func TestOnlyLeavesOtherKindsAlone(t *testing.T) {
	e := newStage(t, 0, 1)
	s := adversary.Only(&doubler{}, wire.KindAsk, wire.KindCommit)
	if got := copies(e, s, e.Sign(&wire.Ask{})); got != [3]int{2, 2, 2} {
		t.Errorf("%v copies of its kind, want 2 of each", got)
	}
	if got := copies(e, s, e.Sign(&wire.Piece{})); got != [3]int{1, 2, 1} {
		t.Errorf("%v copies of another kind, want it doubled only where it is heard", got)
	}
}

func TestDuringIsHonestBeforeAndAfter(t *testing.T) {
	e := newStage(t, 0, 1)
	d := &doubler{}
	s := adversary.During(time.Second, 2*time.Second, d)
	for at, want := range map[time.Duration]int{0: 1, time.Second: 2, 2*time.Second - 1: 2, 2 * time.Second: 1} {
		e.now = at
		s.Tick(e)
		if got := copies(e, s, e.Sign(&wire.Ask{})); got != [3]int{want, want, want} {
			t.Errorf("%v copies at %s, want %d of each", got, at, want)
		}
	}
	if d.ticks != 2 {
		t.Errorf("%d ticks, want the 2 of its time", d.ticks)
	}
}

func TestSometimesIsAsOftenAsItSays(t *testing.T) {
	e := newStage(t, 0, 1)
	d := &doubler{}
	s := adversary.Sometimes(0.25, d)
	m := e.Sign(&wire.Ask{})
	doubled := 0
	for range 1000 {
		doubled += len(s.Say(e, 1, m)) - 1
		s.Tick(e)
	}
	if doubled < 180 || doubled > 320 || d.ticks != 1000 {
		t.Errorf("%d of 1000 messages are changed, and %d ticks come, want a quarter and all", doubled, d.ticks)
	}
}
