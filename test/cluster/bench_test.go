package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// measuring runs quorate bench and calls then when its measured time has begun. It
// returns the exit code and the output, and checks that the command left nothing.
func measuring(t *testing.T, then func(bench *os.Process, tmp string), args ...string) (code int, output string) {
	t.Helper()
	ctx, profiles, tmp, log := bounded(t), t.TempDir(), t.TempDir(), &tail{}
	cmd := exec.CommandContext(ctx, binary, append([]string{"bench", "--cpu-profile", profiles, "--warm-up", "0s"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState tells
	}()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for begun := false; ; {
		select {
		case <-ended:
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("it left %v (%v)", left, err)
			}
			if left := replicasBelow(tmp); len(left) > 0 {
				t.Errorf("it left the processes %v", left)
			}
			return cmd.ProcessState.ExitCode(), log.String()
		case <-tick.C:
			if _, err := os.Stat(filepath.Join(profiles, "load.pprof")); err == nil && !begun {
				begun = true
				then(cmd.Process, tmp)
			}
		}
	}
}

// replicasBelow returns the processes of the replicas whose data is below a directory, by
// the names of theirs.
func replicasBelow(dir string) map[string]int {
	all := make(map[string]int)
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, path := range lines {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		for _, arg := range strings.Split(string(text), "\x00") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && strings.HasPrefix(arg, dir+"/") {
				all[filepath.Base(arg)] = pid
			}
		}
	}
	return all
}

// TestBenchEndsWhenAReplicaDies kills a backup behind the back of the benchmark: three of
// four go on, but what they do is no result.
func TestBenchEndsWhenAReplicaDies(t *testing.T) {
	code, text := measuring(t, func(_ *os.Process, tmp string) {
		pid, ok := replicasBelow(tmp)["r2"]
		if !ok {
			t.Fatal("replica 2 has no process")
		}
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	}, "--clients", "1", "--outstanding", "1", "--duration", "10s")
	if code != 1 || !strings.Contains(text, "replica 2 has ended (signal: killed)") {
		t.Errorf("exit code %d and\n%s\nwant 1, and that replica 2 was killed", code, text)
	}
}

// TestInterruptedBenchCleansUp interrupts it while a backup is stopped.
func TestInterruptedBenchCleansUp(t *testing.T) {
	code, text := measuring(t, func(bench *os.Process, _ string) {
		must(t, bench.Signal(os.Interrupt))
	}, "--clients", "1", "--outstanding", "1", "--duration", "60s", "--slow-backup", "1")
	if code != 1 || text != "quorate: interrupted\n" {
		t.Errorf("exit code %d and\n%s\nwant 1, and that it was interrupted", code, text)
	}
}

// TestWatchIsOfReplicasThatNobodyKilled kills one itself, and one through the cluster.
func TestWatchIsOfReplicasThatNobodyKilled(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	must(t, c.Kill(1))
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Watch(over); err != nil {
		t.Errorf("of a replica that was to be killed: %v", err)
	}
	must(t, syscall.Kill(c.PID(2), syscall.SIGKILL))
	if err := c.Watch(ctx); err == nil || !strings.Contains(fmt.Sprint(err), "replica 2 has ended") {
		t.Errorf("got %v, want that replica 2 has ended", err)
	}
}

// TestBenchTellsThatThePrimaryWasKilled looks at the view, and at who votes, at the end.
func TestBenchTellsThatThePrimaryWasKilled(t *testing.T) {
	code, text := measuring(t, func(*os.Process, string) {},
		"--clients", "1", "--outstanding", "1", "--duration", "4s", "--kill-primary", "1s", "-o", "json")
	for _, want := range []string{`"view": 1,`, `"not_voting": 1,`} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("exit code %d and\n%s\nwant 0 and %s", code, text, want)
		}
	}
}
