package bench

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft"
)

// tiny measures a fixed number of operations at each point, and nothing times out.
func tiny(t *testing.T) GrowthOptions {
	t.Helper()
	return GrowthOptions{
		Default:     Dimensions{Replicas: 4, Payload: 16, Clients: 2, BatchLimit: 8},
		Outstanding: 2, Duration: time.Second, RequestTimeout: pbft.RequestTimeoutMax, Dir: t.TempDir(), operations: 60,
	}
}

// TestGrowthCountsWhatTheFormulaNeeds holds what replicas did to the formula, where
// that is a lower bound. Replies are exact, one signature of each replica for each
// batch, but for those of a client's first request: it goes to all replicas, and one
// that has executed it by then answers once more. Of the commits the formula counts n, and a replica that hears q of others
// before it has prepared needs none of its own; nor does one flush for each of two
// batches that it gets at once.
func TestGrowthCountsWhatTheFormulaNeeds(t *testing.T) {
	o := tiny(t)
	o.BatchLimits = []int{1}
	var told []int
	g, err := MeasureGrowth(t.Context(), o, func(number, of int, _ Planned) { told = append(told, number, of) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 2, 2}; !cmp.Equal(told, want) || len(g.Points) != 2 || g.Planned != 2 {
		t.Fatalf("was told of %v and has %d points, want %v and 2", told, len(g.Points), want)
	}
	for _, p := range g.Points {
		c, n := p.Counts, int64(p.Replicas)
		if p.Operations != o.operations || c.Operations != n*o.operations || p.Errors > 0 || p.PerSecond <= 0 || p.P99 < p.P50 {
			t.Errorf("%+v: want %d operations, everywhere, and no error", p, o.operations)
		}
		if again := n * int64(p.Clients); c.Signed.Replies < c.Batches || c.Signed.Replies > c.Batches+again {
			t.Errorf("%d replies were signed for %d batches, want as many, or %d more", c.Signed.Replies, c.Batches, again)
		}
		if quorum := int64(3); c.Signed.Votes*n < (n+quorum)*c.Batches || c.Signed.Votes > 2*c.Batches+24 {
			t.Errorf("%d votes were signed for %d batches at %d replicas", c.Signed.Votes, c.Batches/n, n)
		}
		for name, ratio := range map[string]float64{
			"requests verified": p.Ratio.RequestsVerified, "votes verified": p.Ratio.VotesVerified,
			"verifications": p.Ratio.Verifications,
		} {
			if ratio < 1-1e-9 { // a quotient of quotients
				t.Errorf("%s: %.3f of what is needed was counted", name, ratio)
			}
		}
		if p.Ratio.Frames < 0.9 || p.Ratio.Bytes < 0.9 || p.Ratio.Flushes <= 0 || p.Ratio.Signatures < 0.9 {
			t.Errorf("got the ratios %+v", p.Ratio)
		}
	}
	if last := g.Points[1]; last.Varied != VariedBatchLimit || last.OpsPerBatch > float64(g.Points[1].OpsPerSignature)+0.01 {
		t.Errorf("got %g operations in a batch of one request, of %g", last.OpsPerBatch, last.OpsPerSignature)
	}
	text := strings.Builder{}
	var again Growth
	if err := errors.Join(g.WriteJSON(&text), json.Unmarshal([]byte(text.String()), &again)); err != nil || !cmp.Equal(g, again) {
		t.Errorf("the JSON is not what was measured: %v\n%s", err, cmp.Diff(g, again))
	}
}

// TestGrowthFillsTheState before it measures, and tells what is written then where the data
// is on a disk.
func TestGrowthFillsTheState(t *testing.T) {
	t.Parallel() // it waits until nothing more is written
	o := tiny(t)
	o.States, o.Outstanding = []int64{3 * fillValue}, 1
	g, err := MeasureGrowth(t.Context(), o, nil)
	if err != nil || len(g.Points) != 2 {
		t.Fatalf("got %v and %d points, want 2", err, len(g.Points))
	}
	small, full := g.Points[0], g.Points[1]
	if full.Varied != VariedState || full.State != 3*fillValue || full.Operations != o.operations || full.Errors > 0 {
		t.Errorf("%+v: want %d operations on a state of %d bytes", full, o.operations, 3*fillValue)
	}
	if small.Filled != 0 || full.Filled == 0 {
		t.Errorf("the state was filled for %v and %v, want only the second", small.Filled, full.Filled)
	}
	onDisk := slices.Contains([]string{"ext4", "xfs", "btrfs"}, g.Included.FileSystem)
	for _, p := range g.Points {
		if onDisk && p.Written == 0 || p.Written < 0 || p.Max < p.P99 {
			t.Errorf("on %d bytes %.1f were written for each operation, which took %v at the most", p.State, p.Written, p.Max)
		}
	}
}

// TestGrowthWithDistance: an operation takes five times as long as a message at least, and
// what is counted is that of the operations, though messages are always under way.
func TestGrowthWithDistance(t *testing.T) {
	t.Parallel() // it waits for messages
	o := tiny(t)
	o.Delays, o.Outstanding = []time.Duration{20 * time.Millisecond}, 1
	g, err := MeasureGrowth(t.Context(), o, nil)
	if err != nil || len(g.Points) != 2 {
		t.Fatalf("got %v and %d points, want 2", err, len(g.Points))
	}
	far := g.Points[1]
	if far.Varied != VariedDelay || far.Errors > 0 || far.Unsettled || far.P50 < orderDelays*far.Delay {
		t.Errorf("%+v: want operations that take %v or more, and settled counts", far, orderDelays*far.Delay)
	}
	if got, want := far.Counts.Operations, far.Operations*int64(far.Replicas); got != want {
		t.Errorf("%d operations are counted at all replicas, want %d", got, want)
	}
}

// TestCountsWaitForReplicasThatAreBehind, but not for ever: who reads them is told.
func TestCountsWaitForReplicasThatAreBehind(t *testing.T) {
	for behind, want := range map[time.Duration]bool{0: true, time.Second: true, time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			sum, ok := quiet(t.Context(), func() (pbft.Counts, bool) {
				return pbft.Counts{Batches: int64(time.Since(began))}, time.Since(began) >= behind
			})
			if took := time.Since(began); ok != want || sum.Batches != int64(took) || took > quietMax {
				t.Errorf("replicas that are %v behind: done %v after %v, with the counts of %d ns", behind, ok, took, sum.Batches)
			}
		})
	}
}

