package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// returns has replica 3 be cut off from the beginning until the others have executed some
// ninety batches, and then wait for nothing but what it missed. carry tells how many ticks
// something takes to it, or from it. It returns how many batches it missed, and how many ticks it took
// to have them, or as many as may be.
func (k *track) returns(carry func(from, to wire.ReplicaID, m wire.Message) int, most int) (missed, took int) {
	k.t.Helper()
	off := true
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		switch {
		case off && (from == 3) != (to == 3):
			return -1
		case to != 3 && from != 3:
			return 1
		}
		return carry(from, to, m)
	}
	clients := k.ask(8, 2)
	k.run(80)
	for _, a := range clients {
		a.pause = 1 << 20
	}
	k.run(5)
	off = false
	missed = int(k.runners[0].r.executed - k.runners[3].r.executed) //nolint:gosec // few
	if missed < 80 {
		k.t.Fatalf("replica 3 missed %d batches", missed)
	}
	for k.runners[3].r.executed < k.runners[0].r.executed && took < most {
		k.run(1)
		took++
	}
	return missed, took
}

// slowWay takes some ticks for each batch to replica 3, whoever sends it.
type slowWay struct{ ticks, free, batches int }

// carry tells how many ticks after now something gets through.
func (l *slowWay) carry(now int, to wire.ReplicaID, m wire.Message) int {
	if to != 3 {
		return 1
	}
	l.free = max(l.free, now)
	if kind := m.Kind(); kind == wire.KindCommitted || kind == wire.KindPrePrepare {
		l.batches++
		l.free += l.ticks
	}
	return l.free - now + 1
}

// TestASlowLineCarriesWhatWasMissedFewTimes has a replica come back behind a line that carries
// one batch in so many ticks, all that comes in a row, whoever sends it.
func TestASlowLineCarriesWhatWasMissedFewTimes(t *testing.T) {
	for ticks, times := range map[int]int{1: 2, 2: 3, 4: 3, 8: 5, 16: 8} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
		line := slowWay{ticks: ticks}
		missed, took := k.returns(func(_, to wire.ReplicaID, m wire.Message) int {
			return line.carry(k.tick, to, m)
		}, 20_000)
		if batches := line.batches; batches > times*missed || took > times*missed*ticks {
			t.Errorf("%d ticks each: for %d batches %d came, in %d ticks, want no more than %d times as many",
				ticks, missed, batches, took, times)
		}
	}
}

// TestWhoAnswersSlowlyOnPurposeHoldsUpLittle has one replica give what it is asked for one
// batch after the other, each just before it would be given up.
func TestWhoAnswersSlowlyOnPurposeHoldsUpLittle(t *testing.T) {
	for liar := range wire.ReplicaID(3) {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
		free := 0
		missed, took := k.returns(func(from, _ wire.ReplicaID, m wire.Message) int {
			switch kind := m.Kind(); {
			case kind == wire.KindPrePrepare, kind == wire.KindPrepare, kind == wire.KindCommit:
				return -1 // it is to catch up, and nothing else
			case kind == wire.KindCommitted && from == liar:
				free = max(free, k.tick) + k.cfg.CatchUpTicks - 1
				return free - k.tick
			}
			return 1
		}, 1000)
		if took > 10*k.cfg.CatchUpTicks {
			t.Errorf("R%d is slow: %d batches took %d ticks", liar, missed, took)
		}
	}
}

// TestABrokenConnectionEndsItsQuestion has a replica that catches up wait long for an answer,
// for nobody gives one, and lose the connection that it would come on: it asks another one
// when it would have asked the first time. It waits as it did then once a connection is up
// after more were lost than liars can have closed.
func TestABrokenConnectionEndsItsQuestion(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
	r := k.runners[3].r
	_, took := k.returns(func(from, _ wire.ReplicaID, m wire.Message) int {
		if from == r.catchUp.question.asked && m.Kind() == wire.KindCommitted && r.catchUp.question.vain < 9 {
			return -1
		}
		if m.Kind() == wire.KindPrePrepare {
			return -1
		}
		return 1
	}, 200)
	q := &r.catchUp.question
	if took < 200 || !q.open || q.vain < 6 || r.waits() < 4*uint64(k.cfg.CatchUpTicks) { //nolint:gosec // positive
		t.Fatalf("after %d ticks: %+v", took, q)
	}
	asked := q.asked
	k.step(3, Unlinked{asked})
	k.run(k.cfg.CatchUpTicks)
	if !q.open || q.asked == asked {
		t.Errorf("%d ticks later the question to R%d, whom it lost, is %+v", k.cfg.CatchUpTicks, asked, q)
	}
	waits := r.waits()
	k.step(3, Linked{asked})
	if r.waits() != waits {
		t.Errorf("it waits for %d ticks and not for %d, though only one connection was lost", r.waits(), waits)
	}
	k.step(3, Unlinked{asked})
	k.step(3, Unlinked{(asked + 1) % 3})
	k.step(3, Linked{asked})
	k.run(2 * k.cfg.CatchUpTicks)
	if r.waits() > 2*uint64(k.cfg.CatchUpTicks) { //nolint:gosec // positive
		t.Errorf("it waits for %d ticks, though a connection came up", r.waits())
	}
}

