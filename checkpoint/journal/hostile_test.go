package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// image is a journal on disk: its files by path.
type image map[string][]byte

func copyOf(tb testing.TB, fsys *disk.Memory) image {
	tb.Helper()
	names, err := fsys.List(testDir)
	if err != nil {
		tb.Fatal(err)
	}
	files := image{}
	for _, name := range names {
		path := filepath.Join(testDir, name)
		f, err := fsys.Open(path)
		if err != nil {
			tb.Fatal(err)
		}
		size, err := f.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		files[path] = make([]byte, size)
		if err := readAt(f, files[path]); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

// disk returns a file system with the image.
func (im image) disk(tb testing.TB) *disk.Memory {
	tb.Helper()
	fsys := disk.NewMemory()
	if err := fsys.MakeDir(testDir); err != nil {
		tb.Fatal(err)
	}
	for path, data := range im {
		f, err := fsys.Create(path)
		if err == nil {
			_, err = f.WriteAt(data, 0)
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := fsys.SyncDir(testDir); err != nil {
		tb.Fatal(err)
	}
	return fsys
}

func (im image) with(path string, data []byte) image {
	c := image{}
	for p, d := range im {
		c[p] = d
	}
	c[path] = data
	return c
}

func (im image) without(path string) image {
	c := im.with(path, nil)
	delete(c, path)
	return c
}

// sample returns the image of a journal of groups, each flushed, after a rebase
// to base; and all its records.
func sample(tb testing.TB, id Identity, base []core.Record, groups ...[]core.Record) (image, []core.Record) {
	tb.Helper()
	return sampleOf(tb, id, segmentBytesMin, append([][]core.Record{base}, groups...))
}

// sampleOf is sample with segments of so many bytes; the base is groups[0].
func sampleOf(tb testing.TB, id Identity, segmentBytes int64, groups [][]core.Record) (image, []core.Record) {
	tb.Helper()
	fsys := disk.NewMemory()
	opts := inMemory(fsys)
	opts.SegmentBytes = segmentBytes
	j, err := Create(testDir, id, opts)
	if err != nil {
		tb.Fatal(err)
	}
	if err := j.Rebase(groups[0]); err != nil {
		tb.Fatal(err)
	}
	write(tb, j, groups[1:]...)
	mustClose(tb, j)
	return copyOf(tb, fsys), slices.Concat(groups...)
}

// opened opens an image and checks that whatever opens can be used.
func opened(tb testing.TB, im image) ([]core.Record, error) {
	tb.Helper()
	opts := inMemory(im.disk(tb))
	j, records, err := Open(testDir, testID, opts)
	if err != nil {
		return nil, err
	}
	write(tb, j, views(900, 1))
	mustClose(tb, j)
	j, again := mustOpen(tb, opts)
	mustClose(tb, j)
	same(tb, again, slices.Concat(records, views(900, 1)))
	return records, nil
}

// TestAFlippedByteLosesAtMostTheLastFlush is the promise of docs/STORAGE.md: what
// is changed is refused, except in the last flush, where it looks like a crash.
func TestAFlippedByteLosesAtMostTheLastFlush(t *testing.T) {
	lastFlush := 3
	groups := [][]core.Record{views(0, 3), views(10, 5), allRecords(), views(20, lastFlush)}
	im, want := sampleOf(t, testID, 8<<10, groups)
	if len(im) != 1 {
		t.Fatalf("%d segments, want 1", len(im))
	}
	refused, cut := 0, 0
	for path, data := range im {
		for i := range data {
			changed := bytes.Clone(data)
			changed[i] ^= byte(1 + i%255)
			got, err := opened(t, im.with(path, changed))
			if err != nil {
				refused++
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Fatalf("byte %d: %v, want %v", i, err, ErrCorrupt)
				}
				continue
			}
			if len(got) < len(want)-lastFlush || len(got) > len(want) {
				t.Fatalf("byte %d: %d records of %d, and no error", i, len(got), len(want))
			}
			if len(got) < len(want) {
				cut++
			}
			same(t, got, want[:len(got)])
		}
	}
	if refused < 2000 || cut < 100 {
		t.Errorf("%d flips refused, %d cut: the test tests nothing", refused, cut)
	}
}

func TestAFlippedByteInEarlierSegmentsIsRefusedOrHarmless(t *testing.T) {
	im, want := sample(t, testID, nil, views(0, 70), views(70, 80), views(150, 2))
	if len(im) < 3 {
		t.Fatalf("%d segments, want 3", len(im))
	}
	for _, serial := range []uint64{2, 3} {
		data := im[segmentPath(serial)]
		for i := 0; i < len(data); i += 3 {
			changed := bytes.Clone(data)
			changed[i] ^= 0x10
			got, err := opened(t, im.with(segmentPath(serial), changed))
			if err == nil {
				same(t, got, want)
			} else if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("segment %d, byte %d: %v, want %v", serial, i, err, ErrCorrupt)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	im, _ := sample(t, testID, views(0, 3), views(10, 30), views(40, 60), views(100, 2))
	for path, data := range im {
		for size := 0; size < len(data); size += 1 + size%7 {
			if _, err := opened(t, im.with(path, data[:size])); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d bytes: %v, want %v", path, size, err, ErrCorrupt)
			}
		}
	}
}

func TestMissingAndSwappedSegmentsAreToldApart(t *testing.T) {
	im, want := sample(t, testID, nil, views(0, 100), views(100, 100), views(200, 100))
	older, _ := sample(t, testID, nil, views(0, 100), views(100, 100), views(200, 100))
	first, last := uint64(2), uint64(len(im)+1)
	if last-first < 4 {
		t.Fatalf("segments %d to %d, want 5", first, last)
	}
	a, b := segmentPath(first+1), segmentPath(first+2)
	for name, c := range map[string]struct {
		im   image
		says string
	}{
		"first missing":           {im.without(segmentPath(first)), "segments before " + a + " are missing"},
		"middle missing":          {im.without(a), a + " is missing"},
		"last missing":            {im.without(segmentPath(last)), segmentPath(last) + " is missing"},
		"two swapped":             {im.with(a, im[b]).with(b, im[a]), "swapped or renamed"},
		"one twice":               {im.with(segmentPath(last+1), im[segmentPath(last)]), "swapped or renamed"},
		"of another journal":      {im.with(a, older[a]), "does not follow"},
		"last of another journal": {im.with(segmentPath(last), older[segmentPath(last)]), "does not follow"},
		"empty":                   {im.with(b, nil), "less than a header"},
		"empty last":              {im.with(segmentPath(last), nil), "less than a header"},
		"zeroed":                  {im.with(b, make([]byte, len(im[b]))), "does not begin as a segment"},
		"strange name":            {im.with(filepath.Join(testDir, "7.seg"), im[b]), "no name of a segment"},
	} {
		_, err := opened(t, c.im)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	if got, err := opened(t, im); err != nil {
		t.Error(err)
	} else {
		same(t, got, want)
	}
}

func TestSplicedFlushesAreRefused(t *testing.T) {
	im, _ := sample(t, testID, nil, views(0, 2), views(10, 2), views(20, 2), views(30, 2))
	path := segmentPath(2)
	groups := func(order ...int) []byte { // the flushes of one sector each, in another order
		data := bytes.Clone(im[path])
		clear(data[sector : 5*sector])
		for to, from := range order {
			copy(data[(1+to)*sector:(2+to)*sector], im[path][(1+from)*sector:(2+from)*sector])
		}
		return data
	}
	if got, err := opened(t, im.with(path, groups(0, 1, 2, 3))); err != nil || len(got) != 8 {
		t.Fatalf("the flushes in order: %d records, %v", len(got), err)
	}
	for name, order := range map[string][]int{
		"swapped": {0, 2, 1, 3}, "dropped, the rest in place": {0, 1, 1, 3}, "repeated": {0, 1, 2, 2},
		"moved up": {0, 2, 3}, "first lost": {3, 1, 2, 3},
	} {
		got, err := opened(t, im.with(path, groups(order...)))
		if err == nil && len(got) < 6 {
			t.Errorf("%s: %d records and no error", name, len(got))
		}
	}
}

func TestJournalOfAnotherReplicaIsRefused(t *testing.T) {
	for name, id := range map[string]Identity{
		"replica": {testID.Cluster, testID.Epoch, 3},
		"epoch":   {testID.Cluster, 8, testID.Replica},
		"cluster": {crypto.Sum([]byte("other")), testID.Epoch, testID.Replica},
	} {
		im, _ := sample(t, id, nil, views(0, 3))
		_, err := opened(t, im)
		if !errors.Is(err, ErrForeign) {
			t.Fatalf("another %s: %v, want %v", name, err, ErrForeign)
		}
		for _, says := range []string{id.String(), testID.String()} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("another %s: %v does not name %q", name, err, says)
			}
		}
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	im, _ := sample(t, testID, nil, views(0, 3))
	path := segmentPath(2)
	newer := bytes.Clone(im[path])
	binary.BigEndian.PutUint32(newer[8:], 2)
	binary.BigEndian.PutUint32(newer[sector-4:], checksum(newer[:sector-4]))
	_, err := opened(t, im.with(path, newer))
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version is 2") {
		t.Errorf("open = %v, want %v", err, ErrVersion)
	}
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	base := views(100, 4)
	im, want := sample(t, testID, base, views(200, 3))
	stale, _ := sample(t, testID, nil, views(0, 9))
	delete(stale, segmentPath(1))
	im = im.with(filepath.Join(testDir, spareName), []byte("half a spare"))
	im = im.with(segmentPath(1), []byte("what is left of an old segment"))
	im = im.with(filepath.Join(testDir, "README"), []byte("not ours"))
	fsys := im.disk(t)
	j, got := mustOpen(t, inMemory(fsys))
	same(t, got, want)
	mustClose(t, j)
	names, err := fsys.List(testDir)
	if err != nil || strings.Join(names, " ") != segmentName(2)+" README" {
		t.Errorf("files = %v, %v", names, err)
	}
	if len(stale) == 0 {
		t.Error("no segments to be stale")
	}
}

func TestDamagedNewestBaseIsNeverReplacedByAnOlderOne(t *testing.T) {
	fsys := disk.NewMemory()
	opts := inMemory(fsys)
	j := mustCreate(t, opts)
	write(t, j, views(0, 3))
	old := copyOf(t, fsys)[segmentPath(1)]
	if err := j.Rebase(views(10, 3)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	im := copyOf(t, fsys).with(segmentPath(1), old)
	if got, err := opened(t, im); err != nil {
		t.Error(err)
	} else {
		same(t, got, views(10, 3))
	}
	for _, at := range []int{0, 20, sector - 1, sector, sector + 100} {
		data := bytes.Clone(im[segmentPath(2)])
		data[at] ^= 1
		if _, err := opened(t, im.with(segmentPath(2), data)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d of the newest base changed: %v, want %v", at, err, ErrCorrupt)
		}
	}
}

func TestOtherThanRegularFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Limits: wire.DefaultLimits(4), SegmentBytes: segmentBytesMin}
	j, err := Create(dir, testID, opts)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	path := filepath.Join(dir, segmentName(1))
	if err := os.Rename(path, path+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+".elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir, testID, opts); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("open of a symbolic link = %v", err)
	}
}

// A client chooses the bytes of operations. They must not pass for a mark, which
// would turn a torn flush into a damaged journal.
func TestOperationsThatLookLikeMarksAreNone(t *testing.T) {
	op := make([]byte, 4096)
	for at := 0; at+markBytes <= len(op); at += markBytes {
		m := mark{magic: flushMagic, number: 99, index: 99, offset: int64(at)}
		copy(op[at:], m.appendTo(nil, [16]byte{}))
	}
	batch := &wire.Batch{Time: 1, Requests: []*wire.Request{{Number: 1, Ops: [][]byte{op}}}}
	im, _ := sample(t, testID, views(0, 1), views(1, 1), []core.Record{core.BatchRecord{Seq: 1, Batch: batch}})
	path := segmentPath(3)
	if len(im[path]) <= sector {
		t.Fatalf("segments %d, want the batch in the third file", len(im))
	}
	torn := bytes.Clone(im[path])
	torn[sector+markBytes+8] ^= 1 // in the record's link
	got, err := opened(t, im.with(path, torn))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, append(views(0, 1), views(1, 1)...))
}

// FuzzOpen opens a journal whose content after the header is arbitrary.
func FuzzOpen(f *testing.F) {
	im, _ := sample(f, testID, nil, views(0, 3), allRecords()[:3])
	head := im[segmentPath(2)][:sector]
	f.Add(im[segmentPath(2)][sector:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append(bytes.Clone(head), rest...)
		data = append(data, make([]byte, max(0, segmentBytesMin-len(data)))...)
		if _, err := opened(t, image{segmentPath(2): data}); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("open = %v, want %v", err, ErrCorrupt)
		}
	})
}
