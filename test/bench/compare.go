package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Confidence is that of every interval of a Comparison.
const Confidence = 0.95

// driftMax is how much the machine itself may have changed, by its own
// constants, before a comparison says so.
const driftMax = 0.05

// latencyStep is how far apart, relatively, two neighbouring latencies of a histogram with
// three digits are at most.
const latencyStep = 1.0 / 1024

// Verdict is what a comparison shows of one figure.
type Verdict string

// The verdicts. Open means that the interval holds 1: nothing is shown.
const (
	Better Verdict = "better"
	Worse  Verdict = "worse"
	Open   Verdict = "no difference shown"
)

// Change is how one figure differs between two reports.
type Change struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	// A and B are the geometric means over the runs, and Ratio is B over A.
	A     float64 `json:"a"`
	B     float64 `json:"b"`
	Ratio float64 `json:"ratio"`
	// Low and High hold the true ratio with the given confidence.
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Verdict Verdict `json:"verdict"`
}

// Comparison is what differs between two reports of the same load.
type Comparison struct {
	Confidence float64 `json:"confidence"`
	RunsA      int     `json:"runs_a"`
	RunsB      int     `json:"runs_b"`
	// IncompleteA and IncompleteB tell which has fewer runs than it was to have: one failed,
	// or was interrupted, and ended it.
	IncompleteA bool     `json:"incomplete_a"`
	IncompleteB bool     `json:"incomplete_b"`
	Changes     []Change `json:"changes"`
	// Failed compares the shares of operations that failed.
	Failed Failures `json:"failed"`
	// Notes are what else differs, and what casts doubt on the comparison.
	Notes []string `json:"notes"`
}

