package sim

import (
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// oracle watches the properties, at every event.
type oracle struct {
	w         *World
	violation error
	batches   map[wire.Seq]crypto.Digest // O1
	histories map[wire.Seq]crypto.Digest // O2
	states    map[wire.Seq]crypto.Digest // O3
	ran       map[operation]wire.Seq     // O4
	said      map[statement]crypto.Digest
	amnesiac  map[wire.ReplicaID]bool
	transfers int
}

type operation struct {
	client  wire.ClientID
	session wire.Session
	number  wire.Number
}

// statement is what a correct replica says one thing about only.
type statement struct {
	sender wire.ReplicaID
	kind   wire.Kind
	view   wire.View
	seq    wire.Seq
}

func newOracle(w *World) oracle {
	return oracle{
		w: w, batches: map[wire.Seq]crypto.Digest{}, histories: map[wire.Seq]crypto.Digest{},
		states: map[wire.Seq]crypto.Digest{}, ran: map[operation]wire.Seq{},
		said: map[statement]crypto.Digest{}, amnesiac: map[wire.ReplicaID]bool{},
	}
}

// forget says that a replica lost its data: it is among the faulty from now on,
// though it must still say nothing that conflicts.
func (o *oracle) forget(id wire.ReplicaID) { o.amnesiac[id] = true }

// same requires that m holds value at key, or nothing yet.
func same[K comparable](o *oracle, m map[K]crypto.Digest, key K, value crypto.Digest, what string) {
	if old, ok := m[key]; ok && old != value {
		o.w.fail(fmt.Errorf("%s: %v has %s and %s", what, key, old.Short(), value.Short()))
		return
	}
	m[key] = value
}

// executed checks O1, O2 and O4.
func (o *oracle) executed(n *node, ex core.Execution) {
	o.w.note("R%d executes %d %s", n.id, ex.Seq, ex.Digest.Short())
	same(o, o.batches, ex.Seq, ex.Digest, "O1 agreement")
	same(o, o.histories, ex.Seq, ex.History, "O2 prefix")
	for _, order := range ex.Orders {
		if !order.Run {
			continue
		}
		op := operation{order.Request.Client, order.Request.Session, order.Number()}
		if at, ok := o.ran[op]; ok && at != ex.Seq {
			o.w.fail(fmt.Errorf("O4 exactly once: operation %d executes at %d and at %d", op.number, at, ex.Seq))
		}
		o.ran[op] = ex.Seq
		if _, err := o.w.opener.OpenOne(wire.Encode(order.Request)); err != nil {
			o.w.fail(fmt.Errorf("O4 validity: %w", err))
		}
	}
}

// snapshotted checks O3.
func (o *oracle) snapshotted(n *node, seq wire.Seq, root crypto.Digest) {
	o.w.note("R%d snapshot %d %s", n.id, seq, root.Short())
	same(o, o.states, seq, root, "O3 state")
}

// signed checks O8: everything that leaves a replica.
func (o *oracle) signed(id wire.ReplicaID, sealed *wire.Sealed) {
	switch m := sealed.Message().(type) {
	case *wire.PrePrepare:
		same(o, o.said, statement{id, m.Kind(), m.View, m.Seq}, m.Digest, "O8 conflict")
	case *wire.Prepare:
		same(o, o.said, statement{id, m.Kind(), m.View, m.Seq}, m.Digest, "O8 conflict")
	case *wire.Commit:
		same(o, o.said, statement{id, m.Kind(), m.View, m.Seq}, m.Digest, "O8 conflict")
	case *wire.Checkpoint:
		same(o, o.said, statement{id, m.Kind(), 0, m.Seq}, m.State, "O8 conflict")
	case *wire.ViewChange:
		same(o, o.said, statement{id, m.Kind(), m.View, 0}, m.Digest(), "O8 conflict")
	case *wire.NewView:
		same(o, o.said, statement{id, m.Kind(), m.View, 0}, crypto.Sum(sealed.Frame()), "O8 conflict")
		for _, c := range m.Choices {
			same(o, o.said, statement{id, wire.KindPrePrepare, m.View, c.Seq}, c.Digest, "O8 conflict")
		}
	default:
	}
}

// observe requires that nobody accuses anyone: all are correct here.
func (o *oracle) observe(n *node, observations []core.Observation) {
	for _, obs := range observations {
		o.w.note("R%d %s", n.id, core.Describe(obs))
		switch obs := obs.(type) {
		case core.Misbehaved:
			if !o.amnesiac[obs.Evidence.Culprit] {
				o.w.fail(fmt.Errorf("O9 accountability: R%d accuses R%d: %s", n.id, obs.Evidence.Culprit, core.Describe(obs)))
			}
		case core.Diverged:
			o.w.fail(fmt.Errorf("O3 state: R%d diverges at %d", n.id, obs.Seq))
		case core.Refused, core.Accepted, core.BecamePrepared, core.BecameCommitted, core.LeftView, core.EnteredView,
			core.BecameStable, core.FellBehind, core.CaughtUp, core.Rejoined:
		}
	}
}

// acknowledged checks that what a client was told was executed where the reply
// says.
func (o *oracle) acknowledged(c *client, reply *wire.Reply) {
	at, ok := o.ran[operation{reply.Client, reply.Session, reply.Number}]
	if reply.Outcome != wire.OutcomeOK || !ok || at != reply.Seq {
		o.w.fail(fmt.Errorf("validity: client %d is told outcome %d of operation %d at %d; it ran at %d",
			c.id, reply.Outcome, reply.Number, reply.Seq, at))
	}
}
