package scenario

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// viewChangeRows are lies about views. Where a view must change first, R0 stops
// for a while.
func viewChangeRows() []Scenario {
	return []Scenario{
		{
			Name: "view-change-spam", Faulty: "R3 asks for v+1, v+2, … all the time", Stake: "LV SLO",
			Seen: "no view change by f; constant memory per sender",
			Sim:  func(p *Play) { p.undisturbed("view-change-spam") },
			Real: lie(3, "view-change-spam", served(), sameView()),
		},
		{
			Name: "false-alarm", Faulty: "R3 says that it lost the primary, and others' connections flap", Stake: "LV SLO",
			Seen: "no view change by f and whoever lost a connection for a moment",
			Sim:  falseAlarm,
			Real: lie(3, "false-alarm", served(), sameView()),
		},
		{
			Name: "hidden-certificate", Faulty: "R3's ViewChange omits what it prepared", Stake: "AG ACC",
			Seen: "the committed batch survives; its own Commit convicts it",
			Sim: func(p *Play) {
				p.Lie(3, "hidden-certificate")
				p.pausePrimary(1)
				p.proven(3)
			},
			Real: liePaused(3, "hidden-certificate", newView(1), answersIn(1), exposed(3)),
		},
		{
			Name: "inflated-certificate", Faulty: "R3 claims a higher prepared view with a bad certificate", Stake: "AG",
			Seen: "the message is dropped whole",
			Sim: func(p *Play) {
				p.Lie(3, "inflated-certificate")
				p.pausePrimary(1)
				p.Finally("nobody takes it", func(s *Seen) error {
					return atLeast("refusals", s.Counters.Unopened+s.log.refused["R3"], 1)
				})
			},
			Real: liePaused(3, "inflated-certificate", newView(1), answersIn(1)),
		},
	}
}

// newViewRows are lies of a new primary.
func newViewRows() []Scenario {
	return []Scenario{
		{
			Name: "one-voice-newview", Faulty: "R1, the new primary, repeats its own ViewChange q times", Stake: "AG",
			Seen: "refused, next view",
			Sim: func(p *Play) {
				p.Lie(1, "one-voice-newview")
				p.pausePrimary(2)
				p.refusesView(1)
			},
			Real: liePaused(1, "one-voice-newview", newView(2), answersIn(2)),
		},
		{
			Name: "stale-newview", Faulty: "R1's NewView names ViewChanges of another view, cluster, or of a non-member", Stake: "AG",
			Seen: "refused",
			Sim: func(p *Play) {
				p.Lie(1, "stale-newview")
				p.pausePrimary(2)
				p.refusesView(1)
			},
			Real: liePaused(1, "stale-newview", newView(2), answersIn(2)),
		},
		{
			Name: "wrong-choice-newview", Faulty: "R1's NewView drops, changes or nulls one entry, or starts too high", Stake: "AG ACC",
			Seen: "refused by all at once; evidence",
			Sim: func(p *Play) {
				p.Lie(1, "wrong-choice-newview")
				p.pausePrimary(2)
				p.refusesView(1)
				p.proven(1)
			},
			Real: liePaused(1, "wrong-choice-newview", newView(2), answersIn(2), exposed(1)),
		},
		{
			Name: "lone-preparer", Faulty: "only R1 prepared; R0 crashes, R1 is isolated, then heals", Stake: "AG",
			Seen: "one outcome everywhere; R1 follows it",
			Sim:  lonePreparer,
			Real: realLonePreparer,
		},
	}
}

// falseAlarm lets the connections of one correct replica after the other break, beside
// the liar's word.
func falseAlarm(p *Play) {
	p.Options.Breaks = 1
	p.undisturbed("false-alarm")
	var flaps []Step
	for i := range 20 {
		flaps = append(flaps, Step{
			Within: timeout / 10,
			Then:   func(c *sim.Control) { c.Flap(wire.ReplicaID(1+i%2), 0, timeout/20) }, //nolint:gosec // 1 or 2
		})
	}
	p.Steps(flaps...)
	p.Finally("connections broke", func(s *Seen) error { return atLeast("of them", s.Counters.Unlinked, 1) })
}

// pausePrimary stops R0 for a while in the middle of the load, and requires that
// a view from view up serves requests.
func (p *Play) pausePrimary(view wire.View) {
	p.Options.Operations = 150
	before := 0
	p.Steps(
		Step{
			What: "R0 stops, in the middle of the load", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() >= 20 && midway(c) },
			Then:  func(c *sim.Control) { c.Pause(0, 3*timeout) },
		},
		Step{
			What: fmt.Sprintf("view %d, or a later one, opens", view), Within: 12 * timeout,
			Until: func(c *sim.Control) bool {
				before = c.AllAnswered()
				return c.Replica(2).View >= view && c.Replica(2).Active
			},
		},
		Step{
			What: "it serves requests", Within: 4 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() > before },
		},
	)
}

// midway tells whether all replicas have prepared, and not executed, a number
// between two checkpoints, so that their view changes have something to carry.
func midway(c *sim.Control) bool {
	g := c.Replica(3)
	return g.Prepared%4 == 2 && g.Prepared > g.Executed
}

// refusesView requires that no correct replica ever enters a view.
func (p *Play) refusesView(view wire.View) {
	p.Never(fmt.Sprintf("a correct replica enters view %d", view), func(c *sim.Control) bool {
		for id := range wire.ReplicaID(c.Replicas()) { //nolint:gosec // a cluster is small
			if g := c.Replica(id); p.Options.Byzantine[id] == nil && g.View == view && g.Active {
				return true
			}
		}
		return false
	})
}

// lonePreparer lets R1 alone learn that a batch prepared.
func lonePreparer(p *Play) {
	p.Options.Operations = 60
	var at wire.Seq
	p.Steps(
		Step{
			What: "the cluster works", Within: 2 * timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() >= 10 },
			Then: func(c *sim.Control) {
				for _, id := range []wire.ReplicaID{0, 2, 3} {
					c.Block(id, wire.KindPrepare, wire.KindCommit)
				}
				at = highest(c) + 3 // above what may be prepared already
			},
		},
		Step{
			What: "R1 alone has prepared", Within: timeout,
			Until: func(c *sim.Control) bool { return c.Replica(1).Prepared > alone(c) },
			Check: func(c *sim.Control) error {
				if at = c.Replica(1).Prepared; c.Replica(1).Committed >= at {
					return fmt.Errorf("%d has committed already", at)
				}
				return nil
			},
			Then: func(c *sim.Control) {
				c.Crash(0)
				c.Heal()
				c.Isolate(1)
			},
		},
		Step{
			Within: timeout,
			Then:   func(c *sim.Control) { c.Restart(0) },
		},
		Step{
			What: "R0, R2 and R3 decide on that number without R1", Within: 12 * timeout,
			Until: func(c *sim.Control) bool {
				return min(c.Replica(0).Executed, c.Replica(2).Executed, c.Replica(3).Executed) >= at
			},
			Then: func(c *sim.Control) { c.Heal() },
		},
		Step{
			What: "R1 follows", Within: 6 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(1).Executed >= at },
		},
	)
}

// alone returns the highest number that a replica other than R1 has prepared.
func alone(c *sim.Control) wire.Seq {
	return max(c.Replica(0).Prepared, c.Replica(2).Prepared, c.Replica(3).Prepared)
}
