package bench

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestFilledClusterSettlesBeforeTheLoad has replicas write for 12 seconds after the
// state is filled.
func TestFilledClusterSettlesBeforeTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := settle(t.Context(), func() (int64, bool) {
			return int64(min(time.Since(began), 12*time.Second).Seconds() * settledBytes), true
		})
		if took := time.Since(began); err != nil || took != 20*time.Second {
			t.Errorf("got %v after %v, want nothing after 20 s, the first five seconds without writes", err, took)
		}
	})
}

// TestClusterThatNeverSettlesIsNotMeasured has replicas write for ever.
func TestClusterThatNeverSettlesIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := settle(t.Context(), func() (int64, bool) { return int64(time.Since(began).Seconds() * settledBytes), true })
		if took := time.Since(began); err == nil || took != settleMax {
			t.Errorf("got %v after %v, want an error after %v", err, took, settleMax)
		}
	})
}

// TestUnknownWritesAreNotWaitedFor, nor does a load wait that is cancelled.
func TestUnknownWritesAreNotWaitedFor(t *testing.T) {
	if err := settle(t.Context(), func() (int64, bool) { return 0, false }); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := settle(ctx, func() (int64, bool) { return 0, true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// TestWrittenIsOfAllProcesses looks at this process, and at none.
func TestWrittenIsOfAllProcesses(t *testing.T) {
	if _, ok := written([]int{os.Getpid()}); ok != (runtime.GOOS == "linux") {
		t.Errorf("that it is known what this process wrote is %v on %s", ok, runtime.GOOS)
	}
	if _, ok := written(nil); ok {
		t.Error("it is known what no process wrote")
	}
	if _, ok := written([]int{os.Getpid(), -1}); ok {
		t.Error("it is known what a process wrote that there is none of")
	}
}
