package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
)

// TestOrdersTellAndProfile carries out all that there are, and one that there is not.
func TestOrdersTellAndProfile(t *testing.T) {
	local, err := pbft.StartLocalWith(t.Context(), pbft.LocalConfig{Replicas: 4, Memory: true, Dir: t.TempDir()}, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close() //nolint:errcheck // the end of a test
	p, path := &profile{}, filepath.Join(t.TempDir(), "r.pprof")
	for _, step := range []struct{ order, argument, fails string }{
		{cluster.OrderStats, "", ""},
		{cluster.OrderProfileEnd, "", "no profile"},
		{cluster.OrderProfile, t.TempDir(), "directory"},
		{cluster.OrderProfile, path, ""},
		{cluster.OrderProfile, path, "is being written"},
		{cluster.OrderProfileEnd, "", ""},
		{"dance", "", "no such order"},
	} {
		out := carryOut(local.Replicas()[0], p, step.order, step.argument)
		if (out.Error == "") != (step.fails == "") || !strings.Contains(out.Error, step.fails) {
			t.Errorf("%s: got %q, want %q", step.order, out.Error, step.fails)
		}
		if told := out.Stats != nil && out.Stats.Goroutines > 0; told != (step.order == cluster.OrderStats) {
			t.Errorf("%s: got the stats %+v", step.order, out.Stats)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the profile is empty, or not there: %v", err)
	}
}

// TestGoroutinesAreAmongWhatReplicasHold looks at the line of the table.
func TestGoroutinesAreAmongWhatReplicasHold(t *testing.T) {
	rows := levelRows([]bench.Level{{Goroutines: 7, Threads: 1}, {Goroutines: 9, Threads: 2}})
	if len(rows) != 2 || !strings.Contains(rows[1], "threads 1 → 2, goroutines 7 → 9") {
		t.Errorf("got %q, want threads and goroutines", rows)
	}
}

// TestGrowingMemoryIsSaid: what is measured while memory grows is not what a cluster does
// that has run for long.
func TestGrowingMemoryIsSaid(t *testing.T) {
	for end, want := range map[int64]bool{1000: false, 1250: false, 1251: true, 400: false} {
		rows := levelRows([]bench.Level{{Own: 1000}, {Own: 3000}, {Own: end}})
		if said := strings.Contains(strings.Join(rows, " "), "--warm-up"); said != want {
			t.Errorf("from 1000 to %d: got %q, want a note: %v", end, rows, want)
		}
	}
}

// TestProfilesNeedADirectory starts nothing.
func TestProfilesNeedADirectory(t *testing.T) {
	code, _, errs := command(t, "bench", "--cpu-profile", "/does/not/exist")
	if code != exitUsage || !strings.Contains(errs, "--cpu-profile") {
		t.Errorf("exit code %d and\n%s\nwant %d and the flag", code, errs, exitUsage)
	}
}
