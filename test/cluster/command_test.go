//go:build unix

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/app/counter"
)

func TestClusterThatInitMadeRuns(t *testing.T) {
	ctx := bounded(t)
	dir := filepath.Join(t.TempDir(), "cluster")
	host, port := freePorts(t, 4)
	code, text, err := Run(ctx, binary, "init", dir, "--plain-keys", "--host", host, "--base-port", strconv.Itoa(port))
	must(t, err)
	if code != 0 {
		t.Fatalf("init ended with code %d:\n%s", code, text)
	}
	c, err := Open(ctx, Options{Binary: binary, Dir: dir})
	must(t, err)
	defer c.Close() //nolint:errcheck // the processes are gone in any case
	load := startLoad(ctx, t, c)
	must(t, c.Kill(2), load.Await(ctx, 100), c.Restart(2))
	prove(ctx, t, c, load)
}

// freePorts returns a host, and a port of it that is free, as are the n−1 after it.
func freePorts(t *testing.T, n int) (host string, base int) {
	t.Helper()
	for range 100 {
		addrs, err := freeAddrs(1)
		must(t, err)
		parts := strings.Split(addrs[0], "/") // /ip4/HOST/tcp/PORT
		host = parts[2]
		base, err = strconv.Atoi(parts[4])
		must(t, err)
		free := true
		for port := base; port < base+n && free; port++ {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
			free = err == nil
			if free {
				defer l.Close() //nolint:errcheck // free until the end of the search
			}
		}
		if free {
			return host, base
		}
	}
	t.Fatal("no free ports")
	return "", 0
}

// TestCounterCountsEveryAcknowledgedAddOnce needs no checker: every add returns
// another number, and the numbers are as many as the adds.
func TestCounterCountsEveryAcknowledgedAddOnce(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{App: "counter"})
	const clients, each = 6, 60
	got := make([][]uint64, clients)
	var adding sync.WaitGroup
	third := make(chan struct{})
	for i := range clients {
		client, err := c.Client(ctx)
		must(t, err)
		defer client.Close() //nolint:errcheck // it has nothing to lose
		adding.Go(func() {
			for n := range each {
				result, err := client.Submit(ctx, []byte("add"))
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				value, err := counter.ParseResult(result.Value)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				got[i] = append(got[i], value)
				if i == 0 && n == each/3 {
					close(third)
				}
			}
		})
	}
	select {
	case <-third:
	case <-ctx.Done():
		t.Fatal("the clients get no results")
	}
	must(t, c.KillAll())
	for i := range 4 {
		must(t, c.Restart(i))
	}
	adding.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(got...)))
	for i, value := range all {
		if value != uint64(i)+1 {
			t.Fatalf("add number %d returned %d: an add was counted twice or not at all", i+1, value)
		}
	}
	if len(all) != clients*each {
		t.Errorf("%d adds are acknowledged, want %d", len(all), clients*each)
	}
}

// demoEvent is a line of quorate demo -o json.
type demoEvent struct {
	Event string `json:"event"`
	Text  string `json:"text"`
}

// runDemo runs quorate demo, and calls seen with every event. It returns the
// exit code and all events.
func runDemo(ctx context.Context, t *testing.T, seen func(*os.Process, demoEvent), args ...string) (int, []demoEvent) {
	t.Helper()
	tmp := t.TempDir()
	cmd := exec.CommandContext(ctx, binary, append([]string{"demo", "-o", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stderr = &tail{}
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	var events []demoEvent
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e demoEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		events = append(events, e)
		seen(cmd.Process, e)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("demo ended with code %d, and said on stderr: %s", cmd.ProcessState.ExitCode(), cmd.Stderr)
	left, err := os.ReadDir(tmp)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
	checkGone(ctx, t, events)
	return cmd.ProcessState.ExitCode(), events
}

// checkGone checks that no replica of a demo that has ended is running.
func checkGone(ctx context.Context, t *testing.T, events []demoEvent) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for _, pid := range regexp.MustCompile(`pid (\d+)`).FindAllStringSubmatch(fmt.Sprint(events), -1) {
		number, err := strconv.Atoi(pid[1])
		must(t, err)
		for running(number) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("process %d outlives the demo", number)
			}
		}
	}
}

// running tells whether a process of this test's binary is alive: a zombie that
// nobody waits for is not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && path == binary
}

func TestDemoProvesAndStaysForTheCommands(t *testing.T) {
	ctx := bounded(t)
	value := ""
	code, events := runDemo(ctx, t, func(p *os.Process, e demoEvent) {
		if e.Event != "stay" {
			return
		}
		genesis := regexp.MustCompile(`--genesis (\S+)`).FindStringSubmatch(e.Text)[1]
		if code, text, err := Run(ctx, binary, "kv", "put", "greeting", "hello", "--genesis", genesis); code != 0 || err != nil {
			t.Errorf("put: code %d, %v\n%s", code, err, text)
		}
		_, value, _ = Run(ctx, binary, "kv", "get", "greeting", "--genesis", genesis)
		if err := p.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}, "--stay")
	if code != 0 || strings.TrimSpace(value) != "hello" {
		t.Errorf("exit code %d, and the key has %q, want 0 and hello", code, value)
	}
	texts := make(map[string][]string)
	for _, e := range events {
		texts[e.Event] = append(texts[e.Event], e.Text)
	}
	if told, want := storyOf(events), storyOfTheReadme(t); !slices.Equal(told, want) {
		t.Errorf("it told %q, and README.md shows %q", told, want)
	}
	if kills := texts["SIGKILL"]; len(kills) != 2 {
		t.Errorf("the kills are %q, want the primary's and that of all", kills)
	}
	for _, want := range []string{"same state", "nothing lost", "nothing twice", "linearizable"} {
		if proofs := texts["PROOF"]; len(proofs) != 1 || !strings.Contains(proofs[0], want) {
			t.Errorf("the proofs are %q, want one with %q", proofs, want)
		}
	}
}

