package main

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// health is what the reports of all replicas say together.
type health struct {
	replicas []replicaHealth
	quorum   core.Quorum
	// view is the highest that f+1 replicas are in or above, and executed the
	// same for what is executed: at least one correct replica is there.
	view     wire.View
	executed wire.Seq
}

// replicaHealth is one replica's part.
type replicaHealth struct {
	pbft.ReplicaStatus
	diverged bool
	behind   wire.Seq // how many numbers its execution trails
	idle     bool     // in a view below the others', between views, or without a vote
}

// used returns how many replicas do not serve: silent, diverged or not active.
func (h health) used() int {
	n := 0
	for _, r := range h.replicas {
		if r.Report == nil || r.diverged || r.idle {
			n++
		}
	}
	return n
}

func (h health) diverged() []wire.ReplicaID {
	var ids []wire.ReplicaID
	for _, r := range h.replicas {
		if r.diverged {
			ids = append(ids, r.Replica)
		}
	}
	return ids
}

// divided returns the first checkpoint of which f+1 replicas say that no state of it can
// have a quorum, and that none is stable since, or 0.
func (h health) divided() wire.Seq {
	say, first := map[wire.Seq]int{}, wire.Seq(0)
	for _, r := range h.replicas {
		if r.Report == nil {
			continue
		}
		if d := &r.Report.Division; d.Seq > r.Report.Stable && !d.Replaced {
			say[d.Seq]++
		}
	}
	for seq, n := range say {
		if n >= h.quorum.Weak() && (first == 0 || seq < first) {
			first = seq
		}
	}
	return first
}

// headline says in one line how much of the tolerance is used.
func (h health) headline() string {
	line := fmt.Sprintf("tolerates f = %d, %d used", h.quorum.Faults(), h.used())
	if ids := h.diverged(); len(ids) > 0 {
		line += fmt.Sprintf("; DIVERGED: replicas %s", replicaNames(ids))
	}
	if seq := h.divided(); seq > 0 {
		line += fmt.Sprintf("; DIVIDED: no quorum has one state of checkpoint %d", seq)
	}
	if h.quorum.Replicas()-h.used() < h.quorum.Strong() {
		line += fmt.Sprintf("; NO QUORUM: %d of %d replicas serve, %d are needed",
			h.quorum.Replicas()-h.used(), h.quorum.Replicas(), h.quorum.Strong())
	}
	return line
}

// judge compares what the replicas report.
func judge(status []pbft.ReplicaStatus, q core.Quorum) health {
	h := health{quorum: q}
	var views, executed []uint64
	for _, s := range status {
		h.replicas = append(h.replicas, replicaHealth{ReplicaStatus: s})
		if s.Report != nil {
			views = append(views, uint64(s.Report.View))
			executed = append(executed, uint64(s.Report.Executed))
		}
	}
	h.view, h.executed = wire.View(weakest(views, q)), wire.Seq(weakest(executed, q))
	right := rightStates(status, q)
	for i := range h.replicas {
		r := &h.replicas[i]
		if r.Report == nil {
			continue
		}
		r.diverged = contradicts(r.Report, right) || disputed(r.Report, status, right)
		r.idle = !r.Report.Active || r.Report.Silent || r.Report.View < h.view
		r.behind = h.executed - min(h.executed, r.Report.Executed)
	}
	return h
}

// weakest returns the highest value that f+1 replicas have reached, or 0.
func weakest(values []uint64, q core.Quorum) uint64 {
	if len(values) < q.Weak() {
		return 0
	}
	slices.Sort(values)
	return values[len(values)-q.Weak()]
}

// snapshot is a claim about the state at one number.
type snapshot struct {
	seq   wire.Seq
	state crypto.Digest
}

func own(r *wire.Report) snapshot    { return snapshot{r.Checkpoint, r.State} }
func stable(r *wire.Report) snapshot { return snapshot{r.Stable, r.StableState} }

// rightStates returns the states that f+1 replicas vouch for, by number.
func rightStates(status []pbft.ReplicaStatus, q core.Quorum) map[wire.Seq]crypto.Digest {
	votes := map[snapshot]int{}
	for _, s := range status {
		if s.Report == nil {
			continue
		}
		votes[own(s.Report)]++
		if stable(s.Report) != own(s.Report) {
			votes[stable(s.Report)]++
		}
	}
	right := map[wire.Seq]crypto.Digest{}
	for claim, n := range votes {
		// Two claims about one number can both have f+1 votes only if more than f
		// replicas are wrong; the greater number of votes, then the digest, decides.
		was, ok := right[claim.seq]
		better := n > votes[snapshot{claim.seq, was}] ||
			n == votes[snapshot{claim.seq, was}] && claim.state.String() < was.String()
		if n >= q.Weak() && (!ok || better) {
			right[claim.seq] = claim.state
		}
	}
	return right
}

// contradicts tells whether a replica's own state differs from the right one,
// or from the one that it says the quorum signed.
func contradicts(r *wire.Report, right map[wire.Seq]crypto.Digest) bool {
	if state, ok := right[r.Checkpoint]; ok {
		return state != r.State
	}
	return r.Checkpoint == r.Stable && r.State != r.StableState
}

// disputed tells whether another replica claims another state for the number of
// r's own, where nobody knows which is right.
func disputed(r *wire.Report, status []pbft.ReplicaStatus, right map[wire.Seq]crypto.Digest) bool {
	if _, known := right[r.Checkpoint]; known {
		return false
	}
	return slices.ContainsFunc(status, func(s pbft.ReplicaStatus) bool {
		return s.Report != nil && s.Report.Checkpoint == r.Checkpoint && s.Report.State != r.State
	})
}
