package bench

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
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

// numbering is a cluster that orders everything in a batch of its own, from a number up.
type numbering struct {
	silent

	last wire.Seq
}

func (n *numbering) Submit(context.Context, []byte) (pbft.Result, error) {
	n.last++
	return pbft.Result{Seq: n.last}, nil
}

// TestFilledClusterTakesACheckpointBeforeTheLoad, of all the values, and waits until it is
// stable.
func TestFilledClusterTakesACheckpointBeforeTheLoad(t *testing.T) {
	for filled, checkpoint := range map[wire.Seq]wire.Seq{0: 128, 1: 128, 127: 128, 128: 256, 129: 256, 1000: 1024} {
		n := &numbering{last: filled}
		if err := passCheckpoint(t.Context(), n, 128, 300); err != nil {
			t.Fatal(err)
		}
		if want := checkpoint + 300; n.last != want {
			t.Errorf("filled up to number %d it was ordered up to %d, want %d: a window above the checkpoint", filled, n.last, want)
		}
	}
	if err := passCheckpoint(t.Context(), &broken{}, 128, 300); !errors.Is(err, errBroken) {
		t.Errorf("got %v of a cluster that fails, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken")

type broken struct{ silent }

func (*broken) Submit(context.Context, []byte) (pbft.Result, error) { return pbft.Result{}, errBroken }

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
