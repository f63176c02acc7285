package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestNewPrimaryOpensItsViewHoweverItsBatchesCome has the next primary hear nothing but where
// the others stand, until some time after these have left the view of a primary that is gone.
// Of more batches than it may ask for at once, the last come with their commit certificates,
// before it asks for them.
func TestNewPrimaryOpensItsViewHoweverItsBatchesCome(t *testing.T) {
	for late := range 20 { // ticks: the two ways of asking have the same interval
		k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
		gone, dark := false, true
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			if gone && (from == 0 || to == 0) || dark && to == 1 && m.Kind() != wire.KindStatus {
				return -1
			}
			return 1
		}
		k.ask(4, 1)
		k.run(60)
		gone = true
		two, three := k.runners[2].r, k.runners[3].r
		for min(two.view, three.view) == 0 && k.tick < 3*k.cfg.RequestTicks {
			k.run(1)
		}
		k.run(late)
		lacks := two.executed - k.runners[1].r.executed
		if two.view != 1 || three.view != 1 || lacks <= fetchedBodiesMax {
			t.Fatalf("two are in views %d and %d, and replica 1 lacks %d batches, want view 1, and more than %d",
				two.view, three.view, lacks, fetchedBodiesMax)
		}
		dark = false
		if served := k.run(50); served == 0 || k.view() != 1 {
			t.Errorf("%d ticks late: %d served, in view %d: %q", late, served, k.view(), k.left)
		}
	}
}
