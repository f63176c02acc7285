package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// mute says nothing to other replicas.
type mute struct{ adversary.Honest }

func (mute) Say(env adversary.Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	env.Note("keeps a %s to itself", m.Message().Kind())
	return nil
}

// deaf hears nothing, and answers clients nonsense.
type deaf struct{ adversary.Honest }

func (deaf) Hear(adversary.Env, wire.ReplicaID, *wire.Sealed) []*wire.Sealed { return nil }

func (deaf) Answer(env adversary.Env, m *wire.Sealed) []*wire.Sealed {
	lie := *m.Message().(*wire.Replies) //nolint:errcheck,forcetypeassert // nobody asks queries
	lie.Answers = slices.Clone(lie.Answers)
	lie.Answers[0].Result = []byte("nonsense")
	return []*wire.Sealed{env.Sign(&lie)}
}

// steady are options without chance but in the delays.
func steady() Options {
	return Options{
		Seed: 3, Operations: 30, Outstanding: 2, Interval: 2, DelayMin: time.Millisecond, DelayMax: 5 * time.Millisecond,
		Turbulence: 3 * time.Second,
	}
}

func play(strategy adversary.Strategy) func() adversary.Strategy {
	return func() adversary.Strategy { return strategy }
}

func TestMutePrimaryIsReplaced(t *testing.T) {
	o := steady()
	o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{0: play(mute{})}
	o.Script = func(c *Control) {
		c.Expect("a view that another one leads, and an answer", 2*c.Timeout(), func() bool {
			return c.Replica(1).View == 1 && c.Replica(1).Active && c.Answered(0) > 0
		})
	}
	res := Run(o)
	if res.Violation != nil || res.Counters.Lies == 0 || res.Views != 1 {
		t.Fatalf("%v, %+v, view %d", res.Violation, res.Counters, res.Views)
	}
	if len(res.Notes) == 0 || res.Notes[0].Replica != 0 || !strings.HasPrefix(res.Notes[0].Text, "keeps a") {
		t.Errorf("what the liar noted: %+v", res.Notes)
	}
}

func TestOneLiarsAnswersConvinceNobody(t *testing.T) {
	o := steady()
	o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{2: play(deaf{})}
	if res := Run(o); res.Violation != nil {
		t.Fatal(res.Violation)
	}
}

func TestTwinsBreakNothing(t *testing.T) {
	for seed := range uint64(40) {
		o := FromSeed(seed).On(4).Honest()
		o.Twins = 1
		started := map[int]bool{}
		o.Watch = func(m Moment) {
			if m.What == Started {
				started[m.Node] = true
			}
		}
		if res := Run(o); res.Violation != nil || len(started) != 5 {
			t.Errorf("seed %d: %d processes, %v", seed, len(started), res.Violation)
		}
	}
}

// TestExpectationThatIsNotMetIsAViolation also covers Fail and Faulty.
func TestExpectationThatIsNotMetIsAViolation(t *testing.T) {
	for want, script := range map[string]func(c *Control){
		"script: not within 1s: pigs fly": func(c *Control) { c.Expect("pigs fly", time.Second, func() bool { return false }) },
		"script: 7 is odd": func(c *Control) {
			c.At(time.Second, func() { c.Fail("%d is odd", 7) })
		},
		"script: 2 faulty replicas are more than the 1": func(c *Control) {
			c.Faulty(1, "slow")
			c.Faulty(2, "slow")
		},
	} {
		o := steady()
		o.Script = script
		res := Run(o)
		if res.Violation == nil || !strings.Contains(res.Violation.Error(), want) {
			t.Errorf("got %v, want %s", res.Violation, want)
		}
		broken := 0
		for _, v := range res.Oracles {
			if v.Err != nil {
				broken++
			}
		}
		if broken != 1 {
			t.Errorf("%s: %d oracles are broken: %v", want, broken, res.Oracles)
		}
	}
}

