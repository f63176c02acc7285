package node

// The flight recorder keeps what the driver did lately: for every turn of a stage
// when it began, how long it waited and for whom, how long each part of it took and how
// much it did; what came to the core, without the frames; and what the core observed.
// Its first question is which stage stood still.
//
// Each stage has a ring of its own, so that what is frequent drives out nothing that is
// rare, and no stage waits for another. An entry has a fixed size and holds no pointer:
// it pins no memory, the collector never looks at the rings, and putting one allocates
// nothing.

import (
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// The lengths of the rings: in all, with 72 bytes for an entry, no more than
// flightBytesMax. A view is left when a request has waited for a request timeout, a
// second unless the operator says otherwise, and while nothing is ordered little is
// recorded. So what came before that remains if a ring holds two seconds of full load:
// a thousand batches each, in every one of which some ten messages arrive, step and the
// verifiers have some turns, and the core observes three things.
const (
	flightBytesMax = 4 << 20

	eventsKept     = 1 << 14
	milestonesKept = 1 << 13
	stepsKept      = 1 << 13
	verifiesKept   = 1 << 13
	settlesKept    = 1 << 12
	appliesKept    = 1 << 12
	ticksKept      = 1 << 10 // of 10 ms each
	snapshotsKept  = 1 << 8
	rareKept       = 1 << 8
)

// writingMax is how many snapshots that are being written have a hand: one more than
// a State lets wait.
const writingMax = 4

// partsMax and countsMax bound what an entry tells of a turn.
const (
	partsMax  = 7
	countsMax = 3
)

// flight is the flight recorder. Any goroutine may use its tracks; each of its hands is
// for one.
type flight struct {
	began time.Time

	events, ticks    *track // what came to the core, and how late ticks were
	milestones, rare *track // what the core observed

	step, settle, apply *hand
	verify              []*hand // one for each worker
	snapshots           []*hand // one for each that is being written
}

// entry is one turn of a stage, or one thing that happened.
type entry struct {
	at     time.Duration // since the recorder began: when it began, or happened
	view   wire.View
	seq    wire.Seq
	parts  [partsMax]micros  // how long each took; the form says what they are
	counts [countsMax]uint32 // as the form says
	what   what
	kind   wire.Kind // of a message
	hand   uint16    // of the track; whose turn it was
}

// micros is a time in microseconds: up to an hour, longer ones are that.
type micros uint32

func microsOf(d time.Duration) micros {
	return micros(min(max(0, d.Microseconds()), 1<<32-1)) //nolint:gosec // it fits
}

func (m micros) plus(o micros) micros { return micros(min(uint64(m)+uint64(o), 1<<32-1)) } //nolint:gosec // it fits

func (m micros) duration() time.Duration { return time.Duration(m) * time.Microsecond }

// track is a ring of entries, and the turns that are not over. Putting an entry into a
// full one drops the oldest.
type track struct {
	began time.Time // the recorder
	mu    sync.Mutex
	ring  []entry
	notes []string // of each entry, if the track has notes
	put   uint64   // entries ever
	hands []*hand
}

// hand is the turn of a stage, or of one worker of it, that is not over. The goroutine
// of the stage calls its methods.
type hand struct {
	track *track
	own   entry // what every turn begins as

	// The rest is guarded by the track's lock.
	turn  entry
	part  int           // in which it is; partIdle between turns
	since time.Duration // it is in that
}

// newFlight returns a recorder for so many verifiers.
func newFlight(verifiers int) *flight {
	f := &flight{began: time.Now()}
	f.events, f.ticks = newTrack(f.began, eventsKept), newTrack(f.began, ticksKept)
	f.milestones, f.rare = newTrack(f.began, milestonesKept), newTrack(f.began, rareKept)
	f.rare.notes = make([]string, rareKept)
	f.step = newTrack(f.began, stepsKept).hires(1, turnStep)[0]
	f.settle = newTrack(f.began, settlesKept).hires(1, turnSettle)[0]
	f.apply = newTrack(f.began, appliesKept).hires(1, turnWork)[0]
	f.verify = newTrack(f.began, verifiesKept).hires(verifiers, turnVerify)
	f.snapshots = newTrack(f.began, snapshotsKept).hires(writingMax, turnSnapshot)
	return f
}

func newTrack(began time.Time, kept int) *track {
	return &track{began: began, ring: make([]entry, kept)}
}

// hires gives t so many hands whose turns are such.
func (t *track) hires(hands int, turn what) []*hand {
	for i := range hands {
		own := entry{what: turn, hand: uint16(i)} //nolint:gosec // there are few
		t.hands = append(t.hands, &hand{track: t, own: own, turn: own})
	}
	return t.hands
}

// now is the time since the recorder began, by a clock that does not jump.
func (f *flight) now() time.Duration { return time.Since(f.began) }

// add puts an entry.
func (t *track) add(e entry) { t.note(e, "") }

// note puts an entry with a text, for which the track must have room.
func (t *track) note(e entry, text string) {
	t.mu.Lock()
	t.append(&e, text)
	t.mu.Unlock()
}

// append needs the lock.
func (t *track) append(e *entry, text string) {
	at := t.put % uint64(len(t.ring))
	t.ring[at] = *e
	if t.notes != nil {
		t.notes[at] = text
	}
	t.put++
}

// join adds to the newest entry what e is more of it, if both are of one kind and the
// newest is not older than since; or else puts e.
func (t *track) join(e entry, since time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.put > 0 {
		last := &t.ring[(t.put-1)%uint64(len(t.ring))]
		if last.what == e.what && last.at >= since {
			last.parts[0] = last.parts[0].plus(e.parts[0])
			last.counts[0] += e.counts[0]
			return
		}
	}
	t.append(&e, "")
}

// enter ends the part of the turn in which the hand is, and begins another; from idle,
// it begins a turn. It returns when that was.
func (h *hand) enter(part int) time.Duration { return h.begin(h.own, part) }

// begin is enter of a turn that begins as e, if one begins. e.at, if it is set, is when
// what it is about was handed over.
func (h *hand) begin(e entry, part int) time.Duration {
	now := time.Since(h.track.began)
	h.track.mu.Lock()
	h.advance(now, e, part)
	h.track.mu.Unlock()
	return now
}

// advance needs the lock.
func (h *hand) advance(now time.Duration, e entry, part int) {
	took := microsOf(now - h.since)
	if h.part == partIdle && part != partIdle {
		h.turn = e
		if e.at > 0 {
			h.turn.parts[partQueued] = microsOf(now - e.at)
		}
		h.turn.at, h.turn.parts[partIdle] = now, took
	} else {
		h.turn.parts[h.part] = h.turn.parts[h.part].plus(took)
	}
	h.part, h.since = part, now
}

// end ends the turn, if there is one, which did so much. It returns when that was. A nil
// hand does nothing.
func (h *hand) end(counts [countsMax]uint32) time.Duration {
	if h == nil {
		return 0
	}
	now := time.Since(h.track.began)
	h.track.mu.Lock()
	defer h.track.mu.Unlock()
	if h.part == partIdle {
		return now
	}
	h.advance(now, h.own, partIdle)
	h.turn.counts = counts
	h.track.append(&h.turn, "")
	return now
}

// count returns n as a count.
func count(n int) uint32 { return uint32(min(max(0, n), 1<<32-1)) } //nolint:gosec // it fits

// writing notes that a snapshot is being written from now on, and returns the hand whose
// end says that it is not any more; nil where there are too many.
func (f *flight) writing(seq wire.Seq) *hand {
	now := f.now()
	t := f.snapshots[0].track
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range f.snapshots {
		if h.part == partIdle {
			e := h.own
			e.seq = seq
			h.advance(now, e, partWrite)
			h.turn.parts[partIdle] = 0 // it means nothing that the hand was idle
			return h
		}
	}
	return nil
}
