package bench

import (
	"time"

	"github.com/quorate/quorate/pbft"
)

// Result is what one run of a load measured.
type Result struct {
	Operations int64   `json:"operations"` // answered in the measured time
	Unordered  int64   `json:"unordered"`  // of them: reads outside of the order
	PerSecond  float64 `json:"operations_per_second"`
	Errors     int64   `json:"errors"`
	Unanswered int64   `json:"unanswered"` // of the errors: still open, or not even begun, 30 s after the end
	FirstError string  `json:"first_error,omitempty"`
	Late       int64   `json:"late_starts"` // open loop: begun more than 1 ms after they were due
	// Refused are operations that found no room and did not wait; they are neither
	// answered nor errors. RefusedP99 is how long it took to hear of it.
	Refused    int64         `json:"refused"`
	RefusedP99 time.Duration `json:"refused_p99_ns"`

	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`

	// Gap is the longest time in which nothing was answered, and GapAt when it began,
	// from the beginning of the measured time. One that is open at its end lasts until the
	// next answer.
	Gap   time.Duration `json:"longest_gap_ns"`
	GapAt time.Duration `json:"longest_gap_at_ns"`

	// What was reached, counted in the measured time.
	Reached Reached `json:"reached"`
	// Shares are missing where there is one client.
	Shares *Shares `json:"clients,omitempty"`
	Usage  Usage   `json:"cpu"`

	Curve     []Point  `json:"curve"`
	Histogram []Class  `json:"histogram"`
	Seconds   []Second `json:"seconds"`
	Levels    []Level  `json:"levels,omitempty"` // where the replicas run here
}

// Reached is how far work was shared. Batches are counted by the numbers of the
// order in the results, signatures by the clients that made them.
type Reached struct {
	Batches          int64   `json:"batches"`
	OpsPerBatch      float64 `json:"operations_per_batch"`
	Signatures       int64   `json:"client_signatures"`
	OpsPerSignature  float64 `json:"operations_per_signature"`
	RequestsPerBatch float64 `json:"requests_per_batch"`
	ClientsPerBatch  float64 `json:"clients_per_batch"`
	FramesPerRequest float64 `json:"frames_per_request"` // 1 where none was sent again, or to all
	BatchesPerSecond float64 `json:"batches_per_second"`
}

// Second is what happened in one second of the measured time. Its latencies are
// those of the operations that were answered in it.
type Second struct {
	At         int           `json:"second"`
	Operations int64         `json:"operations"`
	Errors     int64         `json:"errors"`
	Refused    int64         `json:"refused"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
}

// counts is what clients and processes had done at one time.
type counts struct {
	clients pbft.ClientCounts
	usage   usage
}

// result returns what was measured, but for what counts tell.
func (r *record) result(o Options) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(r.to.Add(-1))
	r.closeSecond()
	r.mu.gaps.close(r.to)
	h := r.mu.all
	res := Result{
		Operations: r.mu.done, Unordered: r.mu.unordered, PerSecond: float64(r.mu.done) / o.Duration.Seconds(),
		Errors: r.mu.errs, Unanswered: r.mu.open, Late: r.mu.lates,
		Refused: r.mu.refused.TotalCount(), RefusedP99: quantile(r.mu.refused, 99),
		Mean: time.Duration(h.Mean() * float64(time.Microsecond)),
		P50:  quantile(h, 50), P90: quantile(h, 90), P99: quantile(h, 99), P999: quantile(h, 99.9),
		Max: time.Duration(h.Max()) * time.Microsecond,
		Gap: r.mu.gaps.longest, GapAt: r.mu.gaps.at.Sub(r.from),
		Curve:     curve(h.TotalCount(), func(q float64) time.Duration { return quantile(h, 100*q) }),
		Histogram: classes(h), Seconds: r.mu.seconds, Shares: r.mu.shares.result(o.Duration),
	}
	if r.mu.err != nil {
		res.FirstError = r.mu.err.Error()
	}
	res.Reached.Batches = r.mu.batches.n
	if n := float64(r.mu.batches.n); n > 0 {
		touched := int64(0)
		for i := range r.mu.touched {
			touched += r.mu.touched[i].n
		}
		res.Reached.OpsPerBatch = float64(r.mu.done-r.mu.unordered) / n
		res.Reached.ClientsPerBatch = float64(touched) / n
		res.Reached.BatchesPerSecond = n / o.Duration.Seconds()
	}
	return res
}

// count fills in what was counted between two times.
func (r *Result) count(before, after counts) {
	requests := after.clients.Requests - before.clients.Requests
	operations := after.clients.Operations - before.clients.Operations
	r.Reached.Signatures = requests
	if requests > 0 {
		r.Reached.OpsPerSignature = float64(operations) / float64(requests)
		r.Reached.FramesPerRequest = float64(after.clients.Frames-before.clients.Frames) / float64(requests)
	}
	if r.Reached.OpsPerSignature > 0 {
		r.Reached.RequestsPerBatch = r.Reached.OpsPerBatch / r.Reached.OpsPerSignature
	}
	r.Usage = usageBetween(before.usage, after.usage, r.Operations)
}
