package scenario

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// transferRows are about replicas that fetch their state.
func transferRows() []Scenario {
	return []Scenario{
		{
			Name: "poisoned-transfer", Faulty: "R1, the only source that answers, sends corrupt pieces and sizes", Stake: "IN LV MEM",
			Seen: "each piece refused, another source used",
			Sim:  poisonedTransfer,
			Real: realPoisonedTransfer,
		},
		{
			Name: "endless-transfer", Faulty: "full write load while R2, far behind on a slow line, restores a large state", Stake: "LV",
			Seen:       "R2 catches up within a bound",
			Sim:        endlessTransfer,
			WhyNotReal: "a state of a gigabyte takes minutes to make here; 'slow-link' and test/cluster's rejoin test transfer smaller ones",
		},
	}
}

// bigState makes the state large enough for several pieces, and its history
// short.
func (p *Play) bigState() {
	p.Options.RealStorage = true
	p.Options.ValueBytes, p.Options.Operations = 2000, 160
	p.Options.ArchiveBytes = 1
}

func poisonedTransfer(p *Play) {
	p.bigState()
	p.Lie(1, "poisoned-transfer")
	p.Steps(
		Step{
			Then: func(c *sim.Control) { c.Isolate(3) },
		},
		Step{
			What: "the others leave R3 far behind", Within: 8 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(0).Stable > 24 },
			Then: func(c *sim.Control) {
				c.Heal()
				for _, id := range []wire.ReplicaID{0, 2} {
					c.Cut(id, 3)
				}
			},
		},
		Step{
			Within: 4 * timeout,
			Check: func(c *sim.Control) error {
				if c.Replica(3).Executed > 0 {
					return fmt.Errorf("R3 took the state of R1")
				}
				return nil
			},
			Then: func(c *sim.Control) {
				for _, id := range []wire.ReplicaID{0, 2} {
					c.Mend(id, 3)
				}
			},
		},
		Step{
			What: "R3 has the state from others", Within: 12 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(3).Executed >= 24 && !c.Replica(3).Transferring },
		},
	)
	p.Finally("it came by a transfer", func(s *Seen) error { return atLeast("transfers", s.Counters.Transfers, 1) })
}

func endlessTransfer(p *Play) {
	p.store = true // what the line carries in time depends on the length of what is written
	p.bigState()
	p.Options.Operations, p.Options.Clients = 250, 3
	var at wire.Seq
	p.Steps(
		Step{
			Then: func(c *sim.Control) { c.Isolate(2) },
		},
		Step{
			What: "the others leave R2 far behind", Within: 8 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(0).Stable > 40 },
			Then: func(c *sim.Control) {
				at = highest(c)
				c.Heal()
				c.Slow(2, 1<<20)
			},
		},
		Step{
			What: "R2 has caught up with where they were, under load", Within: 12 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(2).Executed >= at },
			Check: func(c *sim.Control) error {
				if c.AllAnswered() == 750 {
					return fmt.Errorf("the load had ended by then")
				}
				return nil
			},
		},
	)
	p.Finally("it came by a transfer", func(s *Seen) error { return atLeast("transfers", s.Counters.Transfers, 1) })
}
