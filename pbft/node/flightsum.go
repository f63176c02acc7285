package node

import (
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// span is a time that something took, and of what batch.
type span struct {
	at, lasted time.Duration
	seq        wire.Seq
	going      bool // it is not over
}

// longer returns the longer one of s and o, or the one that is not over.
func (s span) longer(o span) span {
	if o.lasted > s.lasted {
		return o
	}
	return s
}

// longestGap returns the longest time between two of the times, which ascend, from begin
// to the end, which has not come.
func longestGap(times []time.Duration, begin, end time.Duration) span {
	var longest span
	last := begin
	for _, t := range times {
		longest = longest.longer(span{at: last, lasted: t - last})
		last = max(last, t)
	}
	return longest.longer(span{at: last, lasted: end - last, going: true})
}

// longestTurn returns the longest turn that is w, over or not.
func (r *ring) longestTurn(w what) (longest *entry, going bool) {
	for i := range r.entries {
		if e := &r.entries[i]; e.what == w && (longest == nil || e.took() > longest.took()) {
			longest = e
		}
	}
	for i := range r.open {
		if o := &r.open[i]; o.part != partIdle && o.what == w && (longest == nil || o.took() > longest.took()) {
			longest, going = &o.entry, true
		}
	}
	return longest, going
}

// longestWait returns the longest part of turns before they began, in which their stage
// was idle, or they were queued.
func (r *ring) longestWait(part int) span {
	var longest span
	of := func(e *entry) {
		if part == partIdle || part == e.what.queued() {
			took := e.parts[part].duration()
			longest = longest.longer(span{at: e.at - took, lasted: took})
		}
	}
	for i := range r.entries {
		of(&r.entries[i])
	}
	for i := range r.open {
		if o := &r.open[i]; o.part != partIdle {
			of(&o.entry)
		} else if part == partIdle {
			longest = longest.longer(span{at: o.at, lasted: o.lasted, going: true})
		}
	}
	return longest
}

// times returns when the entries of r that are of these kinds were, and batches executed.
func (r *ring) times(kinds ...what) []time.Duration {
	var times []time.Duration
	for i := range r.entries {
		if e := &r.entries[i]; slices.Contains(kinds, e.what) {
			at := e.at
			if e.what == turnExecute {
				at += e.parts[executeRun].duration()
			}
			times = append(times, at)
		}
	}
	slices.Sort(times)
	return times
}

// way is when a batch was how far.
type way struct {
	view wire.View
	at   [wayExecuted + 1]time.Duration // 0 is not known
}

// The places on the way of a batch.
const (
	wayAccepted = iota
	wayPrepared
	wayCommitted
	wayExecuted
)

// ways are those of batches.
type ways map[wire.Seq]*way

// reached says how far a batch has come. A new view begins its way anew.
func (w ways) reached(e *entry, place int, at time.Duration) {
	one := w[e.seq]
	if one == nil || e.view > one.view && place == wayAccepted {
		one = &way{view: e.view}
		w[e.seq] = one
	}
	if one.at[place] == 0 {
		one.at[place] = at
	}
}

// waits returns, from each place on the way, the longest time that a batch took to the
// next. Only of those above all that were executed it can be that it is not over.
func (r *flown) waits() (longest [wayExecuted]span) {
	ways, executed := make(ways), wire.Seq(0)
	for i := range r.milestones.entries {
		switch e := &r.milestones.entries[i]; e.what { //nolint:exhaustive // no others are on the way
		case sawAccepted, sawProposed:
			ways.reached(e, wayAccepted, e.at)
		case sawPrepared:
			ways.reached(e, wayPrepared, e.at)
		case sawCommitted:
			ways.reached(e, wayCommitted, e.at)
		}
	}
	for i := range r.apply.entries {
		if e := &r.apply.entries[i]; e.what == turnExecute {
			ways.reached(e, wayExecuted, e.at+e.parts[executeRun].duration())
			executed = max(executed, e.seq)
		}
	}
	for seq, w := range ways {
		for place := range longest {
			from, to := w.at[place], w.at[place+1]
			switch {
			case from == 0:
			case to != 0:
				longest[place] = longest[place].longer(span{at: from, lasted: to - from, seq: seq})
			case seq > executed:
				longest[place] = longest[place].longer(span{at: from, lasted: r.now - from, seq: seq, going: true})
			}
		}
	}
	return longest
}
