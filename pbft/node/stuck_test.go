package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app"
)

// stuckOn waits for a channel when it executes "wait", and takes a moment for all else.
type stuckOn struct{ resume <-chan struct{} }

func (m stuckOn) Execute(_ *app.Tx, op []byte) []byte {
	if string(op) == "wait" {
		<-m.resume
	}
	return op
}

// TestAnApplicationThatDoesNotReturnIsTold: nothing else tells, for the replica votes on. Its
// stage is busy all the time, although its turn does not end.
func TestAnApplicationThatDoesNotReturnIsTold(t *testing.T) {
	lines := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			m := newMembers(t, 4)
			free := make(chan struct{})
			open := make(chan struct{})
			close(open)
			for i := range m.configs {
				m.configs[i].Machine = stuckOn{open}
			}
			m.configs[3].Machine = stuckOn{free}
			m.startAll()
			defer m.stopAll()
			c := m.caller(1)
			c.call([]int{0, 1, 2, 3}, 4, "before")
			c.call([]int{0, 1, 2, 3}, 3, "wait")
			<-time.After(stuckAfter + 2*busyWindow)
			if busy := m.nodes[3].BusyShares().Apply; busy < 0.99 {
				t.Errorf("the stage that is stuck is busy for %v of its time", busy)
			}
			close(free)
			<-time.After(time.Second)
			if busy := m.nodes[0].BusyShares().Apply; busy > 0.1 {
				t.Errorf("another one is busy for %v", busy)
			}
			c.call([]int{0, 1, 2, 3}, 4, "after")
		})
	})
	long, went := 0, 0
	for _, line := range lines {
		if strings.Contains(line, "executes one batch for longer") {
			long++
		}
		if strings.Contains(line, "the replica goes on") {
			went++
		}
	}
	if long != 1 || went != 1 {
		t.Errorf("it is told %d times that it takes long, and %d times that it went on: %q", long, went, lines)
	}
}
