package sim

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// votes checks agreement where it is made, in the votes of correct replicas,
// before anybody executes anything: once a batch may have committed in a view,
// no correct replica votes for another one at its number in a later view (PBFT
// §4.4). What replicas execute hides most breaches, for who has executed a
// number never executes it again.
type votes struct {
	w *world
	// enough commits of correct replicas make a certificate, with those of the
	// faulty ones.
	enough int
	cast   map[wire.Seq][]commits
	voted  map[wire.Seq][]choice // in prepares and commits
	fixed  map[wire.Seq]choice   // of the lowest view
}

// commits are who has sent a commit for a choice.
type commits struct {
	choice choice
	by     []wire.ReplicaID
}

// choice is a batch in a view.
type choice struct {
	view   wire.View
	digest crypto.Digest
}

func newVotes(w *world) votes {
	return votes{
		w: w, enough: w.quorum.Strong() - w.o.unfaithful(),
		cast:  map[wire.Seq][]commits{},
		voted: map[wire.Seq][]choice{}, fixed: map[wire.Seq]choice{},
	}
}

// faithful tells whether n keeps its word: a liar does not, nor does one that
// forgets its votes.
func faithful(n *node) bool { return !n.byzantine && n.fault != amnesiac && n.role != roleLiar }

// prepare notes that n votes, in either phase.
func (v *votes) prepare(n *node, vote wire.Vote) {
	if !faithful(n) {
		return
	}
	c := choice{vote.View, vote.Digest}
	if slices.Contains(v.voted[vote.Seq], c) {
		return
	}
	v.voted[vote.Seq] = append(v.voted[vote.Seq], c)
	if f, ok := v.fixed[vote.Seq]; ok {
		v.compare(vote.Seq, f, c)
	}
}

// commit notes a commit, and when a number has enough of them.
func (v *votes) commit(n *node, vote wire.Vote) {
	v.prepare(n, vote)
	if !faithful(n) {
		return
	}
	c := choice{vote.View, vote.Digest}
	if !v.count(vote.Seq, c, n.id) {
		return
	}
	if f, ok := v.fixed[vote.Seq]; !ok || c.view < f.view {
		v.fixed[vote.Seq] = c
	}
	for _, other := range v.voted[vote.Seq] {
		v.compare(vote.Seq, v.fixed[vote.Seq], other)
	}
}

// count counts a commit once, and tells whether it is the one that is enough.
func (v *votes) count(seq wire.Seq, c choice, by wire.ReplicaID) bool {
	all := v.cast[seq]
	i := slices.IndexFunc(all, func(one commits) bool { return one.choice == c })
	if i < 0 {
		i, all = len(all), append(all, commits{choice: c})
		v.cast[seq] = all
	}
	if slices.Contains(all[i].by, by) {
		return false
	}
	all[i].by = append(all[i].by, by)
	return len(all[i].by) == v.enough
}

func (v *votes) compare(seq wire.Seq, fixed, c choice) {
	if c.view > fixed.view && c.digest != fixed.digest {
		v.w.breach(lawAgreement, "%d may have committed %s in view %d, and a correct replica votes for %s in view %d",
			seq, fixed.digest.Short(), fixed.view, c.digest.Short(), c.view)
	}
}
