package sim

import (
	"testing"
	"time"
)

// TestReplicaThatLeftAloneVotesWhenAnotherFails: R3, which hears nothing of the primary for a
// while, leaves the view alone, and the others go on without it. When R2 fails then, no quorum
// is left in that view: R0 and R1 leave it too after a request timeout, and R3 is one of the
// quorum of the next.
func TestReplicaThatLeftAloneVotesWhenAnotherFails(t *testing.T) {
	o := steady()
	o.Operations, o.Outstanding, o.Turbulence = 2000, 1, 20*time.Second
	o.Script = func(c *Control) {
		c.Cut(0, 3)
		answered := 0
		c.Expect("R3 leaves the view", 3*c.Timeout(), func() bool { return c.Replica(3).View == 1 })
		c.When(func() bool { return c.Replica(3).View == 1 }, func() {
			c.Mend(0, 3)
			answered = c.AllAnswered()
			c.Expect("the others go on, and R3 follows", 2*c.Timeout(), func() bool {
				return c.AllAnswered() >= answered+3 && c.Replica(0).View == 0 && c.Replica(3).Executed+5 >= c.Replica(0).Executed
			})
			c.At(c.Now()+2*c.Timeout(), func() {
				if g := c.Replica(3); g.Active {
					c.Fail("R3 is active in view %d, which nobody else asks for", g.View)
				}
				c.Crash(2)
				answered = c.AllAnswered()
				c.Expect("R0, R1 and R3 vote in the next view", 3*c.Timeout(), func() bool {
					return c.Replica(3).Active && c.Replica(3).View >= 1 && c.AllAnswered() >= answered+3
				})
			})
		})
	}
	if res := Run(o); res.Violation != nil {
		t.Fatal(res.Violation)
	}
}
