package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

func TestViolationLeavesEvidence(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := &Cluster{genesis: &pbft.Genesis{Members: make([]pbft.GenesisReplica, 2)}}
	for range 2 {
		c.mu.replicas = append(c.mu.replicas, replica{log: &tail{text: []byte("ready")}})
	}
	put := Operation{Op: kv.Op{Kind: kv.KindPut, Key: "k", Value: []byte("v")}, Return: 1, Finished: true}
	put.Result.Status = kv.StatusDone
	get := Operation{Op: kv.Op{Kind: kv.KindGet, Key: "k"}, Call: 2, Return: 3, Finished: true}
	get.Result.Status = kv.StatusNotFound
	found := &Violation{What: "w", Key: "k", operations: []Operation{put, get}}
	err := c.withEvidence(History{}, found)
	var v *Violation
	if !errors.As(err, &v) || !strings.Contains(err.Error(), v.Dir) || v.Dir == "" {
		t.Fatalf("got %v, want the violation with where the evidence is", err)
	}
	for name, want := range map[string]string{
		"history.jsonl": `{"client":0,"call_ns":2,"return_ns":3,"op":"get","key":"k","status":"not found","view":0}`,
		"history.html":  "not found",
		"r0.log":        "ready",
		"r1.log":        "ready",
	} {
		text, err := os.ReadFile(filepath.Join(v.Dir, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has %.200q, %v, want %q in it", name, text, err, want)
		}
	}
	if err := c.withEvidence(History{}, ErrUnproven); !errors.Is(err, ErrUnproven) {
		t.Errorf("got %v, want what is no violation as it was", err)
	}
}

func TestCheckWithoutTimeProvesNothing(t *testing.T) {
	operations := []Operation{{Op: kv.Op{Kind: kv.KindGet, Key: "k"}}}
	if key, err := linearizable(t.Context(), operations, 0); !errors.Is(err, ErrUnproven) || key != "" {
		t.Errorf("got %q, %v, want ErrUnproven", key, err)
	}
}

func TestReplicasWithDifferentStatesDiverge(t *testing.T) {
	a, b := crypto.Sum([]byte("a")), crypto.Sum([]byte("b"))
	report := func(checkpoint wire.Seq, state crypto.Digest) *wire.Report {
		return &wire.Report{Executed: 70, Checkpoint: checkpoint, State: state, Stable: checkpoint, StableState: state}
	}
	lonely := report(64, a)
	lonely.StableState = b
	for name, test := range map[string]struct {
		reports           []*wire.Report
		diverged, settled bool
	}{
		"equal":                        {[]*wire.Report{report(64, a), report(64, a)}, false, true},
		"different states":             {[]*wire.Report{report(64, a), report(64, b)}, true, true},
		"different checkpoints":        {[]*wire.Report{report(64, a), report(32, b)}, false, false},
		"the quorum has another state": {[]*wire.Report{report(64, a), lonely}, true, true},
		"below the target":             {[]*wire.Report{report(32, a), report(32, a)}, false, false},
	} {
		var v *Violation
		if got := errors.As(diverged(test.reports), &v); got != test.diverged {
			t.Errorf("%s: diverged is %v, want %v", name, got, test.diverged)
		}
		var p Proof
		if got := p.settled(test.reports, 64); got != test.settled {
			t.Errorf("%s: settled is %v, want %v", name, got, test.settled)
		}
		if test.settled && !test.diverged {
			want := Proof{Executed: 70, Checkpoint: 64, State: a}
			if diff := cmp.Diff(p, want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", name, diff)
			}
		}
	}
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "file"), nil, 0o600))
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"no binary":       {Options{Dir: t.TempDir()}, "set Binary"},
		"full directory":  {Options{Binary: binary, Dir: full}, "not empty"},
		"missing binary":  {Options{Binary: filepath.Join(full, "none"), Dir: t.TempDir()}, "none"},
		"too few":         {Options{Binary: binary, Dir: t.TempDir(), Replicas: 3}, "3"},
		"bad application": {Options{Binary: binary, Dir: t.TempDir(), App: "none"}, `"none"`},
	} {
		c, err := Start(bounded(t), test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.want)
		}
		if err == nil {
			must(t, c.Close())
		}
	}
}

func TestOneReplicaIsOneProcess(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	if err := c.Restart(0); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("a second process of replica 0: %v, want a refusal", err)
	}
	if err := c.Wipe(0); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("wiping a running replica: %v, want a refusal", err)
	}
	must(t, c.Pause(1), c.Kill(2), c.Kill(2))
	if diff := cmp.Diff(c.Live(), []wire.ReplicaID{0, 3}); diff != "" {
		t.Errorf("live replicas (-got +want):\n%s", diff)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	err := c.Await(short, "nothing", func([]pbft.ReplicaStatus) bool { return false })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "log of r3") {
		t.Errorf("got %v, want the deadline, and what is known", err)
	}
	must(t, c.Kill(3))
	if _, err := Open(ctx, Options{Binary: binary, Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening an empty directory: %v, want that there is no genesis", err)
	}
}

// TestReplicasOnOneMachineShareItsProcessors: each has its share, at least two, and
// the environment's word counts.
func TestReplicasOnOneMachineShareItsProcessors(t *testing.T) {
	t.Setenv(processorsVariable, "")
	for n := 1; n <= 31; n++ {
		each := ProcessorsEach(n)
		if each < 2 || each*n < runtime.NumCPU() || each > 2 && (each-1)*n >= runtime.NumCPU() {
			t.Errorf("%d replicas on %d processors get %d each", n, runtime.NumCPU(), each)
		}
	}
	t.Setenv(processorsVariable, "3")
	if each := ProcessorsEach(4); each != 3 {
		t.Errorf("got %d processors, want the 3 that the environment gives", each)
	}
}
