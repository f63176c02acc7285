package core

import "github.com/quorate/quorate/pbft/wire"

// Who leaves a view alone changes nothing, but that this view has one voter less until the
// others leave it, too: with f others faulty, no quorum. And it is a correct replica that is
// alone, which is slow itself, or heard too late. So whoever suspects the primary says so
// first, in its Status, at once, and votes on. It leaves the view when f+1 replicas, itself
// included, say so or have left the view, and takes its word back when what it waited for
// has come.
//
//   - A faulty primary that stops or delays the order is suspected by all correct replicas,
//     which are more than f. Until now the first that left had to wait for the f others that
//     left after it; now it votes meanwhile.
//   - What f say makes nobody leave who does not suspect the primary itself. Beside one who
//     does, they have it leave, as they could always have all others join it.
//   - A word lasts no longer than its sender is heard. Who suspected the primary, for its disk
//     stood still, and then died of that, would otherwise have the next one leave alone that
//     hears something too late, and no quorum would be left in the view.
//   - What is proven needs no company: all get the proof. Nor does the end of a view that no
//     quorum votes in any more, or that did not begin.
//
// PBFT leaves the view at once (OSDI '99, §4.4). All this is about when a replica asks for the
// next view. Safety does not depend on it, and nothing of it is kept.

// suspect notes why this replica suspects the primary, if it does, and returns whether that
// began or ended, so that others are to be told.
func (r *Replica) suspect(why string, fx *Effects) (news bool) {
	c := &r.change
	before := c.suspects
	c.suspects = why
	if why != "" && before == "" {
		fx.observe(Suspected{r.view, why, r.executed, r.known()})
		r.maybeDistrust(fx)
	}
	return (why == "") != (before == "")
}

// maybeDistrust leaves a view whose primary this replica and so many others suspect that one
// of them is correct.
func (r *Replica) maybeDistrust(fx *Effects) {
	if why := r.change.suspects; why != "" && r.active && r.suspecting() >= r.q.Weak() {
		r.leave(r.view+1, why, fx)
	}
}

// suspecting counts the replicas within hearing that say that they suspect the primary of this
// view, those that have left the view, and this one.
func (r *Replica) suspecting() int {
	n := 1
	for i := range r.peers {
		p, h := &r.peers[i], r.change.votes[i]
		left := p.view > r.view || h != nil && h.message.View > r.view
		says := p.view == r.view && p.suspects && r.heard(p, r.cfg.HeartbeatTicks)
		if wire.ReplicaID(i) != r.id && (left || says) { //nolint:gosec // i < n
			n++
		}
	}
	return n
}
