package sim

import (
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// What names a kind of Moment.
type What string

// What happens in a run.
const (
	Sent         What = "sent"     // a message left, one for each receiver
	Received     What = "received" // it arrived
	Dropped      What = "dropped"  // it was lost
	Submitted    What = "submitted"
	Answered     What = "answered" // a client has its result
	Started      What = "started"
	Crashed      What = "crashed"
	Prepared     What = "prepared"
	Committed    What = "committed"
	Executed     What = "executed"
	BecameStable What = "stable"
	LeftView     What = "left view"
	EnteredView  What = "entered view"
	Accused      What = "accused"
	Observed     What = "observed" // something else that a replica tells
	Faulted      What = "fault"    // of the network, a disk or a clock
	Noted        What = "noted"    // a liar tells what it does
	Calm         What = "calm"
	Violated     What = "violation"
)

// Moment is one thing that happened.
type Moment struct {
	At   time.Duration
	What What
	// Node is the process it happened to, -1 for none; of a client, its number
	// after the replicas'. A twin is a process of its own, with the same Replica.
	Node    int
	Replica wire.ReplicaID
	// Peer is the other process of a message, and Message joins its moments.
	Peer    int
	Message uint64
	Kind    wire.Kind
	View    wire.View
	Seq     wire.Seq
	Digest  crypto.Digest
	Text    string
}

func (w *world) watching() bool { return w.o.Watch != nil }

// moment tells whoever watches.
func (w *world) moment(m Moment) {
	if w.o.Watch == nil {
		return
	}
	m.At = w.now
	if m.Node >= 0 && m.Node < len(w.nodes) {
		m.Replica = w.nodes[m.Node].id
	}
	w.o.Watch(m)
}

// passage is the moment of a message on its way from one process to another.
func (w *world) passage(what What, from, to *node, message uint64, sealed *wire.Sealed) {
	if !w.watching() {
		return
	}
	m := Moment{What: what, Node: from.index, Peer: to.index, Message: message, Kind: sealed.Message().Kind()}
	if what == Received {
		m.Node, m.Peer = to.index, from.index
	}
	m.View, m.Seq, m.Digest = placeOf(sealed.Message())
	m.Text = w.describe(sealed)
	w.moment(m)
}

// placeOf returns what a message is about; what it does not name is zero.
func placeOf(m wire.Message) (wire.View, wire.Seq, crypto.Digest) {
	switch m := m.(type) { //nolint:gochecksumtype // the others have no place in the order
	case *wire.PrePrepare:
		return m.View, m.Seq, m.Digest
	case *wire.Prepare:
		return m.View, m.Seq, m.Digest
	case *wire.Commit:
		return m.View, m.Seq, m.Digest
	case *wire.Checkpoint:
		return 0, m.Seq, m.State
	case *wire.ViewChange:
		return m.View, m.Stable.Seq, crypto.Digest{}
	case *wire.NewView:
		return m.View, m.Stable, crypto.Digest{}
	case *wire.Status:
		return m.View, m.Executed, crypto.Digest{}
	case *wire.Committed:
		return m.Cert.View, m.Cert.Seq, m.Cert.Digest
	case *wire.StableProof:
		return 0, m.Cert.Seq, m.Cert.State
	default:
		return 0, 0, crypto.Digest{}
	}
}

// observed is the moment of an observation.
func (w *world) observed(n *node, obs core.Observation) {
	m := Moment{Node: n.index}
	switch obs := obs.(type) {
	case core.BecamePrepared:
		m.What, m.View, m.Seq, m.Digest = Prepared, obs.View, obs.Seq, obs.Digest
		n.prepared = max(n.prepared, obs.Seq)
	case core.BecameCommitted:
		m.What, m.View, m.Seq, m.Digest = Committed, obs.View, obs.Seq, obs.Digest
		n.committed = max(n.committed, obs.Seq)
	case core.BecameStable:
		m.What, m.Seq, m.Digest = BecameStable, obs.Seq, obs.State
	case core.LeftView:
		m.What, m.View = LeftView, obs.View
	case core.EnteredView:
		m.What, m.View, m.Seq = EnteredView, obs.View, obs.Stable
	case core.Misbehaved:
		m.What, m.View, m.Seq = Accused, obs.View, obs.Seq
	case core.Accepted, core.Abstained:
		return // as often as messages, and they are there
	case core.Refused, core.Suspected, core.Diverged, core.Divided, core.FellBehind, core.CaughtUp, core.AwaitsView, core.Rejoined,
		core.Contradicted:
		m.What = Observed
	}
	if !w.watching() {
		return
	}
	m.Text = core.Describe(obs)
	w.moment(m)
	switch m.What { //nolint:exhaustive // the others are the ordinary course
	case LeftView, EnteredView, Accused, Observed:
		w.remark(n.id, m.Text)
	}
}
