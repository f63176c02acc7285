package adversary

import (
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// ViewChangeSpam returns a replica that asks for one view after the other, each
// so long after the one before; 0 means the request timeout.
func ViewChangeSpam(every time.Duration) Strategy {
	return &viewChangeSpam{every: every, proofs: newProofs()}
}

type viewChangeSpam struct {
	Honest
	noter

	every  time.Duration
	next   time.Duration
	stance stance
	view   wire.View // the last asked for
	proofs *proofs
}

// Say learns what is stable.
func (s *viewChangeSpam) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	s.proofs.learn(env, m.Message())
	return []*wire.Sealed{m}
}

// Hear learns what is stable.
func (s *viewChangeSpam) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.proofs.learn(env, m.Message())
	return []*wire.Sealed{m}
}

// Tick asks for the next view.
func (s *viewChangeSpam) Tick(env Env) {
	if env.Now() < s.next {
		return
	}
	every := s.every
	if every == 0 {
		every = env.Timeout()
	}
	s.next = env.Now() + every
	s.view = max(s.view, s.stance.view) + 1
	vc := &wire.ViewChange{View: s.view, Stable: s.proofs.stable, Sender: env.ID()}
	s.note(env, "asks for view %d", s.view)
	broadcast(env, env.Sign(vc))
}

// proofs gathers certificates of checkpoints.
type proofs struct {
	stable wire.CheckpointCert
	votes  map[wire.Seq]map[wire.ReplicaID]*wire.Checkpoint
}

func newProofs() *proofs { return &proofs{votes: map[wire.Seq]map[wire.ReplicaID]*wire.Checkpoint{}} }

// openCheckpointsMax bounds how many checkpoints proofs gathers votes for.
const openCheckpointsMax = 16

// learn takes a checkpoint, or a certificate of one.
func (p *proofs) learn(env Env, m wire.Message) {
	switch m := m.(type) { //nolint:gochecksumtype // the others prove nothing
	case *wire.ViewChange:
		p.take(m.Stable)
	case *wire.StableProof:
		p.take(m.Cert)
	case *wire.Checkpoint:
		p.vote(env, m)
	default:
	}
}

func (p *proofs) take(cert wire.CheckpointCert) {
	if cert.Seq > p.stable.Seq || p.stable.State.IsZero() {
		p.stable = cert
		clear(p.votes)
	}
}

func (p *proofs) vote(env Env, m *wire.Checkpoint) {
	if m.Seq <= p.stable.Seq || p.votes[m.Seq] == nil && len(p.votes) >= openCheckpointsMax {
		return
	}
	if p.votes[m.Seq] == nil {
		p.votes[m.Seq] = map[wire.ReplicaID]*wire.Checkpoint{}
	}
	if m.Sender == env.ID() {
		signed, ok := env.Sign(m).Message().(*wire.Checkpoint)
		if !ok {
			return
		}
		m = signed
	}
	p.votes[m.Seq][m.Sender] = m
	cert := wire.CheckpointCert{Seq: m.Seq, State: m.State}
	for id := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
		if v := p.votes[m.Seq][id]; v != nil && v.State == m.State {
			cert.Signers = append(cert.Signers, wire.Signed{Sender: id, Signature: v.Signature})
		}
	}
	if len(cert.Signers) >= quorum(env) {
		p.take(cert)
	}
}

// HiddenCertificate returns a replica whose view changes omit what it prepared.
func HiddenCertificate() Strategy {
	return rewriting("hides what it prepared", func(_ Env, _ wire.ReplicaID, m *wire.ViewChange) ([]wire.Message, bool) {
		lie := *m
		lie.Prepared = nil
		return []wire.Message{&lie}, len(m.Prepared) > 0
	})
}

// InflatedCertificate returns a replica whose view changes claim that it prepared
// in a later view than it did, or what it never prepared.
func InflatedCertificate() Strategy {
	return rewriting("claims a later certificate", func(env Env, _ wire.ReplicaID, m *wire.ViewChange) ([]wire.Message, bool) {
		lie := *m
		cert := wire.PreparedCert{Seq: m.Stable.Seq + 1, Digest: crypto.Sum([]byte("never prepared"))}
		if len(m.Prepared) > 0 {
			cert = m.Prepared[0]
		}
		cert.View = m.View - 1
		cert.Prepares = nil
		primary := cert.View.Primary(env.Replicas())
		for id := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
			if id != primary && len(cert.Prepares) < quorum(env)-1 {
				cert.Prepares = append(cert.Prepares, ownPrepare(env, &cert, id))
			}
		}
		lie.Prepared = append([]wire.PreparedCert{cert}, m.Prepared[min(1, len(m.Prepared)):]...)
		return one(&lie)
	})
}

// ownPrepare returns a prepare of cert by id, signed as well as this replica can.
func ownPrepare(env Env, cert *wire.PreparedCert, id wire.ReplicaID) wire.Signed {
	v := wire.Vote{View: cert.View, Seq: cert.Seq, Digest: cert.Digest, Sender: id}
	sealed, ok := env.SignAs(id, &wire.Prepare{Vote: v})
	if !ok {
		sealed = env.Sign(&wire.Prepare{Vote: v}) // with the wrong key
	}
	if p, isPrepare := sealed.Message().(*wire.Prepare); isPrepare {
		v.Signature = p.Signature
	}
	return wire.Signed{Sender: id, Signature: v.Signature}
}
