package sim

import (
	"testing"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/wire"
)

// liesALittle is a key-value store that adds a byte.
type liesALittle struct{ kv.Machine }

func (m liesALittle) Execute(tx *app.Tx, op []byte) []byte {
	tx.Put("one", []byte{1})
	return m.Machine.Execute(tx, op)
}

func TestDivergingApplicationIsNoticed(t *testing.T) {
	o := steady()
	o.Script = func(c *Control) {
		c.Divert(2, func() app.StateMachine { return liesALittle{} })
		c.Expect("R2 notices", 3*time.Second, func() bool { return c.Counters().Diverged > 0 })
	}
	if res := Run(o); res.Violation != nil {
		t.Error(res.Violation)
	}
}

func TestClientReachesWhomTheScriptLets(t *testing.T) {
	o := steady()
	o.Script = func(c *Control) { c.Reach(0, 2) }
	submitted := map[int]int{}
	o.Watch = func(m Moment) {
		if m.What == Submitted {
			submitted[m.Node]++
		}
	}
	if res := Run(o); res.Violation != nil || len(submitted) != 1 || submitted[2] == 0 {
		t.Errorf("%v, requests reached %v, want R2 alone", res.Violation, submitted)
	}
}

// TestOutsidersFramesAreJudgedLikeAllOthers repeats what was sent, which changes
// nothing, and tries frames that are not valid here, which nobody reads.
func TestOutsidersFramesAreJudgedLikeAllOthers(t *testing.T) {
	o := steady()
	own, repeated := 0, 0
	o.Script = func(c *Control) {
		c.At(time.Second, func() {
			for _, frame := range c.Captured() {
				if err := c.Submit(1, frame); err != nil {
					c.Fail("a captured request is refused: %v", err)
				}
				repeated++
			}
			elsewhere := c.Domain()
			elsewhere.Epoch++
			c.Faulty(3, "lends its key")
			vote := &wire.Commit{Vote: wire.Vote{View: 0, Seq: c.Replica(1).Executed + 1, Sender: 3}}
			if err := c.Inject(3, 1, c.Forge(3, elsewhere, vote)); err == nil {
				c.Fail("a vote of another epoch is read")
			}
			if err := c.Inject(3, 1, c.Forge(3, c.Domain(), vote)); err != nil {
				c.Fail("a vote is not read: %v", err)
			}
			if err := c.Submit(1, c.Forge(3, c.Domain(), vote)); err == nil {
				c.Fail("a client may vote")
			}
			r := &wire.Request{Session: 1, Number: 1, Ops: [][]byte{kv.Put("foul", nil)}}
			if err := c.Submit(0, c.Request(0, r)); err != nil {
				c.Fail("a stranger's request is not read: %v", err)
			}
			own = c.AllAnswered()
		})
	}
	if res := Run(o); res.Violation != nil || own == 0 || repeated == 0 {
		t.Errorf("%v, %d answered, %d repeated", res.Violation, own, repeated)
	}
}

func TestScriptSeesTwins(t *testing.T) {
	o := steady()
	o.Twins = 1
	twins := 0
	o.Script = func(c *Control) { twins = len(c.Twins()) }
	if res := Run(o); res.Violation != nil || twins != 1 {
		t.Errorf("%v, %d twins, want 1", res.Violation, twins)
	}
}

// TestOneGreedyClientDeposesNobody has a client with more waiting than a slow
// cluster serves in a request timeout, in front of a correct primary.
func TestOneGreedyClientDeposesNobody(t *testing.T) {
	res := Run(Options{
		Seed: 1, Operations: 100, Interval: 8, BatchRequests: 1, DelayMax: 20 * time.Millisecond,
		Turbulence: 20 * time.Second, Outlaws: 1,
	})
	blamed := res.Counters.Suspicions + res.Counters.LeftViews
	if res.Violation != nil || blamed > 0 || res.Counters.Crimes == 0 {
		t.Errorf("%v; primaries were suspected, or left, %d times, with %d crimes", res.Violation, blamed, res.Counters.Crimes)
	}
}
