package main

import (
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/bench"
)

// TestSlowBackupsAreOfClustersToStart refuses what makes no sense, before anything starts.
func TestSlowBackupsAreOfClustersToStart(t *testing.T) {
	for line, want := range map[string]string{
		"--slow-backup 1.5":                    "share of 1.5",
		"--slow-backup -1":                     "share of -1",
		"--slow-backup 0.5 --replicas 3":       "tolerate no slow one",
		"--slow-backup 0.5 --kill-primary 1s":  "keep one of --kill-primary, --slow-backup",
		"--slow-backup 0.5 --lose-disk 1s":     "keep one of --slow-backup, --lose-disk",
		"--lose-disk 1s --replicas 3":          "tolerate no rejoining one",
		"--lose-disk 11s":                      "strike is to come after 11s",
		"--lose-disk -1s":                      "strike is to come after -1s",
		"--lose-disk 1s --genesis none":        "--lose-disk is of a cluster to start",
		"--slow-backup 0.5 --genesis none":     "--slow-backup is of a cluster to start",
		"--archive-mib 8 --genesis none":       "--archive-mib is of a cluster to start",
		"--archive-mib 0":                      "archive is to hold 0 MiB",
		"--archive-mib 1048577":                "archive is to hold 1048577 MiB",
		"--kill-primary 1s --genesis anything": "--kill-primary is of a cluster to start",
	} {
		code, _, errs := command(t, append([]string{"bench"}, strings.Fields(line)...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d and\n%s\nwant %d and %q", line, code, errs, exitUsage, want)
		}
	}
}

// TestSlowBackupIsComparedWithTheMostThatOneExecuted has replicas tell, or not.
func TestSlowBackupIsComparedWithTheMostThatOneExecuted(t *testing.T) {
	at := func(seq wire.Seq) pbft.ReplicaStatus { return pbft.ReplicaStatus{Report: &wire.Report{Executed: seq}} }
	if own, most, ok := executed([]pbft.ReplicaStatus{at(7), {}, at(9), at(3)}, 3); own != 3 || most != 9 || !ok {
		t.Errorf("got %d of %d, %v, want 3 of 9", own, most, ok)
	}
	if _, _, ok := executed([]pbft.ReplicaStatus{at(7), {}, at(9), at(3)}, 1); ok {
		t.Error("a replica that does not answer has executed something")
	}
}

// TestTableTellsOfTheLostDisk looks at its lines, with and without a vote.
func TestTableTellsOfTheLostDisk(t *testing.T) {
	for voted, want := range map[time.Duration]string{
		4 * time.Second: "replica 2 held what the others did 1500.00 ms after it lost its data; it voted after 4000.00 ms",
		0:               "after it lost its data; it did not vote yet at the end",
	} {
		run := bench.Run{Lost: &bench.LostDisk{Replica: 2, Held: 1500 * time.Millisecond, Voted: voted}}
		if text := strings.Join(runRows(run), "\n"); !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q", text, want)
		}
	}
	if text := loadLine(bench.Load{LoseDiskAfter: time.Second}); !strings.Contains(text, "one backup lost its data after 1s") {
		t.Error(text)
	}
}

// TestTableTellsOfTheSlowBackup looks at its lines.
func TestTableTellsOfTheSlowBackup(t *testing.T) {
	run := bench.Run{Slow: &bench.SlowBackup{Replica: 1, Behind: 12, CaughtUp: 30 * time.Millisecond}}
	run.Usage = bench.Usage{Known: true, Replicas: 70 * time.Microsecond, Each: []time.Duration{
		20 * time.Microsecond, 10 * time.Microsecond, 21 * time.Microsecond, 19 * time.Microsecond,
	}}
	text := strings.Join(runRows(run), "\n") + loadLine(bench.Load{SlowShare: 0.9})
	for _, want := range []string{
		"replica 1 was 12 numbers behind at the end, and had caught up 30.00 ms later",
		"10 µs at the slow backup, 20 µs at each of the others", "one backup stopped for 90 % of the time",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q", text, want)
		}
	}
}
