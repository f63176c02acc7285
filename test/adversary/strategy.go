package adversary

import (
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// Env is what a strategy knows of the world, and what it may do in it. One
// goroutine at a time calls a strategy, and Env belongs to that one call.
type Env interface {
	// ID returns the replica that the strategy speaks for, Replicas n and Faults f.
	ID() wire.ReplicaID
	Replicas() int
	Faults() int
	// Now returns the time since the start; it is virtual in a simulation.
	Now() time.Duration
	// Timeout returns T, how long the oldest request may wait before the primary
	// is suspected.
	Timeout() time.Duration
	// Interval returns K, and Window L: numbers in (h, h+L] are open.
	Interval() wire.Seq
	Window() wire.Seq
	// Rand returns the run's own source; a strategy uses no other.
	Rand() *rand.Rand
	// Sign signs m as the replica itself.
	Sign(m wire.Message) *wire.Sealed
	// SignAs signs m as replica id; false if its key is not the adversary's.
	SignAs(id wire.ReplicaID, m wire.Message) (*wire.Sealed, bool)
	// SignRequest signs m as one of the adversary's own clients, and sets its
	// Client.
	SignRequest(client int, m *wire.Request) *wire.Sealed
	// Send lets m go as it is, past the strategy.
	Send(to wire.ReplicaID, m *wire.Sealed)
	// After calls do later.
	After(d time.Duration, do func())
	// Note tells people what the liar did.
	Note(format string, args ...any)
}

// Strategy is the behaviour of a Byzantine replica. A Strategy has state, and
// serves one replica in one run; it embeds Honest for what it leaves alone. What
// it returns may share memory with m, which it may not change.
type Strategy interface {
	// Say returns what goes to replica to, never the own one, in place of m,
	// which the core wants to send.
	Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed
	// Hear returns what the core gets in place of m, which came from replica
	// from.
	Hear(env Env, from wire.ReplicaID, m *wire.Sealed) []*wire.Sealed
	// Answer returns what goes to a client in place of m, a wire.Replies or wire.Results.
	Answer(env Env, m *wire.Sealed) []*wire.Sealed
	// Tick is called many times in a request timeout.
	Tick(env Env)
}

// Honest changes nothing. Strategies embed it.
type Honest struct{}

// Say returns m.
func (Honest) Say(_ Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed { return []*wire.Sealed{m} }

// Hear returns m.
func (Honest) Hear(_ Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed { return []*wire.Sealed{m} }

// Answer returns m.
func (Honest) Answer(_ Env, m *wire.Sealed) []*wire.Sealed { return []*wire.Sealed{m} }

// Tick does nothing.
func (Honest) Tick(Env) {}

// Entry is a named strategy.
type Entry struct {
	Name string
	// Does says in one line what the replica does.
	Does string
	New  func() Strategy
}
