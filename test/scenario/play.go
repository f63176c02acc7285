package scenario

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// timeout is T, the request timeout of the simulator.
const timeout = 500 * time.Millisecond

// Play is one simulated run of a scenario: what Scenario.Sim fills in.
type Play struct {
	// Options are those of the run; they begin as a calm cluster of four with two
	// clients.
	Options sim.Options

	store  bool // the run is about the key-value store, also where it names no machine
	roles  map[wire.ReplicaID]string
	chains [][]*act
	nevers []*never
	finals []*final
	log    runLog
}

// Step is a part of a script. It ends when Until holds, which must be within
// Within, or, without Until, after Within, or at once. Then Check must return nil,
// Then happens, and the next step begins.
type Step struct {
	// What says what must happen, for the report; a step without it is not told.
	What   string
	Within time.Duration
	Until  func(c *sim.Control) bool
	Check  func(c *sim.Control) error
	Then   func(c *sim.Control)
}

// act is a step, and how it went.
type act struct {
	Step

	held bool
	at   time.Duration
	err  error
}

// never is what must not happen.
type never struct {
	what string
	cond func(c *sim.Control) bool
	err  error
}

// final is what must hold of the whole run.
type final struct {
	what  string
	check func(*Seen) error
}

// Seen is a finished run, for what must hold of it as a whole.
type Seen struct {
	sim.Result

	log *runLog
}

func newPlay(seed uint64) *Play {
	return &Play{
		Options: sim.Options{
			Seed: seed, Replicas: 4, Clients: 2, Operations: 40, Outstanding: 1, Interval: 4, Window: 8, InFlight: 2,
			DelayMin: time.Millisecond, DelayMax: 5 * time.Millisecond, Turbulence: time.Millisecond,
			Byzantine: map[wire.ReplicaID]func() adversary.Strategy{},
		},
		roles: map[wire.ReplicaID]string{},
	}
}

// Lie lets a replica play a strategy of the adversary's catalogue. It must be
// seen to do so.
func (p *Play) Lie(id wire.ReplicaID, strategy string) {
	if entry, ok := adversary.Find(strategy); ok {
		p.Options.Byzantine[id] = entry.New
	}
	p.roles[id] = strategy
	p.Finally(fmt.Sprintf("R%d really plays %s", id, strategy), func(s *Seen) error {
		if p.Options.Byzantine[id] == nil {
			return fmt.Errorf("the adversary has no strategy %s", strategy)
		}
		if s.log.noted[id] == 0 {
			return fmt.Errorf("replica %d did nothing wrong", id)
		}
		return nil
	})
}

// scriptMax bounds how long a script may take.
const scriptMax = 5 * time.Minute

// Steps adds a script. It begins at once, beside other scripts.
func (p *Play) Steps(steps ...Step) {
	var chain []*act
	for _, s := range steps {
		chain = append(chain, &act{Step: s})
	}
	p.chains = append(p.chains, chain)
	p.Options.Turbulence = scriptMax
}

// Never makes it a failure if cond holds after any event.
func (p *Play) Never(what string, cond func(c *sim.Control) bool) {
	p.nevers = append(p.nevers, &never{what: what, cond: cond})
}

// Finally makes it a failure if check returns an error at the end.
func (p *Play) Finally(what string, check func(*Seen) error) {
	p.finals = append(p.finals, &final{what: what, check: check})
}

// script is the whole script of the run.
func (p *Play) script(c *sim.Control) {
	for _, n := range p.nevers {
		c.When(func() bool { return n.cond(c) }, func() {
			n.err = fmt.Errorf("it happened at %s", c.Now())
			c.Fail("never: %s", n.what)
		})
	}
	for _, chain := range p.chains {
		p.next(c, chain)
	}
}

// next begins the first step of what is left of a chain.
func (p *Play) next(c *sim.Control, chain []*act) {
	if len(chain) == 0 {
		if p.played() {
			c.Calm()
		}
		return
	}
	a, began := chain[0], c.Now()
	if a.Until == nil && a.Within == 0 { // before anything else happens
		a.held = true
		a.Then(c)
		p.next(c, chain[1:])
		return
	}
	until, within := a.Until, a.Within
	if until == nil {
		until = func(c *sim.Control) bool { return c.Now() >= began+a.Within }
		within += time.Second
	}
	c.When(func() bool { return until(c) }, func() {
		a.held, a.at = true, c.Now()
		if a.Check != nil {
			if a.err = a.Check(c); a.err != nil {
				a.held = false
				c.Fail("%s: %v", a.What, a.err)
				return
			}
		}
		if a.Then != nil {
			a.Then(c)
		}
		p.next(c, chain[1:])
	})
	c.Expect(a.What, within, func() bool { return a.held })
}

// played tells whether every step of every chain is done.
func (p *Play) played() bool {
	for _, chain := range p.chains {
		for _, a := range chain {
			if !a.held {
				return false
			}
		}
	}
	return true
}

// everyone tells whether cond holds of every replica.
func everyone(c *sim.Control, cond func(g sim.Glimpse) bool) bool {
	for id := range wire.ReplicaID(c.Replicas()) { //nolint:gosec // a cluster is small
		if !cond(c.Replica(id)) {
			return false
		}
	}
	return true
}

// highest returns the highest number that a replica has executed.
func highest(c *sim.Control) wire.Seq {
	var most wire.Seq
	for id := range wire.ReplicaID(c.Replicas()) { //nolint:gosec // a cluster is small
		most = max(most, c.Replica(id).Executed)
	}
	return most
}
