package node

import "time"

// flown is what a flight recorder held at some time.
type flown struct {
	now  time.Duration // since the recorder began
	wall time.Time

	events, ticks, milestones, rare        ring
	step, settle, apply, verify, snapshots ring
}

// ring is a copy of a track: its entries as they were put, and the turns that are not
// over, with what they took so far.
type ring struct {
	entries []entry
	notes   []string
	open    []open
	begin   time.Duration // from when on nothing is dropped
}

// open is what a hand does: a turn, or nothing since its last one.
type open struct {
	entry

	part   int
	lasted time.Duration // in this part so far
}

// copy copies what is recorded. Stages wait no longer than it takes to copy one ring.
func (f *flight) copy() *flown {
	r := &flown{
		events: f.events.copy(), ticks: f.ticks.copy(), milestones: f.milestones.copy(), rare: f.rare.copy(),
		step: f.step.track.copy(), settle: f.settle.track.copy(), apply: f.apply.track.copy(),
		verify: f.verify[0].track.copy(), snapshots: f.snapshots[0].track.copy(),
	}
	r.now, r.wall = f.now(), time.Now()
	return r
}

func (t *track) copy() ring {
	r := ring{entries: make([]entry, 0, len(t.ring)), notes: make([]string, 0, len(t.notes))}
	t.mu.Lock()
	defer t.mu.Unlock()
	size := uint64(len(t.ring))
	first := t.put - min(t.put, size)
	from, to := int(first%size), int(min(t.put, size)) //nolint:gosec // both are below the length
	r.entries = append(append(r.entries, t.ring[from:to]...), t.ring[:from]...)
	if t.notes != nil {
		r.notes = append(append(r.notes, t.notes[from:to]...), t.notes[:from]...)
	}
	if first > 0 {
		r.begin = r.entries[0].at
	}
	now := time.Since(t.began)
	for _, h := range t.hands {
		o := open{h.turn, h.part, now - h.since}
		if h.part == partIdle {
			o.entry = h.own
			o.at = h.since
		}
		o.parts[h.part] = o.parts[h.part].plus(microsOf(o.lasted))
		r.open = append(r.open, o)
	}
	return r
}

// took returns how long a turn took, without what it waited before it began.
func (e *entry) took() time.Duration {
	var sum time.Duration
	for part, m := range e.parts {
		if part != partIdle && part != e.what.queued() {
			sum += m.duration()
		}
	}
	return sum
}

// since returns what of r was not over before a time.
func (r *flown) since(at time.Duration) *flown {
	late := *r
	for _, part := range []*ring{
		&late.events, &late.ticks, &late.milestones, &late.rare, &late.step, &late.settle, &late.apply, &late.verify,
		&late.snapshots,
	} {
		var entries []entry
		for i := range part.entries {
			if e := &part.entries[i]; e.at+e.took() >= at {
				entries = append(entries, *e)
			}
		}
		part.entries, part.notes, part.begin = entries, nil, max(at, part.begin)
	}
	return &late
}
