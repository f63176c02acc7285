package roofline

import (
	"math"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ones are costs that count instead of measuring: each term then says how many
// of its parts an operation needs.
func ones() Costs {
	return Costs{
		SignRequest: 1, VerifyRequest: 1, SignVote: 1, VerifyVote: 1, VerifyReply: 1,
		Hash: 1, HashByte: 0, Flush: 1, Frame: 1, FrameByte: 0,
	}
}

// shape has four replicas with everything alone.
func shape(change func(*Shape)) Shape {
	s := Shape{
		Replicas: 4, Faults: 1, Cores: 2, OpBytes: 128,
		OpsPerBatch: 1, OpsPerSignature: 1, ClientsPerBatch: 1, InFlight: 1,
	}
	change(&s)
	return s
}

// TestLimitCountsWhatPBFTNeeds holds the counts to those made by hand for four
// replicas: 12 signatures of replicas for a batch, 16 votes that a quorum needs
// from others.
func TestLimitCountsWhatPBFTNeeds(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape Shape
		want  []float64 // of the terms, for each operation
	}{
		{"alone", shape(func(*Shape) {}), []float64{1, 4, 8, 3 + 5 + 8, 4, 2, 5 + 8 + 2, 4, 1 + 3 + 9 + 12 + 4, 0}},
		{
			"100 of 10 clients", shape(func(s *Shape) { s.OpsPerBatch, s.ClientsPerBatch, s.InFlight = 100, 10, 4 }),
			[]float64{1, 4, .08, .16, .04, .2, 5.3 + 1.16 + .6, .01, 1 + .24 + .4, 0},
		},
		{
			"100, ten signed together",
			shape(func(s *Shape) { s.OpsPerBatch, s.ClientsPerBatch, s.OpsPerSignature = 100, 10, 10 }),
			[]float64{.1, .4, .08, .16, .04, .2, 5.3 + 1.16 + .6, .04, .1 + .24 + .4, 0},
		},
		{
			"seven", shape(func(s *Shape) { s.Replicas, s.Faults, s.Cores = 7, 2, 1 }),
			[]float64{1, 7, 14, 6 + 6*3 + 4 + 7*4, 7, 3, 8 + 14 + 2, 7, 1 + 6 + 36 + 42 + 7, 0},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := limit(c.shape, ones())
			sum := 0.0
			for i, term := range got.Terms {
				if math.Abs(term.PerOp-c.want[i]) > 1e-9 {
					t.Errorf("%s: got %g, want %g", term.Name, term.PerOp, c.want[i])
				}
				sum += c.want[i]
			}
			if want := float64(c.shape.Cores) * 1e9 / sum; math.Abs(got.PerSecond-want) > want/1e9 {
				t.Errorf("limit is %g, want %g", got.PerSecond, want)
			}
		})
	}
}

// TestTermsWithLengthsCountBytes holds bytes sent and hashed to those of the
// encoding: a request goes to every replica once, each of its bytes is hashed
// there once.
func TestTermsWithLengthsCountBytes(t *testing.T) {
	costs := Costs{HashByte: 1, FrameByte: 1}
	short := limit(shape(func(*Shape) {}), costs)
	long := limit(shape(func(s *Shape) { s.OpBytes += 1000 }), costs)
	for i, want := range map[int]float64{6: 4000, 9: 4000} {
		if got := long.Terms[i].PerOp - short.Terms[i].PerOp; got != want {
			t.Errorf("%s: 1000 bytes more cost %g, want %g", long.Terms[i].Name, got, want)
		}
	}
	group := limit(shape(func(s *Shape) { s.OpsPerBatch = 16 }), costs)
	if got, want := 16*(group.Terms[6].PerOp-short.Terms[6].PerOp), 5*448.0; math.Abs(got-want) > 1e-6 {
		t.Errorf("the node over 16 answers costs %g beside its first 64 bytes, want %g", got, want)
	}
	results := limit(shape(func(s *Shape) { s.ResultBytes = 500 }), costs)
	if got := results.Terms[9].PerOp - short.Terms[9].PerOp; got != 2000 {
		t.Errorf("a result of 500 bytes costs %g sent, want 2000: every replica answers", got)
	}
}

// TestSharingRaisesTheLimit holds the direction of every parameter: what is
// shared by more costs less, what is larger costs more.
func TestSharingRaisesTheLimit(t *testing.T) {
	from := shape(func(s *Shape) { s.OpsPerBatch, s.OpsPerSignature, s.ClientsPerBatch, s.InFlight = 40, 4, 4, 2 })
	costs := Costs{
		SignRequest: 12, VerifyRequest: 12, SignVote: 12, VerifyVote: 15, VerifyReply: 15,
		Hash: .1, HashByte: .0005, Flush: 60, Frame: .2, FrameByte: .0015,
	}
	base := limit(from, costs).PerSecond
	for name, c := range map[string]struct {
		change func(*Shape)
		up     bool
	}{
		"operations per batch":     {func(s *Shape) { s.OpsPerBatch *= 2 }, true},
		"operations per signature": {func(s *Shape) { s.OpsPerSignature *= 2 }, true},
		"batches in flight":        {func(s *Shape) { s.InFlight *= 2 }, true},
		"cores":                    {func(s *Shape) { s.Cores++ }, true},
		"clients per batch":        {func(s *Shape) { s.ClientsPerBatch *= 2 }, false},
		"length of an operation":   {func(s *Shape) { s.OpBytes *= 2 }, false},
		"length of a result":       {func(s *Shape) { s.ResultBytes += 100 }, false},
		"replicas":                 {func(s *Shape) { s.Replicas = 7 }, false},
		"replicas and faults":      {func(s *Shape) { s.Replicas, s.Faults = 7, 2 }, false},
	} {
		changed := from
		c.change(&changed)
		if err := changed.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := limit(changed, costs).PerSecond; c.up != (got > base) || got == base {
			t.Errorf("more %s: the limit goes from %g to %g, want up: %t", name, base, got, c.up)
		}
	}
}

