package scenario

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// clientRows are clients, and strangers, that misbehave.
func clientRows() []Scenario {
	return []Scenario{
		{
			Name: "partial-client", Faulty: "a client sends to one backup only", Stake: "LV",
			Seen: "forwarded, executed, no view change",
			Sim: func(p *Play) {
				p.Steps(
					Step{Then: func(c *sim.Control) { c.Reach(0, 2) }},
					Step{
						What: "the client is served", Within: 10 * timeout,
						Until: func(c *sim.Control) bool { return c.Answered(0) == 40 },
					},
				)
				p.Never("a view changes", func(c *sim.Control) bool {
					return !everyone(c, func(g sim.Glimpse) bool { return g.View == 0 })
				})
			},
			Real: realPartialClient,
		},
		{
			Name: "weak-key-client", Faulty: "a client registers a small-order key, with which anybody can sign anything", Stake: "VA ACC",
			Seen: "refused",
			Sim: func(p *Play) {
				p.Options.RealSignatures = true
				p.Steps(Step{
					What: "requests of weak keys are refused", Within: timeout,
					Until: func(c *sim.Control) bool { return c.AllAnswered() > 4 },
					Check: func(c *sim.Control) error {
						for i, frame := range weakRequests() {
							if err := c.Submit(1, frame); err == nil {
								return fmt.Errorf("the request of weak key %d is read", i)
							}
						}
						return nil
					},
				})
			},
			Real: realWeakKeys,
		},
	}
}

// floodingRows are clients, and strangers, that ask too much, or again.
func floodingRows() []Scenario {
	return []Scenario{
		{
			Name:   "replaying-outsider",
			Faulty: "captured requests come again after garbage collection, restart and transfer; R0 proposes them again too",
			Stake:  "EO",
			Seen:   "none executes again",
			Sim:    replayingOutsider,
			Real:   realReplays,
		},
		{
			Name: "greedy-client", Faulty: "a client floods requests, with operations as large as allowed, and larger", Stake: "SLO MEM",
			Seen: "the others' wait is bounded; no view change",
			Sim:  greedyClient,
			Real: realGreedy,
		},
		{
			Name: "mutating-read", Faulty: "writes flagged as reads", Stake: "LIN",
			Seen: "refused, state unchanged",
			Sim:  mutatingRead,
			Real: realMutatingRead,
		},
	}
}

// coalitionRows are more liars than any order survives.
func coalitionRows() []Scenario {
	return []Scenario{{
		Name: "coalition", Faulty: "f+1 replicas, R0 and R1, break agreement on purpose", Stake: "ACC",
		Seen: "agreement breaks, as it must; at least f+1 culprits are proven",
		Sim: func(p *Play) {
			p.Options.Excess, p.Options.Operations = true, 5
			p.Options.Patience = 8 * timeout
			both := adversary.NewCoalition(0, 1)
			for _, id := range []wire.ReplicaID{0, 1} {
				p.Lie(id, "coalition")
				p.Options.Byzantine[id] = both.Strategy
			}
			p.proven(0, 1)
			p.Finally("agreement is broken", func(s *Seen) error {
				for _, v := range s.Oracles {
					if v.Name == "O1 agreement" && v.Err == nil {
						return fmt.Errorf("all agree: the coalition does not work")
					}
				}
				return nil
			})
		},
		WhyNotReal: "it destroys the cluster, and with it what a real run is judged by; the simulator keeps what each one said",
	}}
}

// weakKeys are points of small order: whoever has none of their private keys, for
// there is none, can sign for them.
func weakKeys() []crypto.PublicKey {
	var identity, order2, order4, other4 crypto.PublicKey
	identity[0] = 1
	for i := range order2 {
		order2[i] = 0xff
	}
	order2[0], order2[len(order2)-1] = 0xec, 0x7f
	other4[len(other4)-1] = 0x80
	return []crypto.PublicKey{identity, order2, order4, other4}
}

// weakRequests returns requests that fulfil the equation of a signature, as the
// equation is cofactored: R is the neutral element and S is 0.
func weakRequests() [][]byte {
	var frames [][]byte
	for _, key := range weakKeys() {
		m := &wire.Request{Client: key, Session: 1, Number: 1, Ops: [][]byte{kv.Put("weak", []byte("1"))}}
		m.Signature[0] = 1
		frames = append(frames, wire.Encode(m))
	}
	return frames
}

