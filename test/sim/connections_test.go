package sim

import (
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// TestEndedPrimaryIsLeftAtOnce ends the primary's process under load: with connections
// that break by it, the next view serves long before a timeout, and its clients' longest
// wait is short; without, it takes the timeout.
func TestEndedPrimaryIsLeftAtOnce(t *testing.T) {
	for _, replicas := range []int{4, 5, 7} {
		for _, breaks := range []float64{0, 1} {
			o := paced(200)
			o.Replicas, o.Breaks = replicas, breaks
			const ends = 300 * time.Millisecond
			var serves time.Duration
			o.Script = func(c *Control) {
				c.At(ends, func() { c.Crash(0) })
				c.When(func() bool { return c.Replica(1).View == 1 && c.Replica(1).Active }, func() {
					before := c.AllAnswered()
					c.When(func() bool { return c.AllAnswered() > before }, func() { serves = c.Now() - ends })
				})
			}
			o.Turbulence = 2 * time.Second
			res := Run(o)
			t.Logf("n=%d, connections break %v: served again after %s", replicas, breaks == 1, serves)
			if soon := serves <= 15*tick; res.Violation != nil || serves == 0 || soon != (breaks == 1) {
				t.Errorf("n=%d breaks=%v: got %v, served again after %s", replicas, breaks, res.Violation, serves)
			}
		}
	}
}

// TestConnectionsThatFlapDeposeNobody lets each replica's connection to the primary break
// for a moment, one after the other, while one replica says all the time that it has lost
// the primary.
func TestConnectionsThatFlapDeposeNobody(t *testing.T) {
	o := paced(200)
	o.Breaks, o.Turbulence = 1, 4*time.Second
	o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{3: adversary.FalseAlarm}
	o.Script = func(c *Control) {
		for i := range 60 {
			id := wire.ReplicaID(1 + i%2) //nolint:gosec // 1 or 2
			c.At(time.Duration(10+6*i)*tick, func() { c.Flap(id, 0, 2*tick) })
		}
	}
	res := Run(o)
	if res.Violation != nil || res.Views > 0 || res.Counters.Unlinked < 60 {
		t.Errorf("got %v, view %d, %d connections broken, want view 0", res.Violation, res.Views, res.Counters.Unlinked)
	}
}
