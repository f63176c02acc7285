package journal

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func TestOpenReturnsWhatWasAppendedInOrder(t *testing.T) {
	for name, opts := range map[string]Options{
		"memory": inMemory(disk.NewMemory()),
		"disk":   {Limits: wire.DefaultLimits(4), SegmentBytes: 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "journal")
			j, err := Create(dir, testID, opts)
			if err != nil {
				t.Fatal(err)
			}
			var want []core.Record
			for round := range 20 {
				records := append(allRecords(), views(round*100, round)...)
				write(t, j, records)
				want = append(want, records...)
			}
			size := j.Size()
			mustClose(t, j)
			j, got, err := Open(dir, testID, opts)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			if got := j.Size(); got < size-sector || got > size {
				t.Errorf("size = %d after opening, %d before", got, size)
			}
			mustClose(t, j)
		})
	}
}

func TestAppendingGoesOnAfterOpen(t *testing.T) {
	opts := inMemory(disk.NewMemory())
	mustClose(t, mustCreate(t, opts))
	var want []core.Record
	for round := range 30 {
		j, got := mustOpen(t, opts)
		same(t, got, want)
		records := views(round*100, round%7)
		write(t, j, records)
		want = append(want, records...)
		mustClose(t, j)
	}
}

func TestRecordsLargerThanASegmentAreKept(t *testing.T) {
	opts := inMemory(disk.NewMemory())
	j := mustCreate(t, opts)
	want := []core.Record{
		core.ViewRecord{View: 1},
		accepted(1, 3*segmentBytesMin), accepted(2, 200<<10),
		core.ViewRecord{View: 2},
		accepted(3, spillLarge),
		core.ViewRecord{View: 3},
	}
	write(t, j, want[:3], want[3:])
	mustClose(t, j)
	j, got := mustOpen(t, opts)
	same(t, got, want)
	write(t, j, views(10, 2))
	mustClose(t, j)
	j, got = mustOpen(t, opts)
	same(t, got, append(want, views(10, 2)...))
	mustClose(t, j)
}

// spillLarge is the largest operation that the limits allow.
const spillLarge = 256 << 10

func TestALongTurnIsWrittenBeforeItsFlush(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inMemory(fsys)
	opts.SegmentBytes = 8 << 20
	j := mustCreate(t, opts)
	written := 0
	fsys.Before(func(op disk.Op) *disk.Fault {
		if op.Kind == disk.OpWrite {
			written += op.Bytes
		}
		return nil
	})
	var want []core.Record
	for i := range 12 {
		want = append(want, accepted(wire.Seq(i+1), spillLarge))
	}
	if err := j.Append(want); err != nil {
		t.Fatal(err)
	}
	if written < 2<<20 || cap(j.tail.buf) > bufferKeepBytes {
		t.Errorf("%d bytes written, buffer of %d: the buffer is not bounded", written, cap(j.tail.buf))
	}
	mustClose(t, j)
	j, got := mustOpen(t, opts)
	same(t, got, want)
	mustClose(t, j)
}

func TestRebaseReplacesEverything(t *testing.T) {
	for name, base := range map[string][]core.Record{
		"empty": nil, "small": allRecords(), "larger than a segment": append(allRecords(), views(0, 500)...),
	} {
		t.Run(name, func(t *testing.T) {
			fsys := disk.NewMemory()
			opts := inMemory(fsys)
			j := mustCreate(t, opts)
			write(t, j, views(0, 10), views(10, 300))
			if err := j.Append(views(1000, 1)); err != nil {
				t.Fatal(err)
			}
			before := j.Size()
			if err := j.Rebase(base); err != nil {
				t.Fatal(err)
			}
			if len(base) < 100 && j.Size() >= before {
				t.Errorf("size = %d after the rebase, %d before", j.Size(), before)
			}
			write(t, j, views(2000, 3))
			mustClose(t, j)
			names, err := fsys.List(testDir)
			if err != nil || len(names) > 2 {
				t.Errorf("files = %v, %v; want the base and at most one after it", names, err)
			}
			j, got := mustOpen(t, opts)
			same(t, got, append(slices.Clone(base), views(2000, 3)...))
			mustClose(t, j)
		})
	}
}

