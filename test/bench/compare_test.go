package bench

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/test/roofline"
)

// withRuns is the sample with other runs.
func withRuns(perSecond ...float64) Report {
	r := sample()
	r.Runs = nil
	for _, x := range perSecond {
		r.Runs = append(r.Runs, sampleRun(x, time.Duration(1e12/x)))
	}
	return r
}

func change(t *testing.T, a, b Report, name string) Change {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range c.Changes {
		if change.Name == name {
			return change
		}
	}
	t.Fatalf("%+v has no %s", c, name)
	return Change{}
}

// TestStudentQuantilesAreThoseOfTheTables compares with printed tables.
func TestStudentQuantilesAreThoseOfTheTables(t *testing.T) {
	for _, c := range []struct{ confidence, freedom, want float64 }{
		{0.95, 1, 12.706},
		{0.95, 2, 4.303},
		{0.95, 4, 2.776},
		{0.95, 10, 2.228},
		{0.95, 30, 2.042},
		{0.95, 1e6, 1.960},
		{0.99, 5, 4.032},
		{0.5, 7, 0.711},
	} {
		if got := studentQuantile(c.confidence, c.freedom); math.Abs(got-c.want) > 0.0006 {
			t.Errorf("%g with %g degrees of freedom: got %.4f, want %.3f", c.confidence, c.freedom, got, c.want)
		}
	}
}

// TestWelchAgreesWithTheFormulaByHand takes samples whose logarithms are whole:
// 0, 2 and 1, 3, 5. The difference is 2, its parts are 1 and 4/3, and the degrees
// of freedom (7/3)²/(1 + 8/9) = 49/17.
func TestWelchAgreesWithTheFormulaByHand(t *testing.T) {
	e := math.Exp
	got := change(t, withRuns(1, e(2)), withRuns(e(1), e(3), e(5)), "throughput")
	margin := studentQuantile(0.95, 49.0/17) * math.Sqrt(7.0/3)
	for name, pair := range map[string][2]float64{
		"ratio": {got.Ratio, e(2)}, "low": {got.Low, e(2 - margin)}, "high": {got.High, e(2 + margin)},
	} {
		if math.Abs(pair[0]/pair[1]-1) > 1e-9 {
			t.Errorf("%s is %g, want %g", name, pair[0], pair[1])
		}
	}
}

// TestIntervalsHoldTheTruthAsOftenAsTheySay compares samples of known means many
// times.
func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	const seed, trials, truth = 1, 2000, 1.1
	rng := rand.New(rand.NewPCG(seed, 0))
	draw := func(n int, mean, spread float64) []float64 {
		var all []float64
		for range n {
			all = append(all, mean*math.Exp(spread*rng.NormFloat64()))
		}
		return all
	}
	held := 0
	for range trials {
		c := change(t, withRuns(draw(5, 1000, 0.02)...), withRuns(draw(4, 1000*truth, 0.05)...), "throughput")
		if c.Low <= truth && truth <= c.High {
			held++
		}
	}
	if share := float64(held) / trials; share < 0.93 || share > 0.975 {
		t.Errorf("seed %d: %.3f of the intervals hold the truth, want about %g", seed, share, Confidence)
	}
}

func TestVerdictsFollowTheInterval(t *testing.T) {
	slow, fast, wide := withRuns(100, 101, 102), withRuns(110, 111, 112), withRuns(60, 110, 180)
	for _, c := range []struct {
		name string
		a, b Report
		of   string
		want Verdict
	}{
		{"more throughput", slow, fast, "throughput", Better},
		{"less throughput", fast, slow, "throughput", Worse},
		{"shorter", slow, fast, "p99", Better},
		{"longer", fast, slow, "p99", Worse},
		{"larger share", slow, fast, "share of limit", Better},
		{"scattered", slow, wide, "throughput", Open},
		{"the same", slow, slow, "p50", Open},
		{"without any scatter", withRuns(100, 100), withRuns(100, 100), "throughput", Open},
		{"without any scatter, changed", withRuns(100, 100), withRuns(99, 99), "throughput", Worse},
	} {
		if got := change(t, c.a, c.b, c.of); got.Verdict != c.want {
			t.Errorf("%s: got %+v, want %q", c.name, got, c.want)
		}
	}
}

