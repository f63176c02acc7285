package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestWhoLeavesOutTheFirstIsAskedLess has liars that keep replica 3 in the dark answer it sooner
// than anybody else, with as many bytes as an answer has, of genuine batches, but without the
// first one, which alone would help: the cluster is as fast as with liars that are silent.
func TestWhoLeavesOutTheFirstIsAskedLess(t *testing.T) {
	for _, n := range []int{4, 7} {
		silent := 0
		for _, lies := range []bool{false, true} {
			k := newTrackOf(t, n, func(c *Config) { c.Interval, c.Window = 32, 64 })
			for _, a := range k.ask(8, 1) {
				a.size = answerBytesMax / 8
			}
			liars := wire.ReplicaID(k.cfg.Quorum.Faults()) //nolint:gosec // few
			k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
				if q, ok := m.(*wire.FetchCommitted); ok && from == 3 && to < liars && lies {
					k.giveAllBut(to, q)
				}
				return farInTheDark(from, to, liars, m.Kind())
			}
			k.run(400)
			got := int(k.runners[2].r.executed) //nolint:gosec // few
			if !lies {
				silent = got
			}
			if got < 100 || got < silent*3/4 {
				t.Errorf("n=%d, lies %v: %d numbers executed, and %d with silent liars", n, lies, got, silent)
			}
		}
	}
}

// giveAllBut has a liar answer replica 3 at once with all but the first batch, if that is as much as
// one answer has, and as it should otherwise.
func (k *track) giveAllBut(liar wire.ReplicaID, q *wire.FetchCommitted) {
	give := func(first wire.Seq) (all []*wire.Committed, bytes int) {
		for seq := first; seq <= q.Last && bytes < answerBytesMax; seq++ {
			c := k.runners[liar].r.committedAt(seq)
			if c == nil {
				break
			}
			all, bytes = append(all, c), bytes+c.Batch.Size()
		}
		return all, bytes
	}
	all, bytes := give(q.First + 1)
	if bytes < answerBytesMax {
		all, _ = give(q.First)
	}
	for _, c := range all {
		k.say(liar, c, 3)
	}
}

// TestWhoWasMutedWhileAnswersWereLostIsAskedAgain cuts replica 3 off from the correct ones for a
// while, or has all but the first batch of their answers get lost. Then nothing gets lost any more,
// but the primary, which keeps it in the dark and says that it has just what it is asked for,
// answers as late as it can without making replica 3 more patient.
func TestWhoWasMutedWhileAnswersWereLostIsAskedAgain(t *testing.T) {
	const returned, ticks, last = 262, 5000, 2000
	for _, c := range []struct {
		from, lost int  // the liar begins when replica 3 is so patient; for so many ticks answers are lost
		part       bool // but for their first batch
	}{{20, 80, false}, {40, 200, false}, {80, 400, false}, {160, 800, false}, {10, 100, true}} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
		k.ask(8, 1)
		r, begun := k.runners[3].r, false
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			lossy := k.tick >= returned && k.tick < returned+c.lost
			if q, ok := m.(*wire.FetchCommitted); ok && from == 3 && to == 0 && k.tick >= returned {
				if waits := int(r.waits()); begun || waits >= c.from { //nolint:gosec // few
					begun = true
					k.drip(q, k.justInTime(q, waits, c.part))
				}
			}
			switch {
			case k.tick < returned-10 && (from == 3) != (to == 3), inTheDark(from, to, 1, m.Kind()):
				return -1
			case to != 3 && from != 3:
				return 1
			case !lossy || from+to == 3:
				return 2
			case !c.part:
				return -1
			}
			if one, is := m.(*wire.Committed); is && to == 3 && one.Cert.Seq != r.executed+1 {
				return -1
			}
			return 2
		}
		was := wire.Seq(0)
		for range ticks {
			k.run(1)
			if k.tick >= returned-10 {
				st, q := k.runners[0].r.status(), &r.catchUp.question
				if st.Executed = r.executed + 1; q.open && q.asked == 0 {
					st.Executed = max(st.Executed, q.until+1)
				}
				k.say(0, st, 3)
			}
			if k.tick == ticks-last {
				was = r.executed
			}
		}
		if got := r.executed - was; got < last/2 {
			t.Errorf("%+v: %d numbers executed in the last %d ticks; it waits for %d, and the others are mute until %d and %d",
				c, got, last, r.waits(), r.peers[1].muteUntil, r.peers[2].muteUntil)
		}
	}
}

// justInTime returns in how many ticks replica 0 gives one batch, to be as slow as replica 3 does not
// notice.
func (k *track) justInTime(q *wire.FetchCommitted, waits int, part bool) int {
	in := waits / 2
	if part || waits == k.cfg.CatchUpTicks<<patientMax {
		in = waits - 1
	}
	of := &k.runners[3].r.catchUp.question
	if one := k.runners[0].r.committedAt(q.First); one != nil && of.fastestBytes > 0 {
		in = min(in, answerPatience*int(of.fastest)*one.Batch.Size()/of.fastestBytes-1) //nolint:gosec // few
	}
	return max(1, in)
}

