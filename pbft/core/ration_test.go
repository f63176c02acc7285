package core

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// slowest returns how long the slowest operation of all clients waited, and begins anew.
func (k *track) slowest() int {
	most := 0
	for _, a := range k.askers {
		most, a.slowest = max(most, a.slowest), 0
	}
	return most
}

// newRationed returns a cluster with default windows whose checkpoints take so many ticks.
func newRationed(t *testing.T, writing func() int) *track {
	t.Helper()
	k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
	k.writing = writing
	return k
}

// TestLateCheckpointsStopNobody: replicas take up to four times as long to write a checkpoint
// as clients with little to do take to use up the numbers that are open meanwhile. Their
// requests share batches then, and wait a little for that; none waits for a checkpoint.
func TestLateCheckpointsStopNobody(t *testing.T) {
	const alone = 7 // ticks that an operation takes where nothing is rationed, at the most
	for _, late := range []int{0, 60, 128, 200, 400, 550} {
		t.Run(fmt.Sprintf("%d ticks", late), func(t *testing.T) {
			k := newRationed(t, func() int { return late })
			k.ask(12, 1)
			for k.runners[0].r.low == 0 { // how long the first will take nobody knows
				k.run(1)
			}
			k.run(2 * alone)
			k.slowest()
			k.sound(3000)
			most := k.slowest()
			if ration := int(k.runners[0].r.rationMax()); most > alone+ration {
				t.Errorf("an operation waited for %d ticks, want at most %d and a ration of %d", most, alone, ration)
			}
			if low := k.runners[0].r.low; low < 256 {
				t.Errorf("only %d is stable, which shows little", low)
			}
		})
	}
}

// TestSurpriseStopsNobodyForLong: among checkpoints that take a tenth of a second one takes
// twice as long as the numbers last, and one much longer. That costs a pause, but a shorter one.
func TestSurpriseStopsNobodyForLong(t *testing.T) {
	for late, pause := range map[int]int{200: 12, 350: 120} { // 64 and 213 without rationing
		k := newRationed(t, nil)
		k.writing = func() int {
			if seq := k.runners[0].r.executed; seq >= 512 && seq < 640 {
				return late
			}
			return 10
		}
		k.ask(12, 1)
		k.sound(2000)
		if most := k.slowest(); most > pause {
			t.Errorf("with a checkpoint of %d ticks an operation waited for %d, want at most %d", late, most, pause)
		}
	}
}

// TestNobodyIsSlowedWhereNumbersSuffice: one client, whose operations take 4 ms, uses 75
// numbers while a checkpoint is written, of the 128 that it has.
func TestNobodyIsSlowedWhereNumbersSuffice(t *testing.T) {
	for _, late := range []int{20, 100, 300} {
		k := newRationed(t, func() int { return late })
		k.ask(1, 1)
		k.runIn(10, 2000)
		k.slowest()
		if n, most := k.runIn(10, 12000), k.slowest(); n < 2990 || most > 5 {
			t.Errorf("with checkpoints of %d ms %d operations are answered in 12 s, the slowest after %d ms, want 3000 and 4",
				late, n, most)
		}
	}
}

// TestRation has a checkpoint that was begun some ticks ago, and so many numbers left.
func TestRation(t *testing.T) {
	for _, c := range []struct {
		elapsed, took uint64
		left          wire.Seq
		want          uint64
	}{
		{elapsed: 0, took: 0, left: 1, want: 0},
		{elapsed: 10, took: 0, left: 21, want: 0},
		{elapsed: 10, took: 0, left: 20, want: 1},
		{elapsed: 10, took: 0, left: 7, want: 2},
		{elapsed: 10, took: 0, left: 1, want: 5}, // no more than half of PaceTicks
		{elapsed: 10, took: 8, left: 10, want: 2},
		{elapsed: 10, took: 40, left: 41, want: 0},
		{elapsed: 10, took: 40, left: 40, want: 1},
		{elapsed: 45, took: 40, left: 5, want: 1},
		{elapsed: 50, took: 40, left: 50, want: 2},
		{elapsed: 0, took: 400, left: 126, want: 3},
	} {
		k := newRationed(t, nil)
		r := k.runners[0].r
		r.tick, r.low, r.executed, r.late.took = 1000, 512, 650, c.took
		r.late.begin(640, r.tick-c.elapsed)
		r.next = r.high() + 1 - c.left
		if got := r.ration(); got != c.want {
			t.Errorf("%+v: got a ration of %d ticks", c, got)
		}
		if r.executed = 639; r.ration() != 0 {
			t.Errorf("%+v: it is rationed before the checkpoint is begun", c)
		}
	}
}

// TestRationIsBounded by what lets a client wait, and by what is left of that.
func TestRationIsBounded(t *testing.T) {
	for _, c := range []struct {
		timeout, pace, agreement int
		want                     uint64
	}{
		{100, 10, 1, 5}, {100, 40, 1, 6}, {100, 100, 9, 4}, {100, 10, 25, 0}, {100, 10, 60, 0}, {2, 1, 1, 0}, {1600, 200, 390, 2},
	} {
		k := newTrack(t, func(cfg *Config) { cfg.RequestTicks, cfg.PaceTicks = c.timeout, c.pace })
		r := k.runners[0].r
		r.pace.agreement = c.agreement * fraction
		if got := r.rationMax(); got != c.want {
			t.Errorf("%+v: got at most %d ticks", c, got)
		}
	}
}

// TestFullBatchesAreNotRationed, also where none may be opened before its time otherwise.
func TestFullBatchesAreNotRationed(t *testing.T) {
	k := newRationed(t, nil)
	r := k.runners[0].r
	r.tick, r.executed, r.next, r.proposed = 1000, 200, 256, 999
	r.late.begin(128, 500)
	if ration := r.ration(); ration < 2 {
		t.Fatalf("a ration is %d ticks, which shows nothing", ration)
	}
	for _, c := range []struct {
		waiting, bytes int
		want           bool
	}{
		{r.cfg.BatchRequestsMax - 1, r.cfg.BatchBytesMax - 1, false},
		{r.cfg.BatchRequestsMax, 1, true},
		{1, r.cfg.BatchBytesMax, true},
	} {
		r.pool.waiting, r.pool.waitingBytes = c.waiting, c.bytes
		if got := r.worthwhile(); got != c.want {
			t.Errorf("that a batch of %d requests with %d bytes is opened is %v", c.waiting, c.bytes, got)
		}
	}
}

// TestRationingDeposesNobody: messages take almost a twelfth of a long request timeout, and
// checkpoints so long that windows are almost full all the time.
func TestRationingDeposesNobody(t *testing.T) {
	for seed := range uint64(3) {
		k := newTrack(t, func(c *Config) {
			c.RequestTicks, c.PaceTicks, c.HeartbeatTicks, c.Interval, c.Window, c.InFlight = 1600, 200, 1280, 8, 64, 16
		})
		k.rng = rand.New(rand.NewPCG(seed, 1))
		k.writing = func() int { return 4000 }
		k.delay = func(wire.ReplicaID, wire.ReplicaID, wire.Message) int { return 131 }
		clients := k.ask(60, 1)
		for range 20 {
			for range 1600 {
				for _, a := range clients {
					if a.idle == 0 {
						a.pause = k.rng.IntN(1600)
					}
				}
				k.run(1)
			}
		}
		if k.leaves > 0 {
			t.Errorf("seed %d: views were left: %q", seed, k.left)
		}
	}
}