// TestMoreErrorsAreWorse gives each of three runs, of 10,000 operations or so, so many
// errors.
func TestMoreErrorsAreWorse(t *testing.T) {
	with := func(errs ...int64) Report {
		r := sample()
		for i := range r.Runs {
			r.Runs[i].Errors = errs[i]
		}
		return r
	}
	alike := func(errs int64) Report { // so that nothing scatters but by chance
		r := with(errs, errs, errs)
		for i := range r.Runs {
			r.Runs[i].Operations = 10_000 - errs
		}
		return r
	}
	for name, c := range map[string]struct {
		a, b Report
		want Verdict
	}{
		"a few more, all alike":  {alike(10), alike(12), Open},
		"a few fewer, all alike": {alike(12), alike(10), Open},
		"many more, all alike":   {alike(10), alike(100), Worse},
		"none in either":         {with(0, 0, 0), with(0, 0, 0), Open},
		"the first one":          {with(0, 0, 0), with(0, 1, 0), Worse},
		"one fewer":              {with(0, 1, 0), with(0, 0, 0), Open},
		"a few more":             {with(10, 10, 10), with(12, 12, 12), Open}, // chance can do that
		"many more":              {with(10, 10, 10), with(900, 1000, 1100), Worse},
		"many fewer":             {with(900, 1000, 1100), with(10, 10, 10), Better},
		"one run went wrong":     {with(10, 10, 10), with(10, 3000, 10), Open},
		"more of the same kind":  {with(100, 100, 100), with(200, 200, 200), Worse},
	} {
		got, err := Compare(c.a, c.b)
		if err != nil || got.Failed.Verdict != c.want || slices.Contains(got.Worse(), "errors") != (c.want == Worse) {
			t.Errorf("%s: got %+v, %v, %v, want %q", name, got.Failed, got.Worse(), err, c.want)
		}
	}
}

// TestRunsThatFailedAreWorse has reports lack some of the runs that they were to have.
func TestRunsThatFailedAreWorse(t *testing.T) {
	whole, lacking := sample(), sample()
	whole.Planned, lacking.Planned = len(whole.Runs), len(lacking.Runs)+7
	for name, c := range map[string]struct {
		a, b Report
		want bool
	}{
		"none":               {whole, whole, false},
		"of the second":      {whole, lacking, true},
		"of the second only": {sample(), lacking, true}, // of a version that did not say what was planned
		"of the first":       {lacking, whole, false},
		"of both":            {lacking, lacking, false},
	} {
		got, err := Compare(c.a, c.b)
		if err != nil || slices.Contains(got.Worse(), "a run that failed") != c.want || len(got.Worse()) > 1 {
			t.Errorf("%s: got %v, %v, want it to be worse: %v", name, got.Worse(), err, c.want)
		}
	}
}

// TestRoundedRunsThatAreEqualAreNoProof has two runs each, whose figures differ by the least
// that they can: of what comes as either of two numbers, half of all pairs look like that.
func TestRoundedRunsThatAreEqualAreNoProof(t *testing.T) {
	twice := func(operations int64, p50 time.Duration) Report {
		run := sampleRun(float64(operations)/10, p50)
		run.Operations = operations
		r := sample()
		r.Runs = []Run{run, run}
		return r
	}
	a, b := twice(20000, 4099*time.Microsecond), twice(19999, 4103*time.Microsecond)
	for _, name := range []string{"throughput", "p50"} {
		if got := change(t, a, b, name); got.Verdict != Open || got.Low >= got.High {
			t.Errorf("%s: got %+v, want no difference shown", name, got)
		}
	}
	if got := change(t, a, twice(19900, 4099*time.Microsecond), "throughput"); got.Verdict != Worse {
		t.Errorf("half a percent less: got %+v, want it worse", got)
	}
}

// TestSharesAreAsSureAsTheLimitOfTheirReport has runs that do the same, and a machine that
// seemed 4 % slower in the moment in which it was measured for all of them.
func TestSharesAreAsSureAsTheLimitOfTheirReport(t *testing.T) {
	a, b := withRuns(1000, 1001, 1002), withRuns(1000, 1001, 1002)
	for i := range b.Runs {
		b.Runs[i].Share *= 1.04
	}
	if got := change(t, a, b, "share of limit"); got.Verdict != Open {
		t.Errorf("got %+v, want no difference shown", got)
	}
}

