package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// stalling is a cluster that answers after a millisecond, but answers nothing
// from one time to another.
type stalling struct {
	from, to time.Time

	mu   sync.Mutex
	done int64
}

const quick = time.Millisecond

func (s *stalling) Submit(ctx context.Context, _ []byte) (pbft.Result, error) {
	answered := time.Now().Add(quick)
	if !answered.Before(s.from) && answered.Before(s.to) {
		answered = s.to
	}
	timer := time.NewTimer(time.Until(answered))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return pbft.Result{}, &pbft.UnfinishedError{Err: ctx.Err()}
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	return pbft.Result{Seq: wire.Seq(s.done)}, nil //nolint:gosec // counted up
}

func (s *stalling) Read(ctx context.Context, op []byte) (pbft.Result, error) {
	return s.Submit(ctx, op)
}

func (s *stalling) Query(ctx context.Context, op []byte) (pbft.Result, error) {
	return s.Submit(ctx, op)
}

func (s *stalling) Counts() pbft.ClientCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pbft.ClientCounts{Requests: s.done, Operations: s.done}
}

func (s *stalling) Close() error { return nil }

// stalled runs a load of ten seconds on a cluster that stalls for a time in the
// middle of it.
func stalled(t *testing.T, o Options, stall time.Duration) (Result, error) {
	t.Helper()
	s := &stalling{from: time.Now().Add(4 * time.Second)}
	s.to = s.from.Add(stall)
	o.Duration = 10 * time.Second
	o.dial = func(context.Context) (Client, error) { return s, nil }
	return Measure(t.Context(), o)
}

// share returns which share of the operations took at most d.
func share(r Result, d time.Duration) float64 {
	q := 0.0
	for _, p := range r.Curve {
		if p.Latency <= d {
			q = p.Quantile
		}
	}
	return q
}

// TestStallsCountInFullInTheOpenLoop has one operation due every 10 ms, and a
// stall of two seconds: 200 of 1,000 operations become due during it, and wait
// for all the rest of it. That holds also when there are too few workers to start
// them all.
func TestStallsCountInFullInTheOpenLoop(t *testing.T) {
	for _, workers := range []int{250, 4} {
		synctest.Test(t, func(t *testing.T) {
			r, err := stalled(t, Options{Clients: 1, Outstanding: workers, Rate: 100}, 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if r.Operations != 1000 || r.Errors != 0 {
				t.Errorf("%d workers: got %d operations and %d errors, want 1000 and none", workers, r.Operations, r.Errors)
			}
			if late := r.Late > 0; late != (workers == 4) {
				t.Errorf("%d workers: got %d late starts, want some only with 4", workers, r.Late)
			}
			near := func(name string, got, want time.Duration) {
				t.Helper()
				if diff := got - want; diff < -40*time.Millisecond || diff > 40*time.Millisecond {
					t.Errorf("%d workers: %s is %v, want about %v", workers, name, got, want)
				}
			}
			near("p50", r.P50, quick)
			near("p90", r.P90, time.Second) // half of those in the stall
			near("p99", r.P99, 1900*time.Millisecond)
			near("max", r.Max, 2*time.Second)
			if got := share(r, 100*time.Millisecond); got < 0.78 || got > 0.83 {
				t.Errorf("%d workers: %.2f of the operations took at most 0.1 s, want 0.81", workers, got)
			}
		})
	}
}

// TestStallsShowInEverySecond holds the series to the stall: seconds without an
// answer are there, and empty.
func TestStallsShowInEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := stalled(t, Options{Clients: 1, Outstanding: 4, Rate: 100}, 3100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Seconds) != 10 {
			t.Fatalf("got %d seconds, want 10", len(r.Seconds))
		}
		sum := int64(0)
		for i, s := range r.Seconds {
			sum += s.Operations
			stalls := i == 4 || i == 5 || i == 6
			if s.At != i || stalls != (s.Operations == 0) {
				t.Errorf("second %d: got %+v", i, s)
			}
		}
		if sum != r.Operations {
			t.Errorf("the seconds have %d operations, the result %d", sum, r.Operations)
		}
	})
}

