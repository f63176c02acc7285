package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestWhoRejoinsSaysForWhichViewItWaits has a replica lose its data that had left the view
// alone. Whatever the others order, it does not vote before they are in the view that it
// asked for; and an operator is told so, once.
func TestWhoRejoinsSaysForWhichViewItWaits(t *testing.T) {
	k := newTrack(t, nil)
	k.runners[3].r.rejoin = &rejoining{closed: true, until: k.cfg.Interval, floor: 1}
	k.ask(4, 1)
	k.run(400)
	if low, until := k.runners[3].r.low, k.cfg.Interval; low <= until {
		t.Fatalf("the stable checkpoint is %d, want more than %d", low, until)
	}
	if len(k.rejoins) != 1 || k.rejoins[0] != (AwaitsView{1}) {
		t.Errorf("in view 0 it says %v, want that it waits for view 1, once", k.rejoins)
	}
	k.delay = func(from, _ wire.ReplicaID, m wire.Message) int {
		if _, ok := m.(*wire.PrePrepare); ok && from == 0 {
			return -1 // until its view is left
		}
		return 1
	}
	k.run(400)
	if len(k.rejoins) != 2 {
		t.Fatalf("in view %d it says %v, want that it votes again", k.view(), k.rejoins)
	}
	if said, ok := k.rejoins[1].(Rejoined); !ok || said.View < 1 || k.runners[3].r.Rejoining() {
		t.Errorf("in view %d it says %v, want that it votes again", k.view(), k.rejoins[1])
	}
}
