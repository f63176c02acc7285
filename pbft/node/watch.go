package node

// Stage watch is sequential: the one place that makes logs of observations, and
// tells Config.Observe. Neither may hold up step, so there is a queue between.
// When that is full the observations of single messages are dropped and counted;
// those of rare things are kept, and are few by nature.

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/core"
)

// observationsMax bounds the observations that wait: those of some windows.
const observationsMax = 4096

// rareMax bounds them when only rare ones are let in any more.
const rareMax = 2 * observationsMax

// watcher is the queue of observations.
type watcher struct {
	all  bool // the observations of single messages, too
	wake chan struct{}
	mu   struct {
		sync.Mutex
		waiting []core.Observation
		lost    int
	}
}

func newWatcher(all bool) *watcher { return &watcher{all: all, wake: make(chan struct{}, 1)} }

// put queues observations.
func (w *watcher) put(observations []core.Observation) {
	if len(observations) == 0 {
		return
	}
	w.mu.Lock()
	for _, o := range observations {
		common := ofOneMessage(o)
		switch {
		case common && !w.all:
		case len(w.mu.waiting) >= rareMax, common && len(w.mu.waiting) >= observationsMax:
			w.mu.lost++
		default:
			w.mu.waiting = append(w.mu.waiting, o)
		}
	}
	w.mu.Unlock()
	token(w.wake)
}

func (w *watcher) take() (waiting []core.Observation, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting, lost = w.mu.waiting, w.mu.lost
	w.mu.waiting, w.mu.lost = nil, 0
	return waiting, lost
}

func ofOneMessage(o core.Observation) bool {
	switch o.(type) {
	case core.Refused, core.Accepted, core.Abstained, core.BecamePrepared, core.BecameCommitted:
		return true
	case core.Misbehaved, core.Suspected, core.LeftView, core.EnteredView, core.BecameStable, core.Diverged, core.Divided,
		core.FellBehind, core.CaughtUp, core.AwaitsView, core.Rejoined, core.Contradicted:
		return false
	}
	return false
}

func (n *Node) watch(ctx context.Context) error {
	for {
		n.tell()
		select {
		case <-ctx.Done():
			n.tell()
			return nil
		case <-n.watcher.wake:
		}
	}
}

// tell logs and passes on what waits.
func (n *Node) tell() {
	waiting, lost := n.watcher.take()
	for _, o := range waiting {
		n.logObservation(o)
		n.diagnosing.consider(o)
		if n.cfg.Observe != nil {
			n.cfg.Observe(o)
		}
	}
	if lost > 0 {
		n.log.Warnf("observations were dropped: the log or the observer is too slow lost=%d", lost)
	}
}

func (n *Node) logObservation(o core.Observation) {
	switch o := o.(type) {
	case core.Refused:
		n.log.Debugf("refused peer=%d kind=%s why=%q", o.From, o.Kind, o.Why)
	case core.Misbehaved:
		n.logMisbehaved(o)
	case core.Accepted:
		n.log.Debugf("accepted view=%d seq=%d digest=%s requests=%d", o.View, o.Seq, o.Digest.Short(), o.Requests)
	case core.Abstained:
		n.log.Debugf("abstains view=%d seq=%d", o.View, o.Seq)
	case core.BecamePrepared:
		n.log.Debugf("prepared view=%d seq=%d digest=%s", o.View, o.Seq, o.Digest.Short())
	case core.BecameCommitted:
		n.log.Debugf("committed view=%d seq=%d digest=%s", o.View, o.Seq, o.Digest.Short())
	case core.Suspected:
		if n.suspicions.take(time.Now(), 1) { // one may come and go with every tick
			n.log.Warnf("suspects the primary, and votes on until others do, too: see to it, or to this replica, if this "+
				"repeats view=%d why=%q executed=%d others=%d", o.View, o.Why, o.Executed, o.Others)
		}
	case core.LeftView:
		n.log.Warnf("left the view and asks for the next: see to the old primary if this repeats view=%d why=%q executed=%d others=%d",
			o.View, o.Why, o.Executed, o.Others)
	case core.EnteredView:
		n.log.Infof("entered view=%d primary=%d stable=%d carried=%d", o.View, o.Primary, o.Stable, o.Carried)
	case core.BecameStable:
		n.log.Infof("stable seq=%d state=%s", o.Seq, o.State.Short())
	case core.Diverged:
		n.log.Errorf("DIVERGED: the own state is wrong and is fetched from others; check memory and disk, "+
			"and that the application is deterministic seq=%d own=%s quorum=%s", o.Seq, o.Own.Short(), o.Quorum.Short())
	case core.Divided:
		n.log.Errorf("DIVIDED: no quorum has one state, so no checkpoint becomes stable and the order ends; stop writing, keep "+
			"the directories, and check that the application is deterministic seq=%d own=%s states=%q",
			o.Seq, o.Own.Short(), o.States)
	case core.FellBehind:
		n.log.Infof("fell behind, fetches the state executed=%d seq=%d", o.Executed, o.Seq)
	case core.CaughtUp:
		n.log.Infof("caught up seq=%d", o.Seq)
	case core.AwaitsView:
		n.log.Warnf("holds what it lost, and votes again once the others are in the view that it asked for before it lost it: "+
			"to have that now, restart the primary view=%d", o.View)
	case core.Rejoined:
		n.log.Warnf("rejoined, and votes again seq=%d view=%d", o.Seq, o.View) // ends a warning
	case core.Contradicted:
		n.log.Errorf("AGREEMENT BROKEN: another replica has a certificate for another batch, so more replicas lie than the "+
			"cluster tolerates; stop writing, keep the directories, and run quorate evidence audit "+
			"seq=%d view=%d own=%s other_view=%d other=%s", o.Seq, o.View, o.Own.Short(), o.Other, o.Theirs.Short())
	}
}

func (n *Node) logMisbehaved(o core.Misbehaved) {
	if o.Evidence == nil {
		return
	}
	n.log.Warnf("MISBEHAVIOUR peer=%d kind=%q view=%d seq=%d",
		o.Evidence.Culprit, o.Evidence.Proof, o.View, o.Seq)
}
