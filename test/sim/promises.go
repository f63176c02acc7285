package sim

import (
	"maps"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// promises are, for each correct replica and number, the highest view in which it
// sent a commit. By that it has said that it holds a prepared certificate, and
// every later view change must show one as high (PBFT §4.4), until a stable
// checkpoint covers the number: what it hides may be lost, and its own commit
// convicts it.
type promises map[wire.ReplicaID]map[wire.Seq]wire.View

// commit notes a commit.
func (p promises) commit(v wire.Vote) {
	if p[v.Sender] == nil {
		p[v.Sender] = map[wire.Seq]wire.View{}
	}
	p[v.Sender][v.Seq] = max(p[v.Sender][v.Seq], v.View)
}

// bound is up to where a replica must have executed before it answers a query: the highest
// number for which it ever sent a commit, whatever it lost since. Some quorum may have
// executed that, and somebody have its result.
type bound map[wire.ReplicaID]wire.Seq

// commit notes a commit.
func (b bound) commit(v wire.Vote) { b[v.Sender] = max(b[v.Sender], v.Seq) }

// hidden returns the lowest number for which the sender of vc sent a commit, and
// of which vc does not show it; 0 if there is none.
func (p promises) hidden(vc *wire.ViewChange) wire.Seq {
	mine := p[vc.Sender]
	maps.DeleteFunc(mine, func(seq wire.Seq, _ wire.View) bool { return seq <= vc.Stable.Seq })
	for _, seq := range slices.Sorted(maps.Keys(mine)) {
		shows := func(c wire.PreparedCert) bool { return c.Seq == seq && c.View >= mine[seq] }
		if mine[seq] < vc.View && !slices.ContainsFunc(vc.Prepared, shows) {
			return seq
		}
	}
	return 0
}