// TestAnswersInTimeMakeQuestionsLarge has nobody answer for a while, and then everybody at
// once: little is asked for, and then more and more, and patience is forgotten.
func TestAnswersInTimeMakeQuestionsLarge(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 2 })
	q := &k.runners[3].r.catchUp.question
	answers, least, most, vain := false, fetchedBatchesMax, 0, 0
	missed, took := k.returns(func(_, _ wire.ReplicaID, m wire.Message) int {
		if m.Kind() == wire.KindPrePrepare {
			return -1
		}
		if m.Kind() == wire.KindCommitted {
			least = min(least, q.amount)
			if answers = answers || q.vain > 3; !answers {
				return -1
			}
			most, vain = max(most, q.amount), q.vain
		}
		return 1
	}, 1000)
	if least != fetchedBatchesMin || most != fetchedBatchesMax || vain != 0 || took == 1000 {
		t.Errorf("%d batches in %d ticks: asked for %d to %d, with %d in vain at the end", missed, took, least, most, vain)
	}
}

// TestNobodyIsAskedForMoreThanItHas has the others say that they have executed different
// numbers.
func TestNobodyIsAskedForMoreThanItHas(t *testing.T) {
	k := newTrack(t, nil)
	k.delay = func(wire.ReplicaID, wire.ReplicaID, wire.Message) int { return -1 }
	k.run(2)
	has := []wire.Seq{9, 5, 7}
	for id, executed := range has {
		k.step(3, Received{From: wire.ReplicaID(id), Message: wire.Seal(tallySigner{byte(id)}, crypto.Domain{}, //nolint:gosec // few
			&wire.Status{Active: true, Executed: executed, Sender: wire.ReplicaID(id)})}) //nolint:gosec // few
	}
	asked := map[wire.ReplicaID]bool{}
	for range 4 * k.cfg.CatchUpTicks {
		k.run(1)
		if q := k.runners[3].r.catchUp.question; q.open {
			if asked[q.asked] = true; q.from != 1 || q.until > has[q.asked] {
				t.Errorf("R%d, which has %d, is asked for %d to %d", q.asked, has[q.asked], q.from, q.until)
			}
		}
	}
	if len(asked) != 3 {
		t.Errorf("%d were asked, want all", len(asked))
	}
}

// TestWhatAStatusHasNoRoomForIsNotSentAgain has a replica say that it has the first 64 of the
// numbers that it has not executed: it cannot say more.
func TestWhatAStatusHasNoRoomForIsNotSentAgain(t *testing.T) {
	for _, told := range []int{statusSlotsMax - 1, statusSlotsMax} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
		k.ask(8, 2)
		k.run(100)
		st := &wire.Status{Active: true, Sender: 3}
		for seq := range wire.Seq(told) { //nolint:gosec // few
			st.Slots = append(st.Slots, wire.SlotStatus{Seq: seq + 1, HavePrePrepare: true, HavePrepared: true, HaveCommitted: true})
		}
		again := 0
		k.delay = func(_, to wire.ReplicaID, m wire.Message) int {
			if pp, ok := m.(*wire.PrePrepare); ok && to == 3 && pp.Seq < k.runners[0].r.executed {
				again++
			}
			return -1
		}
		k.step(0, Received{From: 3, Message: wire.Seal(tallySigner{3}, crypto.Domain{}, st)})
		if beyond := int(k.runners[0].r.executed) - told; beyond < 20 || (again > 0) != (told < statusSlotsMax) { //nolint:gosec // few
			t.Errorf("it says that it has %d and not which of %d others: %d of them are sent again", told, beyond, again)
		}
	}
}

// TestProofsOfStableCheckpointsGoSeldom has a replica say in every tick that no checkpoint is
// stable there: it gets the proof at once, and then ever more seldom; at once again when it has
// another stable checkpoint, though not the newest, or another connection.
func TestProofsOfStableCheckpointsGoSeldom(t *testing.T) {
	k := newTrack(t, nil)
	proofs := 0
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if from == 0 && to == 3 && m.Kind() == wire.KindStableProof {
			proofs++
		}
		if from == 3 || to == 3 {
			return -1
		}
		return 1
	}
	k.ask(8, 2)
	k.run(100)
	for _, a := range k.askers {
		a.pause = 1 << 20
	}
	k.run(10)
	says := func(stable wire.Seq, ticks int) int {
		before := proofs
		for range ticks {
			k.step(0, Received{From: 3, Message: wire.Seal(tallySigner{3}, crypto.Domain{}, &wire.Status{
				Active: true, Stable: stable, Sender: 3,
			})})
			k.run(1)
		}
		return proofs - before
	}
	long := 31 * k.cfg.StatusTicks // the sum of one, two, four, eight and sixteen
	for _, c := range []struct {
		what        string
		stable      wire.Seq
		ticks, want int
	}{
		{"at first", 0, 1, 1},
		{"at once again", 0, k.cfg.StatusTicks - 1, 0},
		{"then", 0, long - k.cfg.StatusTicks, 4},
		{"much later", 0, 32 * k.cfg.StatusTicks, 2},
		{"with another one", 16, 1, 1},
		{"and then", 16, k.cfg.StatusTicks + 1, 1},
	} {
		if got := says(c.stable, c.ticks); got != c.want {
			t.Errorf("%s: in %d ticks it got %d proofs, want %d", c.what, c.ticks, got, c.want)
		}
	}
	k.step(0, Linked{3})
	if got := says(16, 1); got != 1 {
		t.Errorf("once connected again it got %d proofs", got)
	}
	says(16, long+k.cfg.StatusTicks)
	for _, a := range k.askers {
		a.pause, a.idle = 0, 0
	}
	low, ticks := k.runners[0].r.low, 0
	for ; k.runners[0].r.low < low+k.cfg.Window && ticks < 12*k.cfg.StatusTicks; ticks++ {
		k.run(1)
	}
	if got := says(16, 1); got != 1 {
		t.Errorf("it got %d proofs when the stable checkpoint was %d further, %d ticks later", got, k.runners[0].r.low-low, ticks)
	}
}
