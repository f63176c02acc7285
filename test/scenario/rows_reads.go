package scenario

import (
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// readRows are lies about what clients read outside of the order.
func readRows() []Scenario {
	return []Scenario{{
		Name:   "stale-reads",
		Faulty: "R3 answers fast reads with old values, or makes them up, while R1 and R2 learn late of commits", Stake: "LIN",
		Seen: "nobody reads an old value: R1 and R2 execute what they prepared before they answer; fast reads and ordered ones complete",
		Sim:  staleReads,
		Real: lie(3, "stale-reads", served(), sameView()),
	}}
}

// lateEvery is how often R1 and R2 are kept behind, and lateFor how long.
const lateEvery, lateFor = 80 * time.Millisecond, 40 * time.Millisecond

// staleReads has writes complete at R0 and the liar alone, which are f+1, and others read
// at once: R1 and R2 would make a quorum of old values with the liar if they did not wait.
func staleReads(p *Play) {
	p.store = true
	p.Options.Operations, p.Options.Clients, p.Options.FastReads = 60, 3, 0.5
	p.Options.History = true
	p.Lie(3, "stale-reads")
	all := p.Options.Operations * p.Options.Clients
	p.Steps(
		Step{Then: func(c *sim.Control) { delayCommits(c, all) }},
		Step{
			What: "every operation is answered", Within: 20 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() == all },
		},
	)
	p.fastReads()
	p.Finally("R1 and R2 waited for what they had prepared", func(s *Seen) error {
		return atLeast("queries that waited", s.Counters.HeldQueries, 1)
	})
	p.Finally("reads on which no quorum agreed were ordered", func(s *Seen) error {
		return atLeast("reads that fell back", s.Counters.FallenBack, 1)
	})
}

// delayCommits keeps commits from R1 and R2, again and again, until so much is answered.
func delayCommits(c *sim.Control, all int) {
	for _, id := range []wire.ReplicaID{1, 2} {
		c.Block(id, wire.KindCommit, wire.KindCommitted)
	}
	c.At(c.Now()+lateFor, c.Heal)
	c.At(c.Now()+lateEvery, func() {
		if c.AllAnswered() < all {
			delayCommits(c, all)
		}
	})
}

// fastReads requires that reads were answered outside of the order, if the application has
// any.
func (p *Play) fastReads() {
	p.Finally("fast reads were among them, if the application has any", func(s *Seen) error {
		if !p.hasReads() {
			return nil
		}
		return atLeast("fast reads", s.Counters.FastReads, 1)
	})
}

// hasReads tells whether the application has any.
func (p *Play) hasReads() bool { return p.Options.Machine == nil || p.Options.Query != nil }
