package sim

import (
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// paced are options of a sound network under a steady load.
func paced(operations int) Options {
	return Options{
		Seed: 5, Clients: 4, Operations: operations, Interval: 8, DelayMin: time.Millisecond, DelayMax: 3 * time.Millisecond,
		Turbulence: time.Millisecond,
	}
}

// TestSlowDisksDeposeNoRow holds that requests which wait for a stable checkpoint,
// for there is no room in the window, are not held against the primary: only a few
// find one whose own disk is slower than the others' at a loss.
func TestSlowDisksDeposeNoRow(t *testing.T) {
	const runs, few = 10, 4 // of the sixty timeouts that a run takes
	o := paced(20)
	o.Interval, o.Window, o.BatchRequests, o.Outstanding, o.OpsMax = 1, 2, 1, 4, 1
	o.SnapshotMax = 3 * requestTimeout
	var views wire.View
	for o.Seed = range uint64(runs) {
		res := Run(o)
		if res.Violation != nil {
			t.Errorf("seed %d: %v", o.Seed, res.Violation)
		}
		views += res.Views
	}
	if views > runs*few {
		t.Errorf("got %d views in %d runs, want at most %d in each, on average", views, runs, few)
	}
	o.Seed = 5
	o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{
		0: func() adversary.Strategy { return adversary.CensorClient() },
	}
	if res := Run(o); res.Violation != nil || res.Views == 0 {
		t.Errorf("a censor behind slow disks: got %v, view %d, want a later view", res.Violation, res.Views)
	}
}

// TestByzantineClientsDeposeNobody lets nothing go wrong but clients, with and without
// room in the table of clients.
func TestByzantineClientsDeposeNobody(t *testing.T) {
	for seed := range uint64(30) {
		o := paced(60)
		o.Seed, o.Outlaws, o.Outstanding, o.InFlight, o.BatchRequests = seed, 2, 3, 1+int(seed%3), 1+int(seed%2) //nolint:gosec // small
		o.ClientsMax = o.Clients + int(seed%3)                                                                   //nolint:gosec // small
		o.Turbulence, o.Hasty = time.Minute, true
		if res := Run(o); res.Violation != nil || res.Views > 0 || res.Counters.Suspicions > 0 {
			t.Errorf("seed %d: got %v, view %d, and %d suspicions, want view 0, and none",
				seed, res.Violation, res.Views, res.Counters.Suspicions)
		}
	}
}

// TestSlowPrimaryIsDemoted measures what a primary costs that delays everything to
// just below the timeout: until it is demoted, and after that.
func TestSlowPrimaryIsDemoted(t *testing.T) {
	const operations = 600
	good := Run(paced(operations))
	if good.Violation != nil || good.Views > 0 {
		t.Fatalf("without faults: %v, view %d", good.Violation, good.Views)
	}
	sound := 4 * operations / good.Virtual.Seconds()
	for name, strategy := range map[string]func() adversary.Strategy{
		"almost timeout":  func() adversary.Strategy { return adversary.AlmostTimeoutPrimary(0.9) },
		"below it twice":  func() adversary.Strategy { return adversary.AlmostTimeoutPrimary(0.45) }, // one batch waits for another
		"ramping":         func() adversary.Strategy { return adversary.RampingPrimary(0.01, 0.9) },
		"censor by order": func() adversary.Strategy { return adversary.CensorByOrder(0.8) },
	} {
		o := paced(operations)
		o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{0: strategy}
		answered, demoted, number := 0, time.Duration(0), wire.Seq(0)
		o.Script = func(c *Control) {
			c.When(func() bool { return c.Replica(1).View > 0 && c.Replica(1).Active }, func() {
				demoted, number = c.Now(), c.Replica(1).Executed
				for client := range o.Clients {
					answered += c.Answered(client)
				}
			})
		}
		res := Run(o)
		if res.Violation != nil {
			t.Fatalf("%s: %v", name, res.Violation)
		}
		before := float64(answered) / demoted.Seconds()
		after := float64(4*operations-answered) / (res.Virtual - demoted).Seconds()
		t.Logf("%s: %.0f operations a second without faults, %.0f before it is demoted after %s at number %d, %.0f after that",
			name, sound, before, demoted, number, after)
		if demoted == 0 || number > wire.Seq(12*o.Interval) || after < sound/2 || res.Views > 1 {
			t.Errorf("%s: demoted after %s, at number %d, in view %d; %.0f operations a second after that, want %.0f at least",
				name, demoted, number, res.Views, after, sound/2)
		}
	}
}
