package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TestAfterAnErrorTheJournalIsDead lets one operation fail and the disk be well
// again: nothing is tried a second time.
func TestAfterAnErrorTheJournalIsDead(t *testing.T) {
	noSpace := &disk.Fault{Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		kind  disk.OpKind
		fault *disk.Fault
		do    func(*Journal) error
		want  error
	}{
		"write":             {disk.OpWrite, noSpace, (*Journal).Flush, syscall.ENOSPC},
		"short write":       {disk.OpWrite, &disk.Fault{Written: 100}, (*Journal).Flush, io.ErrShortWrite},
		"partial write":     {disk.OpWrite, &disk.Fault{Err: syscall.EIO, Written: 7}, (*Journal).Flush, syscall.EIO},
		"sync":              {disk.OpSync, &disk.Fault{Err: syscall.EIO}, (*Journal).Flush, syscall.EIO},
		"sync of a base":    {disk.OpSync, &disk.Fault{Err: syscall.EIO}, rebaseEmpty, syscall.EIO},
		"write of a base":   {disk.OpWrite, noSpace, rebaseEmpty, syscall.ENOSPC},
		"name of a base":    {disk.OpRename, noSpace, rebaseEmpty, syscall.ENOSPC},
		"sync of names":     {disk.OpSyncDir, noSpace, rebaseEmpty, syscall.ENOSPC},
		"removal of old":    {disk.OpRemove, &disk.Fault{Err: syscall.EROFS}, rebaseEmpty, syscall.EROFS},
		"write in a append": {disk.OpWrite, noSpace, appendMuch, syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := disk.NewMemory()
			opts := inMemory(fsys)
			j := mustCreate(t, opts)
			write(t, j, views(0, 2))
			if err := j.Append(views(2, 2)); err != nil {
				t.Fatal(err)
			}
			calls := 0
			fsys.Before(func(op disk.Op) *disk.Fault {
				if calls == 0 && op.Kind == c.kind {
					calls++
					return c.fault
				}
				calls += min(calls, 1)
				return nil
			})
			if err := c.do(j); !errors.Is(err, c.want) {
				t.Fatalf("error = %v, want %v", err, c.want)
			}
			calls = 1
			for what, err := range map[string]error{
				"append": j.Append(views(4, 1)), "flush": j.Flush(), "rebase": j.Rebase(nil),
			} {
				if !errors.Is(err, c.want) || calls != 1 {
					t.Errorf("%s after the error = %v, %d operations; want the error and none", what, err, calls-1)
				}
			}
			if err := j.Close(); !errors.Is(err, c.want) {
				t.Errorf("close = %v, want %v", err, c.want)
			}
			fsys.Before(nil)
			j, _ = mustOpen(t, opts)
			mustClose(t, j)
		})
	}
}

func rebaseEmpty(j *Journal) error { return j.Rebase(nil) }

func appendMuch(j *Journal) error { return j.Append(views(10, 1000)) }

// TestRoomIsNeededOnlyWhenASegmentIsFull fills the disk: what has room already is
// still written, and a spare that could not be made is tried once more.
func TestRoomIsNeededOnlyWhenASegmentIsFull(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inMemory(fsys)
	j := mustCreate(t, opts)
	full := func(op disk.Op) *disk.Fault {
		if op.Kind == disk.OpCreate || op.Kind == disk.OpWrite && strings.HasSuffix(op.Name, spareName) {
			return &disk.Fault{Err: syscall.ENOSPC}
		}
		return nil
	}
	fsys.Before(func(op disk.Op) *disk.Fault { // no room for a second spare
		if op.Kind == disk.OpCreate {
			return &disk.Fault{Err: syscall.ENOSPC}
		}
		return nil
	})
	want := views(0, 100) // into the segment for which there was a spare
	write(t, j, want)
	fsys.Before(nil) // room again
	more := views(100, 100)
	write(t, j, more)
	fsys.Before(full)
	err := j.Append(views(1000, 1000))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("append on a full disk = %v, want %v", err, syscall.ENOSPC)
	}
	if err := j.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close = %v", err)
	}
	fsys.Before(nil)
	j, got := mustOpen(t, opts)
	if len(got) < 200 {
		t.Fatalf("%d records, want the 200 that were flushed", len(got))
	}
	same(t, got[:200], append(want, more...))
	mustClose(t, j)
}

// TestOpenMakesUpForAMissingSeal: a crash before the seal does not take away that
// the loss of the next segment is noticed.
func TestOpenMakesUpForAMissingSeal(t *testing.T) {
	im, want := sample(t, testID, nil, views(0, 150))
	if len(im) != 2 {
		t.Fatalf("%d segments, want 2", len(im))
	}
	first, last := segmentPath(2), segmentPath(3)
	data := im[first]
	seal := lastNonZero(data) / sector * sector
	if m, ok := parseMark(data[seal:], [16]byte(data[92:108])); !ok || m.magic != sealMagic {
		t.Fatal("the segment is not sealed")
	}
	clear(data[seal:])
	if got, err := opened(t, im.without(last)); err != nil || len(got) == len(want) {
		t.Fatalf("without a seal the loss cannot be seen, but %d records, %v", len(got), err)
	}
	fsys := im.disk(t)
	j, got := mustOpen(t, inMemory(fsys))
	same(t, got, want)
	mustClose(t, j)
	if _, err := opened(t, copyOf(t, fsys).without(last)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the lost segment is not noticed: %v", err)
	}
}

func TestReadErrorsAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Limits: wire.DefaultLimits(4), SegmentBytes: segmentBytesMin}
	if err := os.Mkdir(filepath.Join(dir, segmentName(1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir, testID, opts); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("open of a directory = %v", err)
	}
	if _, err := Create(filepath.Join(dir, "\x00"), testID, opts); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("create in an impossible place = %v", err)
	}
}

// TestRecordsBeyondTheLimitsAreRefusedWithTheirPlace opens with other limits.
func TestRecordsBeyondTheLimitsAreRefusedWithTheirPlace(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inMemory(fsys)
	j := mustCreate(t, opts)
	write(t, j, views(0, 1), []core.Record{accepted(1, 2000)})
	mustClose(t, j)
	opts.Limits.OpBytesMax = 1000
	_, _, err := Open(testDir, testID, opts)
	if err == nil || !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), "record 1: ") {
		t.Errorf("open = %v, want the record and why", err)
	}
}
