package adversary

import (
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// MutePrimary returns a primary that stops sending: it is silent in the views
// that it leads.
func MutePrimary() Strategy {
	return &mute{does: "is a mute primary", when: func(Env, *stance) bool { return true }}
}

// SilentSuccessor returns a replica that is silent when a change of views makes
// it the primary: its new view never comes. It leads view 0.
func SilentSuccessor() Strategy {
	return &mute{does: "opens no view", when: func(_ Env, s *stance) bool { return s.view > 0 }}
}

// MuteIdlePrimary returns a primary that falls silent, heartbeats and all, once
// it had nothing to propose for so long; 0 means a fifth of the timeout. It
// stays so until others lead.
func MuteIdlePrimary(idle time.Duration) Strategy {
	s := &mute{does: "is a mute idle primary"}
	s.when = func(env Env, st *stance) bool {
		limit := idle
		if limit == 0 {
			limit = env.Timeout() / 5
		}
		return st.executed > 0 && env.Now() >= s.proposed+limit
	}
	return s
}

// mute is silent while it leads and something holds.
type mute struct {
	Honest
	noter

	does     string
	when     func(Env, *stance) bool
	stance   stance
	proposed time.Duration // when it last proposed
	silent   bool
}

// Say withholds what the silence is about.
func (s *mute) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	if pp, ok := m.Message().(*wire.PrePrepare); ok && mine(env, pp) && !s.silent {
		s.proposed = env.Now()
	}
	was := s.silent
	s.silent = s.stance.leads(env) && (was || s.when(env, &s.stance))
	if !s.silent {
		return []*wire.Sealed{m}
	}
	if !was {
		s.note(env, "%s in view %d", s.does, s.stance.view)
	}
	return nil
}

// AlmostTimeoutPrimary returns a primary that delays every proposal by a share of
// the request timeout.
func AlmostTimeoutPrimary(share float64) Strategy {
	return &slow{does: "delays a proposal", share: share, most: share}
}

// RampingPrimary returns a primary that delays every proposal by a share of the
// request timeout more than the one before, up to most.
func RampingPrimary(step, most float64) Strategy {
	return &slow{does: "delays a proposal, more and more", step: step, most: most}
}

// slow delays what it proposes.
type slow struct {
	Honest
	noter

	does              string
	share, step, most float64
	highest           wire.Seq
}

// Say sends proposals later.
func (s *slow) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	pp, ok := m.Message().(*wire.PrePrepare)
	if !ok || !mine(env, pp) {
		return []*wire.Sealed{m}
	}
	if pp.Seq > s.highest {
		s.highest = pp.Seq
		s.share = min(s.share+s.step, s.most)
		s.note(env, "%s by %d %% of the timeout: %s", s.does, int(100*s.share), describe(pp))
	}
	env.After(time.Duration(s.share*float64(env.Timeout())), func() { env.Send(to, m) })
	return nil
}

// DarkReplica returns a replica that keeps some others in the dark: it sends
// them no proposal, and nothing that would make up for one. Without victims it
// is the last one.
func DarkReplica(victims ...wire.ReplicaID) Strategy { return &dark{victims: victims} }

type dark struct {
	Honest
	noter

	victims []wire.ReplicaID
}

// Say withholds bodies and commits from the victims.
func (s *dark) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if s.victims == nil {
		all := others(env)
		s.victims = all[len(all)-1:]
	}
	bodies := []wire.Kind{wire.KindPrePrepare, wire.KindCommit, wire.KindBatchBody, wire.KindCommitted, wire.KindPiece}
	if !slices.Contains(s.victims, to) || !slices.Contains(bodies, m.Message().Kind()) {
		return []*wire.Sealed{m}
	}
	s.note(env, "keeps replica %d in the dark: no %s", to, describe(m.Message()))
	return nil
}