// Failures are the shares of operations that failed, of those that were answered or did,
// in two reports.
type Failures struct {
	// A and B are the means over the runs; Low and High hold the true B − A with the
	// confidence of the Comparison.
	A       float64 `json:"a"`
	B       float64 `json:"b"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Verdict Verdict `json:"verdict"`
}

// figure is one that is compared.
type figure struct {
	name, unit string
	more       bool // is better
	of         func(Run) float64
	// step is the least relative difference that the figure of a run can show.
	step func(Run) float64
	// common is how far, relatively, the figures of all runs of a report may be off together.
	common float64
}

// figures are those of every run, and those that both reports have.
func figures(a, b Report) []figure {
	one := func(r Run) float64 { return 1 / float64(r.Operations) }
	all := []figure{{"throughput", "1/s", true, func(r Run) float64 { return r.PerSecond }, one, 0}}
	if a.Machine != nil && b.Machine != nil {
		all = append(all, figure{"share of limit", "", true, func(r Run) float64 { return r.Share }, one, driftMax})
	}
	latency := func(name string, of func(Run) time.Duration) {
		all = append(all, figure{
			name, "ns", false, func(r Run) float64 { return float64(of(r)) },
			func(r Run) float64 { return max(float64(time.Microsecond)/float64(of(r)), latencyStep) }, 0,
		})
	}
	latency("p50", func(r Run) time.Duration { return r.P50 })
	latency("p90", func(r Run) time.Duration { return r.P90 })
	latency("p99", func(r Run) time.Duration { return r.P99 })
	latency("p99.9", func(r Run) time.Duration { return r.P999 })
	if usageKnown(a) && usageKnown(b) {
		all = append(all, figure{"processor time", "ns", false, func(r Run) float64 {
			return float64(r.Usage.Replicas + r.Usage.Load)
		}, one, 0})
	}
	return all
}

// known tells whether a figure of every run is a number that has a logarithm.
func (f figure) known(r Report) bool {
	return !slices.ContainsFunc(r.Runs, func(run Run) bool { return !(f.of(run) > 0) || math.IsInf(f.of(run), 1) })
}

func usageKnown(r Report) bool {
	for _, run := range r.Runs {
		if !run.Usage.Known || run.Usage.Replicas+run.Usage.Load <= 0 {
			return false
		}
	}
	return true
}

// Compare tells how b differs from a. Reports of different loads, clusters or
// machines are refused, and those with too few runs to tell chance from change.
//
// Each run is one sample. The interval is Welch's, of the logarithms: it takes
// neither equal variances nor equal numbers of runs for granted. Runs whose figures are
// equal have at least the variance of what rounding hides: two equal ones are no proof
// that there is none. What the machine can do is measured once for all runs of a report,
// so no variance shows how far that is off: the interval of the share of it is wider by
// as much as is not even noted.
func Compare(a, b Report) (Comparison, error) {
	if err := errors.Join(alike(a, b), enough("the first", a), enough("the second", b)); err != nil {
		return Comparison{}, err
	}
	c := Comparison{
		Confidence: Confidence, RunsA: len(a.Runs), RunsB: len(b.Runs), IncompleteA: a.incomplete(), IncompleteB: b.incomplete(),
		Failed: failures(a, b), Notes: notes(a, b),
	}
	for _, f := range figures(a, b) {
		if f.known(a) && f.known(b) {
			c.Changes = append(c.Changes, f.compare(a, b))
		} else {
			c.Notes = append(c.Notes, f.name+" is not known of every run, and not compared")
		}
	}
	return c, nil
}

// Worse returns the names of the figures that are worse, failures among them: of operations,
// and of a run, unless one of the first report's failed as well.
func (c Comparison) Worse() []string {
	var names []string
	for _, change := range c.Changes {
		if change.Verdict == Worse {
			names = append(names, change.Name)
		}
	}
	if c.Failed.Verdict == Worse {
		names = append(names, "errors")
	}
	if c.IncompleteB && !c.IncompleteA {
		names = append(names, "a run that failed")
	}
	return names
}

// failures compares what failed. The interval is Welch's, of the shares themselves: most
// are 0, which has no logarithm. Where nothing failed at first, any failure is worse,
// however few runs there are to tell chance from change: a cluster that works fails nobody.
func failures(a, b Report) Failures {
	meanA, varianceA := a.failed()
	meanB, varianceB := b.failed()
	margin := welch(varianceA, varianceB, float64(len(a.Runs)), float64(len(b.Runs)))
	f := Failures{A: meanA, B: meanB, Low: meanB - meanA - margin, High: meanB - meanA + margin, Verdict: Open}
	switch {
	case f.Low > 0, meanA == 0 && meanB > 0:
		f.Verdict = Worse
	case f.High < 0:
		f.Verdict = Better
	}
	return f
}

// failed returns the mean and the variance over the runs of the share that failed. What is
// counted has at least the variance of a Poisson distribution: equal counts of two runs
// are no proof that there is none.
func (r Report) failed() (mean, variance float64) {
	n, counted := float64(len(r.Runs)), 0.0
	share := func(run Run) float64 { return float64(run.Errors) / float64(run.Operations+run.Errors) }
	for _, run := range r.Runs {
		mean += share(run) / n
		counted += share(run) / float64(run.Operations+run.Errors) / n
	}
	for _, run := range r.Runs {
		variance += (share(run) - mean) * (share(run) - mean) / (n - 1)
	}
	return mean, max(variance, counted)
}

// incomplete tells whether a report has fewer runs than it was to have.
func (r Report) incomplete() bool { return r.Planned > len(r.Runs) }

func enough(which string, r Report) error {
	var errs []error
	if len(r.Runs) < 2 {
		errs = append(errs, fmt.Errorf("%s result has %d run, which cannot tell chance from change: measure it with --runs 5 or more",
			which, len(r.Runs)))
	}
	for i, run := range r.Runs {
		if run.Operations == 0 || run.P50 <= 0 {
			errs = append(errs, fmt.Errorf("run %d of %s result answered nothing", i+1, which))
		}
	}
	return errors.Join(errs...)
}

// alike lists all that must be the same and is not.
func alike(a, b Report) error {
	var errs []error
	same := func(what string, a, b any) {
		if a != b {
			format := "not comparable: %s %v in the first, %v in the second"
			if _, text := a.(string); text { // of a file that anyone may have written
				format = "not comparable: %s %q in the first, %q in the second"
			}
			errs = append(errs, fmt.Errorf(format, what, a, b))
		}
	}
	same("the loop is", a.Load.Loop, b.Load.Loop)
	same("clients are", a.Load.Clients, b.Load.Clients)
	same("operations outstanding per client are", a.Load.Outstanding, b.Load.Outstanding)
	same("the rate offered is", a.Load.Rate, b.Load.Rate)
	same("refused what would wait:", a.Load.NoWait, b.Load.NoWait)
	same("the share of a greedy client is", a.Load.GreedyShare, b.Load.GreedyShare)
	same("the payload in bytes is", a.Load.Payload, b.Load.Payload)
	same("the share of reads is", a.Load.ReadShare, b.Load.ReadShare)
	same("reads outside of the order:", a.Load.FastReads, b.Load.FastReads)
	same("operations per signature, at most, are", a.Load.OpsPerSignature, b.Load.OpsPerSignature)
	same("replicas are", a.Included.Replicas, b.Included.Replicas)
	same("faults tolerated are", a.Included.Faults, b.Included.Faults)
	same("replicas on the same machine:", a.Included.Processes, b.Included.Processes)
	same("signatures are", a.Included.Signatures, b.Included.Signatures)
	same("the flush is", a.Included.Flush, b.Included.Flush)
	same("the file system is", a.Included.FileSystem, b.Included.FileSystem)
	same("the processor is", a.Included.Machine.CPU, b.Included.Machine.CPU)
	same("cores are", a.Included.Machine.Cores, b.Included.Machine.Cores)
	return errors.Join(errs...)
}

// compare computes the change of one figure.
func (f figure) compare(a, b Report) Change {
	meanA, varianceA := f.logarithms(a)
	meanB, varianceB := f.logarithms(b)
	difference := meanB - meanA
	margin := welch(varianceA, varianceB, float64(len(a.Runs)), float64(len(b.Runs))) + math.Log1p(f.common)
	c := Change{
		Name: f.name, Unit: f.unit, A: math.Exp(meanA), B: math.Exp(meanB), Ratio: math.Exp(difference),
		Low: math.Exp(difference - margin), High: math.Exp(difference + margin), Verdict: Open,
	}
	switch {
	case c.Low > 1 && f.more, c.High < 1 && !f.more:
		c.Verdict = Better
	case c.Low > 1, c.High < 1:
		c.Verdict = Worse
	}
	return c
}

// logarithms returns the mean and the variance of the logarithms over the runs. A number
// that was rounded to a step may be anywhere in it: that has the variance step²/12.
func (f figure) logarithms(r Report) (mean, variance float64) {
	n, rounded := float64(len(r.Runs)), 0.0
	for _, run := range r.Runs {
		mean += math.Log(f.of(run)) / n
		rounded += f.step(run) * f.step(run) / 12 / n
	}
	for _, run := range r.Runs {
		variance += (math.Log(f.of(run)) - mean) * (math.Log(f.of(run)) - mean) / (n - 1)
	}
	return mean, max(variance, rounded)
}

// welch returns half the length of the interval for the difference of two means,
// from the variances and numbers of the samples (Welch, Biometrika 1947).
func welch(varianceA, varianceB, a, b float64) float64 {
	partA, partB := varianceA/a, varianceB/b
	sum := partA + partB
	if sum == 0 {
		return 0
	}
	freedom := sum * sum / (partA*partA/(a-1) + partB*partB/(b-1))
	return studentQuantile(Confidence, freedom) * math.Sqrt(sum)
}

// notes are what the reader of a comparison must know.
func notes(a, b Report) []string {
	var all []string
	note := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	differs := func(what, a, b string) {
		if a != b {
			note("%s: %s, then %s", what, a, b)
		}
	}
	for _, r := range []struct {
		which string
		Report
	}{{"first", a}, {"second", b}} {
		if r.incomplete() {
			note("the %s result has %d of %d runs, for one failed or was interrupted", r.which, len(r.Runs), r.Planned)
		}
	}
	differs("version", versionOf(a), versionOf(b))
	differs("kernel", a.Included.Machine.Kernel, b.Included.Machine.Kernel)
	differs("transport", a.Included.Transport, b.Included.Transport)
	differs("measured", a.Load.WarmUp.String()+" + "+a.Load.Duration.String(), b.Load.WarmUp.String()+" + "+b.Load.Duration.String())
	differs("other values in the state", fmt.Sprintf("%d MiB", a.Load.Fill>>20), fmt.Sprintf("%d MiB", b.Load.Fill>>20))
	differs("primary killed after", a.Load.KillAfter.String(), b.Load.KillAfter.String())
	differs("a disk was lost after", a.Load.LoseDiskAfter.String(), b.Load.LoseDiskAfter.String())
	differs("a backup was stopped", fmt.Sprintf("%.0f %% of the time", 100*a.Load.SlowShare), fmt.Sprintf("%.0f %% of the time", 100*b.Load.SlowShare))
	differs("requests in a batch, at most,", fmt.Sprint(a.Included.BatchRequests), fmt.Sprint(b.Included.BatchRequests))
	differs("kept for audits, at most,", fmt.Sprintf("%d MiB", a.Included.ArchiveBytes>>20), fmt.Sprintf("%d MiB", b.Included.ArchiveBytes>>20))
	differs("checkpoint interval", fmt.Sprint(a.Included.CheckpointInterval), fmt.Sprint(b.Included.CheckpointInterval))
	differs("request timeout", a.Included.RequestTimeout.String(), b.Included.RequestTimeout.String())
	differs("replicas that did not vote at the end", fmt.Sprint(a.notVoting()), fmt.Sprint(b.notVoting()))
	differs("errors", fmt.Sprint(a.errors()), fmt.Sprint(b.errors()))
	if d := drift(a, b); math.Abs(d-1) > driftMax {
		note("the machine itself took %.2f times as long for signatures and digests in the second: compare shares of the limit", d)
	}
	othersA, othersB := a.Median(others), b.Median(others)
	if max(othersA, othersB) > driftMax {
		note("other programs took %.0f %% of the machine, then %.0f %%", 100*othersA, 100*othersB)
	}
	return all
}

func others(r Run) float64 { return r.Usage.Others }

func versionOf(r Report) string {
	return strings.Join([]string{r.Included.Version, r.Included.Commit, r.Included.Go}, " ")
}

// drift returns how many times as long the machine took for its own constants in
// b: 1 where they are unknown.
func drift(a, b Report) float64 {
	if a.Machine == nil || b.Machine == nil {
		return 1
	}
	sum, n := 0.0, 0.0
	for _, pair := range [][2]float64{
		{a.Machine.SignStdlib, b.Machine.SignStdlib}, {a.Machine.OneStdlib, b.Machine.OneStdlib}, {a.Machine.Hash, b.Machine.Hash},
	} {
		if pair[0] > 0 && pair[1] > 0 {
			sum += math.Log(pair[1] / pair[0])
			n++
		}
	}
	return math.Exp(sum / max(1, n))
}