func TestScriptSteersTheRun(t *testing.T) {
	second := time.Second
	all := func(c *Control, cond func(g Glimpse) bool) func() bool {
		return func() bool {
			for id := range wire.ReplicaID(4) {
				if !cond(c.Replica(id)) {
					return false
				}
			}
			return true
		}
	}
	for name, script := range map[string]func(c *Control){
		"crash and restart": func(c *Control) {
			c.When(func() bool { return c.Replica(1).Committed > 2 }, func() { c.Crash(1) })
			c.Expect("R1 is down", second, func() bool { return c.Replica(1).Down })
			c.At(second, func() { c.Restart(1) })
		},
		"a lost disk": func(c *Control) {
			c.At(second/10, func() { c.Lose(1); c.Restart(1) })
			c.Expect("R1 is silent", second, func() bool { return c.Replica(1).Rejoining })
		},
		"a failing flush": func(c *Control) {
			c.At(second/10, func() { c.FailFlush(2) })
			c.Expect("R2 stops", second, func() bool { return c.Replica(2).Down })
		},
		"a pause": func(c *Control) {
			before := wire.Seq(0)
			c.At(second/10, func() { c.Pause(0, second); before = c.Replica(0).Executed })
			c.At(second, func() {
				if c.Replica(0).Executed != before {
					c.Fail("R0 executes in its sleep")
				}
			})
			c.Expect("the others change the view", 2*second, func() bool { return c.Replica(3).View > 0 })
		},
		"a partition": func(c *Control) {
			c.At(0, func() { c.Partition([]wire.ReplicaID{0, 1}, []wire.ReplicaID{2, 3}) })
			c.At(second, func() {
				if c.AllAnswered() > 0 {
					c.Fail("two of four answer")
				}
				c.Heal()
			})
			c.Expect("progress", 3*second, all(c, func(g Glimpse) bool { return g.Stable > 4 }))
		},
		"one-way links": func(c *Control) {
			c.Cut(0, 1)
			c.Block(2, wire.KindCommit)
			c.At(second, func() { c.Mend(0, 1) })
			c.Expect("all execute", 3*second, all(c, func(g Glimpse) bool { return g.Executed > 4 }))
		},
		"a slow line": func(c *Control) {
			c.Slow(3, 10_000)
			c.Expect("R3 is behind", second, func() bool { return c.Replica(0).Executed > c.Replica(3).Executed+3 })
		},
		"isolation, rot and a wrong clock": func(c *Control) {
			c.Isolate(1)
			c.At(second/20, func() { c.Rot(2) })
			c.Expect("the state of R2 is replaced", 6*second, func() bool { return c.Counters().Diverged > 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := steady()
			o.Script = script
			if res := Run(o); res.Violation != nil {
				t.Error(res.Violation)
			}
		})
	}
}

// TestWatchingChangesNothing also checks what is seen: every message that arrives
// was sent, once, and everyone executes.
func TestWatchingChangesNothing(t *testing.T) {
	for seed := range uint64(10) {
		o := FromSeed(seed)
		plain := Run(o)
		sent, executed := map[uint64]Moment{}, map[int]wire.Seq{}
		last := time.Duration(0)
		o.Watch = func(m Moment) {
			if m.At < last {
				t.Errorf("time goes back at %+v", m)
			}
			last = m.At
			switch m.What { //nolint:exhaustive // the others stand alone
			case Sent:
				sent[m.Message] = m
			case Received:
				if s, ok := sent[m.Message]; !ok || s.Peer != m.Node || s.Node != m.Peer || s.Kind != m.Kind {
					t.Errorf("%+v was sent as %+v", m, s)
				}
			case Executed:
				executed[m.Node] = m.Seq
			}
		}
		if res := Run(o); res.Trace != plain.Trace || len(executed) != o.Replicas+o.Twins {
			t.Errorf("seed %d: the run is another one, or %d of %d replicas execute", seed, len(executed), o.Replicas)
		}
	}
}

// TestExcessOfLiarsIsAsked shows that a run with more liars than f is refused,
// unless that is what is asked for, and that then a break of agreement ends
// nothing.
func TestExcessOfLiarsIsAsked(t *testing.T) {
	o := steady()
	o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{0: play(mute{}), 1: play(mute{})}
	if res := Run(o); res.Violation == nil {
		t.Error("two of four may lie")
	}
	o.Excess = true
	o.Patience = 2 * time.Second
	res := Run(o)
	if res.Violation != nil {
		t.Error(res.Violation)
	}
	for _, v := range res.Oracles {
		if (v.Err != nil) != (v.Name == "O6 liveness") {
			t.Errorf("%s: %v", v.Name, v.Err)
		}
	}
	w := &world{o: o}
	w.breach(lawAgreement, "%s", core.Describe(core.LeftView{}))
	w.breach(lawAccount, "no proof")
	if got := fmt.Sprint(w.violation); !strings.Contains(got, "O9 accountability: no proof") {
		t.Errorf("the violation is %s", got)
	}
}

// TestCoalitionIsProvenGuilty has f+1 replicas break agreement on purpose. What
// holds even then, holds: the liars are convicted, and nobody else.
func TestCoalitionIsProvenGuilty(t *testing.T) {
	broken, convicted := 0, 0
	for seed := range uint64(20) {
		o := FromSeed(seed).On(4).Honest()
		o.Seed, o.Excess, o.Liveness, o.RealStorage, o.Patience = seed, true, false, false, 2*time.Second
		c := adversary.NewCoalition(0, 3)
		o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{0: c.Strategy, 3: c.Strategy}
		res := Run(o)
		if res.Violation != nil {
			t.Errorf("seed %d: %v", seed, res.Violation)
		}
		for _, v := range res.Oracles {
			if v.Name == lawAgreement.String() && v.Err != nil {
				broken++
			}
		}
		if res.Accused[0] > 0 && res.Accused[3] > 0 {
			convicted++
		}
		if res.Accused[1]+res.Accused[2] > 0 {
			t.Errorf("seed %d: a correct replica is accused: %v", seed, res.Accused)
		}
	}
	if broken == 0 || convicted == 0 {
		t.Errorf("of 20 coalitions %d broke agreement, and %d were convicted whole", broken, convicted)
	}
	t.Logf("of 20 coalitions %d broke agreement, and %d were convicted whole", broken, convicted)
}
