package adversary_test

import (
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// runsMax is in how many simulated runs a strategy must have lied at least once.
const runsMax = 6

// staged returns the options of a run in which one replica plays a strategy. The
// network makes views change, and the last replica is cut off for long enough
// that it needs the state.
func staged(seed uint64, entry adversary.Entry) (sim.Options, wire.ReplicaID) {
	liar := wire.ReplicaID(0)
	switch entry.Name {
	case "one-voice-newview", "stale-newview", "wrong-choice-newview", "silent-successors", "hidden-certificate":
		liar = 1 // the primary that comes next
	case "double-prepare":
		liar = 2
	}
	fastReads := map[bool]float64{entry.Name == "stale-reads": 0.5}[true]
	return sim.Options{
		Seed: seed, Clients: 3, Operations: 8, Outstanding: 2, Interval: 2, Window: 6, InFlight: 3, BatchRequests: 2,
		Loss: 0.05, OutageMax: time.Second, Turbulence: 4 * time.Second, ArchiveBytes: 1,
		FastReads: fastReads,
		Byzantine: map[wire.ReplicaID]func() adversary.Strategy{liar: entry.New},
		Script: func(c *sim.Control) {
			c.At(20*time.Millisecond, func() { c.Isolate(3) })
			c.At(1200*time.Millisecond, c.Heal)
			c.At(1400*time.Millisecond, func() { c.Isolate(0) })
			c.At(3*time.Second, c.Heal)
		},
	}, liar
}

func TestNoStrategyBreaksAProperty(t *testing.T) {
	for _, entry := range adversary.Catalogue() {
		notes := 0
		for seed := range uint64(runsMax) {
			o, liar := staged(seed, entry)
			r := sim.Run(o)
			if r.Violation != nil {
				t.Errorf("%s as replica %d: %v", entry.Name, liar, r.Violation)
			}
			for _, n := range r.Notes {
				if n.Replica == liar {
					notes++
				}
			}
			if notes > 0 {
				break
			}
		}
		if notes == 0 {
			t.Errorf("%s: the replica told of no lie in %d runs", entry.Name, runsMax)
		}
	}
}

// TestCoalitionBreaksAgreement is the reason for n ≥ 3f+1: of more than f liars
// the protocol promises only that they are found.
func TestCoalitionBreaksAgreement(t *testing.T) {
	c := adversary.NewCoalition(0, 3)
	r := sim.Run(sim.Options{
		Seed: 1, Operations: 5, Excess: true, Turbulence: time.Second, Patience: time.Second,
		Byzantine: map[wire.ReplicaID]func() adversary.Strategy{0: c.Strategy, 3: c.Strategy},
	})
	if r.Violation != nil {
		t.Error(r.Violation)
	}
	for _, v := range r.Oracles {
		if v.Name == "O1 agreement" && v.Err != nil {
			return
		}
	}
	t.Errorf("f+1 liars did not break agreement: %+v", r.Oracles)
}
