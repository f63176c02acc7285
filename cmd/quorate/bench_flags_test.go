package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/test/bench"
)

// TestBenchSaysWhatIsWrongWithItsFlags starts nothing: what a command line asks for is
// refused or done, and not replaced by a default.
func TestBenchSaysWhatIsWrongWithItsFlags(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"--replicas 0":                   "replicas are 0, want 4",
		"--replicas -1":                  "replicas are -1",
		"--replicas 3":                   "replicas are 3",
		"--replicas 129":                 "replicas are 129",
		"--checkpoint-interval 0":        "checkpoint interval is 0",
		"--request-timeout 0":            "request timeout is 0s",
		"--request-timeout 1h":           "request timeout is 1h",
		"--state-mib 17592186044416":     "17592186044416 MiB",
		"--state-mib -1":                 "state is to hold",
		"--kill-primary 10s":             "want it within the duration 10s",
		"--lose-disk 10s --duration 10s": "want it within the duration 10s",
		"--min-share 0.1 --genesis none": "--min-share is of a cluster to start",
		"--min-share NaN":                "the least share of the limit is NaN, want 0 to 1",
		"--min-share Inf":                "the least share of the limit is +Inf, want 0 to 1",
		"--min-share -0.1":               "the least share of the limit is -0.1, want 0 to 1",
		"--min-throughput NaN":           "the least throughput is NaN, want a number, 0 or more",
		"--min-throughput Inf":           "the least throughput is +Inf, want a number, 0 or more",
		"--min-throughput -1":            "the least throughput is -1, want a number, 0 or more",
		"--max-p50 -1s":                  "the greatest p50 is -1s, want 0 or more",
		"--max-p999 -1s":                 "the greatest p99.9 is -1s, want 0 or more",
		"--max-gap -1s":                  "the longest gap is -1s, want 0 or more",
		"--max-errors -1":                "the greatest number of errors is -1, want 0 or more",
		"--read-share NaN":               "read share is NaN",
		"--read-share Inf":               "read share is +Inf, want 0 to 1",
		"--slow-backup NaN":              "share of NaN",
		"--payload 65537":                "payload is 65537",
		"--no-wait":                      "give a rate",
		"--greedy-share 0.5":             "give a rate, do not wait",
		"--rate 9 --no-wait --clients 1 --greedy-share 0.5": "2 clients or more",
		"--rate 9 --no-wait --greedy-share 0.1":             "more than that of each of 8 clients",
		"--rate 9 --no-wait --greedy-share 1":               "greedy client is 1, want less than 1",
		"--rate 9 --no-wait --greedy-share NaN":             "greedy client is NaN",
		"--runs 0":                                          "runs are 0",
		"--data /does/not/exist":                            "--data",
		"--save /does/not/exist/a.json":                     "--save",
		"--html /does/not/exist/a.html":                     "--html",
		"--save " + dir:                                     "is a directory",
		"--html " + dir:                                     "is a directory",
		"--save " + dir + "/a --html " + dir + "/./a":       "the same file",
		"--cpu-profile /does/not/exist":                     "--cpu-profile: stat /does/not/exist",
		"--cpu-profile /proc":                               "--cpu-profile: no file can be made in /proc: ",
		"--save /proc/a.json --html /proc/a.html":           "--html: no file can be made in /proc: ",
		"limits --data /does/not/exist":                     "--data",
		"limits --cores -1":                                 "cores are -1",
		"limits --replicas 0":                               "replicas",
		"growth --save " + dir:                              "is a directory",
	} {
		code, out, errs := command(t, append([]string{"bench"}, strings.Fields(line)...)...)
		if code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: exit code %d, %q and\n%s\nwant %d and %q", line, code, out, errs, exitUsage, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v (%v), want nothing", left, err)
	}
}

