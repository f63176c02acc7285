package adversary

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// notesMax bounds what one strategy tells people.
const notesMax = 64

// noter tells people what a strategy does, up to a bound. Strategies embed it.
type noter struct{ told int }

// note tells of one act.
func (n *noter) note(env Env, format string, args ...any) {
	if n.told < notesMax {
		n.told++
		env.Note(format, args...)
	}
}

// chance draws with probability p.
func chance(env Env, p float64) bool { return p > 0 && env.Rand().Float64() < p }

// mine tells whether the replica can sign m: whether m names no sender, or it.
func mine(env Env, m wire.Message) bool {
	sender, personal := wire.SenderOf(m)
	return !personal || sender == env.ID()
}

// others returns the replicas but this one, ascending.
func others(env Env) []wire.ReplicaID {
	var out []wire.ReplicaID
	for id := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
		if id != env.ID() {
			out = append(out, id)
		}
	}
	return out
}

// broadcast sends m to all others.
func broadcast(env Env, m *wire.Sealed) {
	for _, to := range others(env) {
		env.Send(to, m)
	}
}

// quorum returns q, the size of a certificate.
func quorum(env Env) int { return (env.Replicas()+env.Faults())/2 + 1 }

// noise returns a digest that names nothing.
func noise(env Env) crypto.Digest {
	var d crypto.Digest
	for i := range d {
		d[i] = byte(env.Rand().Uint32()) //nolint:gosec // the low byte is wanted
	}
	return d
}

// flipped returns d with one bit changed.
func flipped(d crypto.Digest) crypto.Digest {
	d[0] ^= 1
	return d
}

// stance is where the replica stands, as its own messages tell.
type stance struct {
	view     wire.View
	left     bool // asks for view, and has not entered it
	stable   wire.Seq
	executed wire.Seq
}

// watch learns from a message that the core wants to send.
func (s *stance) watch(env Env, m wire.Message) {
	if !mine(env, m) {
		return
	}
	switch m := m.(type) { //nolint:gochecksumtype // the others tell nothing
	case *wire.PrePrepare:
		s.enter(m.View)
	case *wire.Prepare:
		s.enter(m.View)
	case *wire.Commit:
		s.enter(m.View)
	case *wire.NewView:
		s.enter(m.View)
	case *wire.ViewChange:
		if m.View > s.view {
			s.view, s.left = m.View, true
		}
	case *wire.Status:
		s.view, s.left, s.stable, s.executed = m.View, !m.Active, m.Stable, m.Executed
	default:
	}
}

func (s *stance) enter(view wire.View) {
	if view >= s.view {
		s.view, s.left = view, false
	}
}

// leads tells whether the replica is the primary of its view.
func (s *stance) leads(env Env) bool { return s.view.Primary(env.Replicas()) == env.ID() }

// rewriter changes what the core says in messages of one type and can be signed
// by this replica.
type rewriter[M wire.Message] struct {
	Honest
	noter

	does string // what it tells people
	last *wire.Sealed
	// lie returns what replica to gets in place of m; false for m itself.
	lie func(env Env, to wire.ReplicaID, m M) ([]wire.Message, bool)
}

// Say returns the lies.
func (s *rewriter[M]) Say(env Env, to wire.ReplicaID, sealed *wire.Sealed) []*wire.Sealed {
	m, ok := sealed.Message().(M)
	if !ok || !mine(env, m) {
		return []*wire.Sealed{sealed}
	}
	lies, ok := s.lie(env, to, m)
	if !ok {
		return []*wire.Sealed{sealed}
	}
	if sealed != s.last {
		s.note(env, "%s: %s", s.does, describe(m))
	}
	s.last = sealed
	out := make([]*wire.Sealed, 0, len(lies))
	for _, lie := range lies {
		out = append(out, env.Sign(lie))
	}
	return out
}

// rewriting returns a strategy that lies so about messages of one type.
func rewriting[M wire.Message](does string, lie func(Env, wire.ReplicaID, M) ([]wire.Message, bool)) *rewriter[M] {
	return &rewriter[M]{does: does, lie: lie}
}

// one returns a single lie.
func one(m wire.Message) ([]wire.Message, bool) { return []wire.Message{m}, true }