func TestFlushSyncsOnceForAllThatWaits(t *testing.T) {
	fsys := disk.NewMemory()
	j := mustCreate(t, inMemory(fsys))
	count := map[disk.OpKind]int{}
	fsys.Before(func(op disk.Op) *disk.Fault { count[op.Kind]++; return nil })
	write(t, j, views(0, 20))
	if count[disk.OpWrite] != 1 || count[disk.OpSync] != 1 {
		t.Errorf("operations = %v, want one write and one sync", count)
	}
	if err := j.Flush(); err != nil || count[disk.OpSync] != 1 {
		t.Errorf("a flush of nothing: %v, operations %v", err, count)
	}
	mustClose(t, j)
}

func TestCreateAndOpenTellFirstStartFromLostData(t *testing.T) {
	opts := inMemory(disk.NewMemory())
	if _, _, err := Open(testDir, testID, opts); !errors.Is(err, ErrMissing) {
		t.Errorf("open of nothing = %v, want %v", err, ErrMissing)
	}
	if there, err := Exists(testDir, opts); there || err != nil {
		t.Errorf("exists = %v, %v before the first start", there, err)
	}
	mustClose(t, mustCreate(t, opts))
	if there, err := Exists(testDir, opts); !there || err != nil {
		t.Errorf("exists = %v, %v after the first start", there, err)
	}
	if _, err := Create(testDir, testID, opts); !errors.Is(err, ErrExists) {
		t.Errorf("second create = %v, want %v", err, ErrExists)
	}
	j, _ := mustOpen(t, opts) // the failed create holds no lock
	mustClose(t, j)
}

func TestClosedJournalRefuses(t *testing.T) {
	j := mustCreate(t, inMemory(disk.NewMemory()))
	mustClose(t, j)
	mustClose(t, j)
	for name, err := range map[string]error{
		"append": j.Append(views(0, 1)), "flush": j.Flush(), "rebase": j.Rebase(nil),
	} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%s = %v, want %v", name, err, errClosed)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := inMemory(disk.NewMemory())
	for name, change := range map[string]func(*Options){
		"no limits":     func(o *Options) { o.Limits = wire.Limits{} },
		"tiny segment":  func(o *Options) { o.SegmentBytes = 1 },
		"huge segment":  func(o *Options) { o.SegmentBytes = 1 << 40 },
		"huge messages": func(o *Options) { o.Limits.BatchBytesMax = recordBytesMax },
	} {
		opts := good
		change(&opts)
		if _, err := Create(testDir, testID, opts); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestEmptyRecordsAreRefused(t *testing.T) {
	for _, r := range []core.Record{
		nil,
		core.AcceptedRecord{},
		core.AcceptedRecord{PrePrepare: &wire.PrePrepare{}},
		core.BatchRecord{},
		core.ViewChangeRecord{},
		core.NewViewRecord{},
	} {
		j := mustCreate(t, inMemory(disk.NewMemory()))
		if err := j.Append([]core.Record{r}); !errors.Is(err, errEmptyRecord) {
			t.Errorf("append of %#v = %v", r, err)
		}
		if err := j.Close(); !errors.Is(err, errEmptyRecord) {
			t.Errorf("close = %v, want the error that killed the journal", err)
		}
	}
}

const childDir = "QUORATE_JOURNAL_TEST_DIR"

// TestSecondProcessIsLockedOut runs itself as the second process.
func TestSecondProcessIsLockedOut(t *testing.T) {
	opts := Options{Limits: wire.DefaultLimits(4), SegmentBytes: segmentBytesMin}
	if dir := os.Getenv(childDir); dir != "" {
		if _, _, err := Open(dir, testID, opts); !errors.Is(err, ErrLocked) {
			t.Fatalf("open = %v, want %v", err, ErrLocked)
		}
		return
	}
	dir := t.TempDir()
	j, err := Create(dir, testID, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir, testID, opts); !errors.Is(err, ErrLocked) {
		t.Errorf("open in the same process = %v, want %v", err, ErrLocked)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: "+t.Name()) {
		t.Errorf("second process: %v\n%s", err, out)
	}
	mustClose(t, j)
	j, _, err = Open(dir, testID, opts)
	if err != nil {
		t.Fatalf("open after close = %v", err)
	}
	mustClose(t, j)
}
