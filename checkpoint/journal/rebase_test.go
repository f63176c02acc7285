package journal

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// batches returns n records of so many bytes and more.
func batches(from, n, bytes int) []core.Record {
	var records []core.Record
	for i := range n {
		records = append(records, accepted(wire.Seq(from+i), bytes)) //nolint:gosec // not negative
	}
	return records
}

// inPortions returns options with which a base of a few batches is written little by little.
func inPortions(fsys *disk.Memory) Options {
	opts := inMemory(fsys)
	opts.PortionBytes = 5000
	return opts
}

// TestALongBaseIsWrittenLittleByLittle appends in between, as much each time as a portion
// has: it comes to an end all the same, and the journal holds the base and all of that.
func TestALongBaseIsWrittenLittleByLittle(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inPortions(fsys)
	j := mustCreate(t, opts)
	write(t, j, batches(1, 30, 2000), views(1, 5))
	before := j.Size()
	base := batches(20, 11, 2000)
	if err := j.Rebase(base); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(base)
	portions := 0
	for more := true; more; portions++ {
		if j.Size() < before {
			t.Fatal("the journal is shorter before the base is there")
		}
		records := batches(100+2*portions, 2, 2400)
		write(t, j, records)
		want = append(want, records...)
		var err error
		if more, err = j.Work(); err != nil {
			t.Fatal(err)
		}
		if portions > 20 {
			t.Fatal("the base does not come to an end")
		}
	}
	if portions < 4 {
		t.Errorf("it took %d portions, want one for each 5,000 bytes or so", portions)
	}
	write(t, j, views(50, 3))
	want = append(want, views(50, 3)...)
	if more, err := j.Work(); more || err != nil {
		t.Errorf("work without a base: %v, %v", more, err)
	}
	mustClose(t, j)
	again, got := mustOpen(t, opts)
	same(t, got, want)
	mustClose(t, again)
}

// TestABaseOfManySignaturesIsLong: in a large cluster the certificates of a window, and the
// view changes that name them, are as long as batches.
func TestABaseOfManySignaturesIsLong(t *testing.T) {
	signed := make([]wire.Signed, 40)
	for i := range signed {
		signed[i].Sender = wire.ReplicaID(i) //nolint:gosec // a few
	}
	prepared := wire.PreparedCert{Prepares: signed}
	attached := &wire.Evidence{Attached: [][]byte{make([]byte, 5000), make([]byte, 5000)}}
	for name, base := range map[string][]core.Record{
		"prepared":    {core.PreparedRecord{Cert: prepared}, core.PreparedRecord{Cert: prepared}},
		"committed":   {core.CommittedRecord{Cert: wire.CommitCert{Commits: signed}}},
		"view change": {core.ViewChangeRecord{ViewChange: &wire.ViewChange{Prepared: slices.Repeat([]wire.PreparedCert{prepared}, 9)}}},
		"evidence":    {core.EvidenceRecord{Evidence: attached}},
	} {
		if got, want := guess(base), int64(len(encoded(t, base))); got < want {
			t.Errorf("%s: a base of %d bytes counts as one of %d", name, want, got)
		}
	}
}

// TestATurnThatAppendsMuchIsCaughtUpWithLittleByLittle appends, while a base is written, what
// a view change carries over, at once.
func TestATurnThatAppendsMuchIsCaughtUpWithLittleByLittle(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inPortions(fsys)
	j := mustCreate(t, opts)
	want := batches(1, 20, 2000)
	if err := j.Rebase(want); err != nil {
		t.Fatal(err)
	}
	much := batches(100, 100, 2000)
	write(t, j, much)
	portions := 0
	for more := true; more; portions++ {
		written := 0
		fsys.Before(func(op disk.Op) *disk.Fault { written += op.Bytes; return nil })
		var err error
		if more, err = j.Work(); err != nil {
			t.Fatal(err)
		}
		if most := 6 * opts.PortionBytes; more && int64(written) > most {
			t.Errorf("portion %d has %d bytes, want %d at most", portions, written, most)
		}
	}
	if portions < 8 || j.GivenUp() > 0 {
		t.Errorf("after %d portions, with %d bases given up, want 8 or more, and none", portions, j.GivenUp())
	}
	mustClose(t, j)
	again, got := mustOpen(t, opts)
	same(t, got, append(want, much...))
	mustClose(t, again)
}

