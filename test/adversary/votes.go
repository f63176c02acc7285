package adversary

import (
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// DoublePrepare returns a backup that prepares another batch besides, for every
// number, and tells everyone.
func DoublePrepare() Strategy {
	return rewriting("prepares two batches", func(_ Env, _ wire.ReplicaID, m *wire.Prepare) ([]wire.Message, bool) {
		lie := unsigned(m.Vote)
		lie.Digest = flipped(lie.Digest)
		return []wire.Message{m, &wire.Prepare{Vote: lie}}, true
	})
}

// WithheldCommits returns a replica that prepares, and commits late by so much;
// never, if that is 0.
func WithheldCommits(late time.Duration) Strategy { return &withheld{late: late} }

type withheld struct {
	Honest
	noter

	late time.Duration
	last *wire.Sealed
}

// Say withholds commits, for a while or for good.
func (s *withheld) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if m.Message().Kind() != wire.KindCommit || !mine(env, m.Message()) {
		return []*wire.Sealed{m}
	}
	if m != s.last {
		s.last = m
		s.note(env, "withholds its %s", describe(m.Message()))
	}
	if s.late > 0 {
		env.After(s.late, func() { env.Send(to, m) })
	}
	return nil
}

// FutureVotes returns a replica that floods the others with votes: for the whole
// window of its view, and of views up to 2^40; so many at every tick.
func FutureVotes(perTick int) Strategy { return &futureVotes{perTick: perTick} }

type futureVotes struct {
	Honest
	noter

	perTick int
	stance  stance
}

// Say learns where the others are.
func (s *futureVotes) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	return []*wire.Sealed{m}
}

// futureViewBits is the length of the highest view of a flood.
const futureViewBits = 40

// Tick floods.
func (s *futureVotes) Tick(env Env) {
	rng := env.Rand()
	s.note(env, "floods %d votes for views from %d up", s.perTick, s.stance.view)
	for range s.perTick {
		v := wire.Vote{View: s.stance.view, Digest: noise(env), Sender: env.ID()}
		v.Seq = s.stance.stable + 1 + wire.Seq(rng.Uint64N(uint64(env.Window())))
		if rng.IntN(2) == 0 {
			v.View += 1 << rng.IntN(futureViewBits+1)
		}
		if rng.IntN(2) == 0 || v.View.Primary(env.Replicas()) == env.ID() {
			broadcast(env, env.Sign(&wire.Commit{Vote: v}))
			continue
		}
		broadcast(env, env.Sign(&wire.Prepare{Vote: v}))
	}
}

// BadSignatureFlood returns a replica that sends everyone so many votes at every
// tick that nobody signed: its own and those of others.
func BadSignatureFlood(perTick int) Strategy { return &badSignatures{perTick: perTick} }

type badSignatures struct {
	Honest
	noter

	perTick int
	stance  stance
}

// Say learns where the others are.
func (s *badSignatures) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	return []*wire.Sealed{m}
}

// Tick floods.
func (s *badSignatures) Tick(env Env) {
	s.note(env, "floods %d votes with bad signatures", s.perTick)
	for i := range s.perTick {
		v := wire.Vote{View: s.stance.view, Seq: s.stance.stable + 1, Digest: noise(env)}
		v.Sender = wire.ReplicaID(i % env.Replicas()) //nolint:gosec // a cluster is small
		bad := noise(env)
		copy(v.Signature[:], bad[:])
		broadcast(env, wire.Reseal(&wire.Commit{Vote: v}))
	}
}

// relayedMax is how many messages RelayOldVotes remembers.
const relayedMax = 256

// RelayOldVotes returns a replica that repeats genuine messages of the ordering
// and of view changes, its own and those of others, at any time later: so many at
// every tick.
func RelayOldVotes(perTick int) Strategy { return &relay{perTick: perTick} }

type relay struct {
	Honest
	noter

	perTick int
	old     []*wire.Sealed
	last    *wire.Sealed
}

// Say remembers.
func (s *relay) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.keep(env, m)
	return []*wire.Sealed{m}
}

// Hear remembers.
func (s *relay) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.keep(env, m)
	return []*wire.Sealed{m}
}

func (s *relay) keep(env Env, m *wire.Sealed) {
	switch m.Message().Kind() {
	case wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindCheckpoint, wire.KindViewChange, wire.KindNewView:
	default:
		return
	}
	switch {
	case m == s.last:
	case len(s.old) < relayedMax:
		s.old = append(s.old, m)
	default:
		s.old[env.Rand().IntN(relayedMax)] = m
	}
	s.last = m
}

// Tick repeats something old.
func (s *relay) Tick(env Env) {
	for range s.perTick {
		if len(s.old) == 0 {
			return
		}
		m := s.old[env.Rand().IntN(len(s.old))]
		s.note(env, "repeats a %s", describe(m.Message()))
		all := others(env)
		env.Send(all[env.Rand().IntN(len(all))], m)
	}
}

// StraddledEpoch returns a replica whose votes come with others like them: of
// another epoch, of another cluster, and of a replica that is no member.
func StraddledEpoch() Strategy { return &straddler{} }

// Foreigner is what an Env may be besides: it signs in other domains than the
// cluster's. Without one, StraddledEpoch's foreign signatures are noise, which
// nobody can tell from them.
type Foreigner interface {
	SignIn(d crypto.Domain, m wire.Message) *wire.Sealed
}

type straddler struct {
	Honest
	noter
}

// Say adds the foreign votes.
func (s *straddler) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	vote, ok := m.Message().(*wire.Commit)
	if !ok || !mine(env, vote) {
		return []*wire.Sealed{m}
	}
	s.note(env, "votes from elsewhere to replica %d: %s", to, describe(vote))
	outside := unsigned(vote.Vote)
	outside.Sender = wire.ReplicaID(env.Replicas()) //nolint:gosec // a cluster is small
	out := []*wire.Sealed{m, env.Sign(&wire.Commit{Vote: outside})}
	for _, d := range []crypto.Domain{{Epoch: 1}, {Cluster: crypto.Sum([]byte("another cluster"))}} {
		foreign := unsigned(vote.Vote)
		foreign.Digest = flipped(foreign.Digest)
		if f, able := env.(Foreigner); able {
			out = append(out, f.SignIn(d, &wire.Commit{Vote: foreign}))
			continue
		}
		bad := noise(env)
		copy(foreign.Signature[:], bad[:])
		out = append(out, wire.Reseal(&wire.Commit{Vote: foreign}))
	}
	return out
}
