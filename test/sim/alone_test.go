package sim

import (
	"strings"
	"testing"
	"time"
)

// TestReplicaThatSuspectsAloneVotesOn: R3, which hears nothing of the primary for a while,
// suspects it alone. When R2 fails later, R3 is one of the quorum, in the same view. The client
// asks R2, too, and another one only after a while.
func TestReplicaThatSuspectsAloneVotesOn(t *testing.T) {
	o := steady()
	o.Operations, o.Outstanding, o.Turbulence = 2000, 1, 20*time.Second
	suspected := 0
	o.Watch = func(m Moment) {
		if m.Replica == 3 && strings.Contains(m.Text, "suspects the primary of view 0") {
			suspected++
		}
	}
	o.Script = func(c *Control) {
		c.Cut(0, 3)
		c.At(3*c.Timeout(), func() {
			if suspected == 0 {
				c.Fail("R3 suspects nobody")
			}
			c.Mend(0, 3)
			c.Expect("R3 follows", c.Timeout(), func() bool { return c.Replica(3).Executed+5 >= c.Replica(0).Executed })
		})
		c.At(5*c.Timeout(), func() {
			c.Crash(2)
			answered := c.AllAnswered()
			c.Expect("R0, R1 and R3 go on", 2*c.Timeout(), func() bool { return c.AllAnswered() >= answered+3 })
		})
	}
	if res := Run(o); res.Violation != nil || res.Views > 0 {
		t.Fatalf("%v, in view %d, want view 0", res.Violation, res.Views)
	}
}