// narrow is a cluster that serves one operation at a time, in 20 ms, and refuses
// what comes meanwhile.
type narrow struct {
	stalling
	busy atomic.Bool
}

func (n *narrow) Submit(ctx context.Context, op []byte) (pbft.Result, error) {
	if !n.busy.CompareAndSwap(false, true) {
		return pbft.Result{}, pbft.ErrOverload
	}
	defer n.busy.Store(false)
	await(ctx, time.Now().Add(19*time.Millisecond))
	return n.stalling.Submit(ctx, op)
}

// TestRefusedOperationsAreNeitherAnsweredNorErrors offers twice of what a cluster
// can do: half is refused, and what is served does not wait.
func TestRefusedOperationsAreNeitherAnsweredNorErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(narrow)
		r, err := Measure(t.Context(), Options{
			Clients: 1, Outstanding: 1, Rate: 100, NoWait: true, Duration: 10 * time.Second,
			dial: func(context.Context) (Client, error) { return n, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if all := r.Operations + r.Refused; r.Errors > 0 || r.Late > 0 || all < 999 || all > 1000 || r.Refused < 450 || r.Refused > 670 {
			t.Errorf("got %d answered, %d refused, %d errors, %d late; want about half of 1000 refused, and no error",
				r.Operations, r.Refused, r.Errors, r.Late)
		}
		if r.Max > 21*time.Millisecond || r.RefusedP99 > time.Millisecond {
			t.Errorf("served within %v and refused within %v, want 20 ms and at once", r.Max, r.RefusedP99)
		}
		sum := int64(0)
		for _, s := range r.Seconds {
			sum += s.Refused
		}
		if sum != r.Refused {
			t.Errorf("the seconds have %d refused, the result %d", sum, r.Refused)
		}
	})
}

// TestBacklogsDoNotFlatterThroughput has a cluster that stalls until after the
// end of the measured time: what it answers then counts with its latency, and not
// as throughput.
func TestBacklogsDoNotFlatterThroughput(t *testing.T) {
	for _, rate := range []int{100, 0} {
		synctest.Test(t, func(t *testing.T) {
			r, err := stalled(t, Options{Clients: 1, Outstanding: 10, Rate: rate}, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			each := r.PerSecond / 4 // seconds of work, in 10
			if want := map[int]float64{100: 10, 0: 1000}[rate]; each < want*0.95 || each > want*1.05 {
				t.Errorf("rate %d: %.0f operations/s, want %.0f", rate, r.PerSecond, 4*want)
			}
			if r.Max < 9*time.Second || r.Errors > 0 {
				t.Errorf("rate %d: got max %v and %d errors, want the whole stall and none", rate, r.Max, r.Errors)
			}
		})
	}
}

// TestWhatIsNeverAnsweredCounts has a cluster that stops for good.
func TestWhatIsNeverAnsweredCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := stalled(t, Options{Clients: 1, Outstanding: 4, Rate: 100}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if r.Operations+r.Errors != 1000 || r.Unanswered != r.Errors || r.Errors < 590 {
			t.Errorf("got %d operations, %d errors and %d unanswered, want 1000 together", r.Operations, r.Errors, r.Unanswered)
		}
		if r.Max < 30*time.Second || r.FirstError == "" {
			t.Errorf("max is %v and the first error %q, want what the open ones had waited", r.Max, r.FirstError)
		}
		if last := r.Histogram[len(r.Histogram)-1]; r.P50 < 30*time.Second || last.To < 36*time.Second {
			t.Errorf("p50 is %v and the slowest %+v, want what those had waited that never began, six of ten", r.P50, last)
		}
		if r.Gap < 35*time.Second {
			t.Errorf("the longest gap is %v, want all the time without an answer", r.Gap)
		}
	})
}

