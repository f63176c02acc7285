package scenario

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// proposalRows are primaries whose proposals are lies.
func proposalRows() []Scenario {
	return []Scenario{
		{
			Name: "split-preprepare", Faulty: "R0 sends batch A to R1, B to R2 and R3 at one (view, number)", Stake: "AG",
			Seen: "at most one digest prepares; proof spreads; view 1",
			Sim: func(p *Play) {
				p.Lie(0, "split-preprepare")
				p.suspected()
				p.proven(0)
			},
			Real: lie(0, "split-preprepare", newView(1), answersIn(1), exposed(0)),
		},
		{
			Name: "split-preprepare-and-votes", Faulty: "the same, and R0 prepares and commits both", Stake: "AG ACC",
			Seen: "R0's double votes are in the evidence too",
			Sim: func(p *Play) {
				p.Lie(0, "split-preprepare-and-votes")
				p.suspected()
				p.provenOf(0, wire.EvidencePrePrepares)
				p.provenOf(0, wire.EvidenceCommits)
			},
			Real: lie(0, "split-preprepare-and-votes", newView(1), answersIn(1), exposed(0)),
		},
		{
			Name: "empty-batches", Faulty: "R0 proposes endless empty batches while requests wait", Stake: "LV",
			Seen: "suspected",
			Sim: func(p *Play) {
				p.Lie(0, "empty-batches")
				p.suspected()
			},
			Real: lie(0, "empty-batches", newView(1), answersIn(1)),
		},
	}
}

// malformedRows are primaries whose proposals nobody may accept.
func malformedRows() []Scenario {
	return []Scenario{
		{
			Name: "huge-sequence", Faulty: "R0 proposes at 2^63, at h+L+1, at 0", Stake: "MEM LV",
			Seen: "refused, nothing allocated",
			Sim: func(p *Play) {
				p.Lie(0, "huge-sequence")
				p.Finally("absurd numbers do not stay anywhere", noTrace)
			},
			Real: lie(0, "huge-sequence", served()),
		},
		{
			Name: "wrong-digest", Faulty: "digest and body of R0's batches differ, or the body never comes", Stake: "LV",
			Seen: "no Prepare without the body; suspected",
			Sim: func(p *Play) {
				p.Lie(0, "wrong-digest")
				p.suspected()
				p.Never("anything prepares in view 0", func(c *sim.Control) bool {
					return c.Replica(1).View == 0 && max(c.Replica(1).Prepared, c.Replica(2).Prepared, c.Replica(3).Prepared) > 0
				})
			},
			Real: lie(0, "wrong-digest", newView(1), answersIn(1)),
		},
		{
			Name: "forged-request", Faulty: "a batch of R0's holds a request that nobody signed", Stake: "VA",
			Seen: "never executes; evidence against R0",
			Sim: func(p *Play) {
				p.Lie(0, "forged-request")
				p.suspected()
				p.provenOf(0, wire.EvidenceUnsigned)
				p.Finally("nobody opens such a batch", func(s *Seen) error { return atLeast("refused frames", s.Counters.Unopened, 1) })
			},
			Real: lie(0, "forged-request", newView(1), answersIn(1), exposed(0)),
		},
		{
			Name: "bad-time", Faulty: "R0 proposes times far ahead, or backwards", Stake: "VA",
			Seen: "refused",
			Sim: func(p *Play) {
				p.Lie(0, "bad-time")
				p.suspected()
				p.Finally("the others refuse", func(s *Seen) error { return atLeast("refusals", s.log.refused["R0"], 1) })
			},
			Real: lie(0, "bad-time", newView(1), answersIn(1)),
		},
		{
			Name: "bad-input", Faulty: "R0 proposes inputs that no application read, or none", Stake: "VA",
			Seen: "refused",
			Sim: func(p *Play) {
				p.Options.Inputs = p.Options.Machine == nil
				p.Lie(0, "bad-input")
				p.suspected()
				p.Finally("the others refuse", func(s *Seen) error { return atLeast("refusals", s.log.refused["R0"], 1) })
			},
			Real: lie(0, "bad-input", newView(1), answersIn(1)),
		},
	}
}

// suspected requires that R0 loses its office, and that requests are answered
// then.
func (p *Play) suspected() {
	p.Steps(
		Step{
			What: "a view that R0 does not lead, within 4T", Within: 4 * timeout,
			Until: func(c *sim.Control) bool { return changed(c) },
		},
		Step{
			What: "requests are answered in it", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() > 0 },
		},
	)
}

// proven requires that every correct replica has proof against culprits.
func (p *Play) proven(culprits ...wire.ReplicaID) {
	for _, id := range culprits {
		p.Finally(fmt.Sprintf("R%d's lie is proven", id), func(s *Seen) error {
			if s.Accused[id] == 0 {
				return fmt.Errorf("nobody has proof against R%d", id)
			}
			return nil
		})
	}
}

// provenOf requires that a correct replica has proof of one kind of lie of a culprit.
func (p *Play) provenOf(id wire.ReplicaID, lie wire.EvidenceKind) {
	p.Finally(fmt.Sprintf("R%d is convicted of %s", id, lie), func(s *Seen) error {
		if s.log.proven[fmt.Sprintf("peer=%d kind=%q", id, lie)] == 0 {
			return fmt.Errorf("nobody has proof of it, but of %v", s.log.proven)
		}
		return nil
	})
}

// noTrace requires that no replica got beyond what clients asked for.
func noTrace(s *Seen) error {
	if most := wire.Seq(4 * s.Options.Clients * s.Options.Operations); s.Executed > most { //nolint:gosec // small
		return fmt.Errorf("number %d was executed, for %d operations", s.Executed, s.Options.Clients*s.Options.Operations)
	}
	return nil
}
