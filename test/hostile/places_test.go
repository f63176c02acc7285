package hostile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

func badPlaces(t *testing.T, s *siege) {
	t.Helper()
	t.Run("read-only", func(t *testing.T) { readOnly(t, s.kept) })
	t.Run("no space", noSpace)
	t.Run("clock before the genesis", func(t *testing.T) { clockBefore(t, s.kept) })
}

// mounts mounts something at dir until the test ends, and returns false where this
// process may not.
func mounts(t *testing.T, dir string, mount func() error) bool {
	t.Helper()
	if err := mount(); err != nil {
		t.Logf("mount at %s: %v", dir, err)
		return false
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return true
}

// readOnly needs a mount when the test runs as root, who may write everywhere.
// Where it may not mount, data is a file, which nobody can write below.
func readOnly(t *testing.T, k *kept) {
	t.Helper()
	dir := k.copied(t)
	data := filepath.Join(dir, pbft.DataDir)
	check := unchanged(t, data)
	switch {
	case os.Getuid() != 0:
		for _, d := range []string{"journal", "state", "state/badger", "."} {
			path := filepath.Join(data, d)
			must(t, os.Chmod(path, 0o500))
			t.Cleanup(func() { must(t, os.Chmod(path, 0o700)) })
		}
	case mounts(t, data, func() error { return unix.Mount(data, data, "", unix.MS_BIND, "") }):
		must(t, unix.Mount("", data, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	default:
		elsewhere := filepath.Join(dir, "elsewhere")
		must(t, os.Rename(data, elsewhere), os.WriteFile(data, nil, 0o600))
		refuses(t, "a file in the place of the data", configOf(dir), nil, data)
		must(t, os.Remove(data), os.Rename(elsewhere, data))
		return
	}
	refuses(t, "read-only", configOf(dir), nil, data)
	check()
}

// noSpace gives replica 2 a small file system of its own, where it runs until it
// must keep a snapshot, with more free than that takes, but less than Badger may
// take when all goes wrong. It ends by itself, the others go on; and with space it
// is where it was. Where this process may not mount, the store alone is told that
// nothing is free, when it starts.
func noSpace(t *testing.T) {
	t.Helper()
	limits := pbft.DefaultGenesisLimits()
	limits.CheckpointInterval, limits.Window = 8, 16
	c := newCluster(t, options{liar: replicas, timeout: hastyTimeout, limits: limits})
	small := filepath.Join(c.path(2), pbft.DataDir)
	if !mounts(t, small, func() error { return unix.Mount("tmpfs", small, "tmpfs", 0, "size=160m,mode=0700") }) {
		nothingFree(t)
		return
	}
	must(t, os.WriteFile(filepath.Join(small, pbft.FreshFile), nil, 0o600))
	c.startHonest(t)
	c.serves(t, 12)
	select {
	case <-c.replicas[2].Done():
	case <-t.Context().Done():
	}
	if err := c.replicas[2].Err(); !errors.Is(err, checkpoint.ErrNoSpace) {
		t.Fatalf("without space replica 2 ended with %v, want %v", err, checkpoint.ErrNoSpace)
	}
	c.replicas[2] = nil
	c.serves(t, 8)
	must(t, unix.Mount("", small, "", unix.MS_REMOUNT, "size=1g,mode=0700"))
	c.start(t, 2)
	c.serves(t, 8)
	await(t, "replica 2 is where the others are", func() bool {
		return c.replicas[2].Report().Executed >= c.replicas[0].Report().Executed-8
	})
}

func nothingFree(t *testing.T) {
	t.Helper()
	free := func(string) (uint64, error) { return 0, nil }
	if _, err := checkpoint.Open(t.TempDir(), checkpoint.Options{Free: free}); !errors.Is(err, checkpoint.ErrNoSpace) {
		t.Errorf("without space the state opens with %v, want %v", err, checkpoint.ErrNoSpace)
	}
}

// clockBefore starts a replica at midnight of 2000-01-01, long before its genesis
// and all that it executed: in a bubble, where that is the time. That another's
// clock may be so wrong, and what a proposal of such a primary is worth, is in row
// 30.
func clockBefore(t *testing.T, k *kept) {
	t.Helper()
	dir := k.copied(t)
	var report wire.Report
	var year int
	synctest.Test(t, func(t *testing.T) {
		year = time.Now().UTC().Year()
		r, err := pbft.Start(context.Background(), configOf(dir), tally{})
		must(t, err)
		report = r.Report()
		must(t, r.Close())
	})
	if year != 2000 || report.Checkpoint != k.report.Checkpoint {
		t.Errorf("in %d it started at checkpoint %d, want %d", year, report.Checkpoint, k.report.Checkpoint)
	}
	if report, err := tries(configOf(dir)); err != nil || report.Checkpoint != k.report.Checkpoint {
		t.Errorf("with its clock right again: %v, at %d, want %d", err, report.Checkpoint, k.report.Checkpoint)
	}
}
