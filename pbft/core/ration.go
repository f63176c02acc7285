package core

import (
	"maps"

	"github.com/quorate/quorate/pbft/wire"
)

// Numbers run out when replicas take longer to write a checkpoint than the primary to open
// what is left of the window, and then nobody is served until it is stable. It is small
// batches that use them up: so where a checkpoint will be late, the primary lets more
// requests share a number, and spreads those that are left over the time that it takes.
//
// Full batches are not held up: they are worth their numbers. All this is about when a
// correct primary proposes. Nothing depends on it, and nothing of it is kept.

// lateness is what a replica knows of how long checkpoints take.
type lateness struct {
	begun map[wire.Seq]uint64 // the tick at which it executed their numbers, of those above low
	took  uint64              // ticks from there until the last one was stable
}

// begin notes that a checkpoint is begun.
func (l *lateness) begin(seq wire.Seq, tick uint64) { l.begun[seq] = tick }

// end notes that the checkpoint of seq is stable.
func (l *lateness) end(seq wire.Seq, tick uint64) {
	if began, ok := l.begun[seq]; ok {
		l.took = tick - began
	}
	maps.DeleteFunc(l.begun, func(other wire.Seq, _ uint64) bool { return other <= seq })
}

// ration returns how many ticks the primary lets pass between two batches that are not
// full: what the next checkpoint will still take, divided by the numbers that are left.
// It is expected to take a quarter longer than the last one, and one that has taken
// longer, twice as long as it has until now.
func (r *Replica) ration() uint64 {
	awaited := r.low + r.cfg.Interval
	if r.executed < awaited || r.next > r.high() {
		return 0
	}
	elapsed := r.tick - r.late.begun[awaited] // since the start, for one that was begun before it
	left := 2 * elapsed
	if expected := r.late.took + r.late.took/4; elapsed < expected {
		left = expected - elapsed
	}
	return min(left/uint64(r.high()+1-r.next), r.rationMax())
}

// rationMax bounds how long requests wait to share a number: well below the time after which
// the primary counts as slow, which is no more than a quarter of the request timeout however
// long batches take.
func (r *Replica) rationMax() uint64 {
	timeout := r.cfg.RequestTicks
	slack := (timeout/4 - r.pace.agreement/fraction) / 4
	return uint64(max(0, min(r.cfg.PaceTicks/2, timeout/16, slack))) //nolint:gosec // at least 0
}
