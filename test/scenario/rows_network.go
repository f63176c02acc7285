package scenario

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// networkRows are faults of links and clocks.
func networkRows() []Scenario {
	return []Scenario{
		{
			Name: "split-brain", Faulty: "the network splits 2/2 for 10 T, then heals", Stake: "LV",
			Seen: "nothing commits meanwhile; progress soon after",
			Sim:  splitBrain,
			Real: realSplitBrain,
		},
		{
			Name: "one-way-links", Faulty: "R1 hears R0 but cannot send to it, and then the reverse", Stake: "LV",
			Seen: "repaired by Status, or a view change",
			Sim:  oneWayLinks,
			Real: realOneWayLinks,
		},
		{
			Name: "slow-link", Faulty: "R3 behind 1 Mbit/s", Stake: "SLO MEM",
			Seen: "the cluster at full speed; R3 by transfers",
			Sim:  slowLink,
			Real: realSlowLink,
		},
		{
			Name: "rough-network", Faulty: "30 % loss, duplication, reordering, some damage", Stake: "all",
			Seen: "all oracles",
			Sim: func(p *Play) {
				o := &p.Options
				o.Operations, o.Loss, o.Duplication, o.DelayMax = 40, 0.3, 0.3, 120*time.Millisecond
				o.Corruption = 0.01
				o.Turbulence = 40 * timeout
				p.Finally("operations were answered in the turbulence", func(s *Seen) error {
					early := 0
					for _, answers := range s.log.answers {
						for _, at := range answers {
							if at < 40*timeout {
								early++
							}
						}
					}
					return atLeast("answers", early, 20)
				})
			},
			Real: realRoughNetwork,
		},
		{
			Name: "clock-jumps", Faulty: "R1's wall clock is off by an hour, and jumps", Stake: "LV",
			Seen: "no effect on timers; that replica cannot lead with a wrong time",
			Sim:  clockJumps,
			Real: realClockJumps,
		},
	}
}

func splitBrain(p *Play) {
	p.Options.Operations = 60
	var committed wire.Seq
	p.Steps(
		Step{
			What: "the cluster works", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() >= 20 },
			Then:  func(c *sim.Control) { c.Partition([]wire.ReplicaID{0, 1}, []wire.ReplicaID{2, 3}) },
		},
		Step{
			Within: timeout / 10, // what was under way arrives
			Then:   func(c *sim.Control) { committed = mostCommitted(c) },
		},
		Step{
			What: "nothing commits while the network is split", Within: 10 * timeout,
			Check: func(c *sim.Control) error {
				if now := mostCommitted(c); now > committed {
					return fmt.Errorf("%d committed", now)
				}
				return nil
			},
			Then: func(c *sim.Control) { c.Heal() },
		},
		Step{
			What: "progress everywhere soon after", Within: 8 * timeout,
			Until: func(c *sim.Control) bool {
				return everyone(c, func(g sim.Glimpse) bool { return g.Executed > committed })
			},
		},
	)
}

func mostCommitted(c *sim.Control) wire.Seq {
	var most wire.Seq
	for id := range wire.ReplicaID(c.Replicas()) { //nolint:gosec // a cluster is small
		most = max(most, c.Replica(id).Committed)
	}
	return most
}

func oneWayLinks(p *Play) {
	p.Options.Operations = 300
	answered := 0
	progress := func(c *sim.Control) bool { return c.AllAnswered() >= answered+100 }
	p.Steps(
		Step{
			What: "the cluster works", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() >= 20 },
			Then: func(c *sim.Control) {
				answered = c.AllAnswered()
				c.Cut(1, 0)
			},
		},
		Step{
			What: "progress while R0 does not hear R1", Within: 12 * timeout, Until: progress,
			Then: func(c *sim.Control) {
				answered = c.AllAnswered()
				c.Mend(1, 0)
				c.Cut(0, 1)
			},
		},
		Step{
			What: "progress while R1 does not hear R0", Within: 12 * timeout, Until: progress,
		},
		Step{
			What: "R1 has what the others have, from others", Within: 6 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(1).Executed+8 >= highest(c) },
			Then:  func(c *sim.Control) { c.Mend(0, 1) },
		},
	)
}

func slowLink(p *Play) {
	p.store = true // operations must be long for the link to be slow
	p.bigState()
	p.Options.Operations, p.Options.LinkMax = 120, 64 // messages under way; a full link drops more
	fair := p.Options
	behind := false
	p.Steps(
		Step{
			Then: func(c *sim.Control) {
				c.Slow(3, 1_000_000/8)
				for client := range 2 {
					c.Reach(client, 0, 1, 2) // or one in four requests would wait for a retransmission
				}
			},
		},
		Step{
			What: "the others answer everything", Within: 40 * timeout,
			Until: func(c *sim.Control) bool {
				behind = behind || c.Replica(3).Executed+8 < c.Replica(0).Executed
				return c.AllAnswered() == 240
			},
			Check: func(*sim.Control) error {
				if !behind {
					return fmt.Errorf("R3 was never behind: its link is not slow")
				}
				return nil
			},
		},
		Step{
			What: "R3 follows over its slow link", Within: 60 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(3).Executed == highest(c) },
		},
	)
	p.Finally("the others run at half the fault-free throughput at least", func(s *Seen) error { return s.half(fair, 0) })
	p.Finally("R3 came by transfers", func(s *Seen) error { return atLeast("transfers", s.Counters.Transfers, 1) })
}

func clockJumps(p *Play) {
	p.Options.Operations = 400
	var began int
	working := func(more int) func(c *sim.Control) bool {
		return func(c *sim.Control) bool { return c.AllAnswered() >= began+more }
	}
	p.Steps(
		Step{Then: func(c *sim.Control) { c.Skew(1, -time.Hour) }},
		Step{
			What: "a backup's wrong clock disturbs nobody", Within: 4 * timeout, Until: working(100),
			Check: func(c *sim.Control) error {
				if view := c.Replica(2).View; view > 0 {
					return fmt.Errorf("view %d", view)
				}
				return nil
			},
			Then: func(c *sim.Control) { c.Skew(1, time.Hour) },
		},
		Step{
			What: "nor does its jump ahead", Within: 4 * timeout, Until: working(200),
			Check: func(c *sim.Control) error {
				if view := c.Replica(2).View; view > 0 {
					return fmt.Errorf("view %d", view)
				}
				return nil
			},
			Then: func(c *sim.Control) { c.Pause(0, 3*timeout) },
		},
		Step{
			What: "R1 leads view 1 with its wrong time, and is replaced", Within: 12 * timeout,
			Until: func(c *sim.Control) bool {
				began = c.AllAnswered()
				return c.Replica(2).View >= 2 && c.Replica(2).Active
			},
			Then: func(c *sim.Control) { c.Skew(1, -time.Minute) },
		},
		Step{What: "requests are answered then", Within: 6 * timeout, Until: working(50)},
	)
	p.Finally("R1 had led", func(s *Seen) error {
		if _, ok := s.log.entered[1]; !ok {
			return fmt.Errorf("nobody entered view 1")
		}
		return nil
	})
}
