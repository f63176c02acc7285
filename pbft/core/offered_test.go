package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// slowLine carries what the primary of view 0 proposes to replica 3, in order, and each
// proposal for so many ticks, as a line does that is slow, or a replica that reads slowly.
type slowLine struct {
	k      *track
	ticks  int
	free   int // the tick from which it carries the next one
	copies map[wire.Seq]int
	// loses, if set, tells whether this copy of seq, counted from 1, is lost at its end.
	loses func(seq wire.Seq, copies int) bool
	dead  bool // replica 2 is, so that nothing is ordered without replica 3
}

// newSlowLine returns a cluster with such a line, in which every batch is long, and
// replica 3 gets nothing from anybody but the primary.
func newSlowLine(t *testing.T, ticks int) *slowLine {
	t.Helper()
	k := newTrack(t, func(c *Config) { c.BatchBytesMax, c.CatchUpTicks = 1024, 10000 })
	l := &slowLine{k: k, ticks: ticks, copies: map[wire.Seq]int{}}
	k.delay = l.carry
	return l
}

func (l *slowLine) carry(from, to wire.ReplicaID, m wire.Message) int {
	pp, ok := m.(*wire.PrePrepare)
	switch {
	case l.dead && (from == 2 || to == 2):
		return -1
	case !ok || to != 3 || pp.View != 0:
		return 1
	}
	l.copies[pp.Seq]++
	l.free = max(l.free, l.k.tick) + l.ticks
	if l.loses != nil && l.loses(pp.Seq, l.copies[pp.Seq]) {
		return -1
	}
	return l.free - l.k.tick
}

// again counts the copies beyond the first.
func (l *slowLine) again() int {
	n := 0
	for _, copies := range l.copies {
		n += copies - 1
	}
	return n
}

func (l *slowLine) ask(clients, pause int) {
	for _, a := range l.k.ask(clients, 1) {
		a.pause = pause
	}
}

// behind returns how many numbers replica 3 has still to execute.
func (l *slowLine) behind() int { return int(l.k.runners[0].r.executed - l.k.runners[3].r.executed) } //nolint:gosec // few

// TestASlowLineCarriesProposalsOnce has long batches take long to one replica, alone and
// behind each other: it gets each once, but perhaps for the first, and stays in its view.
func TestASlowLineCarriesProposalsOnce(t *testing.T) {
	for _, c := range []struct{ ticks, clients, pause int }{
		{5, 1, 5}, {10, 4, 40}, {20, 1, 25}, {20, 2, 80}, {20, 4, 80}, {30, 1, 35}, {40, 1, 45}, {45, 1, 60},
	} {
		l := newSlowLine(t, c.ticks)
		l.ask(c.clients, c.pause)
		l.k.run(2000)
		if l.again() > 1 || l.behind() > c.clients || l.k.view() > 0 {
			t.Errorf("%+v: of %d proposals %d were sent again, and %d are behind; left %q",
				c, len(l.copies), l.again(), l.behind(), l.k.left)
		}
	}
}

// TestLostProposalComesBeforeAnybodyIsSuspected loses a long batch that a quorum needs, as
// often as twice, at any time between two statuses.
func TestLostProposalComesBeforeAnybodyIsSuspected(t *testing.T) {
	for lost := range 3 {
		for offset := range 10 {
			l := newSlowLine(t, 1)
			l.dead = true
			l.k.run(offset)
			l.ask(1, 7)
			l.loses = func(seq wire.Seq, copies int) bool { return seq == 12 && copies <= lost }
			l.k.run(500)
			if l.copies[12] != lost+1 || l.k.leaves > 0 {
				t.Errorf("lost %d times from tick %d on: sent %d times; left %q", lost, offset, l.copies[12], l.k.left)
			}
		}
	}
}

// TestLostProposalComesAlthoughOthersDo loses a long batch behind each checkpoint while those
// after it come, so that the replica which lacks them never stands still.
func TestLostProposalComesAlthoughOthersDo(t *testing.T) {
	l := newSlowLine(t, 2)
	l.ask(1, 1)
	l.loses = func(seq wire.Seq, copies int) bool { return seq%16 == 1 && copies == 1 }
	l.k.run(1000)
	if l.behind() > 10 || l.k.leaves > 0 || l.again() > len(l.copies)/16+1 {
		t.Errorf("of %d proposals %d were sent again, and %d are behind; left %q", len(l.copies), l.again(), l.behind(), l.k.left)
	}
}

// TestWhoShowsNothingIsSentLittle has replica 3 say in every tick that it lacks all: it gets
// what is long ever more seldom.
func TestWhoShowsNothingIsSentLittle(t *testing.T) {
	l := newSlowLine(t, 1)
	l.ask(1, 5)
	l.k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if from == 3 {
			return -1
		}
		return l.carry(from, to, m)
	}
	status := wire.Seal(tallySigner{3}, crypto.Domain{}, &wire.Status{Active: true, Sender: 3})
	for range 1000 {
		l.k.run(1)
		l.k.step(0, Received{From: 3, Message: status})
	}
	if again := l.again(); again == 0 || again > len(l.copies) {
		t.Errorf("of %d proposals %d were sent again", len(l.copies), again)
	}
}

// TestProposalsComeAgainWithTheConnection loses what leaves before a connection is up again:
// then it comes at once, though it was sent again just before.
func TestProposalsComeAgainWithTheConnection(t *testing.T) {
	l := newSlowLine(t, 1)
	l.ask(1, 5)
	l.k.run(200)
	down := true
	l.loses = func(wire.Seq, int) bool { return down }
	for before := l.again(); l.again() == before; {
		l.k.run(1)
	}
	down = false
	behind := l.behind()
	l.k.step(0, Linked{3})
	l.k.step(3, Linked{0})
	l.k.run(4)
	if behind == 0 || l.behind() > 1 || l.k.leaves > 0 {
		t.Errorf("%d numbers were behind, and still %d are; left %q", behind, l.behind(), l.k.left)
	}
}
