package node

import (
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// words are what a line says: name=value, with a space before each. There are tens of
// thousands of lines, when there may be better use for a processor: none allocates.
type words []byte

// name puts the name of what comes next.
func (w *words) name(name string) { *w = append(append(append(*w, ' '), name...), '=') }

// num puts a number.
func (w *words) num(name string, n uint64) {
	w.name(name)
	*w = strconv.AppendUint(*w, n, 10)
}

// time puts a time in milliseconds.
func (w *words) time(name string, d time.Duration) {
	w.name(name)
	w.ms(d)
}

// ms puts a time in milliseconds, alone.
func (w *words) ms(d time.Duration) {
	*w = strconv.AppendFloat(*w, float64(d.Microseconds())/1e3, 'f', 3, 64)
}

// padded makes what w has from a place on so wide: to the right, or, where width is
// negative, to the left.
func (w words) padded(from, width int) words {
	at, lacks := from, width-(len(w)-from)
	if width < 0 {
		at, lacks = len(w), -width-(len(w)-from)
	}
	for range lacks {
		w = slices.Insert(w, at, ' ')
	}
	return w
}

// String returns w without the first space.
func (w words) String() string { return string(w[min(1, len(w)):]) }

// text says what an entry tells, but for when and what it is.
func (e *entry) text() string {
	var w words
	e.say(&w)
	return w.String()
}

// say puts what an entry tells, but for when and what it is.
func (e *entry) say(w *words) {
	switch e.what { //nolint:exhaustive // the others are turns, or tell no more
	case eventReceived, sawRefused:
		w.name("kind")
		*w = append(*w, e.kind.String()...)
		w.num("peer", uint64(e.counts[0]))
	case eventLinked, eventUnlinked:
		w.num("peer", uint64(e.counts[0]))
	case eventMeasured:
		w.num("busy", uint64(e.counts[0]))
	case eventSubmitted:
		w.num("requests", uint64(e.counts[0]))
	case eventTick:
		w.time("late", e.parts[tickLate].duration())
		w.time("starved", e.parts[tickStarved].duration())
	}
	if e.hasView() {
		w.num("view", uint64(e.view))
	}
	if e.seq > 0 {
		w.num("seq", uint64(e.seq))
	}
	switch {
	case e.what >= sawRefused:
		e.sayDigest(w)
	case e.what >= eventStart:
		w.time("took", e.parts[eventTook].duration())
	default:
		e.sayTurn(w)
	}
}

// sayDigest puts what is known of a batch.
func (e *entry) sayDigest(w *words) {
	switch e.what { //nolint:exhaustive // no digest is known of the others
	case sawProposed, sawAccepted, sawPrepared, sawCommitted:
		w.name("digest")
		for shift := 28; shift >= 0; shift -= 4 { // as crypto.Digest.Short does
			*w = append(*w, "0123456789abcdef"[e.counts[1]>>shift&15])
		}
	}
	if e.what == sawProposed || e.what == sawAccepted {
		w.num("requests", uint64(e.counts[0]))
	}
}

// sayTurn puts how long the parts of a turn took, and what it did.
func (e *entry) sayTurn(w *words) {
	f := e.what.form()
	for part, m := range e.parts {
		if m > 0 && f.parts[part] != "" {
			w.time(f.parts[part], m.duration())
		}
	}
	for i, n := range e.counts {
		if n > 0 && f.counts[i] != "" {
			w.num(f.counts[i], uint64(n))
		}
	}
	if e.what == turnVerify {
		w.num("worker", uint64(e.hand))
	}
}

// hasView tells whether what an entry is about has a view, which may be 0.
func (e *entry) hasView() bool {
	switch e.what { //nolint:exhaustive // the others have none
	case turnExecute, sawProposed, sawAccepted, sawAbstained, sawPrepared, sawCommitted:
		return true
	case eventReceived:
		switch e.kind { //nolint:exhaustive // the others have none
		case wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindViewChange, wire.KindNewView, wire.KindStatus,
			wire.KindCommitted:
			return true
		}
	}
	return false
}
