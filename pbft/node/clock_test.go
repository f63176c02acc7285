package node

import (
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
