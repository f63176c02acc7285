package sim

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// snipe is a crash that waits for a moment: while a replica sends a message of a
// kind, or when one has entered a view. Crashes at any time hardly ever come
// just then, and just there is what a replica must not forget.
type snipe struct {
	kind  wire.Kind // of the message; 0 for a view that was entered
	spare int       // so many receivers still get it, or entries go unharmed
	all   bool      // everyone crashes
}

// lieInWait sets a snipe. It goes to the first replica that it fits.
func (w *world) lieInWait() {
	kinds := [...]wire.Kind{
		0, 0, wire.KindNewView, wire.KindNewView, wire.KindViewChange,
		wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindCheckpoint,
	}
	w.snipes = append(w.snipes, snipe{
		kind: kinds[w.rng.IntN(len(kinds))], spare: w.rng.IntN(w.o.Replicas + 1), all: w.rng.IntN(2) == 0,
	})
}

// sniped tells whether the process ends while it sends a message of a kind, which
// so many have got.
func (n *node) sniped(kind wire.Kind, got int) bool {
	for i, s := range n.w.snipes {
		if s.kind == kind && got == min(s.spare, n.w.o.Replicas-1) {
			n.w.shoot(i, n)
			return true
		}
	}
	return false
}

// snipeEntered ends the process, a little later, of a replica that has entered a
// view.
func (w *world) snipeEntered(n *node, obs core.Observation) {
	if _, entered := obs.(core.EnteredView); !entered {
		return
	}
	for i, s := range w.snipes {
		if s.kind == 0 && s.spare > 0 {
			w.snipes[i].spare--
			return
		}
		if s.kind == 0 {
			shot := w.snipes[i]
			w.snipes = append(w.snipes[:i:i], w.snipes[i+1:]...)
			w.after(w.between(0, 2*w.o.FlushMax), func() { w.fell(shot, n) })
			return
		}
	}
}

func (w *world) shoot(i int, n *node) {
	shot := w.snipes[i]
	w.snipes = append(w.snipes[:i:i], w.snipes[i+1:]...)
	w.fell(shot, n)
}

// fell crashes one replica, or all; they come back in any order. A calm may have
// come since the snipe hit.
func (w *world) fell(s snipe, n *node) {
	if w.calm {
		return
	}
	w.counters.Snipes++
	w.tell("R%d is shot at %s, all %v", n.id, s.kind, s.all)
	n.crashFor(2 * time.Second)
	for _, other := range w.nodes {
		if s.all && other != n {
			other.crashFor(2 * time.Second)
		}
	}
}
