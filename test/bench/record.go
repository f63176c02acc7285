package bench

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/quorate/quorate/pbft"
)

// latencyMax is the longest latency that is told apart: longer than any can be, for
// what waits from the first moment of the longest load until that is given up would
// otherwise look as if it had waited less.
const latencyMax = durationMax + time.Hour

// digits are the significant digits of a latency.
const digits = 3

// answer is who got a result, and at which number of the order.
type answer struct {
	client int
	seq    uint64
}

// record collects what a load measures. Its methods may be called by many
// goroutines at once.
type record struct {
	from, to time.Time // measured

	mu struct {
		sync.Mutex
		all     *hdrhistogram.Histogram // µs, of operations that started in the measured time
		current *hdrhistogram.Histogram // µs, of those that ended in the current second
		refused *hdrhistogram.Histogram // µs, until operations that started in the measured time were refused
		seconds []Second                // the last one is the current one
		done    int64                   // answered in the measured time
		errs    int64
		err     error // the first
		lates   int64
		open    int64 // not answered in the end
		batches distinct
		// unordered of the operations answered went through no order.
		unordered int64
		touched   []distinct // by client
		shares    shares
		gaps      gaps
	}
}

// gaps finds the longest time between two answers.
type gaps struct {
	last    time.Time
	longest time.Duration
	at      time.Time // when the longest began
	over    bool      // the one that was open at the end of the measured time has ended
}

// end ends the gap that is open with an answer, or with the measured time. Answers
// may come a little out of order.
func (g *gaps) end(now time.Time) {
	if gap := now.Sub(g.last); gap > g.longest {
		g.longest, g.at = gap, g.last
	}
	if now.After(g.last) {
		g.last = now
	}
}

// close ends, once, the gap that is open at the end of the measured time. It lasts until
// something is answered, or given up: to cut it off would hide the rest of a stall.
func (g *gaps) close(now time.Time) {
	if !g.over {
		g.over = true
		g.end(now)
	}
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(latencyMax/time.Microsecond), digits)
}

func newRecord(from, to time.Time, o Options) *record {
	r := &record{from: from, to: to}
	r.mu.all, r.mu.current, r.mu.refused = newHistogram(), newHistogram(), newHistogram()
	r.mu.touched, r.mu.shares = make([]distinct, o.Clients), newShares(o)
	r.mu.seconds = []Second{{}}
	r.mu.gaps = gaps{last: from, at: from}
	return r
}

// measured tells whether a time is in the measured part of the run.
func (r *record) measured(at time.Time) bool { return !at.Before(r.from) && at.Before(r.to) }

// micros returns a latency as a histogram takes it.
func micros(d time.Duration) int64 {
	return min(max(1, d.Microseconds()), int64(latencyMax/time.Microsecond))
}

// answered notes a result of an operation that was due at a time.
func (r *record) answered(due, now time.Time, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measured(due) {
		_ = r.mu.all.RecordValue(micros(now.Sub(due))) // in range
		r.mu.shares.took(a.client, now.Sub(due))
	}
	if !now.Before(r.to) {
		r.mu.gaps.close(now)
	}
	if !r.measured(now) {
		return
	}
	r.mu.done++
	r.mu.shares.answered[a.client]++
	r.mu.gaps.end(now)
	r.turn(now)
	r.second().Operations++
	_ = r.mu.current.RecordValue(micros(now.Sub(due))) // in range
	if a.seq == 0 {
		r.mu.unordered++
	}
	if a.seq > 0 {
		r.mu.batches.add(a.seq)
		r.mu.touched[a.client].add(a.seq)
	}
}

// noRoom notes an operation of a client that was refused because there was no room for it.
func (r *record) noRoom(due, now time.Time, client int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measured(due) {
		r.mu.shares.refused[client]++
		_ = r.mu.refused.RecordValue(micros(now.Sub(due))) // in range
	}
	if r.measured(now) {
		r.turn(now)
		r.second().Refused++
	}
}

// failed notes an operation of a client without a result. One that is still open when the
// run is given up counts with the latency that it has by then.
func (r *record) failed(due, now time.Time, client int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var unfinished *pbft.UnfinishedError
	if errors.As(err, &unfinished) {
		r.mu.open++
		if !now.Before(r.to) {
			r.mu.gaps.close(now)
		}
		if r.measured(due) {
			_ = r.mu.all.RecordValue(micros(now.Sub(due))) // in range
			r.mu.shares.took(client, now.Sub(due))
		}
	}
	r.mu.errs++
	if r.mu.err == nil {
		r.mu.err = err
	}
	if r.measured(now) {
		r.turn(now)
		r.second().Errors++
	}
}

// late notes that an operation starts after it was due.
func (r *record) late(due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measured(due) {
		r.mu.lates++
	}
}

// abandon notes operations that were due at a time, and never began until now. They
// count with what they have waited, or the fewer of them began the better would the
// percentiles look.
func (r *record) abandon(due, now time.Time, operations int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measured(due) {
		_ = r.mu.all.RecordValues(micros(now.Sub(due)), operations) // in range
	}
	r.mu.open += operations
	r.mu.errs += operations
	if r.mu.err == nil {
		r.mu.err = errors.New("operations that were due never began: the cluster was too far behind")
	}
}

// second returns the current one. It needs the lock, as all below.
func (r *record) second() *Second { return &r.mu.seconds[len(r.mu.seconds)-1] }

// turn makes the second of now the current one, if it is later. Seconds without
// an answer stay in the series, empty.
func (r *record) turn(now time.Time) {
	for int(now.Sub(r.from)/time.Second) >= len(r.mu.seconds) {
		r.closeSecond()
		r.mu.seconds = append(r.mu.seconds, Second{At: len(r.mu.seconds)})
	}
}

func (r *record) closeSecond() {
	s := r.second()
	s.P50, s.P99 = quantile(r.mu.current, 50), quantile(r.mu.current, 99)
	s.Max = time.Duration(r.mu.current.Max()) * time.Microsecond
	r.mu.current.Reset()
}

// quantile returns the least latency that at least q percent of all operations did not
// exceed. The histogram itself rounds the number of those operations, so it may leave
// one more of them above.
func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	n := float64(h.TotalCount())
	if n == 0 {
		return 0
	}
	const exact = 1 - 1e-12 // for 99.9 percent of 1000 are 999, and not a little more
	rank := math.Ceil(q / 100 * n * exact)
	return time.Duration(h.ValueAtQuantile(100*rank/n)) * time.Microsecond
}

// span is how far below the highest number a distinct still tells numbers apart:
// more batches than answers overtake each other by.
const span = 4096

// distinct counts different numbers of an almost ascending sequence. A number
// further below the highest than span counts as one that was there before.
type distinct struct {
	bits [span / 64]uint64
	high uint64
	n    int64
}

func (d *distinct) add(x uint64) {
	if x+span <= d.high {
		return
	}
	if x >= d.high+span {
		clear(d.bits[:])
		d.high = x
	}
	for d.high < x {
		d.high++
		d.bits[d.high%span/64] &^= 1 << (d.high % 64)
	}
	word, bit := &d.bits[x%span/64], uint64(1)<<(x%64)
	if *word&bit == 0 {
		*word |= bit
		d.n++
	}
}
