package cluster

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft"
)

// buildLiar builds the command with which replicas can be made to lie.
func buildLiar(ctx context.Context, t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quorate-adversary")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "adversary", "-o", path, "github.com/quorate/quorate/cmd/quorate")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, text)
	}
	return path
}

// TestLiarAmongRealReplicasIsFoundAndHarmless runs four processes, of which one
// prepares two batches for every number: the others serve, and name it.
func TestLiarAmongRealReplicasIsFoundAndHarmless(t *testing.T) {
	ctx := bounded(t)
	liar := buildLiar(ctx, t)
	dir := filepath.Join(t.TempDir(), "cluster")
	c, err := Start(ctx, Options{Binary: liar, Dir: dir, RequestTimeout: 500 * time.Millisecond, Purpose: pbft.PurposeTest})
	must(t, err)
	defer c.Close() //nolint:errcheck // the processes are gone in any case
	must(t, c.Kill(3), c.Restart(3, "--adversary", "double-prepare"))
	load := startLoad(ctx, t, c)
	must(t, load.Await(ctx, 100))
	awaitLog(ctx, t, c, 3, func(log string) bool { return strings.Contains(log, "adversary: prepares two batches") })
	if log := c.Logs(3); !strings.Contains(log, "BYZANTINE ON PURPOSE. It plays double-prepare") {
		t.Errorf("replica 3 does not tell that it may lie:\n%s", log)
	}
	must(t, c.Await(ctx, "a replica that names the liar", func([]pbft.ReplicaStatus) bool {
		return slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return strings.Contains(c.Logs(i), "MISBEHAVIOUR peer=3") })
	}))
	prove(ctx, t, c, load)
	refuseToLie(ctx, t, liar)
}

// refuseToLie asks for what the command must refuse.
func refuseToLie(ctx context.Context, t *testing.T, liar string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "serving")
	code, text, err := Run(ctx, liar, "init", dir, "--plain-keys")
	must(t, err)
	if code != 0 {
		t.Fatalf("init ended with code %d:\n%s", code, text)
	}
	replica := filepath.Join(dir, replicaName(0))
	code, text, err = Run(ctx, liar, "node", "--dir", replica, "--adversary", "double-prepare")
	must(t, err)
	if code != 2 || !strings.Contains(text, "a cluster that serves") || !strings.Contains(text, "quorate init --test") {
		t.Errorf("in a cluster that serves it ends with code %d, want 2 and what to do:\n%s", code, text)
	}
	code, text, err = Run(ctx, liar, "node", "--dir", replica, "--adversary", "honesty")
	must(t, err)
	if code != 2 || !strings.Contains(text, "double-prepare, ") {
		t.Errorf("an unknown strategy ends with code %d, want 2 and the known ones:\n%s", code, text)
	}
}
