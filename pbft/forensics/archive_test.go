package forensics_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

func TestAnArchiveGivesBackWhatItTook(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	past := []wire.Message{
		w.committed(0, 1, "a", 0, 1, 2), w.stable(4, "s", 0, 1, 3), w.change(1, 2, w.prepared(0, 1, "a", 1, 2)),
		w.open(1, []*wire.ViewChange{w.change(1, 2)}, "a"),
	}
	proof := w.evidence(1)[0]
	a := w.archive(dir, 0)
	if err := errors.Join(a.Add(past[:2]...), a.Keep(proof, proof)); err != nil {
		t.Fatal(err)
	}
	if got := len(w.read(dir).Messages); got != 3 { // while it is in use
		t.Errorf("%d messages, want 3", got)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = w.archive(dir, 0)
	if err := errors.Join(a.Keep(proof), a.Add(past[2:]...), a.Add(&wire.Ask{}), a.Close()); err != nil {
		t.Fatal(err)
	}
	log := w.read(dir)
	want := append([]wire.Message{proof}, past...)
	if diff := cmp.Diff(want, log.Messages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if log.Replica != 2 || log.Damaged+log.Refused > 0 {
		t.Errorf("got %d, %d damaged, %d refused", log.Replica, log.Damaged, log.Refused)
	}
	if err := a.Add(past...); err == nil {
		t.Error("a closed archive takes messages")
	}
}

// TestATornEndIsCut cuts an archive at random places: whole records before the
// place stay, and what is added later is read.
func TestATornEndIsCut(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	w, rng := newWorld(t), rand.New(rand.NewPCG(seed, 0))
	first, second, last := w.committed(0, 1, "a", 0, 1, 2), w.committed(0, 2, "b", 0, 1, 2), w.committed(0, 3, "c", 1, 2, 3)
	record := len(wire.Encode(first)) + 8
	for range 40 {
		dir := t.TempDir()
		a := w.archive(dir, 0)
		if err := errors.Join(a.Add(first, second), a.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "00000000000000000001.arc")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		cut := rng.Int64N(info.Size())
		if err := os.Truncate(path, cut); err != nil {
			t.Fatal(err)
		}
		a = w.archive(dir, 0)
		if err := errors.Join(a.Add(last), a.Close()); err != nil {
			t.Fatal(err)
		}
		want := []wire.Message{last}
		if cut >= info.Size()-int64(record) {
			want = []wire.Message{first, last}
		}
		if diff := cmp.Diff(want, w.read(dir).Messages); diff != "" {
			t.Errorf("cut at %d of %d (-want +got):\n%s", cut, info.Size(), diff)
		}
	}
}

// TestTheOldestSegmentsGoFirst fills an archive several times over.
func TestTheOldestSegmentsGoFirst(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	proof, one := w.evidence(1)[0], w.committed(0, 1, "a", 0, 1, 2)
	a := w.archive(dir, forensics.ArchiveBytesMin)
	if err := a.Keep(proof); err != nil {
		t.Fatal(err)
	}
	const total = 3 * forensics.ArchiveBytesMin
	n := total / len(wire.Encode(one))
	for i := range n {
		next := *one
		next.Cert.Seq = wire.Seq(i + 1)
		if err := a.Add(&next); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "0*.arc"))
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > forensics.ArchiveBytesMin+100 || bytes < forensics.ArchiveBytesMin*3/4 {
		t.Errorf("%d bytes in %d segments, want about %d", bytes, len(files), forensics.ArchiveBytesMin)
	}
	if log := w.read(dir); len(log.Messages) != 1 || log.Refused == 0 { // but one are not signed for their number
		t.Errorf("%d messages are good, want the proof alone", len(log.Messages))
	}
}

// TestDamageCostsWhatIsBehindIt flips a byte in a segment that is no longer
// written to.
func TestDamageCostsWhatIsBehindIt(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	one := w.committed(0, 1, "a", 0, 1, 2)
	a := w.archive(dir, forensics.ArchiveBytesMin)
	for range 2 * forensics.ArchiveBytesMin / 16 / len(wire.Encode(one)) {
		if err := a.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(w.read(dir).Messages)
	path := filepath.Join(dir, "00000000000000000001.arc")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	log := w.read(dir)
	if log.Damaged != 1 || len(log.Messages) >= before || len(log.Messages) < before/3 {
		t.Errorf("%d of %d messages, %d damaged segments; want fewer, and 1", len(log.Messages), before, log.Damaged)
	}
}

func TestAnArchiveOfSomebodyElseIsRefused(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	if err := w.archive(dir, 0).Close(); err != nil {
		t.Fatal(err)
	}
	id := w.identity()
	id.Replica++
	if _, err := forensics.OpenArchive(dir, id, forensics.Options{}); !errors.Is(err, forensics.ErrOtherCluster) {
		t.Errorf("another replica: got %v, want ErrOtherCluster", err)
	}
	other := newWorld(t)
	other.cluster.Domain.Epoch++
	if _, err := forensics.ReadArchive(dir, other.cluster); !errors.Is(err, forensics.ErrOtherCluster) {
		t.Errorf("another epoch: got %v, want ErrOtherCluster", err)
	}
	if _, err := forensics.ReadArchive(t.TempDir(), w.cluster); !errors.Is(err, forensics.ErrFile) {
		t.Errorf("an empty directory: got %v, want ErrFile", err)
	}
	if _, err := forensics.OpenArchive(dir, id, forensics.Options{Bytes: 5}); err == nil {
		t.Error("an archive of 5 bytes is opened")
	}
}

// TestAnArchiveThatFailedStaysFailed removes the directory under an archive: it
// tells, and does nothing more.
func TestAnArchiveThatFailedStaysFailed(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	a := w.archive(filepath.Join(dir, "archive"), forensics.ArchiveBytesMin)
	if err := os.RemoveAll(filepath.Join(dir, "archive")); err != nil {
		t.Fatal(err)
	}
	one := w.committed(0, 1, "a", 0, 1, 2)
	var err error
	for i := 0; err == nil && i < forensics.ArchiveBytesMin/len(wire.Encode(one)); i++ {
		err = a.Add(one)
	}
	if err == nil || a.Add(one) == nil || a.Keep(w.evidence(1)[0]) == nil || a.Close() == nil {
		t.Errorf("got %v, and then perhaps nothing; want errors for ever", err)
	}
}

// FuzzReadSegment feeds the reader of an archive.
func FuzzReadSegment(f *testing.F) {
	w, dir := newWorld(f), f.TempDir()
	a := w.archive(dir, 0)
	if err := errors.Join(a.Add(w.committed(0, 1, "a", 0, 1, 2), w.stable(4, "s", 0, 1, 3)), a.Close()); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "00000000000000000001.arc")
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:70])
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := forensics.ReadArchive(dir, w.cluster)
		if err == nil && len(log.Messages) > 2 {
			t.Errorf("%d messages of two", len(log.Messages))
		}
	})
}

// BenchmarkAdd is what one committed batch costs the goroutine of the archive.
func BenchmarkAdd(b *testing.B) {
	w := newWorld(b)
	a, one := w.archive(b.TempDir(), 0), w.committed(0, 1, "a", 0, 1, 2)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Add(one, one, one, one, one, one, one, one); err != nil {
			b.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		b.Fatal(err)
	}
}