// TestABaseThatIsLeftBehindIsGivenUp appends more than a base may be late, or may be long
// together with it: then the journal goes on with what it had, and can begin anew later.
func TestABaseThatIsLeftBehindIsGivenUp(t *testing.T) {
	for name, spoil := range map[string]func(o *Options){
		"too late":           func(o *Options) { o.PortionBytes = 500 },
		"too long":           func(o *Options) { o.baseBytesMax = 60_000 },
		"too long by itself": func(o *Options) { o.baseBytesMax = 10_000 },
	} {
		t.Run(name, func(t *testing.T) {
			fsys := disk.NewMemory()
			opts := inPortions(fsys)
			spoil(&opts)
			j := mustCreate(t, opts)
			want := batches(1, 3, 100)
			write(t, j, want)
			base := batches(30, 9, 2000)
			if err := j.Rebase(base); err != nil {
				t.Fatal(err)
			}
			if name != "too long by itself" {
				much := batches(100, 80, 2000)
				write(t, j, much)
				want = append(want, much...)
			}
			for more := true; more; {
				var err error
				if more, err = j.Work(); err != nil {
					t.Fatal(err)
				}
			}
			if j.GivenUp() != 1 {
				t.Fatalf("%d bases were given up, want 1", j.GivenUp())
			}
			if file, err := fsys.Open(filepath.Join(testDir, baseName)); err == nil {
				t.Error("the file of the base is still there", file.Close())
			}
			mustClose(t, j)
			opts = inPortions(fsys)
			again, got := mustOpen(t, opts)
			same(t, got, want)
			if err := again.Rebase(base); err != nil {
				t.Fatal(err)
			}
			for more := true; more; {
				var err error
				if more, err = again.Work(); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, again)
			last, got := mustOpen(t, opts)
			same(t, got, base)
			mustClose(t, last)
		})
	}
}

// TestABaseThatIsNotThereYetIsForgotten ends the process, closes the journal, and begins
// another base, while one is being written.
func TestABaseThatIsNotThereYetIsForgotten(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, fsys *disk.Memory, j *Journal) []core.Record{
		"killed": func(_ *testing.T, fsys *disk.Memory, _ *Journal) []core.Record { fsys.Kill(); return nil },
		"crashed": func(_ *testing.T, fsys *disk.Memory, _ *Journal) []core.Record {
			fsys.Crash(func(int) int { return 0 })
			return nil
		},
		"closed": func(t *testing.T, _ *disk.Memory, j *Journal) []core.Record { t.Helper(); mustClose(t, j); return nil },
		"another": func(t *testing.T, _ *disk.Memory, j *Journal) []core.Record {
			t.Helper()
			if err := j.Rebase(views(7, 2)); err != nil {
				t.Fatal(err)
			}
			mustClose(t, j)
			return views(7, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := disk.NewMemory()
			opts := inPortions(fsys)
			j := mustCreate(t, opts)
			want := append(batches(1, 3, 100), views(1, 2)...)
			write(t, j, want[:3])
			if err := j.Append(want[3:]); err != nil { // not durable by itself
				t.Fatal(err)
			}
			if err := j.Rebase(batches(30, 9, 2000)); err != nil {
				t.Fatal(err)
			}
			if more, err := j.Work(); !more || err != nil {
				t.Fatalf("work = %v, %v, want a base that is being written", more, err)
			}
			if other := end(t, fsys, j); other != nil {
				want = other
			}
			again, got := mustOpen(t, opts)
			same(t, got, want)
			mustClose(t, again)
			if file, err := fsys.Open(filepath.Join(testDir, baseName)); err == nil {
				t.Error("the file of the base is still there", file.Close())
			}
		})
	}
}

// TestAFailureWhileABaseIsWrittenIsTheEnd has each operation of the disk fail in turn.
func TestAFailureWhileABaseIsWrittenIsTheEnd(t *testing.T) {
	failed := 0
	for fuse := 1; ; fuse++ {
		fsys := disk.NewMemory()
		opts := inPortions(fsys)
		j := mustCreate(t, opts)
		old := batches(1, 3, 100)
		write(t, j, old)
		base := batches(30, 9, 2000)
		left := fuse
		fsys.Before(func(op disk.Op) *disk.Fault {
			if left--; left == 0 {
				return &disk.Fault{Err: errStop, Written: op.Bytes / 2}
			}
			return nil
		})
		err := j.Rebase(base)
		for more := true; err == nil && more; {
			more, err = j.Work()
		}
		if err == nil {
			break // it came to its end
		}
		failed++
		if _, again := j.Work(); !errors.Is(err, errStop) || !errors.Is(again, errStop) {
			t.Fatalf("operation %d fails: %v, and then %v, want %v and the same", fuse, err, again, errStop)
		}
		fsys.Before(nil)
		fsys.Kill()
		again, got := mustOpen(t, opts)
		if len(got) == len(base) {
			same(t, got, base)
		} else {
			same(t, got, old)
		}
		mustClose(t, again)
	}
	if failed < 10 {
		t.Errorf("%d operations could fail, want all those of a long base", failed)
	}
}