// TestReportsOutliveAFailedMeter has the runs, and nothing to hold them to.
func TestReportsOutliveAFailedMeter(t *testing.T) {
	o := benchOptions{runs: 2, save: filepath.Join(t.TempDir(), "a.json")}
	report := bench.NewReport(bench.Options{Clients: 1, Outstanding: 1, Duration: time.Second}, bench.Included{})
	why := errors.New("no such meter")
	report.Runs = make([]bench.Run, 2)
	report.Runs[0].Operations, report.Runs[1].Operations = 10, 20
	out := &strings.Builder{}
	if err := o.publish(&console{out: out}, report, why); !errors.Is(err, why) || !strings.Contains(out.String(), "of 2 runs") {
		t.Errorf("got %v and\n%s", err, out)
	}
	if saved, err := bench.ReadReport(o.save); err != nil || len(saved.Runs) != 2 {
		t.Errorf("saved are %d runs (%v), want 2", len(saved.Runs), err)
	}
}

// TestRunsOutliveOneThatFails has one run of two, which misses what both were to reach, and
// none.
func TestRunsOutliveOneThatFails(t *testing.T) {
	o := benchOptions{runs: 2, save: filepath.Join(t.TempDir(), "a.json"), want: bench.Thresholds{Throughput: 1e9}}
	report := bench.NewReport(bench.Options{Clients: 1, Outstanding: 1, Duration: time.Second}, bench.Included{})
	report.Planned = 2
	why := errors.New("run 2 of 2: a replica died")
	out := &strings.Builder{}
	if err := o.publish(&console{out: out}, report, why); !errors.Is(err, why) || out.Len() > 0 {
		t.Errorf("of no run: got %v and\n%s", err, out)
	}
	report.Runs = make([]bench.Run, 1)
	report.Runs[0].Operations = 10
	err := o.publish(&console{out: out}, report, why)
	if !errors.Is(err, why) || exitCode(err) != exitFailure || !strings.Contains(out.String(), "1 of 2 runs") {
		t.Errorf("got %v, exit code %d, and\n%s", err, exitCode(err), out)
	}
	if saved, err := bench.ReadReport(o.save); err != nil || len(saved.Runs) != 1 || saved.Planned != 2 {
		t.Errorf("saved are %d runs of %d (%v), want 1 of 2", len(saved.Runs), saved.Planned, err)
	}
}

// TestRunsAreMeasuredUntilOneFails has the third of five fail, and no cluster.
func TestRunsAreMeasuredUntilOneFails(t *testing.T) {
	o := benchOptions{runs: 5, cpuProfile: "profiles"}
	why := errors.New("a replica died")
	var profiles []string
	once := func(o benchOptions, _ context.Context) (run bench.Run, in bench.Included, err error) {
		if profiles = append(profiles, o.cpuProfile); len(profiles) == 3 {
			return run, in, why
		}
		run.Operations = int64(len(profiles))
		return run, bench.Included{Replicas: 4}, nil
	}
	report, err := o.measureRuns(t.Context(), &console{err: io.Discard}, once)
	if !errors.Is(err, why) || err.Error() != "run 3 of 5: a replica died" {
		t.Errorf("got %v", err)
	}
	if len(report.Runs) != 2 || report.Runs[0].Operations != 1 || report.Runs[1].Operations != 2 ||
		report.Planned != 5 || report.Included.Replicas != 4 {
		t.Errorf("got %+v, want the two runs before, of five", report)
	}
	if want := []string{"profiles/run-1", "profiles/run-2", "profiles/run-3"}; !slices.Equal(profiles, want) {
		t.Errorf("profiles are in %q, want %q", profiles, want)
	}
}

// TestOthersClustersAreNotSaidToKeepWhatIsNotKnown compares what is included of them with
// what flags say of those to start.
func TestOthersClustersAreNotSaidToKeepWhatIsNotKnown(t *testing.T) {
	cluster, err := pbft.StartLocal(t.Context(), 4, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close() //nolint:errcheck // the end of a test
	for genesis, want := range map[string]int64{"": forensics.ArchiveBytesDefault, "theirs": 0} {
		o := benchOptions{genesis: genesis, archiveMiB: forensics.ArchiveBytesDefault >> 20}
		o.load.Genesis = cluster.Genesis()
		in, err := o.included()
		if err != nil || in.ArchiveBytes != want {
			t.Errorf("genesis %q: got an archive of %d bytes (%v), want %d", genesis, in.ArchiveBytes, err, want)
		}
	}
}