// TestUnknownFiguresAreNotCompared has a run without a share, and one without an end.
func TestUnknownFiguresAreNotCompared(t *testing.T) {
	a, b := sample(), sample()
	b.Runs[1].Share, b.Runs[2].P999 = 0, 0
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Errorf("it has no JSON: %v", err)
	}
	for _, name := range []string{"share of limit", "p99.9"} {
		found := slices.ContainsFunc(c.Changes, func(c Change) bool { return c.Name == name })
		if found || !strings.Contains(strings.Join(c.Notes, "\n"), name+" is not known of every run") {
			t.Errorf("%s: got %+v, want a note", name, c)
		}
	}
}

func TestResultsThatAreNotComparableAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(*Report){
		"loop":         func(r *Report) { r.Load.Loop = "open" },
		"clients":      func(r *Report) { r.Load.Clients++ },
		"outstanding":  func(r *Report) { r.Load.Outstanding++ },
		"rate":         func(r *Report) { r.Load.Rate = 1 },
		"would wait":   func(r *Report) { r.Load.NoWait = true },
		"greedy":       func(r *Report) { r.Load.GreedyShare = 0.5 },
		"payload":      func(r *Report) { r.Load.Payload++ },
		"reads":        func(r *Report) { r.Load.ReadShare = 1 },
		"signature":    func(r *Report) { r.Load.OpsPerSignature = 1 },
		"replicas are": func(r *Report) { r.Included.Replicas = 7 },
		"faults":       func(r *Report) { r.Included.Faults = 2 },
		"same machine": func(r *Report) { r.Included.Processes = false },
		"signatures":   func(r *Report) { r.Included.Signatures = "none" },
		"flush":        func(r *Report) { r.Included.Flush = "never" },
		"file system":  func(r *Report) { r.Included.FileSystem = "tmpfs" },
		"processor":    func(r *Report) { r.Included.Machine.CPU = "\x1b[31mother" },
		"cores":        func(r *Report) { r.Included.Machine.Cores = 64 },
		"--runs":       func(r *Report) { r.Runs = r.Runs[:1] },
		"nothing":      func(r *Report) { r.Runs[1].Operations = 0 },
	} {
		spoiled := sample()
		spoil(&spoiled)
		for _, pair := range [][2]Report{{sample(), spoiled}, {spoiled, sample()}} {
			_, err := Compare(pair[0], pair[1])
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: got %q, want it refused, in plain characters", want, err)
			}
		}
	}
}

func TestComparisonsSayWhatCastsDoubt(t *testing.T) {
	a, b := sample(), sample()
	a.Machine = &roofline.Constants{Base: roofline.Base{SignStdlib: 10, OneStdlib: 20, Hash: 1}}
	b.Machine = &roofline.Constants{Base: roofline.Base{SignStdlib: 20, OneStdlib: 40, Hash: 2}}
	b.Included.Commit = "other"
	b.Load.Duration *= 2
	b.Included.BatchRequests, b.Included.ArchiveBytes = 8, 1<<20
	b.Load.Fill, b.Load.KillAfter, b.Load.LoseDiskAfter, b.Load.SlowShare = 1<<30, time.Second, time.Second, 0.5
	for i := range b.Runs {
		b.Runs[i].Usage.Others = 0.3
	}
	b.Runs[0].NotVoting = 1
	b.Planned = 9
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(c.Notes, "\n")
	for _, want := range []string{
		"2.00 times", "version: v1 c go1, then v1 other go1", "0s + 20s", "30 %", "512, then 8", "0 MiB, then 1 MiB",
		"0 MiB, then 1024 MiB", "0s, then 1s", "0 % of the time, then 50 %", "did not vote at the end: 0, then 1",
		"the second result has 3 of 9 runs",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the notes lack %q:\n%s", want, all)
		}
	}
	if c, err := Compare(a, a); err != nil || len(c.Notes) > 0 || len(c.Worse()) > 0 {
		t.Errorf("a report and itself: %+v, %v; want nothing to say", c, err)
	}
}
