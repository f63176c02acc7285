package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binary is the quorate command that TestMain builds.
var binary string

// seed chooses the operations of the loads.
var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "chooses the operations of loads")

// patience bounds every wait of a test with processes. It is no measure of
// anything: it only ends a test that hangs.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "quorate-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	binary = filepath.Join(dir, "quorate")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "github.com/quorate/quorate/cmd/quorate")
	if text, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, text)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// bounded returns a context that ends a test which hangs.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startCluster starts a cluster that ends with the test.
func startCluster(ctx context.Context, t *testing.T, o Options) *Cluster {
	t.Helper()
	o.Binary, o.Dir = binary, t.TempDir()
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 500 * time.Millisecond
	}
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// startLoad starts a load that has acknowledged operations.
func startLoad(ctx context.Context, t *testing.T, c *Cluster) *Load {
	t.Helper()
	t.Logf("load with -seed %d", *seed)
	load, err := c.Load(ctx, LoadOptions{Seed: *seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { load.abandon() })
	must(t, load.Await(ctx, 100))
	return load
}

// prove ends the load and proves its history.
func prove(ctx context.Context, t *testing.T, c *Cluster, load *Load) Proof {
	t.Helper()
	proof, err := Prove(ctx, c, load.Stop(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", proof)
	if proof.Present == 0 || proof.Once == 0 || proof.Operations < proof.Acknowledged || len(proof.Replicas) == 0 {
		t.Errorf("the proof covers too little: %+v", proof)
	}
	return proof
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