// TestBatchesThatDoNotReachAStableCheckpoint has replica 3 return behind one, where the correct ones
// have collected what is below it. A liar, without which and replica 3 nothing goes on, gives the first
// batch of what it is asked for, and nothing else: the state is fetched all the same.
func TestBatchesThatDoNotReachAStableCheckpoint(t *testing.T) {
	const most = 2000
	for _, gives := range []bool{false, true} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.ArchiveBytesMax = 128, 256, 1 })
		k.runners[0].r.cfg.ArchiveBytesMax = 1 << 30
		k.ask(8, 1)
		off := true
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			if q, ok := m.(*wire.FetchCommitted); ok && from == 3 && to == 0 && gives && !off {
				if one := k.runners[0].r.committedAt(q.First); one != nil {
					k.say(0, one, 3)
				}
			}
			if off && (from == 3) != (to == 3) || !off && from == 0 && m.Kind() != wire.KindStatus {
				return -1
			}
			return 1
		}
		for k.runners[1].r.low < 384 {
			k.run(1)
		}
		k.run(20)
		off = false
		ticks, r, stood := 0, k.runners[3].r, k.runners[1].r.executed
		for ; ticks < most && k.runners[1].r.executed <= stood+8; ticks++ {
			k.run(1)
			if target := r.transfer; target != nil && k.runners[1].r.executed >= target.Seq {
				k.runners[3].state = target.State // which is that of its history, too
				k.step(3, Transferred{Snapshot{Seq: target.Seq, State: target.State, History: target.State, Time: k.runners[1].r.time}})
			}
		}
		if ticks == most {
			t.Errorf("the liar gives a batch, %v: the others stand at %d, and replica 3 at %d of %d that are stable, after %d ticks",
				gives, k.runners[1].r.executed, r.executed, k.runners[1].r.low, ticks)
		}
	}
}

// TestBatchesThatComeSlowlyAreNotGivenUp has replica 3 return behind a stable checkpoint, and behind a
// line that takes some ticks for each batch: it fetches no state, of which much more may have changed.
func TestBatchesThatComeSlowlyAreNotGivenUp(t *testing.T) {
	for _, ticks := range []int{2, 4, 8, 16} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 32, 64, 4 })
		line := slowWay{ticks: ticks}
		missed, took := k.returns(func(_, to wire.ReplicaID, m wire.Message) int {
			if r := k.runners[3].r; r.transfer != nil {
				t.Fatalf("%d ticks for each batch: it fetches the state of %d, with %d executed, in tick %d", ticks, r.transfer.Seq, r.executed, k.tick)
			}
			return line.carry(k.tick, to, m)
		}, 10_000)
		if took == 10_000 || k.runners[1].r.low == 0 {
			t.Errorf("%d ticks for each batch: of %d it has %d, and %d are stable", ticks, missed, k.runners[3].r.executed, k.runners[1].r.low)
		}
	}
}

// TestWhoGivesOnlyTheEndHasNobodyAskThree has replica 3 return behind such a line, while a liar gives
// no more than the end of what it is asked for: that parts get lost takes more than one to say.
func TestWhoGivesOnlyTheEndHasNobodyAskThree(t *testing.T) {
	for _, ticks := range []int{8, 16} {
		silent := 0
		for _, gives := range []bool{false, true} {
			k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
			line := slowWay{ticks: ticks}
			_, took := k.returns(func(from, to wire.ReplicaID, m wire.Message) int {
				if q, ok := m.(*wire.FetchCommitted); ok && to == 1 && gives {
					k.giveEnd(1, min(q.Last, k.runners[1].r.executed), "true")
				}
				if from == 1 && m.Kind() == wire.KindCommitted {
					return -1
				}
				return line.carry(k.tick, to, m)
			}, 20_000)
			if !gives {
				silent = took
			}
			if took > 2*silent {
				t.Errorf("%d ticks for each batch: it takes %d, and %d with a silent liar", ticks, took, silent)
			}
		}
	}
}

// TestAConnectionThatComesAndGoesMakesNobodyImpatient has replica 3 return behind a line that takes
// some ticks for each batch, while a liar that gives none closes its connection now and then.
func TestAConnectionThatComesAndGoesMakesNobodyImpatient(t *testing.T) {
	for _, ticks := range []int{8, 16} {
		for _, flaps := range []int{5, 40, 105} {
			k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
			line, flapped := slowWay{ticks: ticks}, 0
			const most, times = 10_000, 12
			missed, took := k.returns(func(from, to wire.ReplicaID, m wire.Message) int {
				if k.tick >= flapped+flaps {
					flapped = k.tick
					k.step(3, Unlinked{1})
					k.step(3, Linked{1})
				}
				if from == 1 && m.Kind() == wire.KindCommitted {
					return -1
				}
				return line.carry(k.tick, to, m)
			}, most)
			if batches := line.batches; took == most || batches > times*missed {
				t.Errorf("%d ticks for each batch, and a flap every %d: of %d batches %d came, in %d ticks", ticks, flaps, missed, batches, took)
			}
		}
	}
}

// TestNothingBeyondItsWindowIsSentAgain has replica 3 return more than a window behind, and get
// nothing that helps: what the others do beyond its window it gets no more, for it cannot take it.
func TestNothingBeyondItsWindowIsSentAgain(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 32, 64, 4 })
	within, beyond := 0, 0
	k.returns(func(_, to wire.ReplicaID, m wire.Message) int {
		switch kind := m.Kind(); {
		case kind == wire.KindCommitted, kind == wire.KindStableProof:
			return -1
		case to != 3 || kind != wire.KindPrePrepare && kind != wire.KindPrepare && kind != wire.KindCommit:
		case seqOf(m) > k.runners[3].r.high():
			beyond++
		default:
			within++
		}
		return 1
	}, 300)
	if r := k.runners[1].r; beyond > 0 || r.low < 64 || r.executed <= 64 {
		t.Errorf("%d votes were sent again beyond its window, and %d within; the others have executed %d, and %d are stable",
			beyond, within, r.executed, r.low)
	}
}

// seqOf returns the number that a vote is for.
func seqOf(m wire.Message) wire.Seq {
	if pp, is := m.(*wire.PrePrepare); is {
		return pp.Seq
	}
	if p, is := m.(*wire.Prepare); is {
		return p.Seq
	}
	c, is := m.(*wire.Commit)
	if !is {
		return 0
	}
	return c.Seq
}
