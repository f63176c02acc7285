package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/test/bench"
)

// TestGrowthSaysWhatIsWrongWithItsFlags starts nothing.
func TestGrowthSaysWhatIsWrongWithItsFlags(t *testing.T) {
	for line, want := range map[string]string{
		"--replicas 3":                    "replicas is 3, want 4 to 64",
		"--replicas 4,x":                  "invalid",
		"--payloads 65537":                "payload is 65537, want 0 to 65536",
		"--clients 0 --batch-limits 2000": "batch limit is 2000, want 1 to 1024",
		"--duration 0s":                   "duration is 0s",
		"--states-mib 0,-1":               "state is to hold -1048576 bytes",
		"--delays 0s,2s":                  "delay is 2s",
		"--states-mib 17592186044416":     "17592186044416 MiB",
		"--data /does/not/exist":          "--data",
	} {
		code, out, errs := command(t, append([]string{"bench", "growth"}, strings.Fields(line)...)...)
		if code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: exit code %d, %q and\n%s\nwant %d and %q", line, code, out, errs, exitUsage, want)
		}
	}
}

// TestGrowthIsPrintedAndSaved makes a table of points that nobody measured, and of one
// that was interrupted.
func TestGrowthIsPrintedAndSaved(t *testing.T) {
	work := bench.Work{Signatures: 3.891, Verifications: 10.76, Frames: 205.4, Bytes: 31417, Flushes: 0.64}
	d := bench.Dimensions{Replicas: 4, Payload: 128, Clients: 16, BatchLimit: 512}
	full, far := d, d
	full.State, far.Delay = 1<<30, 50*time.Millisecond
	var text strings.Builder
	err := growthTable(bench.Growth{Default: d, Points: []bench.GrowthPoint{
		{
			Planned: bench.Planned{Dimensions: d}, PerSecond: 1234, P50: time.Millisecond, Counted: work, Needed: work,
			Ratio: bench.Work{Signatures: 1, Verifications: 1, Frames: 1.5, Bytes: 1, Flushes: 1},
		},
		{Planned: bench.Planned{Varied: bench.VariedPayload, Dimensions: d}, View: 1},
		{Planned: bench.Planned{Varied: bench.VariedClients, Dimensions: d}, Errors: 2, FirstError: "late"},
		{Planned: bench.Planned{Varied: bench.VariedClients, Dimensions: d}, Unsettled: true},
		{Planned: bench.Planned{Varied: bench.VariedState, Dimensions: full}, Written: 20480},
		{Planned: bench.Planned{Varied: bench.VariedDelay, Dimensions: far}},
	}}).write(&text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"(default)", "1234", "3.89 / 3.89 = 1.00", "205 / 205 = 1.50", "10.8 /", "128 B", "view 1", "2 errors: late",
		"replicas were behind", "1024 MiB", "20.0 KiB", "50ms",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", text.String(), want)
		}
	}
}

// TestInterruptedGrowthPrintsWhatItHas ends it while it measures the first point, or
// before.
func TestInterruptedGrowthPrintsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	interrupting := writerFunc(func(p []byte) (int, error) {
		if strings.HasPrefix(string(p), "2 of 2") {
			cancel()
		}
		return len(p), nil
	})
	save := filepath.Join(t.TempDir(), "growth.json")
	var out strings.Builder
	c := &console{out: &out, err: interrupting, env: func(string) string { return "" }}
	code := run(ctx, c, []string{
		"bench", "growth", "--replicas", "4", "--payloads", "0", "--clients", "16", "--batch-limits", "512", "--states-mib", "0",
		"--delays", "0s", "--duration", "1s", "--warm-up", "0s", "--data", t.TempDir(), "--save", save,
	})
	if code != exitFailure || !strings.Contains(out.String(), "(default)") {
		t.Errorf("exit code %d and\n%s\nwant %d and the first point", code, out.String(), exitFailure)
	}
	text, err := os.ReadFile(save)
	var g bench.Growth
	if err != nil || json.Unmarshal(text, &g) != nil || len(g.Points) != 1 || g.Planned != 2 {
		t.Errorf("saved was %v:\n%s\nwant one of two points", err, text)
	}
}

// writerFunc is a writer that is a function.
type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
