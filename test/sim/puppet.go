package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// The numbers from which keys are made: replicas from 0, clients, and the
// adversary's clients.
const (
	clientKeys = 1000
	foulKeys   = 1_000_000
)

// puppet is the adversary.Env of a replica that plays a strategy.
type puppet struct{ n *node }

// ID returns the replica's id.
func (p puppet) ID() wire.ReplicaID { return p.n.id }

// Replicas returns n.
func (p puppet) Replicas() int { return p.n.w.o.Replicas }

// Faults returns f.
func (p puppet) Faults() int { return p.n.w.o.Faults }

// Now returns the virtual time.
func (p puppet) Now() time.Duration { return p.n.w.now }

// Timeout returns the request timeout.
func (p puppet) Timeout() time.Duration { return requestTimeout }

// Interval returns K.
func (p puppet) Interval() wire.Seq { return wire.Seq(p.n.w.o.Interval) } //nolint:gosec // not negative

// Window returns L.
func (p puppet) Window() wire.Seq { return wire.Seq(p.n.w.o.Window) } //nolint:gosec // not negative

// Rand returns the run's source.
func (p puppet) Rand() *rand.Rand { return p.n.w.rng }

// Sign signs as the replica.
func (p puppet) Sign(m wire.Message) *wire.Sealed { return wire.Seal(p.n.signer, p.n.w.domain, m) }

// SignAs signs as any replica that plays a strategy too.
func (p puppet) SignAs(id wire.ReplicaID, m wire.Message) (*wire.Sealed, bool) {
	if int(id) >= p.n.w.o.Replicas || p.n.w.nodes[id].strategy == nil {
		return nil, false
	}
	return wire.Seal(p.n.w.nodes[id].signer, p.n.w.domain, m), true
}

// SignRequest signs as a client of the adversary's.
func (p puppet) SignRequest(client int, m *wire.Request) *wire.Sealed {
	signer := p.n.w.signer(foulKeys + client)
	m.Client = signer.Public()
	return wire.Seal(signer, p.n.w.domain, m)
}

// Send lets m go.
func (p puppet) Send(to wire.ReplicaID, m *wire.Sealed) {
	if !p.n.down && int(to) < p.n.w.o.Replicas && to != p.n.id {
		p.n.w.counters.Echoes++
		p.n.w.transmit(p.n, to, m)
	}
}

// Recall looks into the agreed log.
func (p puppet) Recall(m *wire.Results, back wire.Seq) (*wire.Results, bool) {
	w, q := p.n.w, p.n.asked
	if back > m.Seq || m.Seq > w.oracle.reference.seq || len(m.Results) > len(q.Ops) {
		return nil, false // it is a lie already
	}
	old := *m
	old.Seq -= back
	old.Results = make([]wire.QueryResult, len(m.Results))
	for i := range old.Results {
		var err error
		if old.Results[i], err = w.oracle.reference.read(q.Client, q.Ops[i], old.Seq); err != nil {
			return nil, false
		}
	}
	return &old, true
}

// After schedules do, unless the replica is down then.
func (p puppet) After(d time.Duration, do func()) {
	p.n.w.after(d, func() {
		if !p.n.down {
			do()
		}
	})
}

// Note is for people.
func (p puppet) Note(format string, args ...any) {
	w := p.n.w
	if len(w.notes) >= notesMax && !w.watching() && !w.tracing() {
		return
	}
	text := fmt.Sprintf(format, args...)
	w.remark(p.n.id, text)
	w.tell("R%d lies: %s", p.n.id, text)
	w.moment(Moment{What: Noted, Node: p.n.index, Text: text})
}

// say lets what a strategy makes of a message go.
func (n *node) say(to wire.ReplicaID, sealed *wire.Sealed) {
	said := n.strategy.Say(puppet{n}, to, sealed)
	if len(said) != 1 || said[0] != sealed {
		n.w.counters.Lies++
	}
	for _, m := range said {
		n.w.transmit(n, to, m)
	}
}

// hear gives the core what a strategy makes of a message.
func (n *node) hear(from wire.ReplicaID, sealed *wire.Sealed) {
	for _, m := range n.strategy.Hear(puppet{n}, from, sealed) {
		if n.down {
			return
		}
		n.step(n.received(from, m))
	}
}
