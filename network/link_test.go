package network

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// TestUnreachablePeerIsToldOnce has a peer refuse connections, be there, and refuse them again.
func TestUnreachablePeerIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults, up := newLedger(), 0
		l := newLink(2, faults, func(is bool) {
			if up--; is {
				up += 2
			}
		})
		var streams []func(bool, error)
		for range wire.Classes {
			streams = append(streams, l.stream())
		}
		all := func(up bool, why string) {
			for _, s := range streams {
				s(up, errors.New(why))
			}
		}
		fails := func(why string, want int) {
			t.Helper()
			for range 3 * unreachableAfter / time.Second {
				all(false, why)
				if told := len(faults.snapshot()) > 0 && faults.snapshot()[0].Count == uint64(want); told != (time.Since(l.mu.since) >= unreachableAfter) { //nolint:gosec // small
					t.Fatalf("%s after it was gone: told %t, %v", time.Since(l.mu.since), told, faults.snapshot())
				}
				<-time.After(time.Second) // of the bubble
			}
		}
		fails("refused", 1)
		all(true, "")
		if up != 1 {
			t.Errorf("it is told to be up %d times more than down, want once", up)
		}
		fails("no route", 2)
		want := FaultCount{Peer: 2, Fault: FaultUnreachable, Count: 2, Detail: "no route"}
		if got := faults.snapshot(); len(got) != 1 || got[0] != want || up != 0 {
			t.Errorf("got %v, and up %d, want %v", got, up, want)
		}
	})
}
