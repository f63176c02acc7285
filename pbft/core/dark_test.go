package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestOneInTheDarkHoldsUpNobodyForLong has a primary tell replica 2 nothing but where it
// stands, and vote for no checkpoint: so none is stable before replica 2 is there. Batches
// are so large that an answer holds only two of them.
func TestOneInTheDarkHoldsUpNobodyForLong(t *testing.T) {
	k := newTrack(t, nil)
	for _, a := range k.ask(8, 1) {
		a.size = answerBytesMax * 3 / 4
	}
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		switch kind := m.Kind(); {
		case from == 0 && to == 2 && kind != wire.KindStatus,
			from == 0 && (kind == wire.KindCheckpoint || kind == wire.KindStableProof):
			return -1
		}
		return 1
	}
	const ticks = 400
	k.run(ticks)
	if got := k.runners[1].r.executed; got < ticks/4 || k.leaves > 0 { // a question and its answer take three ticks
		t.Errorf("%d numbers executed in %d ticks, want a quarter of that; views left: %q", got, ticks, k.left)
	}
}
