package adversary

import (
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// OldCheckpoint returns a replica whose view changes name the oldest checkpoint of which it
// ever had a proof, beside what it has prepared since. All that they hold is genuine, and
// soon what is prepared lies beyond the window of that checkpoint: then it asks for the
// next view by itself, too, once in a request timeout.
func OldCheckpoint() Strategy {
	s := &oldCheckpoint{proofs: newProofs(), prepared: newPreparations()}
	s.rewriter = rewriting("names an old checkpoint", s.lie)
	return s
}

type oldCheckpoint struct {
	*rewriter[*wire.ViewChange]

	proofs   *proofs
	oldest   wire.CheckpointCert // the first that was proven; without a state before
	prepared *preparations
	next     time.Duration // when it asks for a view
}

// Say learns what is stable and prepared, and lies.
func (s *oldCheckpoint) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.learn(env, m.Message())
	return s.rewriter.Say(env, to, m)
}

// Hear learns what is stable and prepared.
func (s *oldCheckpoint) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.learn(env, m.Message())
	return []*wire.Sealed{m}
}

func (s *oldCheckpoint) learn(env Env, m wire.Message) {
	s.prepared.learn(env, m)
	if s.oldest.State.IsZero() {
		s.proofs.learn(env, m)
		s.oldest = s.proofs.stable
	}
}

func (s *oldCheckpoint) lie(_ Env, _ wire.ReplicaID, m *wire.ViewChange) ([]wire.Message, bool) {
	if s.oldest.State.IsZero() || s.oldest.Seq >= m.Stable.Seq {
		return nil, false
	}
	lie := *m
	lie.Stable = s.oldest
	return one(&lie)
}

// Tick asks for the next view.
func (s *oldCheckpoint) Tick(env Env) {
	cert := s.prepared.newest
	if env.Now() < s.next || s.oldest.State.IsZero() || cert.Seq <= s.oldest.Seq+env.Window() {
		return
	}
	s.next = env.Now() + env.Timeout()
	s.note(env, "asks for view %d with checkpoint %d and a certificate of %d", cert.View+1, s.oldest.Seq, cert.Seq)
	broadcast(env, env.Sign(&wire.ViewChange{
		View: cert.View + 1, Stable: s.oldest, Prepared: []wire.PreparedCert{cert}, Sender: env.ID(),
	}))
}

// preparations gathers certificates of what is prepared.
type preparations struct {
	newest wire.PreparedCert // with the highest number
	open   map[plotKey]*preparation
}

// preparation is what a replica heard of one number in one view.
type preparation struct {
	proposed *wire.PrePrepare
	prepares map[wire.ReplicaID]*wire.Prepare
}

func newPreparations() *preparations { return &preparations{open: map[plotKey]*preparation{}} }

// openPreparationsMax bounds for how many numbers preparations gathers votes.
const openPreparationsMax = 64

// learn takes a proposal, or a vote for one.
func (p *preparations) learn(env Env, m wire.Message) {
	switch m := m.(type) { //nolint:gochecksumtype // the others prepare nothing
	case *wire.PrePrepare:
		if at := p.at(m.Vote); at.proposed == nil {
			at.proposed = withSignature(env, m)
			p.complete(env, at)
		}
	case *wire.Prepare:
		if at := p.at(m.Vote); at.prepares[m.Sender] == nil {
			at.prepares[m.Sender] = withSignature(env, m)
			p.complete(env, at)
		}
	default:
	}
}

func (p *preparations) at(v wire.Vote) *preparation {
	here := plotKey{v.View, v.Seq}
	if p.open[here] == nil {
		if len(p.open) >= openPreparationsMax {
			clear(p.open)
		}
		p.open[here] = &preparation{prepares: map[wire.ReplicaID]*wire.Prepare{}}
	}
	return p.open[here]
}

// complete makes a certificate once there are as many votes as it needs.
func (p *preparations) complete(env Env, at *preparation) {
	if at.proposed == nil || at.proposed.Seq < p.newest.Seq {
		return
	}
	v := at.proposed.Vote
	cert := wire.PreparedCert{View: v.View, Seq: v.Seq, Digest: v.Digest, PrePrepare: v.Signature}
	for id := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
		vote := at.prepares[id]
		if vote != nil && vote.Digest == v.Digest && id != v.Sender && len(cert.Prepares) < quorum(env)-1 {
			cert.Prepares = append(cert.Prepares, wire.Signed{Sender: id, Signature: vote.Signature})
		}
	}
	if len(cert.Prepares) == quorum(env)-1 {
		p.newest = cert
	}
}

// withSignature returns m, or with a signature what the replica itself is about to say.
func withSignature[M wire.Message](env Env, m M) M {
	if sender, personal := wire.SenderOf(m); personal && sender == env.ID() {
		if signed, ok := env.Sign(m).Message().(M); ok {
			return signed
		}
	}
	return m
}
