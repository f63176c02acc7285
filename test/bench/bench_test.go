package bench_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/bench"
)

func TestLoadsAreAnsweredAndCounted(t *testing.T) {
	cluster, err := pbft.StartLocal(t.Context(), 4, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, rate := range []int{0, 50} {
		res, err := bench.Measure(t.Context(), bench.Options{
			Genesis: cluster.Genesis(), Clients: 2, Outstanding: 4, Rate: rate, Payload: 64, ReadShare: 0.2,
			WarmUp: 100 * time.Millisecond, Duration: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Operations == 0 || res.Errors > 0 || res.P50 <= 0 || res.P99 < res.P50 || res.Max < res.P99/2 ||
			res.Reached.Batches == 0 || res.Reached.OpsPerSignature < 1 {
			t.Errorf("rate %d: got %+v, want answered operations, counted, and ordered quantiles", rate, res)
		}
	}
}

func TestOptionsReportEveryProblem(t *testing.T) {
	err := bench.Options{Clients: -1, Outstanding: 1000, Rate: -1, Payload: -1, ReadShare: 2, WarmUp: -1, NoWait: true}.Validate()
	if err == nil {
		t.Fatal("got nil, want an error")
	}
	for _, want := range []string{"genesis", "clients", "outstanding", "rate", "payload", "read share", "nothing waits", "warm-up", "duration"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

// TestOperationsThatNoClusterTakesAreRefused before anything is connected.
func TestOperationsThatNoClusterTakesAreRefused(t *testing.T) {
	genesis := &pbft.Genesis{Limits: pbft.DefaultGenesisLimits()}
	genesis.Limits.OpBytes = 1000
	o := bench.Options{Genesis: genesis, Clients: 1, Outstanding: 1, Duration: time.Second}
	if err := o.Validate(); err != nil {
		t.Errorf("short ones: %v", err)
	}
	for name, change := range map[string]func(*bench.Options){
		"payload": func(o *bench.Options) { o.Payload = 1000 }, "state": func(o *bench.Options) { o.Fill = 1 },
	} {
		long := o
		change(&long)
		_, err := bench.Measure(t.Context(), long)
		if !errors.Is(err, pbft.ErrOperation) || !strings.Contains(err.Error(), "at most 1000 (op_bytes)") {
			t.Errorf("%s: got %v, want it to name the limit of the genesis", name, err)
		}
	}
}
