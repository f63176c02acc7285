package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestASlowLineIsNotFilledWithRepetitions has one replica behind a line that is too slow for
// the load: all that is sent to it is at most four times what is sent to another one, batches
// that it missed and fetches among it. It was up to seventeen times.
func TestASlowLineIsNotFilledWithRepetitions(t *testing.T) {
	for _, bytesPerSecond := range []int{20_000, 60_000, 125_000} {
		for _, value := range []int{100, 2000, 10_000} {
			t.Run(fmt.Sprintf("%d bytes a second, values of %d", bytesPerSecond, value), func(t *testing.T) {
				o := steady()
				o.Clients, o.Operations, o.Outstanding, o.ValueBytes = 4, 100, 4, value
				o.Turbulence, o.Interval, o.Window = 4*time.Second, 50, 200
				behind := false
				o.Script = func(c *Control) {
					c.Slow(3, bytesPerSecond)
					c.When(func() bool { return c.Replica(3).Executed+20 < c.Replica(0).Executed }, func() { behind = true })
				}
				sent := map[int]int{}
				o.Steps = func(s Step) {
					if s.Do == StepSend {
						sent[int(s.Peer)] += len(s.Sealed.Frame())
					}
				}
				res := Run(o)
				if res.Violation != nil || !behind {
					t.Fatalf("behind %t: %v", behind, res.Violation)
				}
	if sent[3] > 4*sent[1] {
					t.Errorf("R3 is sent %d bytes, and R1 %d", sent[3], sent[1])
				}
			})
		}
	}
}