func replayingOutsider(p *Play) {
	p.bigState()
	p.Lie(0, "replay-requests") // or nobody would order what replicas know
	p.Options.Operations = 120
	repeat := func(c *sim.Control) {
		for _, frame := range c.Captured() {
			for id := range wire.ReplicaID(4) {
				if err := c.Submit(id, frame); err != nil {
					c.Fail("a captured request is not read: %v", err)
				}
			}
		}
	}
	p.Steps(
		Step{
			What: "requests are collected as garbage, and come again", Within: 6 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(0).Stable >= 12 },
			Then: func(c *sim.Control) {
				repeat(c)
				c.Crash(1)
				c.Isolate(3)
			},
		},
		Step{
			Within: timeout,
			Then:   func(c *sim.Control) { c.Restart(1) },
		},
		Step{
			What: "R1 has restarted, and they come again", Within: 12 * timeout,
			Until: func(c *sim.Control) bool { return c.Replica(1).Executed == highest(c) && c.Replica(1).Stable >= 36 },
			Then: func(c *sim.Control) {
				repeat(c)
				c.Heal()
			},
		},
		Step{
			What: "R3 has fetched the state, and they come again", Within: 12 * timeout,
			Until: func(c *sim.Control) bool { return c.Counters().Transfers > 0 && c.Replica(3).Executed >= 36 },
			Then:  repeat,
		},
	)
}

// The flood of a greedy client: so many requests, every so often.
const (
	floodRequests = 50
	floodRounds   = 40
	floodBytes    = 2 << 10
)

func greedyClient(p *Play) {
	p.Options.Operations = 120
	flooded := 0
	p.Steps(
		Step{
			What: "an operation over the limit is refused", Within: timeout,
			Until: func(c *sim.Control) bool { return c.AllAnswered() > 2 },
			Check: func(c *sim.Control) error {
				limit := wire.DefaultLimits(4).OpBytesMax
				m := &wire.Request{Session: 1, Number: 1, Ops: [][]byte{make([]byte, limit+1)}}
				if err := c.Submit(0, c.Request(0, m)); err == nil {
					return fmt.Errorf("an operation of %d bytes is read", limit+1)
				}
				return nil
			},
			Then: func(c *sim.Control) { flood(c, 0, &flooded) },
		},
		Step{
			What: "the flood is over, and the others are served in it", Within: 8 * timeout,
			Until: func(c *sim.Control) bool { return flooded == floodRounds*floodRequests && c.AllAnswered() >= 60 },
		},
	)
	p.Finally("nobody else waits longer than T", func(s *Seen) error { return waits(s, timeout) })
	p.Never("the flood deposes a primary", func(c *sim.Control) bool {
		return !everyone(c, func(g sim.Glimpse) bool { return g.View == 0 })
	})
}

// flood submits a round of requests, and schedules the next.
func flood(c *sim.Control, round int, flooded *int) {
	if round == floodRounds {
		return
	}
	value := bytes.Repeat([]byte{'g'}, floodBytes)
	for i := range floodRequests {
		number := wire.Number(round*floodRequests + i + 1) //nolint:gosec // small
		m := &wire.Request{Session: 1, Number: number, Ops: [][]byte{kv.Put("greed", value)}}
		if err := c.Submit(wire.ReplicaID(i%4), c.Request(0, m)); err != nil { //nolint:gosec // small
			c.Fail("a request of the flood is not read: %v", err)
			return
		}
		*flooded++
	}
	c.At(c.Now()+timeout/50, func() { flood(c, round+1, flooded) })
}

// mutatingRead has clients ask writes as reads, of a store that watches its key.
func mutatingRead(p *Play) {
	attempts, changed := 0, false
	p.Options.Reads, p.Options.Operations = 0.5, 60
	p.Options.Machine = func() app.StateMachine { return watchful{attempts: &attempts, changed: &changed} }
	p.Options.Operation = func(rng *rand.Rand, client, i int) []byte {
		return kv.Put(fmt.Sprint("k", rng.IntN(4)), fmt.Append(nil, client, i))
	}
	p.Options.Query = func(*rand.Rand, int, int) []byte { return kv.Put(forbidden, []byte("changed")) }
	p.Finally("reads tried to write", func(*Seen) error { return atLeast("attempts", attempts, 1) })
	p.Finally("the state is unchanged by them", func(*Seen) error {
		if changed {
			return fmt.Errorf("a write flagged as a read took effect")
		}
		return nil
	})
}

// forbidden is the key that only reads write.
const forbidden = "forbidden"

// watchful is a key-value store that notices what reads do.
type watchful struct {
	kv.Machine

	attempts *int
	changed  *bool
}

// Execute looks whether the key is there, first.
func (m watchful) Execute(tx *app.Tx, op []byte) []byte {
	if _, there := tx.Get(forbidden); there {
		*m.changed = true
	}
	return m.Machine.Execute(tx, op)
}

// Query counts.
func (m watchful) Query(tx *app.Tx, op []byte) []byte {
	*m.attempts++
	return m.Machine.Execute(tx, op)
}
