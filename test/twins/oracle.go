package twins

import (
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// oracle watches the laws, at every step. The twins are the faulty ones: what
// they sign is not judged, but what they execute is, for a commit certificate
// binds them too.
type oracle struct {
	shape     *Scenario
	faulty    []bool // by replica
	enough    int    // commits of correct replicas that make a certificate, with the faulty ones'
	violation error
	views     []wire.View // the highest that each correct replica has signed for

	batches   map[wire.Seq]crypto.Digest
	histories map[wire.Seq]crypto.Digest
	ran       map[operation]wire.Seq
	said      map[statement]crypto.Digest
	voted     map[wire.Seq][]choice // by correct replicas, in either phase
	cast      map[ballot]Set        // commits of correct replicas
	fixed     map[wire.Seq]choice   // what may have committed, in the lowest view
}

type operation struct {
	client wire.ClientID
	number wire.Number
}

// statement is what a correct replica says one thing about only.
type statement struct {
	sender wire.ReplicaID
	kind   wire.Kind
	view   wire.View
	seq    wire.Seq
}

// choice is a batch in a view.
type choice struct {
	view   wire.View
	digest crypto.Digest
}

type ballot struct {
	seq wire.Seq
	choice
}

func newOracle(s *Scenario) oracle {
	// Counted here once more, for the core's own arithmetic is on trial.
	strong := (s.Replicas + (s.Replicas-1)/3 + 2) / 2
	o := oracle{
		shape: s, faulty: make([]bool, s.Replicas), enough: strong - len(s.Twins),
		views:   make([]wire.View, s.Replicas),
		batches: map[wire.Seq]crypto.Digest{}, histories: map[wire.Seq]crypto.Digest{},
		ran: map[operation]wire.Seq{}, said: map[statement]crypto.Digest{},
		voted: map[wire.Seq][]choice{}, cast: map[ballot]Set{}, fixed: map[wire.Seq]choice{},
	}
	for _, t := range s.Twins {
		o.faulty[t] = true
	}
	return o
}

func (o *oracle) again() oracle {
	twin := *o
	twin.batches, twin.histories = maps.Clone(o.batches), maps.Clone(o.histories)
	twin.ran, twin.said = maps.Clone(o.ran), maps.Clone(o.said)
	twin.views = slices.Clone(o.views)
	twin.cast, twin.fixed = maps.Clone(o.cast), maps.Clone(o.fixed)
	twin.voted = maps.Clone(o.voted)
	for seq, choices := range twin.voted {
		twin.voted[seq] = slices.Clip(choices)
	}
	return twin
}

func (o *oracle) fail(format string, args ...any) {
	if o.violation == nil {
		o.violation = fmt.Errorf(format, args...)
	}
}

// same requires that m holds value at key, or nothing yet.
func same[K comparable](o *oracle, m map[K]crypto.Digest, key K, value crypto.Digest, what string) {
	old, known := m[key]
	if !known {
		m[key] = value
	} else if old != value {
		o.fail("%s: %v has %s and %s", what, key, old.Short(), value.Short())
	}
}

// moved checks that views never decrease.
func (o *oracle) moved(p *process) {
	view := p.replica.View()
	if view < p.view {
		o.fail("views: %s goes from %d back to %d", o.shape.name(p.index), p.view, view)
	}
	p.view = view
}

// left returns the view below which no correct replica votes any more.
func (o *oracle) left() wire.View {
	left := wire.View(1<<63 - 1)
	for id, view := range o.views {
		if !o.faulty[id] {
			left = min(left, view)
		}
	}
	return left
}

// executed checks agreement, and that an operation runs once.
func (o *oracle) executed(p *process, ex *core.Execution) {
	same(o, o.batches, ex.Seq, ex.Digest, "agreement: number")
	same(o, o.histories, ex.Seq, ex.History, "agreement: history")
	for _, order := range ex.Orders {
		if !order.Run {
			continue
		}
		op := operation{order.Request.Client, order.Number()}
		if at, known := o.ran[op]; known && at != ex.Seq {
			o.fail("exactly once: %s runs operation %d at %d, and it ran at %d", o.shape.name(p.index), op.number, ex.Seq, at)
		}
		o.ran[op] = ex.Seq
	}
}

// observed checks that nobody but the twins is accused, with a proof.
func (o *oracle) observed(p *process, obs core.Observation) {
	switch obs := obs.(type) { //nolint:gochecksumtype // the others are not judged
	case core.Misbehaved:
		if err := obs.Evidence.Check(o.shape.Replicas); err != nil {
			o.fail("accountability: %s accuses without proof: %w", o.shape.name(p.index), err)
		}
		if culprit := obs.Evidence.Culprit; !o.faulty[culprit] {
			o.fail("accountability: %s accuses %d of %s", o.shape.name(p.index), culprit, obs.Evidence.Proof)
		}
	case core.Contradicted:
		o.fail("agreement: %s holds two commit certificates for %d", o.shape.name(p.index), obs.Seq)
	case core.Divided:
		o.fail("agreement: no quorum has one state at %d: %s", obs.Seq, obs.States)
	case core.Diverged:
		o.fail("agreement: the state of %s diverges at %d", o.shape.name(p.index), obs.Seq)
	}
}

// signed checks that a correct replica never says two things, and that the views
// of what it signs never decrease.
func (o *oracle) signed(p *process, sealed *wire.Sealed) {
	if o.faulty[p.id] {
		return
	}
	once := func(kind wire.Kind, view wire.View, seq wire.Seq, digest crypto.Digest) {
		if kind != wire.KindCheckpoint && view < o.views[p.id] {
			o.fail("votes: %d signs a %s of view %d after one of view %d", p.id, kind, view, o.views[p.id])
		}
		o.views[p.id] = max(o.views[p.id], view)
		same(o, o.said, statement{p.id, kind, view, seq}, digest, "votes: two statements")
	}
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others cannot conflict
	case *wire.PrePrepare:
		once(m.Kind(), m.View, m.Seq, m.Digest)
	case *wire.Prepare:
		once(m.Kind(), m.View, m.Seq, m.Digest)
		o.voteFor(m.Vote)
	case *wire.Commit:
		once(m.Kind(), m.View, m.Seq, m.Digest)
		o.voteFor(m.Vote)
		o.commit(m.Vote)
	case *wire.Checkpoint:
		once(m.Kind(), 0, m.Seq, m.State)
	case *wire.ViewChange:
		once(m.Kind(), m.View, 0, sealed.Digest())
	case *wire.NewView:
		once(m.Kind(), m.View, 0, crypto.Sum(sealed.Frame()))
		for _, c := range m.Choices {
			once(wire.KindPrePrepare, m.View, c.Seq, c.Digest)
		}
	}
}

