package node

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// offClock is what the log says of clocks that are too far apart. A replica whose clock is
// off does not vote, and looks like all others: it executes what they commit. Step owns it.
//
// One that was away for long is sent what was proposed meanwhile, and refuses it for its
// time, too. So a proposal says something of clocks only where f+1 others have not executed
// it yet, and the first one nothing: how far the others are comes at about the same time.
type offClock struct {
	off   bool      // of the last proposal in view it was said
	view  wire.View // in which
	since time.Time // when the first proposal of view was refused
	rate  bucket    // as of other warnings that a lying primary can cause
}

// clockPatience is how long after the first refusal another one must come.
const clockPatience = time.Second

// reportClock logs that this replica does not vote for what the primary proposes because of
// its clock, or the primary's, the first time in a row.
func (n *Node) reportClock(o core.Observation) {
	c := &n.offClock
	switch o := o.(type) { //nolint:gochecksumtype // the others do not
	case core.Refused:
		if o.Untimely() {
			n.refusesTime(o.Why)
		}
	case core.Accepted:
		if c.view == o.View {
			c.since = time.Time{}
		}
		if c.off && c.view == o.View {
			c.off = false
			n.log.Warnf("the clocks of this replica and of the primary agree again view=%d", o.View) // ends a warning
		}
	}
}

func (n *Node) refusesTime(why string) {
	c, view, now := &n.offClock, n.engine.View(), time.Now()
	if c.since.IsZero() || c.view != view {
		c.off, c.view, c.since = false, view, now
	}
	if c.off || now.Sub(c.since) < clockPatience || !c.rate.take(now, 1) {
		return
	}
	c.off = true
	n.log.Warnf("the clocks of this replica and of the primary are too far apart, so this replica does not vote for the batch: "+
		"set its clock right, or, if several replicas say so, that of the primary primary=%d view=%d why=%q",
		view.Primary(n.replicas), view, why)
}
