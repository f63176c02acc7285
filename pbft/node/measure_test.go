package node

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/core"
)

// TestTheCoreIsToldOfBusyProcessors once when they become so, and once when they are so no more.
func TestTheCoreIsToldOfBusyProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			busy  atomic.Bool
			asked atomic.Int64
			told  []bool
		)
		m := newMembers(t, 4)
		m.configs[0].Busy = func() bool {
			asked.Add(1)
			return busy.Load()
		}
		e := &fakeEngine{step: func(ev core.Event, _ *core.Effects) {
			if e, is := ev.(core.Measured); is {
				told = append(told, e.Busy)
			}
		}}
		_, ended, cancel := runScripted(t, m, e)
		for _, are := range []bool{false, true, true, false, true} {
			busy.Store(are)
			<-time.After(time.Second)
		}
		cancel()
		endsCleanly(t, ended)
		if want := []bool{true, false, true}; !slices.Equal(told, want) {
			t.Errorf("the core was told %v, want %v", told, want)
		}
		if got := asked.Load(); got < 20 || got > 30 {
			t.Errorf("the system was asked %d times in 5 s, want 5 in each", got)
		}
	})
}
