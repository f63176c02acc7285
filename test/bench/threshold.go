package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Thresholds are what a measurement must reach. A zero field demands nothing.
type Thresholds struct {
	Throughput float64 // operations per second, at least
	P50, P99   time.Duration
	P999       time.Duration
	Gap        time.Duration // the longest without an answer
	// Share is that of the machine's limit, 0 to 1, at least.
	Share float64
	// Errors is how many operations of all runs together may fail.
	Errors int64
}

// Validate reports everything that is wrong with t, at once.
func (t Thresholds) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(t.Throughput >= 0 && t.Throughput <= math.MaxFloat64,
		"the least throughput is %g, want a number, 0 or more", t.Throughput)
	for _, q := range []struct {
		name string
		most time.Duration
	}{
		{"the greatest p50", t.P50}, {"the greatest p99", t.P99}, {"the greatest p99.9", t.P999}, {"the longest gap", t.Gap},
	} {
		need(q.most >= 0, "%s is %v, want 0 or more", q.name, q.most)
	}
	need(t.Share >= 0 && t.Share <= 1, "the least share of the limit is %g, want 0 to 1", t.Share)
	need(t.Errors >= 0, "the greatest number of errors is %d, want 0 or more", t.Errors)
	return errors.Join(errs...)
}

// MissedError says which thresholds a measurement missed, and by how much.
type MissedError struct{ Missed []string }

// Error lists them, one a line.
func (e *MissedError) Error() string {
	text := ""
	for i, m := range e.Missed {
		if i > 0 {
			text += "\n"
		}
		text += "not met: " + m
	}
	return text
}

// Check holds a report to t. Of several runs the median counts, and all of their
// errors. The error is nil or a *MissedError.
func (t Thresholds) Check(r Report) error {
	var missed []string
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	if got := r.Median(func(run Run) float64 { return run.PerSecond }); got < t.Throughput {
		miss("throughput is %.0f operations/s, want at least %.0f: %.1f %% too little", got, t.Throughput,
			100*(1-got/t.Throughput))
	}
	for _, q := range []struct {
		name string
		want time.Duration
		of   func(Run) time.Duration
	}{
		{"p50", t.P50, func(r Run) time.Duration { return r.P50 }},
		{"p99", t.P99, func(r Run) time.Duration { return r.P99 }},
		{"p99.9", t.P999, func(r Run) time.Duration { return r.P999 }},
		{"the longest gap", t.Gap, func(r Run) time.Duration { return r.Gap }},
	} {
		got := time.Duration(r.Median(func(run Run) float64 { return float64(q.of(run)) }))
		if q.want > 0 && got > q.want {
			miss("%s is %v, want at most %v: %.1f %% too much", q.name, got, q.want, 100*(float64(got)/float64(q.want)-1))
		}
	}
	if got := r.Median(func(run Run) float64 { return run.Share }); t.Share > 0 && r.Machine == nil {
		miss("the share of the machine's limit is unknown, for that was not measured")
	} else if got < t.Share {
		miss("throughput is %.1f %% of the machine's limit, want at least %.1f %%", 100*got, 100*t.Share)
	}
	for i, run := range r.Runs {
		if run.Operations == 0 {
			miss("run %d answered no operation at all", i+1)
		}
	}
	if errs := r.errors(); errs > t.Errors {
		miss("%d operations failed, want at most %d; the first: %s", errs, t.Errors, r.firstError())
	}
	if len(missed) == 0 {
		return nil
	}
	return &MissedError{missed}
}

// Median returns the median over the runs of what of returns.
func (r Report) Median(of func(Run) float64) float64 {
	values := make([]float64, 0, len(r.Runs))
	for _, run := range r.Runs {
		values = append(values, of(run))
	}
	return median(values)
}

// median returns the middle of values, and 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func (r Report) firstError() string {
	for _, run := range r.Runs {
		if run.FirstError != "" {
			return run.FirstError
		}
	}
	return ""
}

// errors are those of all runs.
func (r Report) errors() (sum int64) {
	for _, run := range r.Runs {
		sum += run.Errors
	}
	return sum
}

// notVoting returns how many replicas did not vote at the end of a run, at most.
func (r Report) notVoting() (most int) {
	for _, run := range r.Runs {
		most = max(most, run.NotVoting)
	}
	return most
}
