package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/test/scenario"
	"github.com/quorate/quorate/test/sim"
)

// TestScenariosPassOnRealProcesses plays a liar and a power cut, with the program
// that can lie. All others are one command: scenario run --all --real.
func TestScenariosPassOnRealProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "quorate-adversary")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "adversary", "-o", program, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program that lies: %v\n%s", err, text)
	}
	for _, name := range []string{"split-preprepare", "power-cut"} {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(ctx, program, "scenario", "run", name, "--real", "-o", "json")
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s%s", name, err, out.String(), errs.String())
		}
		var r scenario.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if !r.Passed || r.Mode != "real" || r.Numbers.Operations == 0 || len(r.Did) == 0 || len(r.Oracles) < 5 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestFuzzStopsAtTheFirstViolation lets more replicas lie than a cluster survives.
func TestFuzzStopsAtTheFirstViolation(t *testing.T) {
	var out, errs bytes.Buffer
	c := &console{out: &out, err: &errs, format: "json", env: func(string) string { return "" }}
	draw := func(seed uint64) sim.Options {
		return sim.Options{Seed: seed, Operations: 3, Patience: time.Second, Turbulence: 10 * time.Second, Partitions: 1, Script: func(c *sim.Control) {
			c.At(time.Millisecond, func() { c.Fail("the test says so") })
		}}
	}
	err := c.fuzz(t.Context(), fuzzOptions{time.Minute, 40}, draw)
	var r fuzzResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if err == nil || !strings.Contains(err.Error(), "the test says so") || exitCode(err) != exitFailure {
		t.Errorf("got %v, want the violation", err)
	}
	if r.Seed < 40 || r.Replay == "" || !strings.HasPrefix(r.Shrunk, "sim.Run(sim.Options{") || r.Schedules == 0 {
		t.Errorf("got %+v, want the seed and a simpler run", r)
	}
}

func TestFuzzEndsWithTheCountWhenInterrupted(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, err: &bytes.Buffer{}, format: "table", env: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	draw := func(seed uint64) sim.Options {
		cancel()
		return sim.Options{Seed: seed, Operations: 3}
	}
	if err := c.fuzz(ctx, fuzzOptions{time.Hour, 1}, draw); err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
	if !strings.Contains(out.String(), "violations  none") {
		t.Errorf("it printed\n%s", out.String())
	}
}

// endsLater is a context that ends when it has been asked so often.
type endsLater struct {
	context.Context //nolint:containedctx // it is one

	asked int
}

func (e *endsLater) Err() error {
	if e.asked--; e.asked < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterruptedScenarioHasNotFailed is one that came to an end because of that.
func TestInterruptedScenarioHasNotFailed(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, err: &bytes.Buffer{}, format: "table", env: func(string) string { return "" }}
	err := c.runScenario(&endsLater{t.Context(), 1}, "mute-primary", scenarioRunOptions{seed: 1})
	if err == nil || err.Error() != "interrupted" || out.Len() > 0 {
		t.Errorf("got %v and\n%s\nwant only that it was interrupted", err, out.String())
	}
}

// TestInterruptedScenariosAreToldOf interrupts all of them after some, and before the first.
func TestInterruptedScenariosAreToldOf(t *testing.T) {
	for asked, told := range map[int]bool{0: false, 5: true} {
		var out bytes.Buffer
		c := &console{out: &out, err: &bytes.Buffer{}, format: "json", env: func(string) string { return "" }}
		err := c.runScenarios(&endsLater{t.Context(), asked}, scenarioRunOptions{all: true, seed: 1})
		if err == nil || !strings.HasPrefix(err.Error(), "interrupted") || exitCode(err) != exitFailure {
			t.Errorf("got %v, want that it was interrupted", err)
		}
		var reports []scenario.Report
		wrong := json.Unmarshal(out.Bytes(), &reports)
		if told && (wrong != nil || len(reports) == 0 || !reports[0].Passed) || !told && out.Len() > 0 {
			t.Errorf("after %d questions: got %v and\n%s", asked, wrong, out.String())
		}
	}
}

func TestReportFitsTheTerminal(t *testing.T) {
	long := strings.Repeat("word ", 60)
	r := scenario.Report{
		Scenario: "test", Faulty: long, Stake: "AG", Seen: long, Mode: "sim", Failures: []string{long},
		Did:     []scenario.Event{{Seconds: 1.5, Who: "R0", Text: long, Times: 3}, {Who: "R1", Text: "plain", Times: 1}},
		Oracles: []scenario.Verdict{{Name: "O1 agreement", Checks: 1234567, Held: true}, {Name: "O2 prefix"}, {Name: "O3 state", Checks: 1, Error: long, Excused: true}},
		Expected: []scenario.Verdict{
			{Name: long, Checks: 1, Held: true},
		},
		Replay: "quorate scenario run test --seed 1",
	}
	var out bytes.Buffer
	c := &console{out: &out, format: "table", env: func(string) string { return "" }}
	if err := c.showReport(r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > reportWidth {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	for _, want := range []string{
		"  1.500s  R0  word", "(3 times the like)", "          R1  plain", "✓ O1 agreement       1,234,567 checks",
		"– O2 prefix          nothing to check", "~ O3 state: word", "(more than f lie)", "FAILED  ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
