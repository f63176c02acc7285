package forensics_test

import (
	"bytes"
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

// TestALongPastHasShortSegments: each start reads the newest, and cuts off what it cannot read.
func TestALongPastHasShortSegments(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	one := w.committed(0, 1, "a", 0, 1, 2)
	many := make([]wire.Message, 4096)
	for i := range many {
		many[i] = one
	}
	a := w.archive(dir, 1<<40)
	for range 64<<20/(len(many)*len(wire.Encode(one))) + 1 {
		if err := a.Add(many...); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	newest := filepath.Join(dir, "00000000000000000002.arc")
	if _, err := os.Stat(newest); err != nil {
		t.Fatalf("64 MiB have one segment: %v", err)
	}
	const long = 4<<30 + 1 // as one might be that an earlier version wrote
	if err := os.Truncate(newest, long); err != nil {
		t.Fatal(err)
	}
	a = w.archive(dir, 1<<40)
	if err := errors.Join(a.Add(one), a.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(newest); err != nil || info.Size() != long {
		t.Errorf("the long segment was changed: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "00000000000000000003.arc")); err != nil {
		t.Errorf("what comes later has no segment: %v", err)
	}
}

// TestDamageCostsTheRecordThatItIsIn flips a byte in a segment that is no longer
// written to.
func TestDamageCostsTheRecordThatItIsIn(t *testing.T) {
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
	if log.Damaged != 1 || len(log.Messages) != before-1 {
		t.Errorf("%d of %d messages, %d damaged segments; want one fewer, and 1", len(log.Messages), before, log.Damaged)
	}
}

// flip changes one bit of a file, at a share of its length.
func flip(t *testing.T, path string, share float64) (damaged []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[int(share*float64(len(data)))] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDamageOfTheNewestSegmentIsNotCut flips a byte of its second record of three, and one of
// the last. What is whole is read before and after the next start, which writes elsewhere.
func TestDamageOfTheNewestSegmentIsNotCut(t *testing.T) {
	w := newWorld(t)
	first, second, third := w.committed(0, 1, "a", 0, 1, 2), w.committed(0, 2, "b", 0, 1, 2), w.committed(0, 3, "c", 0, 1, 2)
	later := w.committed(0, 4, "d", 0, 1, 2)
	for _, c := range []struct {
		share float64
		whole []wire.Message
	}{{0.5, []wire.Message{first, third}}, {0.99, []wire.Message{first, second}}} {
		dir := t.TempDir()
		a := w.archive(dir, 0)
		if err := errors.Join(a.Add(first, second, third), a.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "00000000000000000001.arc")
		damaged := flip(t, path, c.share)
		log := w.read(dir)
		if diff := cmp.Diff(c.whole, log.Messages); diff != "" || log.Damaged != 1 {
			t.Errorf("damaged at %v: %d damaged segments (-want +got):\n%s", c.share, log.Damaged, diff)
		}
		a = w.archive(dir, 0)
		if diff := cmp.Diff([]string{path}, a.Damaged()); diff != "" {
			t.Errorf("what it says is damaged (-want +got):\n%s", diff)
		}
		if err := errors.Join(a.Add(later), a.Close()); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, damaged) {
			t.Errorf("the damaged segment was changed: %v", err)
		}
		log = w.read(dir)
		if diff := cmp.Diff(append(c.whole, later), log.Messages); diff != "" || log.Damaged != 1 {
			t.Errorf("after the next start: %d damaged segments (-want +got):\n%s", log.Damaged, diff)
		}
		a = w.archive(dir, 0)
		if err := a.Close(); err != nil || len(a.Damaged()) > 0 {
			t.Errorf("the new segment is damaged: %v, %v", a.Damaged(), err)
		}
	}
}

// TestDamagedProofsAreSetAside keeps two, damages the first, and starts twice.
func TestDamagedProofsAreSetAside(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	one := w.evidence(1, 2)
	a := w.archive(dir, 0)
	if err := errors.Join(a.Keep(one[0], one[1]), a.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "proofs.arc")
	damaged := flip(t, path, 0.3)
	if log := w.read(dir); log.Damaged != 1 || len(log.Messages) != 1 {
		t.Errorf("%d messages, %d damaged segments, want one each", len(log.Messages), log.Damaged)
	}
	a = w.archive(dir, 0)
	aside := filepath.Join(dir, "proofs-damaged-1.arc")
	if diff := cmp.Diff([]string{aside}, a.Damaged()); diff != "" {
		t.Errorf("what it says is damaged (-want +got):\n%s", diff)
	}
	if now, err := os.ReadFile(aside); err != nil || !bytes.Equal(now, damaged) {
		t.Errorf("what is set aside is not what was damaged: %v", err)
	}
	if err := errors.Join(a.Keep(one[1], one[0]), a.Close()); err != nil { // the second is still there
		t.Fatal(err)
	}
	log := w.read(dir)
	if diff := cmp.Diff([]wire.Message{one[1], one[0]}, log.Messages); diff != "" || log.Damaged != 0 {
		t.Errorf("%d damaged segments (-want +got):\n%s", log.Damaged, diff)
	}
}

// TestADamagedHeaderCostsNoRecord flips a byte in the header of each file, before and in what
// says whose it is.
func TestADamagedHeaderCostsNoRecord(t *testing.T) {
	w := newWorld(t)
	proof, first, later := w.evidence(1)[0], w.committed(0, 1, "a", 0, 1, 2), w.committed(0, 2, "b", 0, 1, 2)
	for _, name := range []string{"proofs.arc", "00000000000000000001.arc"} {
		for _, at := range []float64{0, 9, 20} {
			dir := t.TempDir()
			a := w.archive(dir, 0)
			if err := errors.Join(a.Keep(proof), a.Add(first), a.Close()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			flip(t, path, (at+0.5)/float64(info.Size()))
			log := w.read(dir)
			if diff := cmp.Diff([]wire.Message{proof, first}, log.Messages); diff != "" || log.Damaged != 1 || log.Replica != 2 {
				t.Errorf("%s at %v: %d damaged, of replica %d (-want +got):\n%s", name, at, log.Damaged, log.Replica, diff)
			}
			a = w.archive(dir, 0)
			if got := a.Damaged(); len(got) != 1 {
				t.Errorf("%s at %v: it says that %v are damaged, want one", name, at, got)
			}
			if err := errors.Join(a.Add(later), a.Close()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]wire.Message{proof, first, later}, w.read(dir).Messages); diff != "" {
				t.Errorf("%s at %v, after the next start (-want +got):\n%s", name, at, diff)
			}
		}
	}
}

// TestWhatACrashLeavesIsNoDamage has files end in what a power cut may leave of a record.
func TestWhatACrashLeavesIsNoDamage(t *testing.T) {
	w := newWorld(t)
	whole := w.committed(0, 1, "a", 0, 1, 2)
	for name, end := range map[string][]byte{
		"zeros": make([]byte, 5000), "a part of its length": {0, 0, 1}, "a part of its frame": {0, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7},
	} {
		dir := t.TempDir()
		a := w.archive(dir, 0)
		if err := errors.Join(a.Add(whole), a.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "00000000000000000001.arc")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, end...), 0o600); err != nil {
			t.Fatal(err)
		}
		if log := w.read(dir); log.Damaged != 0 || len(log.Messages) != 1 {
			t.Errorf("%s: %d messages, %d damaged segments", name, len(log.Messages), log.Damaged)
		}
		a = w.archive(dir, 0)
		if err := a.Close(); err != nil || len(a.Damaged()) > 0 {
			t.Errorf("%s: %v is damaged: %v", name, a.Damaged(), err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
			t.Errorf("%s: it is not cut off: %d bytes, want %d: %v", name, len(now), len(data), err)
		}
	}
}

// TestAnUnfinishedHeaderIsNoDamage has the newest segment be what a power cut may leave of one
// that was just begun, and an older one, which was synced, be empty.
func TestAnUnfinishedHeaderIsNoDamage(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	whole := w.committed(0, 1, "a", 0, 1, 2)
	a := w.archive(dir, 0)
	if err := errors.Join(a.Add(whole), a.Close()); err != nil {
		t.Fatal(err)
	}
	second, third := filepath.Join(dir, "00000000000000000002.arc"), filepath.Join(dir, "00000000000000000003.arc")
	if err := errors.Join(os.WriteFile(second, nil, 0o600), os.WriteFile(third, make([]byte, 5000), 0o600)); err != nil {
		t.Fatal(err)
	}
	if log := w.read(dir); log.Damaged != 1 || len(log.Messages) != 1 {
		t.Errorf("%d messages, %d damaged segments, want one each", len(log.Messages), log.Damaged)
	}
	a = w.archive(dir, 0)
	if err := errors.Join(a.Add(whole), a.Close()); err != nil || len(a.Damaged()) > 0 {
		t.Errorf("%v are damaged: %v", a.Damaged(), err)
	}
	if log := w.read(dir); log.Damaged != 1 || len(log.Messages) != 2 {
		t.Errorf("%d messages after the next start, %d damaged segments, want two and one", len(log.Messages), log.Damaged)
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
