package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft"
)

// TestLongestGapIsTheStall has no answer for 2.5 of ten seconds, once none until the
// end, and once none until after it.
func TestLongestGapIsTheStall(t *testing.T) {
	for _, stall := range []time.Duration{2500 * time.Millisecond, 6 * time.Second, 9 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r, err := stalled(t, Options{Clients: 1, Outstanding: 4}, stall)
			if err != nil {
				t.Fatal(err)
			}
			if diff := r.Gap - stall; diff < -2*quick || diff > 2*quick {
				t.Errorf("the longest gap is %v, want %v", r.Gap, stall)
			}
			if r.GapAt < 3990*time.Millisecond || r.GapAt > 4*time.Second {
				t.Errorf("it begins at %v, want 4 s", r.GapAt)
			}
		})
	}
}

// TestStrikesComeInTime strikes in the middle of the measured time, once.
func TestStrikesComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, struck := time.Now(), []time.Duration(nil)
		_, err := stalled(t, Options{
			Clients: 1, Outstanding: 1, WarmUp: time.Second, StrikeAfter: 3 * time.Second,
			Strike: func(context.Context) error { struck = append(struck, time.Since(begun)); return nil },
		}, 0)
		if err != nil || len(struck) != 1 || struck[0] < 4*time.Second || struck[0] > 4*time.Second+2*quick {
			t.Errorf("got %v and strikes at %v, want one at 4 s", err, struck)
		}
	})
}

// TestFailedStrikeFailsTheRun has nobody take the figures for those of a cluster that
// was struck.
func TestFailedStrikeFailsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := stalled(t, Options{
			Clients: 1, Outstanding: 1, StrikeAfter: time.Second,
			Strike: func(context.Context) error { return os.ErrProcessDone },
		}, 0)
		if err == nil {
			t.Error("a strike that failed is no error")
		}
	})
}

// counting counts what it is asked.
type counting struct {
	*stalling
	ops chan int
}

func (c counting) Submit(ctx context.Context, op []byte) (pbft.Result, error) {
	c.ops <- len(op)
	return c.stalling.Submit(ctx, op)
}

// TestStateIsFilledBeforeTheLoad counts the bytes of the values.
func TestStateIsFilledBeforeTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := counting{&stalling{}, make(chan int, 10_000)}
		o := Options{
			Clients: 2, Outstanding: 1, Duration: time.Second, Fill: 1<<20 + 1,
			dial: func(context.Context) (Client, error) { return c, nil },
		}
		if _, err := Measure(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		close(c.ops)
		large := 0
		for n := range c.ops {
			if n > fillValue {
				large++
			}
		}
		if want := 1<<20/fillValue + 1; large != want {
			t.Errorf("%d values were put before the load, want %d", large, want)
		}
	})
}

// forgetful is a cluster that answers nothing but the first operation.
type forgetful struct {
	silent

	asked atomic.Int64
}

func (f *forgetful) Submit(ctx context.Context, op []byte) (pbft.Result, error) {
	if f.asked.Add(1) == 1 {
		return pbft.Result{Seq: 1}, nil
	}
	return f.silent.Submit(ctx, op)
}

// TestFillingDoesNotWaitForEver has a cluster that stops before its state is filled.
func TestFillingDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, f := time.Now(), &forgetful{}
		_, err := Measure(t.Context(), Options{
			Clients: 1, Outstanding: 1, Duration: time.Second, Fill: 1 << 20,
			dial: func(context.Context) (Client, error) { return f, nil },
		})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != fillPatience {
			t.Errorf("got %v after %v, want it given up after %v", err, took, fillPatience)
		}
	})
}

// TestLevelsAreOfTheProcessesAndTheirData looks at this process.
func TestLevelsAreOfTheProcessesAndTheirData(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	one, ok := levelNow([]int{os.Getpid()}, dir)
	if !ok && runtime.GOOS == "linux" {
		t.Fatal("this system has /proc, and tells nothing")
	}
	if ok && (one.Own < 1<<20 || one.Resident < one.Own || one.Threads < 1 || one.Files < 3 || one.Disk != 1000) {
		t.Errorf("got %+v", one)
	}
	if _, ok := levelNow([]int{1 << 30}, dir); ok {
		t.Error("a process that does not exist has a level")
	}
}

// TestMeasuredTimeIsToldAndLevelsHaveGoroutines tells who profiles when to begin and to
// end, and asks for goroutines at each level.
func TestMeasuredTimeIsToldAndLevelsHaveGoroutines(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			var told []time.Duration
			tell := func() { told = append(told, time.Since(begun)) }
			r, err := stalled(t, Options{
				Clients: 1, Outstanding: 1, WarmUp: time.Second, Processes: func() []int { return []int{os.Getpid()} },
				Goroutines: func(context.Context) int64 { return 42 },
				Measuring: func(context.Context) (func() error, error) {
					tell()
					if fails {
						return nil, os.ErrInvalid
					}
					return func() error { tell(); return os.ErrClosed }, nil
				},
			}, 0)
			want, why := []time.Duration{time.Second, 11 * time.Second}, os.ErrClosed
			if fails {
				want, why = want[:1], os.ErrInvalid
			}
			soon := func(got, want time.Duration) bool { return got >= want && got < want+2*quick }
			if !slices.EqualFunc(told, want, soon) || !errors.Is(err, why) {
				t.Errorf("told at %v, with %v, want %v and %v", told, err, want, why)
			}
			for _, l := range r.Levels { // none where the system does not tell
				if l.Goroutines != 42 {
					t.Errorf("got %+v, want 42 goroutines", l)
				}
			}
		})
	}
}