// TestUnloadedSumsTheWayOfOneWrite holds the counts to those made by hand.
func TestUnloadedSumsTheWayOfOneWrite(t *testing.T) {
	u := unloaded(shape(func(*Shape) {}), ones(), Base{FlushWall: 1, RoundTrip: 1, Sign: 1, One: 1})
	want := []float64{1, 2, 2.5, 1, 4, 1 + 1 + 2, 2}
	sum := 0.0
	for i, term := range u.Terms {
		if term.PerOp != want[i] {
			t.Errorf("%s: got %g, want %g", term.Name, term.PerOp, want[i])
		}
		sum += want[i]
	}
	if u.Elapsed != sum {
		t.Errorf("the sum is %g, want %g", u.Elapsed, sum)
	}
}

// TestEveryTermIsDocumented holds the tables of the documentation to the terms.
func TestEveryTermIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	s := shape(func(*Shape) {})
	for _, term := range append(limit(s, ones()).Terms, unloaded(s, ones(), Base{}).Terms...) {
		if !strings.Contains(string(doc), "\n| "+term.Name+" | ") {
			t.Errorf("docs/PERFORMANCE.md has no row for %q", term.Name)
		}
	}
}

func TestShapesReportEveryProblem(t *testing.T) {
	err := Shape{Replicas: 3, Faults: 1, OpBytes: -1, OpsPerBatch: -1, ClientsPerBatch: 0}.Validate()
	for _, want := range []string{"do not tolerate", "cores", "lengths", "per signature", "per batch", "clients", "in flight"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
}

// TestLeastFlushesCount disturbs most rounds of flushes: what disturbs only adds, and a
// limit that is too low would flatter.
func TestLeastFlushesCount(t *testing.T) {
	var elapsed, busy []time.Duration
	for round := range rounds {
		for range flushesRound / 2 {
			elapsed = append(elapsed, 7, 9)
			busy = append(busy, 2+time.Duration(100*min(1, round)), 4)
		}
	}
	if wall, processor := flushCosts(elapsed[1:], busy); wall != 9 || processor != 3 {
		t.Errorf("got %g elapsed and %g of processor, want the median 9 and 3, the mean of the least round", wall, processor)
	}
}

// TestMeterMeasuresThisMachine holds what it measures to what must be so on every
// machine, with much room.
func TestMeterMeasuresThisMachine(t *testing.T) {
	m, err := NewMeter(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	of100 := shape(func(s *Shape) { s.OpsPerBatch, s.ClientsPerBatch, s.InFlight = 100, 100, 4 })
	batched, err := m.Limit(of100)
	if err != nil {
		t.Fatal(err)
	}
	of100.Single = true
	single, err := m.Limit(of100)
	if err != nil {
		t.Fatal(err)
	}
	if single.PerSecond >= batched.PerSecond {
		t.Errorf("alone %.0f/s, together %.0f/s: want more together", single.PerSecond, batched.PerSecond)
	}
	alone, err := m.Unloaded(of100)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Constants()
	if least := c.FlushWall + 2.5*c.RoundTrip; alone.Elapsed <= least {
		t.Errorf("one write takes %g ns unloaded, its flush and messages alone %g", alone.Elapsed, least)
	}
	for name, value := range map[string]float64{
		"hash": c.Hash, "hash of a byte": c.HashByte, "flush": c.Flush, "flush, elapsed": c.FlushWall,
		"frame": c.Frame + c.FrameByte, "round trip": c.RoundTrip, "sign": c.Sign, "sign, standard": c.SignStdlib,
		"verify": c.One, "verify, standard": c.OneStdlib, "verify, fresh key": c.OneFresh,
	} {
		if value <= 0 || value > 1e9 {
			t.Errorf("%s is %g ns", name, value)
		}
	}
	if c.Crowding < 0.5 || c.Crowding > 100 {
		t.Errorf("all cores at once take %g times as much", c.Crowding)
	}
	if c.Hash > c.Sign || c.Sign > 10*c.One {
		t.Errorf("a digest costs %g ns, a signature %g, and verifying it %g", c.Hash, c.Sign, c.One)
	}
	// A vote, a request, 100 of them; 8 votes, 8 replies, 2 of either.
	if len(c.Batches) != 6 {
		t.Errorf("measured %d batches, want 6: %+v", len(c.Batches), c.Batches)
	}
	again, err := m.Limit(batched.Shape)
	if err != nil || again.PerSecond != batched.PerSecond {
		t.Errorf("the same shape again has the limit %g, then %g (%v)", batched.PerSecond, again.PerSecond, err)
	}
}

// TestAllCoresCrowdEachOther has this program use one more than there are, and one: what
// it measures of all cores is of those of the machine.
func TestAllCoresCrowdEachOther(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	want := Cores()
	for _, own := range []int{1, want + 1} {
		runtime.GOMAXPROCS(own)
		var last atomic.Int64 // what f may use while it is measured with others
		if got := crowding(func() { last.Store(int64(runtime.GOMAXPROCS(0))) }); got <= 0 {
			t.Errorf("all cores take %v times as much, want some", got)
		}
		if got := last.Load(); got != int64(want) || runtime.GOMAXPROCS(0) != own {
			t.Errorf("of a program that uses %d: %d processors crowd each other, and it uses %d then, want %d",
				own, got, runtime.GOMAXPROCS(0), want)
		}
	}
}
