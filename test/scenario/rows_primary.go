package scenario

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// primaryRows are primaries that say nothing.
func primaryRows() []Scenario {
	return []Scenario{
		{
			Name: "mute-primary", Faulty: "R0 stops sending", Stake: "LV",
			Seen: "new view within 2T, the first request answered",
			Sim: func(p *Play) {
				p.Lie(0, "mute-primary")
				p.Steps(Step{
					What: "a new view, and the first request answered in it", Within: 2 * timeout,
					Until: func(c *sim.Control) bool { return changed(c) && c.AllAnswered() > 0 },
				})
			},
			Real: lie(0, "mute-primary", newView(1), answersIn(1)),
		},
		{
			Name: "mute-idle-primary", Faulty: "R0 stops sending, with no request outstanding", Stake: "LV",
			Seen: "view change by the missing heartbeat",
			Sim: func(p *Play) {
				p.Options.Operations = 3
				p.Lie(0, "mute-idle-primary")
				p.Steps(
					Step{
						What: "every request is answered", Within: 2 * timeout,
						Until: func(c *sim.Control) bool { return c.AllAnswered() == 6 },
					},
					Step{
						What: "a new view without any request", Within: 3 * timeout,
						Until: func(c *sim.Control) bool { return changed(c) },
					},
				)
			},
			Real: lieIdle(0, "mute-idle-primary", newView(1), served()),
		},
	}
}

// slowRows are primaries that are late.
func slowRows() []Scenario {
	return []Scenario{
		{
			Name: "almost-timeout-primary", Faulty: "R0 delays every proposal by 0.9 T", Stake: "SLO",
			Seen: "demoted within a few checkpoints; at least half the fault-free throughput afterwards",
			Sim:  func(p *Play) { demotion(p, "almost-timeout-primary") },
			Real: lie(0, "almost-timeout-primary", newView(1), answersIn(1)),
		},
		{
			Name: "ramping-primary", Faulty: "R0 delays every proposal, each more than the one before", Stake: "SLO",
			Seen: "demoted; at least half the fault-free throughput afterwards",
			Sim:  func(p *Play) { demotion(p, "ramping-primary") },
			Real: lie(0, "ramping-primary", newView(1), answersIn(1)),
		},
	}
}

// unfairRows are primaries that serve some and not others, or leave the next view to nobody.
func unfairRows() []Scenario {
	return []Scenario{
		{
			Name: "censor-client", Faulty: "R0 leaves out one client and serves the others", Stake: "LV",
			Seen: "the client is served; the view changed although others made progress",
			Sim:  censorClient,
			Real: lie(0, "censor-client", newView(1), answersIn(1)),
		},
		{
			Name: "censor-by-order", Faulty: "R0 lets one client go last, always", Stake: "SLO",
			Seen: "the client's wait is bounded",
			Sim: func(p *Play) {
				p.Options.Operations, p.Options.Clients = 60, 3
				p.Lie(0, "censor-by-order")
				p.Finally("no client waits longer than 3T", func(s *Seen) error { return waits(s, 3*timeout) })
			},
			Real: lie(0, "censor-by-order", served()),
		},
		{
			Name: "dark-replica", Faulty: "R0 keeps R3 in the dark, then the cluster is idle", Stake: "LV LIN",
			Seen: "R3 catches up from R1 and R2; ordered and fast reads complete",
			Sim:  darkReplica,
			Real: lie(0, "dark-replica", served(), everyoneFollows("R3")),
		},
		{
			Name: "silent-successors", Faulty: "R0 is mute, and the next primary opens no view (n = 7)", Stake: "LV",
			Seen: "the view after it, within 2T + 4T",
			Sim: func(p *Play) {
				p.Options.Replicas = 7
				p.Lie(0, "mute-primary")
				p.Lie(1, "silent-successors")
				p.Steps(Step{
					What: "view 2, and an answer in it", Within: 6 * timeout,
					Until: func(c *sim.Control) bool {
						return c.Replica(3).View == 2 && c.Replica(3).Active && c.AllAnswered() > 0
					},
				})
			},
			Real: silentSuccessors,
		},
	}
}

func censorClient(p *Play) {
	p.Options.Operations = 150
	p.Lie(0, "censor-client")
	progress := 0
	p.Steps(
		Step{
			What: "others make progress in view 0, and one client none", Within: 2 * timeout,
			Until: func(c *sim.Control) bool {
				progress = c.AllAnswered()
				return progress >= 5 && min(c.Answered(0), c.Answered(1)) == 0 && c.Replica(1).View == 0
			},
		},
		Step{
			What: "the view changes all the same, and both clients are served", Within: 3 * timeout,
			Until: func(c *sim.Control) bool { return changed(c) && min(c.Answered(0), c.Answered(1)) > 0 },
		},
	)
}

func darkReplica(p *Play) {
	p.Options.Operations, p.Options.Reads, p.Options.FastReads = 20, 0.3, 0.3
	p.Lie(0, "dark-replica")
	p.Steps(
		Step{
			What: "every operation is answered", Within: 10 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() == 40 },
		},
		Step{
			What: "R3 has executed what the others have", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(3).Executed == highest(c) },
		},
	)
	p.Finally("reads were among them, if the application has any", func(s *Seen) error {
		if !p.hasReads() {
			return nil
		}
		return atLeast("reads", s.Counters.Reads, 1)
	})
	p.fastReads()
}

// changed tells whether all replicas but R0 are active in a view after the first.
func changed(c *sim.Control) bool {
	for id := wire.ReplicaID(1); int(id) < c.Replicas(); id++ {
		if g := c.Replica(id); g.View == 0 || !g.Active {
			return false
		}
	}
	return true
}

// demotion lets R0 be slow by a strategy, and compares with a run without.
func demotion(p *Play, strategy string) {
	p.Options.Operations = 400
	fair := p.Options
	fair.Watch, fair.Byzantine = nil, map[wire.ReplicaID]func() adversary.Strategy{}
	p.Lie(0, strategy)
	p.Steps(Step{
		What: "R0 is demoted", Within: 120 * timeout,
		Until: func(c *sim.Control) bool { return changed(c) },
	})
	p.Finally("afterwards at least half the fault-free throughput", func(s *Seen) error {
		at, ok := s.log.entered[1]
		if !ok {
			return fmt.Errorf("nobody entered view 1")
		}
		return s.half(fair, at)
	})
}

// half requires half the throughput of a run with other options, from a time on.
func (s *Seen) half(fair sim.Options, from time.Duration) error {
	log := newRunLog(fair.Clients)
	processes := max(fair.Replicas, 4) + fair.Twins
	fair.Watch = func(m sim.Moment) { log.watch(processes, m) }
	if res := sim.Run(fair); res.Violation != nil {
		return fmt.Errorf("the run without the fault: %w", res.Violation)
	}
	got, want := s.log.rate(from), log.rate(0)/2
	if got < want {
		return fmt.Errorf("%.0f answers a second, want at least %.0f, half of %.0f without the fault", got, want, 2*want)
	}
	return nil
}

// waits requires that no client waits longer than a time for an answer.
func waits(s *Seen, most time.Duration) error {
	for client := range s.log.answers {
		if wait := s.log.longestWait(client); wait > most {
			return fmt.Errorf("client %d waited %s for an answer", client, wait)
		}
	}
	return nil
}

// atLeast requires a count.
func atLeast(what string, got, want int) error {
	if got < want {
		return fmt.Errorf("%d %s, want at least %d", got, what, want)
	}
	return nil
}