// TestLongLatenciesAreNotCutOff has a cluster stall for longer than most loads last.
func TestLongLatenciesAreNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{from: time.Now().Add(time.Minute)}
		s.to = s.from.Add(30 * time.Minute)
		r, err := Measure(t.Context(), Options{
			Clients: 1, Outstanding: 4, Rate: 10, Duration: 40 * time.Minute,
			dial: func(context.Context) (Client, error) { return s, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Max < 29*time.Minute || r.P90 < 25*time.Minute {
			t.Errorf("p90 is %v and max %v, want about 26 and 30 minutes", r.P90, r.Max)
		}
	})
}

// TestQuantilesHoldTheShareTheyName compares those of few latencies with the definition:
// at least that share of them, and not one less, is not longer.
func TestQuantilesHoldTheShareTheyName(t *testing.T) {
	for n := int64(1); n <= 2000; n += 1 + n/100 {
		h := newHistogram()
		for us := range n {
			if err := h.RecordValue(us + 1); err != nil { // as exact as they come
				t.Fatal(err)
			}
		}
		for _, perMille := range []int64{0, 500, 900, 990, 999, 1000} {
			want := time.Duration(max(1, (n*perMille+999)/1000)) * time.Microsecond
			if got := quantile(h, float64(perMille)/10); got != want {
				t.Errorf("%d of a thousand of %d: got %v, want %v", perMille, n, got, want)
			}
		}
	}
	if got := quantile(newHistogram(), 50); got != 0 {
		t.Errorf("of none: got %v", got)
	}
}

// silent is a cluster that answers nobody.
type silent struct{ stalling }

func (*silent) Submit(ctx context.Context, _ []byte) (pbft.Result, error) {
	<-ctx.Done()
	return pbft.Result{}, &pbft.UnfinishedError{Err: ctx.Err()}
}

// TestClientsThatAreNotServedEndTheRun has a cluster that serves 60 clients and
// no more. The run ends within a bounded time, and says what to do.
func TestClientsThatAreNotServedEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled atomic.Int64
		began := time.Now()
		_, err := Measure(t.Context(), Options{
			Clients: 100, Outstanding: 2, Duration: time.Minute,
			dial: func(context.Context) (Client, error) {
				if dialled.Add(1) > 60 {
					return new(silent), nil
				}
				return new(stalling), nil
			},
		})
		if err == nil || !strings.Contains(err.Error(), "answered 60 of 100 clients") ||
			!strings.Contains(err.Error(), "clients_per_address_max") {
			t.Errorf("got %v, want how many were answered, and the limits to raise", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnEndedContextIsNoResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := &stalling{}
		_, err := Measure(ctx, Options{
			Clients: 2, Outstanding: 2, Duration: time.Minute,
			dial: func(context.Context) (Client, error) { return s, nil },
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestDistinctCountsNumbersOnce(t *testing.T) {
	var d distinct
	for _, x := range []uint64{1, 1, 2, 1, 5, 4, 4, 5, 3000, 2999, 3000, 9000, 1, 9000 - span + 1, 20000, 20000} {
		d.add(x)
	}
	if d.n != 9 { // 1, 2, 5, 4, 3000, 2999, 9000, 4905, 20000; the late 1 is not told from the first
		t.Errorf("counted %d, want 9", d.n)
	}
}

func TestMountOfFindsTheDeepestMount(t *testing.T) {
	const info = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw
31 30 0:26 / /tmp/my\040disk rw shared:4 - xfs /dev/sdb rw
`
	for path, want := range map[string]string{
		"/": "ext4", "/home": "ext4", "/tmp": "tmpfs", "/tmpx": "ext4", "/tmp/a/b": "tmpfs", "/tmp/my disk/r0": "xfs",
	} {
		if got := mountOf(path, info); got != want {
			t.Errorf("%s is on %s, want %s", path, got, want)
		}
	}
	if got := mountOf("/x", ""); got != unknown {
		t.Errorf("without mounts got %s", got)
	}
}
