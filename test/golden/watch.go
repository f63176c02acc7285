package golden

import (
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// watch says what is wrong with an execution after one of time last.
func (t *truth) watch(ex *core.Execution, last wire.Time) string {
	text := ""
	if history, ok := t.histories[ex.Seq]; ok && history != ex.History {
		text += " VIOLATION: the histories differ"
	}
	if old, ok := t.times[ex.Seq]; ok && old != ex.Time || ex.Time <= last && len(ex.Orders) > 0 {
		text += " VIOLATION: the agreed time is wrong"
	}
	t.histories[ex.Seq], t.times[ex.Seq] = ex.History, ex.Time
	return text
}

// signed watches that a replica never signs two statements that conflict.
func (w *World) signed(r *replica, sealed *wire.Sealed) {
	var place string
	var digest crypto.Digest
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others may be said twice
	case *wire.PrePrepare:
		place, digest = fmt.Sprint(r.id, m.Kind(), m.View, m.Seq), m.Digest
	case *wire.Prepare:
		place, digest = fmt.Sprint(r.id, m.Kind(), m.View, m.Seq), m.Digest
		w.voted(r, m.Vote)
	case *wire.Commit:
		place, digest = fmt.Sprint(r.id, m.Kind(), m.View, m.Seq), m.Digest
		w.voted(r, m.Vote)
		w.committed(r, m.Vote)
		w.promise(r, m.Vote)
	case *wire.Checkpoint:
		if r.rotten {
			return
		}
		place, digest = fmt.Sprint(r.id, m.Kind(), m.Seq), m.State
	case *wire.ViewChange:
		place, digest = fmt.Sprint(r.id, m.Kind(), m.View), sealed.Digest()
		w.truth.changes[fmt.Sprint(m.Sender, m.View)] = sealed.Digest()
		w.keeps(r, m)
	case *wire.NewView:
		place, digest = fmt.Sprint(r.id, m.Kind(), m.View), crypto.Sum(sealed.Frame())
		for _, c := range m.Choices {
			w.once(r, fmt.Sprint(r.id, wire.KindPrePrepare, m.View, c.Seq), c.Digest, m)
		}
	default:
		return
	}
	w.once(r, place, digest, sealed.Message())
}

// readable watches that others can open what a replica sends. Only what holds
// signatures of others can be wrong.
func (w *World) readable(r *replica, sealed *wire.Sealed) {
	switch sealed.Message().(type) { //nolint:gochecksumtype // the others hold none
	case *wire.ViewChange, *wire.NewView, *wire.Committed, *wire.CommitProof, *wire.StableProof, *wire.Evidence:
		if _, err := w.opener.OpenOne(sealed.Frame()); err != nil {
			w.emit(r.name(), fmt.Sprintf("VIOLATION: sends what cannot be opened: %v", err))
		}
	}
}

// once watches that one thing only is said at a place.
func (w *World) once(r *replica, place string, digest crypto.Digest, m wire.Message) {
	if old, ok := w.truth.signed[place]; ok && old != digest {
		w.emit(r.name(), "VIOLATION: signs two statements: "+w.names.message(m))
	}
	w.truth.signed[place] = digest
}

// vote is a batch at a place of the order.
type vote struct {
	view   wire.View
	seq    wire.Seq
	digest crypto.Digest
}

// voted watches that no replica votes against a batch that has committed in an
// earlier view (PBFT §4.4). One that has lost its data may.
func (w *World) voted(r *replica, v wire.Vote) {
	cast := vote{v.View, v.Seq, v.Digest}
	if r.forgot || slices.Contains(w.truth.votes, cast) {
		return
	}
	w.truth.votes = append(w.truth.votes, cast)
	for _, fixed := range w.truth.fixed {
		w.compare(fixed, cast)
	}
}

// committed notes the commits of replicas, until a number has a certificate.
func (w *World) committed(r *replica, v wire.Vote) {
	cast, commits := vote{v.View, v.Seq, v.Digest}, w.truth.commits
	if r.forgot || slices.Contains(commits[cast], r.id) {
		return
	}
	commits[cast] = append(commits[cast], r.id)
	if len(commits[cast]) != w.quorum.Strong() {
		return
	}
	w.truth.fixed = append(w.truth.fixed, cast)
	for _, other := range w.truth.votes {
		w.compare(cast, other)
	}
}

func (w *World) compare(fixed, cast vote) {
	if cast.seq == fixed.seq && cast.view > fixed.view && cast.digest != fixed.digest {
		w.print("VIOLATION: n%d has committed %s in view %d, and a replica votes for %s in view %d",
			fixed.seq, w.names.digest(fixed.digest), fixed.view, w.names.digest(cast.digest), cast.view)
	}
}

// promise notes that a replica committed to a batch, which its view changes must
// show from now on (PBFT §4.4).
func (w *World) promise(r *replica, v wire.Vote) {
	if r.promised == nil {
		r.promised = map[wire.Seq]wire.View{}
	}
	r.promised[v.Seq] = max(r.promised[v.Seq], v.View)
}

// keeps watches that a view change shows what its replica has promised.
func (w *World) keeps(r *replica, vc *wire.ViewChange) {
	for _, seq := range slices.Sorted(maps.Keys(r.promised)) {
		shows := func(c wire.PreparedCert) bool { return c.Seq == seq && c.View >= r.promised[seq] }
		if seq > vc.Stable.Seq && !r.forgot && !slices.ContainsFunc(vc.Prepared, shows) {
			w.emit(r.name(), fmt.Sprintf("VIOLATION: its view change to view %d hides n%d, for which it sent a commit", vc.View, seq))
		}
	}
}

// accused watches that no replica is accused where nobody lies.
func (w *World) accused(r *replica, o core.Observation) {
	_, accuses := o.(core.Misbehaved)
	if accuses && !w.truth.lies {
		w.emit(r.name(), "VIOLATION: accuses a replica that keeps its word")
	}
}
