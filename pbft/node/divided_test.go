package node

import (
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
)

// moody is a machine that writes what differs from replica to replica.
type moody struct{ mood string }

// Execute writes, and answers the same everywhere.
func (m moody) Execute(tx *app.Tx, _ []byte) []byte {
	tx.Put("mood", []byte(m.mood))
	return nil
}

// TestDividedStatesAreTold has the states of two replicas differ from those of the two
// others: no checkpoint can become stable, and each of the four says so once.
func TestDividedStatesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		for i := range m.configs {
			m.configs[i].Machine = moody{[]string{"good", "bad"}[i%2]}
		}
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for range m.configs[0].Core.Interval {
			c.call([]int{0, 1, 2, 3}, 4, "op")
		}
		synctest.Wait()
		for i := range m.configs {
			divided := 0
			m.saw(i, func(o core.Observation) bool {
				if d, is := o.(core.Divided); is && d.Seq == m.configs[i].Core.Interval {
					divided++
				}
				return false
			})
			if divided != 1 {
				t.Errorf("replica %d told %d times that no quorum has one state, want once", i, divided)
			}
		}
	})
}
