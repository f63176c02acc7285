package picture

import "github.com/quorate/quorate/test/sim"

// recordedMax is how many moments a Recorder keeps of the begin, and how many of
// the end.
const recordedMax = 20 * MomentsMax

// Recorder remembers the begin and the end of a run for a picture: Record is a
// sim.Options.Watch. The zero value is ready.
type Recorder struct {
	first, last []sim.Moment // last is a ring
	total       int
}

// Record takes a moment in.
func (r *Recorder) Record(m sim.Moment) {
	switch i := r.total; {
	case i < recordedMax:
		r.first = append(r.first, m)
	case i < 2*recordedMax:
		r.last = append(r.last, m)
	default:
		r.last[i%recordedMax] = m
	}
	r.total++
}

// Moments returns the moments of the run, or, if there are too many, its begin
// or its end, and how many are missing.
func (r *Recorder) Moments(end bool) (moments []sim.Moment, missing int) {
	switch {
	case r.total <= recordedMax:
		return r.first, 0
	case r.total <= 2*recordedMax:
		return append(r.first[:recordedMax:recordedMax], r.last...), 0
	case !end:
		return r.first, r.total - recordedMax
	}
	at := r.total % recordedMax
	return append(r.last[at:recordedMax:recordedMax], r.last[:at]...), r.total - recordedMax
}
