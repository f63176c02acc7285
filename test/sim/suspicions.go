package sim

import (
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// suspicions notes for what replicas that keep their word suspected the primary of a view
// last while they were in it (O10).
type suspicions map[wire.View]map[wire.ReplicaID]string

// note is called when n suspects the primary of its view.
func (s suspicions) note(n *node, obs core.Suspected) {
	if s[obs.View] == nil {
		s[obs.View] = map[wire.ReplicaID]string{}
	}
	if faithful(n) {
		s[obs.View][n.id] = obs.Why
	}
}

// left checks O10 when n leaves a view for what it suspects the primary of.
func (s suspicions) left(n *node, obs core.LeftView) {
	w, view := n.w, obs.View-1
	if !faithful(n) || w.o.Excess || s[view][n.id] != obs.Why {
		return
	}
	w.checked(lawPatience)
	company := 0
	for _, other := range w.nodes[:w.o.Replicas] {
		gone := other.replica != nil && other.replica.View() > view
		if !faithful(other) || s[view][other.id] != "" || gone {
			company++
		}
	}
	if company < w.quorum.Weak() {
		w.breach(lawPatience, "R%d leaves view %d for a suspicion that %d have, or may say that they have: too few",
			n.id, view, company)
	}
}
