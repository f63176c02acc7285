package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// busy tells all replicas of their processors.
func (k *track) busy(are bool) {
	for id := range k.runners {
		k.step(wire.ReplicaID(id), Measured{Busy: are}) //nolint:gosec // few
	}
}

// spread returns a cluster of which clients ask for one operation at a time, and then wait for
// a time of their own: some come in every tick.
func spread(t *testing.T, clients int) *track {
	t.Helper()
	k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
	for i, a := range k.ask(clients, 1) {
		a.pause = i % 11
	}
	return k
}

// patient lets so many ticks pass that patience has grown, or shrunk, as much as it can.
func (k *track) patient() {
	k.run(int(k.runners[0].r.rationMax())*fraction + 2*crowdTicks)
	k.slowest()
}

// batches returns how many are executed in so many ticks, and how many operations answered.
func (k *track) batches(ticks int) (batches, answered int) {
	before := k.runners[0].r.executed
	answered = k.run(ticks)
	return int(k.runners[0].r.executed - before), answered
}

// TestBusyProcessorsHaveRequestsWaitForCompany: 40 clients come in ones and twos. Where
// processors are busy, they share a third of the batches; none waits for longer than a late
// checkpoint would have it wait, nobody calls that slow, and it ends when they are so no more.
func TestBusyProcessorsHaveRequestsWaitForCompany(t *testing.T) {
	k := spread(t, 40)
	k.patient()
	idle, _ := k.batches(1000)
	alone := k.slowest()

	k.busy(true)
	k.patient()
	shared, answered := k.batches(1000)
	if 3*shared > idle || answered < 1000 {
		t.Errorf("%d batches for %d operations, without company %d", shared, answered, idle)
	}
	if most := int(k.runners[0].r.rationMax()); most == 0 || k.slowest() > alone+most {
		t.Errorf("an operation waited for company for more than %d ticks", most)
	}

	k.busy(false)
	k.patient()
	if after, _ := k.batches(1000); after < idle*9/10 {
		t.Errorf("%d batches when processors were busy no more, %d before they were", after, idle)
	}
	if k.leaves != 0 {
		t.Errorf("the primary is left: %q", k.left)
	}
}

// TestTheNewPrimaryKnowsWhoComes: a view changes while processors are busy, and batches are shared
// as before.
func TestTheNewPrimaryKnowsWhoComes(t *testing.T) {
	k := spread(t, 40)
	k.busy(true)
	k.patient()
	before, _ := k.batches(1000)
	for id, one := range k.runners[:k.cfg.Quorum.Weak()] {
		var fx Effects
		one.r.leave(1, "a test says so", &fx)
		for _, send := range fx.Send {
			k.send(wire.ReplicaID(id), send) //nolint:gosec // few
		}
	}
	k.run(100)
	if view := k.view(); view != 1 {
		t.Fatalf("in view %d", view)
	}
	if after, _ := k.batches(1000); after > before+before/4 {
		t.Errorf("%d batches in view 1, %d in view 0", after, before)
	}
}

// TestNobodyWaitsInVain: where processors are busy, but nobody else is there, or a batch is
// full, or the last one was long ago, a request waits as little as where they are not.
func TestNobodyWaitsInVain(t *testing.T) {
	for name, one := range map[string]struct {
		clients, outstanding, pause int
	}{
		"one client":           {1, 1, 0},
		"one with much to do":  {1, 4, 0},
		"two clients":          {2, 1, 0},
		"full batches":         {40, 16, 0},
		"seldom, all at once":  {40, 1, 60},
		"one client, pausing ": {1, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			waited := map[bool]int{}
			for _, busy := range []bool{false, true} {
				k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 64 })
				for _, a := range k.ask(one.clients, one.outstanding) {
					a.pause = one.pause
				}
				k.busy(busy)
				k.patient()
				if k.run(500) == 0 {
					t.Fatal("nothing is answered")
				}
				waited[busy] = k.slowest()
			}
			if waited[true] > waited[false] {
				t.Errorf("an operation waits %d ticks where processors are busy, %d where they are not", waited[true], waited[false])
			}
		})
	}
}

// TestTheCrowdIsBounded: however many clients are served, no more are counted than fill a batch.
func TestTheCrowdIsBounded(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 8 })
	k.ask(100, 1)
	k.busy(true)
	k.patient()
	for _, one := range k.runners {
		if c := &one.r.company; len(c.served) > 8 || c.crowd != 8 {
			t.Errorf("counts %d, and %d before, want 8 at most", len(c.served), c.crowd)
		}
	}
	if slow := k.slowest(); k.leaves != 0 || slow > 100 {
		t.Errorf("left: %q, an operation waited for %d ticks", k.left, slow)
	}
}
