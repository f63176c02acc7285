package adversary

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// echoesMax is how many messages of others a mutator remembers.
	echoesMax = 64
	// smallScopeOneIn is how often a lie changes any one field, and not what a
	// liar who knows the protocol would change.
	smallScopeOneIn = 3
)

// Mutator returns the liar of random runs: what others hear of its honest core is
// changed, withheld, repeated, or different from replica to replica, and signed
// with the replica's key all the same. How it lies it draws when it first speaks.
func Mutator() Strategy {
	return &mutator{other: map[crypto.Digest]crypto.Digest{}, seen: newMemory()}
}

type mutator struct {
	Honest
	noter

	drawn bool
	// mutes and lies are the probabilities that a message is withheld, or changed.
	mutes, lies float64
	// about has bit k set if it lies in messages of kind k, and not all: who is
	// caught at the first lie gets no chance for a better one.
	about uint32
	// splits says that it tells half of the replicas one story and the others
	// another, each without contradiction.
	splits bool
	other  map[crypto.Digest]crypto.Digest // the other story of a batch
	echoes []*wire.Sealed                  // messages of others, which it repeats at any time
	seen   *memory
}

// draw decides, once, what sort of liar it is.
func (s *mutator) draw(env Env) {
	if s.drawn {
		return
	}
	s.drawn = true
	rng := env.Rand()
	level := func() float64 { return []float64{0, 0.05, 0.3, 0.9}[rng.IntN(4)] }
	s.mutes, s.lies = level(), level()
	s.about, s.splits = rng.Uint32()|rng.Uint32(), rng.IntN(3) == 0
}

// Hear remembers what others say.
func (s *mutator) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.draw(env)
	if rng := env.Rand(); rng.IntN(4) == 0 {
		s.seen.note(rng, m.Message())
	}
	if len(s.echoes) < echoesMax {
		s.echoes = append(s.echoes, m)
	} else {
		s.echoes[env.Rand().IntN(echoesMax)] = m
	}
	return []*wire.Sealed{m}
}

// Say returns what the replica hears, which may be nothing.
func (s *mutator) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.draw(env)
	if len(s.echoes) > 0 && chance(env, s.lies/4) {
		env.Send(to, s.echoes[env.Rand().IntN(len(s.echoes))])
	}
	return s.tell(env, m, to%2 == 1)
}

// Answer lies to clients as it does to replicas.
func (s *mutator) Answer(env Env, m *wire.Sealed) []*wire.Sealed {
	s.draw(env)
	return s.tell(env, m, false)
}

// tell lies about m, or does not; odd replicas hear the other story.
func (s *mutator) tell(env Env, sealed *wire.Sealed, odd bool) []*wire.Sealed {
	m := sealed.Message()
	if s.about>>m.Kind()&1 == 0 {
		return []*wire.Sealed{sealed}
	}
	if chance(env, s.mutes) {
		s.note(env, "withholds a %s", m.Kind())
		return nil
	}
	if !mine(env, m) {
		return []*wire.Sealed{sealed} // it can forge nobody else
	}
	var lie wire.Message
	switch {
	case s.splits && odd:
		lie = s.otherStory(m)
	case !chance(env, s.lies):
	case env.Rand().IntN(smallScopeOneIn) == 0:
		lie, _ = s.seen.mutate(env.Rand(), m)
	default:
		lie = twister{env}.twist(m)
	}
	if lie == nil {
		return []*wire.Sealed{sealed}
	}
	s.note(env, "changes a %s", m.Kind())
	return []*wire.Sealed{env.Sign(lie)}
}

// otherStory returns a message of the story in which every batch of this
// primary's is another one.
func (s *mutator) otherStory(m wire.Message) wire.Message {
	switch m := m.(type) { //nolint:gochecksumtype // the others are alike in both stories
	case *wire.PrePrepare:
		lie := retold(m)
		s.other[m.Digest] = lie.Digest
		return lie
	case *wire.Commit:
		if digest, ok := s.other[m.Digest]; ok {
			lie := *m
			lie.Digest = digest
			return &lie
		}
	default:
	}
	return nil
}

// retold returns a proposal of the same requests that is another one.
func retold(m *wire.PrePrepare) *wire.PrePrepare {
	lie := *m
	if m.Batch.IsNull() {
		return &lie // there is one null batch only
	}
	lie.Batch = &wire.Batch{Time: m.Batch.Time + 1, Input: m.Batch.Input, Requests: m.Batch.Requests}
	lie.Digest = lie.Batch.Digest()
	return &lie
}

// twister changes messages as somebody who knows what each is for.
type twister struct{ env Env }

