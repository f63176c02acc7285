package node

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// flightLately is how far back the first summary of a dump reaches: a view is left when
// something has waited for a request timeout, a second by default, and that began before.
const flightLately = 3 * time.Second

// flightText writes what was recorded. Its first error ends it.
type flightText struct {
	*flown

	out *bufio.Writer
}

// writeFlight writes what the flight recorder holds, and why.
func (n *Node) writeFlight(w io.Writer, d dumping) error {
	t := flightText{n.flight.copy(), bufio.NewWriter(w)}
	s := n.standing.Load()
	t.say("quorate flight recorder, replica %d", n.self)
	t.say("why       %s: %s", d.word, d.why)
	t.say("written   %s, %s after the start", t.wall.UTC().Format(time.RFC3339Nano), t.now.Round(time.Millisecond))
	t.say("standing  view=%d active=%t executed=%d stable=%d", s.view, s.active, s.executed, s.stable)
	t.say("times     milliseconds; at= is before this was written, and of a turn when it began")
	t.atPresent()
	t.longest(fmt.Sprintf("the longest of the last %v", flightLately), t.since(t.now-flightLately))
	t.longest("the longest of all that is recorded", t.flown)
	t.extent()
	t.lines()
	return t.out.Flush()
}

func (t *flightText) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...) // the last flush returns the error
}

// ms is a time in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d.Microseconds())/1e3) }

// before is a time since the recorder began as one before now.
func (t *flightText) before(at time.Duration) string { return ms(at - t.now) }

// atPresent tells what every stage does.
func (t *flightText) atPresent() {
	t.say("\nat this moment")
	t.say("  %-7s %-9s %12s %12s", "stage", "does", "for", "at")
	for _, r := range []ring{t.step, t.settle, t.apply, t.verify, t.snapshots} {
		for i := range r.open {
			o := &r.open[i]
			f := o.what.form()
			switch {
			case o.part != partIdle:
				t.say("  %-7s %-9s %12s %12s  %s", f.stage, f.parts[o.part], ms(o.lasted), t.before(o.at), o.text())
			case o.what != turnSnapshot:
				t.say("  %-7s %-9s %12s %12s", f.stage, f.parts[partIdle], ms(o.lasted), t.before(o.at))
			}
		}
	}
}

// longest tells what took longest of what r holds, the first thing that a reader looks for.
func (t *flightText) longest(title string, r *flown) {
	t.say("\n%s", title)
	t.say("  %-7s %-22s %12s %12s", "stage", "what", "took", "at")
	t.stage(&r.step, turnStep)
	t.stage(&r.settle, turnSettle)
	t.stage(&r.apply, turnExecute, turnWork)
	t.stage(&r.verify, turnVerify)
	t.stage(&r.snapshots, turnSnapshot)
	t.lateness(&r.ticks)
	accepted, executed := r.milestones.times(sawAccepted, sawProposed), r.apply.times(turnExecute)
	t.gap("no batch accepted", longestGap(accepted, r.milestones.begin, t.now))
	t.gap("no batch executed", longestGap(executed, r.apply.begin, t.now))
	waits := r.waits()
	for place, name := range [...]string{"accepted to prepared", "prepared to committed", "committed to executed"} {
		if s := waits[place]; s.lasted > 0 {
			t.row("order", name, s, fmt.Sprintf("seq=%d", s.seq))
		}
	}
}

// row is a line of longest.
func (t *flightText) row(stage, what string, s span, more string) {
	if s.going {
		more = strings.TrimSpace(more + " not over")
	}
	t.say("  %-7s %-22s %12s %12s  %s", stage, what, ms(s.lasted), t.before(s.at), more)
}

// stage tells of the turns of r, which are of these kinds.
func (t *flightText) stage(r *ring, kinds ...what) {
	for _, w := range kinds {
		if e, going := r.longestTurn(w); e != nil {
			t.row(w.form().stage, w.form().name, span{at: e.at, lasted: e.took(), going: going}, e.text())
		}
	}
	f := kinds[0].form()
	if part := kinds[0].queued(); part != 0 {
		if s := r.longestWait(part); s.lasted > 0 {
			t.row(f.stage, f.parts[part], s, "")
		}
	}
	if idle := f.parts[partIdle]; idle != "" {
		t.row(f.stage, idle, r.longestWait(partIdle), "")
	}
}

// lateness tells of the latest tick, and of the one for which step had no processor for
// longest.
func (t *flightText) lateness(ticks *ring) {
	for part, name := range [...]string{tickLate: "late", tickStarved: "starved"} {
		var longest span
		for i := range ticks.entries {
			e := &ticks.entries[i]
			took := e.parts[part].duration()
			longest = longest.longer(span{at: e.at - took, lasted: took})
		}
		if name != "" {
			t.row("tick", name, longest, "")
		}
	}
}

// gap tells of a time in which nothing was executed, or accepted, and what was then.
func (t *flightText) gap(name string, s span) {
	var counts [sawRare]int
	for i := range t.milestones.entries {
		if e := &t.milestones.entries[i]; e.at > s.at && e.at < s.at+s.lasted {
			counts[e.what]++
		}
	}
	t.row("order", name, s, fmt.Sprintf("meanwhile accepted=%d prepared=%d committed=%d",
		counts[sawAccepted]+counts[sawProposed], counts[sawPrepared], counts[sawCommitted]))
}

// extent tells how far back each ring reaches.
func (t *flightText) extent() {
	t.say("\nrecorded")
	for name, r := range t.rings() {
		t.say("  %-10s %6d from %12s", name, len(r.entries), t.before(r.begin))
	}
}

// rings yields all of them, with their names.
func (t *flightText) rings() func(yield func(string, *ring) bool) {
	return func(yield func(string, *ring) bool) {
		_ = yield("step", &t.step) && yield("settle", &t.settle) && yield("apply", &t.apply) && yield("verify", &t.verify) &&
			yield("state", &t.snapshots) && yield("tick", &t.ticks) && yield("event", &t.events) &&
			yield("core", &t.milestones) && yield("rare", &t.rare)
	}
}

// line is an entry with its note.
type line struct {
	*entry

	note string
}

// lines writes every entry, the oldest first.
func (t *flightText) lines() {
	var lines []line
	for _, r := range t.rings() {
		for i := range r.entries {
			l := line{entry: &r.entries[i]}
			if len(r.notes) > 0 {
				l.note = r.notes[i]
			}
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	t.say("\nwhat happened, the oldest first")
	for _, l := range lines {
		w := words(t.out.AvailableBuffer())
		w.ms(l.at - t.now)
		w = w.padded(0, 12)
		w = append(w, ' ')
		at := len(w)
		w = append(w, l.what.stage()...)
		w = append(w.padded(at, -7), ' ')
		at = len(w)
		w = append(w, l.what.name()...)
		w = w.padded(at, -11)
		l.say(&w)
		if l.note != "" {
			w = append(append(w, ' '), l.note...)
		}
		_, _ = t.out.Write(append(w, '\n')) // the last flush returns the error
	}
}
