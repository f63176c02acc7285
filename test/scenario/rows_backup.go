package scenario

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// backupRows are backups that vote twice, or not.
func backupRows() []Scenario {
	return []Scenario{
		{
			Name: "double-prepare", Faulty: "R3 prepares A and B", Stake: "AG ACC",
			Seen: "proof; one digest",
			Sim: func(p *Play) {
				p.Lie(3, "double-prepare")
				p.proven(3)
			},
			Real: lie(3, "double-prepare", served(), exposed(3)),
		},
		{
			Name: "withheld-commits", Faulty: "R3 prepares, and never commits", Stake: "LV SLO",
			Seen: "the others commit at speed",
			Sim: func(p *Play) {
				p.undisturbed("withheld-commits")
			},
			Real: lie(3, "withheld-commits", served(), sameView()),
		},
	}
}

// floodRows are backups that flood the others, with votes or worse.
func floodRows() []Scenario {
	return []Scenario{
		{
			Name: "future-votes", Faulty: "R3 floods votes for the whole window and views up to 2^40", Stake: "MEM",
			Seen: "flat memory",
			Sim: func(p *Play) {
				p.undisturbed("future-votes")
				p.Finally("memory is looked at", func(s *Seen) error { return s.looked("O7 memory") })
			},
			Real: lie(3, "future-votes", served()),
		},
		{
			Name: "bad-signature-flood", Faulty: "R3 floods votes with bad signatures, also under others' names", Stake: "SLO",
			Seen: "bounded loss; R3 not accused of what anyone could have forged",
			Sim: func(p *Play) {
				p.undisturbed("bad-signature-flood")
				p.Finally("nobody opens such votes", func(s *Seen) error { return atLeast("refused frames", s.Counters.Unopened, 1) })
				p.Finally("nobody is accused", func(s *Seen) error { return s.accusedNobody() })
			},
			Real: lie(3, "bad-signature-flood", served(), sameView()),
		},
	}
}

// staleRows are backups whose messages do not belong where they are.
func staleRows() []Scenario {
	return []Scenario{
		{
			Name: "relay-old-votes", Faulty: "R3 repeats genuine messages of earlier numbers and views", Stake: "AG LV",
			Seen: "ignored",
			Sim: func(p *Play) {
				p.undisturbed("relay-old-votes")
				p.Finally("nobody is accused", func(s *Seen) error { return s.accusedNobody() })
			},
			Real: lie(3, "relay-old-votes", served(), sameView()),
		},
		{
			Name: "straddled-epoch", Faulty: "R3 votes as of another epoch, of another cluster, and as a non-member", Stake: "AG",
			Seen: "such votes are not read (membership does not change yet, so no epoch ends)",
			Sim: func(p *Play) {
				p.undisturbed("straddled-epoch")
				p.Finally("nobody opens such votes", func(s *Seen) error { return atLeast("refused frames", s.Counters.Unopened, 1) })
				p.Options.RealSignatures = true
				p.Steps(foreignVotes()...)
			},
			Real: lie(3, "straddled-epoch", served(), sameView()),
		},
		{
			Name: "checkpoint-lies", Faulty: "R3 signs wrong, future and double checkpoints", Stake: "LV MEM ACC",
			Seen: "the others reach stability; the lie is provable",
			Sim: func(p *Play) {
				p.Lie(3, "checkpoint-lies")
				p.Steps(Step{
					What: "R0, R1 and R2 have a stable checkpoint", Within: 2 * timeout,
					Until: func(c *sim.Control) bool {
						return min(c.Replica(0).Stable, c.Replica(1).Stable, c.Replica(2).Stable) >= 8
					},
				})
				p.proven(3)
			},
			Real: lie(3, "checkpoint-lies", served(), sameView(), exposed(3)),
		},
		{
			Name: "decode-bombs", Faulty: "R3 sends lengths of 2^32, cut frames, and messages beyond every bound", Stake: "MEM",
			Seen: "dropped before allocation",
			Sim: func(p *Play) {
				p.undisturbed("decode-bombs")
				p.Steps(defuse()...)
			},
			Real: lie(3, "decode-bombs", served()),
		},
	}
}

// undisturbed lets R3 lie, and requires that the others stay in view 0, at
// half the speed at least.
func (p *Play) undisturbed(strategy string) {
	p.Options.Operations = 150
	fair := p.Options
	p.Lie(3, strategy)
	p.Never("a correct replica leaves view 0", func(c *sim.Control) bool {
		return max(c.Replica(0).View, c.Replica(1).View, c.Replica(2).View) > 0
	})
	p.Finally("at least half the fault-free throughput", func(s *Seen) error {
		fair.Byzantine = nil
		return s.half(fair, 0)
	})
}

// foreignVotes brings votes with R3's own key, but of other domains.
func foreignVotes() []Step {
	return []Step{{
		What: "votes of another epoch, another cluster and a non-member are refused", Within: timeout,
		Until: func(c *sim.Control) bool { return c.Replica(1).Executed > 4 },
		Check: func(c *sim.Control) error {
			vote := wire.Vote{Seq: c.Replica(1).Executed + 1, Sender: 3}
			epoch, cluster := c.Domain(), c.Domain()
			epoch.Epoch++
			cluster.Cluster[0] ^= 1
			stranger := vote
			stranger.Sender = 4
			for what, frame := range map[string][]byte{
				"another epoch":   c.Forge(3, epoch, &wire.Commit{Vote: vote}),
				"another cluster": c.Forge(3, cluster, &wire.Commit{Vote: vote}),
				"a non-member":    c.Forge(3, c.Domain(), &wire.Commit{Vote: stranger}),
			} {
				if err := c.Inject(3, 1, frame); err == nil {
					return fmt.Errorf("a vote of %s is read", what)
				}
			}
			if err := c.Inject(3, 1, c.Forge(3, c.Domain(), &wire.Commit{Vote: vote})); err != nil {
				return fmt.Errorf("a vote of this cluster is not read: %w", err)
			}
			return nil
		},
	}}
}

// looked requires that an oracle looked.
func (s *Seen) looked(oracle string) error {
	for _, v := range s.Oracles {
		if v.Name == oracle {
			return atLeast("checks", v.Checks, 1)
		}
	}
	return fmt.Errorf("there is no oracle %s", oracle)
}

func (s *Seen) accusedNobody() error {
	for id, times := range s.Accused {
		if times > 0 {
			return fmt.Errorf("replica %d is accused", id)
		}
	}
	return nil
}
