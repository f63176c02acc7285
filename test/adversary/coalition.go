package adversary

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// Coalition is f+1 or more replicas that break agreement on purpose: whenever one
// of them is the primary, it proposes one batch to half of the others and another
// batch to the rest, and all of them vote for both, each half hearing of one
// only. With so many, both batches commit: what the protocol promises then is
// that the culprits are found. One object serves all members, and only one
// cluster; members in other processes make an equal one.
type Coalition struct {
	members []wire.ReplicaID
}

// NewCoalition returns the coalition of these replicas; without any, of the
// first f+1.
func NewCoalition(members ...wire.ReplicaID) *Coalition { return &Coalition{members} }

// Strategy returns what one member plays.
func (c *Coalition) Strategy() Strategy {
	return &colluder{c: c, plotted: map[plotKey]bool{}}
}

// includes tells whether id is a member.
func (c *Coalition) includes(env Env, id wire.ReplicaID) bool {
	if len(c.members) == 0 {
		return int(id) <= env.Faults()
	}
	return slices.Contains(c.members, id)
}

// victims returns the two halves of those who are no members.
func (c *Coalition) victims(env Env) [2][]wire.ReplicaID {
	var out [2][]wire.ReplicaID
	half := 0
	for id := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
		if !c.includes(env, id) {
			out[half] = append(out[half], id)
			half = 1 - half
		}
	}
	return out
}

// plotKey is a place in the order.
type plotKey struct {
	view wire.View
	seq  wire.Seq
}

// plottedMax bounds how many places a member remembers.
const plottedMax = 4096

type colluder struct {
	Honest
	noter

	c       *Coalition
	plotted map[plotKey]bool // where this member voted for both
}

// Say tells each half its story.
func (s *colluder) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	switch v := m.Message().(type) { //nolint:gochecksumtype // the others are alike in both stories
	case *wire.PrePrepare:
		if !mine(env, v) || v.Batch.IsNull() {
			return []*wire.Sealed{m}
		}
		s.plot(env, v)
		if slices.Contains(s.c.victims(env)[1], to) {
			return []*wire.Sealed{env.Sign(retold(v))}
		}
	case *wire.Prepare:
		return s.vote(m, &v.Vote)
	case *wire.Commit:
		return s.vote(m, &v.Vote)
	default:
	}
	return []*wire.Sealed{m}
}

// vote withholds the core's vote where there is a plot.
func (s *colluder) vote(m *wire.Sealed, v *wire.Vote) []*wire.Sealed {
	if s.plotted[plotKey{v.View, v.Seq}] {
		return nil
	}
	return []*wire.Sealed{m}
}

// Hear joins the plot of a primary that is a member.
func (s *colluder) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if pp, ok := m.Message().(*wire.PrePrepare); ok && s.c.includes(env, pp.Sender) && !pp.Batch.IsNull() {
		s.plot(env, pp)
	}
	return []*wire.Sealed{m}
}

// plot votes for both stories of a proposal, once: for itself, and for members
// whose keys it has, as they may not hear of it.
func (s *colluder) plot(env Env, pp *wire.PrePrepare) {
	here := plotKey{pp.View, pp.Seq}
	if s.plotted[here] {
		return
	}
	if len(s.plotted) >= plottedMax {
		clear(s.plotted)
	}
	s.plotted[here] = true
	s.note(env, "votes for both batches of view %d, number %d", pp.View, pp.Seq)
	stories := [2]wire.Vote{unsigned(pp.Vote), unsigned(retold(pp).Vote)}
	for half, victims := range s.c.victims(env) {
		for member := range wire.ReplicaID(env.Replicas()) { //nolint:gosec // a cluster is small
			if s.c.includes(env, member) {
				s.send(env, stories[half], member, victims)
			}
		}
	}
}

// send sends the votes of a member for one story to its victims.
func (s *colluder) send(env Env, story wire.Vote, member wire.ReplicaID, victims []wire.ReplicaID) {
	primary := story.Sender
	story.Sender = member
	votes := []wire.Message{&wire.Prepare{Vote: story}, &wire.Commit{Vote: story}}
	if member == primary {
		votes = votes[1:]
	}
	for _, m := range votes {
		sealed, ok := env.SignAs(member, m)
		if member == env.ID() {
			sealed, ok = env.Sign(m), true
		}
		if !ok {
			return
		}
		for _, to := range victims {
			env.Send(to, sealed)
		}
	}
}