// storyOf returns what the demo told up to its proof: the words before each text, without numbers.
func storyOf(events []demoEvent) (words []string) {
	for _, e := range events {
		words = append(words, strings.TrimRight(e.Event, " 0123456789"))
		if e.Event == "PROOF" {
			break
		}
	}
	return words
}

// storyOfTheReadme returns the same of what README.md shows.
func storyOfTheReadme(t *testing.T) (words []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ +[0-9]+\.[0-9]s  (.{10}) `).FindAllStringSubmatch(string(text), -1) {
		words = append(words, strings.TrimRight(m[1], " 0123456789"))
	}
	return words
}

func TestInterruptedDemoCleansUp(t *testing.T) {
	code, events := runDemo(bounded(t), t, func(p *os.Process, e demoEvent) {
		if e.Event == "load" {
			if err := p.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	})
	if code != 1 || events[len(events)-1].Event == "PROOF" {
		t.Errorf("exit code %d after %+v, want 1 and no proof", code, events[len(events)-1])
	}
}

// TestBenchServesMoreClientsThanReplicasDoByDefault runs the benchmark with more
// clients than replicas serve from one address unless told otherwise, and reads
// what it wrote.
func TestBenchServesMoreClientsThanReplicasDoByDefault(t *testing.T) {
	dir := t.TempDir()
	saved, page := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.html")
	code, text, err := Run(bounded(t), binary, "bench", "--clients", "72", "--outstanding", "1",
		"--warm-up", "0s", "--duration", "500ms", "--runs", "2", "--save", saved, "--html", page)
	if code != 0 || err != nil || !strings.Contains(text, "of the machine's limit") {
		t.Fatalf("bench: code %d, %v\n%s", code, err, text)
	}
	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Runs []struct {
			Operations, Errors int
			Share              float64 `json:"share_of_limit"`
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	for _, run := range report.Runs {
		if run.Operations == 0 || run.Errors > 0 || run.Share <= 0 || run.Share > 1 {
			t.Errorf("got %+v, want operations, no error, and a share of the machine's limit", run)
		}
	}
	if html, err := os.ReadFile(page); len(report.Runs) != 2 || err != nil || !strings.Contains(string(html), "</html>") {
		t.Errorf("got %d runs and %d bytes of a page (%v), want 2 and a whole one", len(report.Runs), len(html), err)
	}
	code, text, err = Run(t.Context(), binary, "bench", "compare", "--not-worse", saved, saved)
	if code != 0 || err != nil || strings.Count(text, "no difference shown") < 6 {
		t.Errorf("a result and itself: code %d, %v\n%s", code, err, text)
	}
}

// TestBenchHasADiskLost has one backup lose everything, and fetch it again, while all are
// profiled.
func TestBenchHasADiskLost(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "a.json")
	code, text, err := Run(bounded(t), binary, "bench", "--clients", "2", "--outstanding", "2", "--checkpoint-interval", "16",
		"--warm-up", "1s", "--duration", "3s", "--lose-disk", "500ms", "--save", saved, "--cpu-profile", t.TempDir())
	if code != 0 || err != nil || !strings.Contains(text, "held what the others did") {
		t.Fatalf("bench: code %d, %v\n%s", code, err, text)
	}
	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Load struct {
			Lost int `json:"disk_lost_after_ns"`
		}
		Runs []struct {
			Operations, Errors int
			Lost               struct {
				Replica int
				Held    int `json:"held_ns"`
			} `json:"lost_disk"`
		}
	}
	if err := json.Unmarshal(data, &report); err != nil || len(report.Runs) != 1 || report.Load.Lost != 5e8 {
		t.Fatalf("got %v, %+v", err, report)
	}
	if run := report.Runs[0]; run.Operations == 0 || run.Errors > 0 || run.Lost.Replica != 3 || run.Lost.Held <= 0 {
		t.Errorf("got %+v, want operations, no error, and replica 3, which would lead last, to hold the state", run)
	}
}

// TestBenchStopsABackup has one backup stopped for half of the time, and catch up.
func TestBenchStopsABackup(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "a.json")
	code, text, err := Run(bounded(t), binary, "bench", "--clients", "2", "--outstanding", "2", "--archive-mib", "1",
		"--warm-up", "100ms", "--duration", "1s", "--slow-backup", "0.5", "--save", saved)
	if code != 0 || err != nil || !strings.Contains(text, "had caught up") {
		t.Fatalf("bench: code %d, %v\n%s", code, err, text)
	}
	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Included struct {
			Archive int `json:"archive_bytes"`
		}
		Runs []struct {
			Operations, Errors int
			Slow               struct {
				Replica  int
				CaughtUp int `json:"caught_up_ns"`
			} `json:"slow_backup"`
		}
	}
	if err := json.Unmarshal(data, &report); err != nil || len(report.Runs) != 1 || report.Included.Archive != 1<<20 {
		t.Fatalf("got %v, %+v", err, report)
	}
	if run := report.Runs[0]; run.Operations == 0 || run.Errors > 0 || run.Slow.Replica != 3 || run.Slow.CaughtUp <= 0 {
		t.Errorf("got %+v, want operations, no error, and replica 3, which would lead last, caught up", run)
	}
}
