package adversary_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: a new view whose choices do not follow from its view changes is refused,
// in whichever order they come, and its view left; one that follows is entered.
// Attack: the primary of view 5 changes, nulls, drops or adds a choice, or starts
// them too high.
func TestANewViewThatDoesNotFollowIsRefused(t *testing.T) {
	for _, l := range lies() {
		t.Run(l.name, func(t *testing.T) {
			openView(t, l, false)
			openView(t, l, true)
		})
	}
}

// lie spoils a new view that is right. Its choices are of the numbers 1 to 3, or
// none if it is bare: then its view changes hand nothing over.
type lie struct {
	name  string
	bare  bool
	spoil func(*wire.NewView) // nil leaves it right
}

func lies() []lie {
	out := []lie{{name: "none"}, {name: "none, bare", bare: true}}
	add := func(spoil func(*wire.NewView), name string, args ...any) {
		out = append(out, lie{name: fmt.Sprintf(name, args...), spoil: spoil})
	}
	named := map[string]crypto.Digest{"null": wire.NullDigest()}
	for _, name := range []string{"newest", "outdated", "prepared", "unknown"} {
		named[name] = digestOf(name)
	}
	for i, right := range []string{"newest", "null", "prepared"} {
		for wrong, digest := range named {
			if wrong != right {
				add(func(nv *wire.NewView) { nv.Choices[i].Digest = digest }, "%d changed from %s to %s", i+1, right, wrong)
			}
		}
		add(func(nv *wire.NewView) { nv.Choices = nv.Choices[:i] }, "%d and above dropped", i+1)
		add(func(nv *wire.NewView) {
			nv.Choices = slices.Delete(nv.Choices, i, i+1)
			renumber(nv)
		}, "%d dropped and those above moved down", i+1)
		add(func(nv *wire.NewView) {
			nv.Stable, nv.Choices = wire.Seq(i+1), nv.Choices[i+1:]
		}, "%d and below under a checkpoint that nobody proved", i+1)
		add(func(nv *wire.NewView) {
			nv.Stable = wire.Seq(i + 1)
			renumber(nv)
		}, "all moved up by %d", i+1)
	}
	for more, digest := range named {
		spoil := func(nv *wire.NewView) {
			nv.Choices = append(nv.Choices, wire.Choice{Digest: digest})
			renumber(nv)
		}
		add(spoil, "%s added", more)
		out = append(out, lie{more + " added, bare", true, spoil})
	}
	out = append(out, lie{"from a checkpoint that nobody proved, bare", true, func(nv *wire.NewView) { nv.Stable = 4 }})
	add(func(nv *wire.NewView) { nv.StableState = named["unknown"] }, "of another state")
	return out
}

// renumber gives the choices the numbers above the checkpoint, without gaps.
func renumber(nv *wire.NewView) {
	for i := range nv.Choices {
		nv.Choices[i].Seq = nv.Stable + wire.Seq(i) + 1
	}
}

func digestOf(name string) crypto.Digest { return crypto.Sum([]byte(name)) }

// openView gives R2 three view changes and the new view that names them, first or
// last.
func openView(t *testing.T, lie lie, first bool) {
	t.Helper()
	l := newLab(t, 4, 0, 1, 3)
	l.start()
	r2 := l.hosts[2]
	nv := &wire.NewView{View: 5, StableState: l.zero().State, Sender: 1}
	var certs [4][]wire.PreparedCert
	if !lie.bare {
		certs[0] = []wire.PreparedCert{l.prepared(0, 1, digestOf("outdated")), l.prepared(0, 3, digestOf("prepared"))}
		certs[1] = []wire.PreparedCert{l.prepared(2, 1, digestOf("newest"))}
		nv.Choices = []wire.Choice{
			{Seq: 1, Digest: digestOf("newest")}, {Seq: 2, Digest: wire.NullDigest()}, {Seq: 3, Digest: digestOf("prepared")},
		}
	}
	var changes []*wire.Sealed
	for _, id := range []wire.ReplicaID{0, 1, 3} {
		vc := &wire.ViewChange{View: nv.View, Stable: l.zero(), Prepared: certs[id], Sender: id}
		changes = append(changes, l.forge(vc))
	}
	nv.ViewChanges = refs(l, changes...)
	if lie.spoil != nil {
		lie.spoil(nv)
	}
	if first {
		l.give(r2, 1, l.forge(nv))
	}
	l.give(r2, 1, changes...)
	if !first {
		l.give(r2, 1, l.forge(nv))
	}
	right := lie.spoil == nil
	if entered(r2, 5) != right {
		t.Errorf("new view first %v: R2 is in view %d (active %v), want it to enter view 5: %v",
			first, r2.replica.View(), r2.replica.Active(), right)
	}
	if !right && (r2.replica.View() != 6 || r2.replica.Active()) {
		t.Errorf("new view first %v: R2 is in view %d (active %v), want it to ask for view 6",
			first, r2.replica.View(), r2.replica.Active())
	}
	voted := lastSent(l, func(m *wire.Prepare) bool { return m.Sender == 2 && m.View == 5 }) != nil
	if want := right && !lie.bare; voted != want {
		t.Errorf("new view first %v: R2 votes in view 5: got %v, want %v", first, voted, want)
	}
}

// entered tells whether a replica is in a view, durably.
func entered(h *host, view wire.View) bool {
	recorded := slices.ContainsFunc(h.journal, func(rec core.Record) bool {
		nv, ok := rec.(core.NewViewRecord)
		return ok && nv.NewView.View == view
	})
	return recorded && h.replica.Active() && h.replica.View() == view
}

// prepared forges a prepared certificate with the keys of a quorum. It needs no
// batch, for what is signed is the vote alone.
func (l *lab) prepared(view wire.View, seq wire.Seq, digest crypto.Digest) wire.PreparedCert {
	l.tb.Helper()
	primary := view.Primary(l.quorum.Replicas())
	pp := wire.Seal(l.signers[primary], l.domain, &wire.PrePrepare{
		Vote: vote(view, seq, digest, primary), Batch: wire.NullBatch(),
	})
	var prepares []*wire.Prepare
	for id := range l.signers {
		backup := wire.ReplicaID(id)
		if backup != primary && len(prepares) < l.quorum.Strong()-1 {
			p := l.forge(&wire.Prepare{Vote: vote(view, seq, digest, backup)})
			prepares = append(prepares, content[*wire.Prepare](l, p))
		}
	}
	return certificate(content[*wire.PrePrepare](l, pp).Vote, prepares...)
}