// twist returns m with one thing changed, or nil.
func (t twister) twist(m wire.Message) wire.Message {
	rng := t.env.Rand()
	switch m := m.(type) { //nolint:gochecksumtype // lies about the others harm nobody
	case *wire.PrePrepare:
		return t.proposal(*m)
	case *wire.Prepare:
		return &wire.Prepare{Vote: t.vote(m.Vote)}
	case *wire.Commit:
		if rng.IntN(5) == 0 {
			return &wire.Prepare{Vote: m.Vote} // which a primary may not send
		}
		return &wire.Commit{Vote: t.vote(m.Vote)}
	case *wire.Checkpoint:
		lie := *m
		if rng.IntN(2) == 0 {
			lie.State[0] ^= 1
		} else {
			lie.Seq += wire.Seq(1 + rng.IntN(40)) //nolint:gosec // small
		}
		return &lie
	case *wire.ViewChange:
		return t.viewChange(*m)
	case *wire.NewView:
		return t.newView(*m)
	case *wire.Status:
		lie := *m
		lie.Executed += wire.Seq(rng.IntN(100)) //nolint:gosec // small
		lie.Stable, lie.Slots = min(lie.Executed, lie.Stable+wire.Seq(rng.IntN(100))), nil
		lie.View += wire.View(rng.IntN(3))           //nolint:gosec // small
		if lie.Answers != 0 && lie.Executed%2 == 0 { // who rejoins is to believe that nothing was done
			lie.Stable, lie.Executed, lie.ViewChanges = 0, 0, nil
		}
		return &lie
	default:
		return t.answer(m)
	}
}

// answer returns an answer with one thing changed, or nil.
func (t twister) answer(m wire.Message) wire.Message {
	switch m := m.(type) { //nolint:gochecksumtype // as above
	case *wire.Committed:
		lie := *m
		lie.Cert.Commits = withoutFirst(lie.Cert.Commits)
		if lie.Cert.Seq%4 == 0 { // as if it contradicted the other's
			return &wire.CommitProof{Cert: lie.Cert}
		}
		return &lie
	case *wire.CommitProof:
		lie := m.Cert
		lie.Commits = withoutFirst(lie.Commits)
		return &wire.CommitProof{Cert: lie}
	case *wire.StableProof:
		return &wire.StableProof{Cert: fewer(m.Cert)}
	case *wire.Piece:
		if len(m.Data) == 0 {
			return nil
		}
		lie := wire.Piece{Root: m.Root, Life: m.Life, Data: slices.Clone(m.Data)}
		lie.Data[t.env.Rand().IntN(len(lie.Data))] ^= 1
		return &lie
	case *wire.Results:
		return invented(m)
	case *wire.Replies:
		return retellAll(m, func(a *wire.Answer) { a.Result = append(slices.Clone(a.Result), 1) })
	default:
		return nil
	}
}

func (t twister) proposal(m wire.PrePrepare) wire.Message {
	batch := *m.Batch
	if len(batch.Requests) == 0 { // a null batch, carried over
		return nil
	}
	switch t.env.Rand().IntN(6) {
	case 0:
		batch.Requests = batch.Requests[1:]
	case 1:
		batch.Requests = append(slices.Clone(batch.Requests), batch.Requests[0])
	case 2:
		batch.Time += 3600e9
	case 3:
		batch.Time-- // and the digest is not the batch's
		m.Batch = &batch
		return &m
	case 4:
		batch.Input = madeUp()
	default:
		m.Seq += 5
	}
	m.Batch, m.Digest = &batch, batch.Digest()
	return &m
}

func (t twister) vote(v wire.Vote) wire.Vote {
	switch t.env.Rand().IntN(4) {
	case 0:
		v.Digest[0] ^= 1
	case 1:
		v.Digest = wire.NullDigest()
	case 2:
		v.Seq += 1 + wire.Seq(t.env.Rand().IntN(20)) //nolint:gosec // small
	default:
		v.View += 1 + wire.View(t.env.Rand().IntN(3)) //nolint:gosec // small
	}
	return v
}

// viewChange hides a certificate, all of them, or a part of one, or asks for
// another view.
func (t twister) viewChange(m wire.ViewChange) wire.Message {
	switch t.env.Rand().IntN(5) {
	case 0:
		m.Prepared = nil
	case 1:
		m.Prepared = m.Prepared[:max(0, len(m.Prepared)-1)]
	case 2:
		m.Stable = fewer(m.Stable)
	case 3:
		m.Prepared = slices.Clone(m.Prepared)
		for i := range m.Prepared {
			m.Prepared[i].Prepares = withoutFirst(m.Prepared[i].Prepares)
		}
	default:
		m.View++
	}
	return &m
}

// newView drops the last choice, changes one, or names fewer view changes.
func (t twister) newView(m wire.NewView) wire.Message {
	m.Choices = slices.Clone(m.Choices)
	switch last := len(m.Choices) - 1; {
	case last < 0 || t.env.Rand().IntN(3) == 0:
		m.ViewChanges = withoutFirst(m.ViewChanges)
	case t.env.Rand().IntN(2) == 0:
		m.Choices = m.Choices[:last]
	default:
		m.Choices[last].Digest = wire.NullDigest()
	}
	return &m
}

// fewer returns a certificate that lacks a signer.
func fewer(cert wire.CheckpointCert) wire.CheckpointCert {
	cert.Signers = withoutFirst(cert.Signers)
	return cert
}

func withoutFirst[T any](list []T) []T { return list[min(1, len(list)):] }
