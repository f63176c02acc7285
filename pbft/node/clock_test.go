package node

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app"
)

// timer tells when its operations execute.
type timer struct{}

// Execute returns the time of the batch.
func (timer) Execute(tx *app.Tx, _ []byte) []byte {
	return tx.Time().AppendFormat(nil, time.RFC3339Nano)
}

// TestOnlyTheTimesOfBatchesComeFromTheClock runs nodes whose clocks stand still,
// an hour ahead, for all of them.
func TestOnlyTheTimesOfBatchesComeFromTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		ahead := time.Now().Add(time.Hour).UTC()
		for i := range m.configs {
			m.configs[i].Machine, m.configs[i].Clock = timer{}, func() time.Time { return ahead }
		}
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for i := range 3 {
			// Times of batches grow, also where the clock does not.
			want := "0 " + ahead.Add(time.Duration(i)).Format(time.RFC3339Nano)
			if got := c.call([]int{0, 1, 2, 3}, 4, "op"); got != want {
				t.Errorf("result %d: got %q, want %q", i, got, want)
			}
		}
	})
}

// TestAReplicaWhoseClockIsOffIsToldSo: it does not vote, and nothing else tells, for it
// executes and answers as all others do. It is told once in a row, and when that is over.
func TestAReplicaWhoseClockIsOffIsToldSo(t *testing.T) {
	var off atomic.Int64
	lines := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			m := newMembers(t, 4)
			for i := range m.configs {
				m.configs[i].Machine = timer{}
			}
			m.configs[3].Clock = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
			m.startAll()
			defer m.stopAll()
			c := m.caller(1)
			for _, ahead := range []time.Duration{0, time.Hour, 0} {
				off.Store(int64(ahead))
				for range 5 {
					<-time.After(time.Second) // in which the clock is read
					c.call([]int{0, 1, 2, 3}, 4, "op")
				}
			}
		})
	})
	if len(lines) != 2 || !strings.Contains(lines[0], "set its clock right") || !strings.Contains(lines[0], "primary=0 view=0") ||
		!strings.Contains(lines[1], "agree again") {
		t.Errorf("got %q, want one line that its clock is off, and one that this is over", lines)
	}
}

// TestAReplicaThatComesLateBlamesNoClock has the fourth replica start two minutes after the
// last batch, by the same clock as all others: it is sent old proposals, and refuses them.
func TestAReplicaThatComesLateBlamesNoClock(t *testing.T) {
	lines := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			m := newMembers(t, 4)
			for i := range m.configs {
				m.configs[i].Machine = timer{}
			}
			for i := range 3 {
				m.start(i)
			}
			defer m.stopAll()
			c := m.caller(1)
			<-time.After(time.Second)
			c.call([]int{0, 1, 2}, 3, "op")
			<-time.After(2 * time.Minute)
			m.start(3)
			m.await("the late one", func() bool { return m.nodes[3].Report().Executed == m.nodes[0].Report().Executed })
		})
	})
	for _, line := range lines {
		t.Errorf("got %s", line)
	}
}
