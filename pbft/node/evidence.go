package node

import (
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// accused remembers what evidence was verified and handed to the core that it may leave a
// view for. A member can make as much true evidence against itself as it likes, each as
// dear as the longest proposal, and it costs it nothing: one is as good as many. Any
// goroutine may call its methods.
type accused struct {
	mu struct {
		sync.Mutex
		of []accusation // by culprit
	}
}

// accusation is the last evidence against a replica of a lie as the primary of view: the
// core was in the view at, or in a later one, when it was handed over.
type accusation struct {
	some     bool
	view, at wire.View
	// own is how often the replica may still send evidence against itself in vain.
	own bucket
}

func newAccused(replicas int) *accused {
	a := &accused{}
	a.mu.of = make([]accusation, replicas)
	for i := range a.mu.of {
		a.mu.of[i].own = newBucket(penaltiesPerSecond, penaltyBurst)
	}
	return a
}

// counts tells whether the core may leave a view for evidence that the culprit lied in
// view as its primary, and has none like it: it is in now, and goes on. Where it is in
// that view, once is enough, for it leaves it. Where it is not there yet it ignores the
// evidence, or has gone on meanwhile; so that is looked at once in each view before, if
// it is one of the next, of which each replica leads one.
func (a *accused) counts(culprit wire.ReplicaID, view, now wire.View) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if view < now || view-now >= wire.View(len(a.mu.of)) {
		return false
	}
	last := &a.mu.of[culprit]
	return !last.some || last.view != view || last.at != now
}

// note takes in evidence that is handed to the core, which is in now or a later view.
func (a *accused) note(e *wire.Evidence, now wire.View) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if view, led := e.Led(len(a.mu.of)); led {
		last := &a.mu.of[e.Culprit]
		last.some, last.view, last.at = true, view, now
	}
}

// own notes that a replica sends evidence against itself in vain, and tells whether it does
// so too often. Who forgot what it had signed may have to pass it on.
func (a *accused) own(culprit wire.ReplicaID) (often bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.mu.of[culprit].own.take(time.Now(), 1)
}

// accusing is what evidence would tell, and who sends it.
type accusing struct {
	from    source
	proof   wire.EvidenceKind
	culprit wire.ReplicaID
	view    wire.View // that it led, or 0
}

// settled takes out of batch the evidence that the core needs no more, before anything of
// it is verified: the first proof of a kind against a replica is kept, and later ones count
// only for a view that may be left for them. Of what one sender sends for the same the
// first counts, for no correct one sends evidence that is not true. Nobody has reason to
// tell of its own lies again and again, so that is punished.
func (n *Node) settled(batch *frames, now *standing) {
	lim := n.opener.Limits()
	var seen []accusing
	batch.keep(func(frame []byte, from source) bool {
		e := wire.PeekEvidence(frame, &lim)
		if e == nil || from.client {
			return true // if it is evidence at all, the opener tells what is wrong with it
		}
		view, led := e.Led(n.replicas)
		if now.convictions.Lacks(e.Proof, e.Culprit, len(frame)) || led && n.accused.counts(e.Culprit, view, now.view) {
			one := accusing{from, e.Proof, e.Culprit, view}
			again := slices.Contains(seen, one)
			seen = append(seen, one)
			return !again
		}
		if from.peer() == e.Culprit && n.accused.own(e.Culprit) {
			n.penalties.add(from, wire.KindEvidence, "evidence against itself that tells nothing new")
		}
		return false
	})
}

// fitting returns the records without evidence that is beyond the limits: others would
// take it for rubbish.
func fitting(records []core.Record, lim *wire.Limits) []core.Record {
	beyond := func(rec core.Record) bool {
		e, is := rec.(core.EvidenceRecord)
		return is && !e.Evidence.Fits(lim)
	}
	if !slices.ContainsFunc(records, beyond) {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), beyond)
}