// TestBatchesWithoutOperationsAreNoPoint has a new primary fill a gap of the order, and
// nothing else be executed.
func TestBatchesWithoutOperationsAreNoPoint(t *testing.T) {
	p := GrowthPoint{Planned: Planned{Dimensions: Dimensions{Replicas: 4, Payload: 1, Clients: 1, BatchLimit: 1}}, Faults: 1}
	if err := p.account(pbft.Counts{Batches: 4}, requested{1, 1}); err == nil {
		t.Errorf("got %+v, want an error", p)
	}
}

// TestInterruptedGrowthKeepsItsPoints interrupts it before the second.
func TestInterruptedGrowthKeepsItsPoints(t *testing.T) {
	o := tiny(t)
	o.Payloads = []int{0, 32}
	ctx, cancel := context.WithCancel(t.Context())
	g, err := MeasureGrowth(ctx, o, func(number, _ int, _ Planned) {
		if number == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || len(g.Points) != 1 || g.Planned != 3 {
		t.Errorf("got %v and %d of %d points, want %v and 1 of 3", err, len(g.Points), g.Planned, context.Canceled)
	}
}

// TestGrowthVariesOneThingAtATime has the default point first, and none twice.
func TestGrowthVariesOneThingAtATime(t *testing.T) {
	o := GrowthDefaults()
	o.Default = Dimensions{Replicas: 4, Payload: 128, Clients: 16, BatchLimit: 512}
	o.Replicas, o.Payloads, o.Clients, o.BatchLimits = []int{4, 7}, []int{128, 0}, []int{1}, []int{512, 1, 1}
	o.States, o.Delays = []int64{0, 1 << 20}, []time.Duration{0, time.Millisecond}
	want := []Planned{
		{"", o.Default},
		{VariedReplicas, Dimensions{7, 128, 16, 512, 0, 0}},
		{VariedPayload, Dimensions{4, 0, 16, 512, 0, 0}},
		{VariedClients, Dimensions{4, 128, 1, 512, 0, 0}},
		{VariedBatchLimit, Dimensions{4, 128, 16, 1, 0, 0}},
		{VariedState, Dimensions{4, 128, 16, 512, 1 << 20, 0}},
		{VariedDelay, Dimensions{4, 128, 16, 512, 0, time.Millisecond}},
	}
	if diff := cmp.Diff(o.Plan(), want); diff != "" {
		t.Error(diff)
	}
	if least := 7*(o.WarmUp+o.Duration) + settleFor; o.Takes() < least {
		t.Errorf("it takes %v, want at least %v", o.Takes(), least)
	}
	if err := GrowthDefaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestGrowthOptionsReportEveryProblem(t *testing.T) {
	o := GrowthOptions{
		Default: Dimensions{Replicas: 4, Payload: 1, Clients: 1, BatchLimit: 1}, Replicas: []int{3, 65}, Payloads: []int{-1},
		Clients: make([]int, 17), BatchLimits: []int{0}, States: []int64{-1, fillMax + 1}, WarmUp: -1, RequestTimeout: 1,
		Delays: []time.Duration{-1, pbft.LocalDelayMax + 1},
	}
	_, err := MeasureGrowth(t.Context(), o, nil)
	if err == nil {
		t.Fatal("got nil, want an error")
	}
	for _, want := range []string{
		"replicas is 3", "replicas is 65", "payload", "clients has 17", "clients is 0", "batch limit", "outstanding", "warm-up",
		"duration", "request timeout", "hold -1 bytes", "hold 1099511627777 bytes", "delay is -1ns", "delay is 1.000000001s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

func TestViewIsThatOfMoreThanMayLie(t *testing.T) {
	for _, test := range []struct {
		views  []uint64
		faults int
		want   uint64
	}{
		{[]uint64{0, 0, 5, 0}, 1, 0},
		{[]uint64{3, 1, 1, 0}, 1, 1},
		{[]uint64{2, 9, 8, 2, 2, 2, 3}, 2, 3},
		{[]uint64{4}, 0, 4},
	} {
		if got := reached(test.views, test.faults); got != test.want {
			t.Errorf("%v with f = %d: got view %d, want %d", test.views, test.faults, got, test.want)
		}
	}
}
