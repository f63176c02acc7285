package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// TestASlowLineIsNotFilledWithRepetitions has one replica behind a line that is too slow for
// the load: all that is sent to it is at most four times what is sent to another one, batches
// that it missed and fetches among it. It was up to seventeen times.
func TestASlowLineIsNotFilledWithRepetitions(t *testing.T) {
	for _, replicas := range []int{4, 13} {
		for _, bytesPerSecond := range []int{20_000, 60_000, 125_000} {
			for _, value := range []int{100, 2000, 10_000} {
				t.Run(fmt.Sprintf("%d replicas, %d bytes a second, values of %d", replicas, bytesPerSecond, value), func(t *testing.T) {
					o := steady()
					o.Replicas, o.Clients, o.Operations, o.Outstanding, o.ValueBytes = replicas, 4, 100, 4, value
					o.Turbulence, o.Interval, o.Window = 4*time.Second, 50, 200
					slow, other := sentOverSlowLine(t, o, bytesPerSecond)
					if slow > 4*other {
						t.Errorf("it is sent %d bytes, and another one %d", slow, other)
					}
				})
			}
		}
	}
}

// sentOverSlowLine returns how many bytes are sent to the last replica, which is behind a slow
// line, and how many to another one.
func sentOverSlowLine(t *testing.T, o Options, bytesPerSecond int) (slow, other int) {
	t.Helper()
	last := wire.ReplicaID(o.Replicas - 1) //nolint:gosec // few
	behind := false
	o.Script = func(c *Control) {
		c.Slow(last, bytesPerSecond)
		c.When(func() bool { return c.Replica(last).Executed+20 < c.Replica(0).Executed }, func() { behind = true })
	}
	sent := map[wire.ReplicaID]int{}
	o.Steps = func(s Step) {
		if s.Do == StepSend {
			sent[s.Peer] += len(s.Sealed.Frame())
		}
	}
	if res := Run(o); res.Violation != nil || !behind {
		t.Fatalf("behind %t: %v", behind, res.Violation)
	}
	return sent[last], sent[1]
}