// voteFor checks agreement where it is made: once a batch may have committed in
// a view, no correct replica votes for another one at its number in a later view
// (PBFT §4.4). What is executed hides most breaches.
func (o *oracle) voteFor(v wire.Vote) {
	c := choice{v.View, v.Digest}
	if slices.Contains(o.voted[v.Seq], c) {
		return
	}
	o.voted[v.Seq] = append(o.voted[v.Seq], c)
	if fixed, ok := o.fixed[v.Seq]; ok {
		o.compare(v.Seq, fixed, c)
	}
}

// commit notes a commit, and when a batch has enough of them.
func (o *oracle) commit(v wire.Vote) {
	c := choice{v.View, v.Digest}
	key := ballot{v.Seq, c}
	o.cast[key] |= 1 << v.Sender
	if o.cast[key].Size() < o.enough {
		return
	}
	if fixed, ok := o.fixed[v.Seq]; !ok || c.view < fixed.view {
		o.fixed[v.Seq] = c
	}
	for _, other := range o.voted[v.Seq] {
		o.compare(v.Seq, o.fixed[v.Seq], other)
	}
}

func (o *oracle) compare(seq wire.Seq, fixed, c choice) {
	switch {
	case c.digest == fixed.digest:
	case c.view > fixed.view:
		o.fail("agreement: %d may have committed %s in view %d, and a correct replica votes for %s in view %d",
			seq, fixed.digest.Short(), fixed.view, c.digest.Short(), c.view)
	}
}
