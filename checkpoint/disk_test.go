package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// digest names a content.
func (c content) digest() string {
	var parts [][]byte
	for _, k := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Appendf(nil, "%d %d ", len(k), len(c[k])), []byte(k), []byte(c[k]))
	}
	return crypto.Sum(parts...).String()
}

func open(t tester, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t tester, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a directory as a crash would leave it, holes and all.
func copyTree(t tester, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copySparse(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if err := out.Truncate(st.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, at-data)); err != nil {
			return err
		}
	}
}

// round is what happens to a store between two checkpoints and after them.
type round struct {
	before, after []op
	at            probes
	restart       bool
	crash         bool
}

func TestStoreOnDiskComesBackWithTheLastSnapshot(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	rounds := rapid.Custom(func(t *rapid.T) []round {
		all := make([]round, 5)
		for i := range all {
			what := rapid.IntRange(0, 2).Draw(t, "then")
			all[i] = round{drawOps(t), drawOps(t), drawProbes(t), what == 1, what == 2}
		}
		return all
	})
	for run := range 3 {
		comesBack(t, filepath.Join(t.TempDir(), "state"), rounds.Example(int(*seed)+run))
	}
}

func comesBack(t *testing.T, dir string, rounds []round) {
	t.Helper()
	s := open(t, dir, Options{CacheBytes: 20 << 10})
	want := content{}
	for i, r := range rounds {
		seq := wire.Seq(i + 1)
		perform(t, s, want, r.before)
		checkpointed(t, s, seq)
		durable := maps.Clone(want)
		s.Collect(seq)
		perform(t, s, want, r.after)
		sameContent(t, s, want, r.at)
		if r.crash {
			copyTree(t, dir, fmt.Sprint(dir, seq))
			dir = fmt.Sprint(dir, seq)
		}
		if r.crash || r.restart {
			closed(t, s)
			s, want = open(t, dir, Options{CacheBytes: 20 << 10}), durable
		}
		if got := s.Opened(); got.Fallback || got.Quarantined != "" {
			t.Fatalf("opened %+v", got)
		}
		if last, _ := s.Last(); last != seq {
			t.Fatalf("last is %d, want %d", last, seq)
		}
		sameContent(t, s, want, r.at)
	}
	closed(t, s)
}

func TestWritesGoOnWhileCheckpointsAreWritten(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closed(t, s)
	const checkpoints = 8
	roots := make(chan error, checkpoints)
	for seq := range wire.Seq(checkpoints) {
		fill(t, s, int(seq)*200, int(seq)*200+600, fmt.Sprint(seq))
		s.Checkpoint(seq+1, func(_ crypto.Digest, err error) { roots <- err })
		fill(t, s, 0, 1, "between")
		if v, ok, err := s.Get(fmt.Appendf(nil, "account/%08x", 0)); err != nil || !ok || !strings.HasPrefix(string(v), "between") {
			t.Fatalf("own write reads %q, %v, %v", v, ok, err)
		}
		if got := len(contentOf(t, s)); got != int(seq)*200+600 {
			t.Fatalf("%d keys after %d checkpoints", got, seq+1)
		}
		s.Collect(seq)
	}
	for range checkpoints {
		if err := <-roots; err != nil {
			t.Fatal(err)
		}
	}
	memory := OpenMemory()
	for seq := range checkpoints {
		fill(t, memory, seq*200, seq*200+600, fmt.Sprint(seq))
		if seq < checkpoints-1 {
			fill(t, memory, 0, 1, "between")
		}
	}
	if _, got := s.Last(); got != checkpointed(t, memory, 1) {
		t.Errorf("root %s is not that of the same content in memory", got.Short())
	}
}

func TestTransferOnDiskResumesAfterCrash(t *testing.T) {
	dir := t.TempDir()
	source := OpenMemory()
	fill(t, source, 0, 4000, "x")
	checkpointed(t, source, 3)
	all := int(source.PagesWritten())
	s := open(t, filepath.Join(dir, "a"), Options{})
	begin(t, s, source)
	fetch(t, s, source, all/2)
	closed(t, s)
	s = open(t, filepath.Join(dir, "a"), Options{})
	if seq, root := s.Last(); seq != 0 || root != EmptyRoot() {
		t.Fatalf("half a transfer looks whole: %d %s", seq, root.Short())
	}
	begin(t, s, source)
	if got := fetch(t, s, source, 1<<30); got != all-all/2 {
		t.Errorf("fetched %d pages after the restart, want the other %d", got, all-all/2)
	}
	finish(t, s, source)
	copyTree(t, filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	closed(t, s)
	s = open(t, filepath.Join(dir, "b"), Options{VerifyAll: true})
	defer closed(t, s)
	if seq, root := s.Last(); seq != 3 || root != source.newest().root.digest {
		t.Errorf("after a crash the store has %d %s", seq, root.Short())
	}
}

func TestOneProcessHasADirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v, want %v", err, ErrInUse)
	}
	if _, err := Quarantine(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("quarantine of an open directory: %v, want %v", err, ErrInUse)
	}
	closed(t, s)
}

func TestFullDiskStopsTheStoreBeforeItWrites(t *testing.T) {
	dir := t.TempDir()
	free := uint64(1 << 40)
	s := open(t, dir, Options{Free: func(string) (uint64, error) { return free, nil }})
	fill(t, s, 0, 100, "durable")
	checkpointed(t, s, 1)
	free = headroomBytes
	fill(t, s, 0, 100, "more")
	done := make(chan error, 1)
	s.Checkpoint(2, func(_ crypto.Digest, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrNoSpace) {
		t.Errorf("checkpoint on a full disk: %v, want %v", err, ErrNoSpace)
	}
	if err := s.Put([]byte("k"), nil); !errors.Is(err, ErrNoSpace) {
		t.Errorf("put after it: %v, want the same error", err)
	}
	s.Checkpoint(3, func(_ crypto.Digest, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrNoSpace) {
		t.Errorf("checkpoint after it: %v, want the same error", err)
	}
	closed(t, s)
	s = open(t, dir, Options{})
	defer closed(t, s)
	if seq, _ := s.Last(); seq != 1 {
		t.Errorf("last is %d, want 1", seq)
	}
}

// TestCloseWritesNothingToAFullDisk: Badger writes what it has in memory when it
// is closed, into a file that it maps, and a full disk then kills the process.
func TestCloseWritesNothingToAFullDisk(t *testing.T) {
	dir := t.TempDir()
	free := uint64(1 << 40)
	s := open(t, dir, Options{Free: func(string) (uint64, error) { return free, nil }})
	fill(t, s, 0, 100, "durable")
	checkpointed(t, s, 1)
	free = closeBytesMin - 1
	if err := s.Close(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("close on a full disk: %v, want %v", err, ErrNoSpace)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("open of what stays open: %v, want %v", err, ErrInUse)
	}
	free = closeBytesMin
	if err := s.disk.close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer closed(t, s)
	if seq, _ := s.Last(); seq != 1 {
		t.Errorf("last is %d, want 1", seq)
	}
}

func TestCloseGivesUpWhatIsNotDurable(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	fill(t, s, 0, 100, "x")
	closed(t, s)
	closed(t, s)
	done := make(chan error, 1)
	s.Checkpoint(1, func(_ crypto.Digest, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("checkpoint of a closed store: %v, want %v", err, ErrClosed)
	}
	if _, _, err := s.Get([]byte("k")); !errors.Is(err, ErrClosed) {
		t.Errorf("get of a closed store: %v, want %v", err, ErrClosed)
	}
	if _, ok := s.Piece(EmptyRoot()); ok {
		t.Error("a closed store serves pieces")
	}
}

func TestLimitsOfKeysAndValuesAreRefusedClearly(t *testing.T) {
	s := OpenMemory()
	for name, err := range map[string]error{
		"key":   s.Put(make([]byte, KeyBytesMax+1), nil),
		"value": s.Put([]byte("k"), make([]byte, ValueBytesMax+1)),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want %v", name, err, ErrTooLarge)
		}
	}
	if err := s.Put(make([]byte, KeyBytesMax), make([]byte, ValueBytesMax)); err != nil {
		t.Errorf("largest entry: %v", err)
	}
	checkpointed(t, s, 1)
	piece, ok := s.Piece(s.newest().root.digest)
	if !ok || len(piece) != PageBytesMax {
		t.Errorf("largest page has %d bytes, %v, want %d", len(piece), ok, PageBytesMax)
	}
}

func TestOpenRemovesEmptyLogs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 100, "x")
	root := checkpointed(t, s, 1)
	closed(t, s)
	empty := filepath.Join(dir, badgerName, "00099.mem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer closed(t, s)
	if _, got := s.Last(); got != root || s.Opened() != (Opened{Published: 1}) {
		t.Errorf("opened %+v with %s, want nothing special with %s", s.Opened(), got.Short(), root.Short())
	}
}

func TestOpenQuarantinesAfterTwoCrashesInARow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir, Options{})
	fill(t, s, 0, 100, "x")
	root := checkpointed(t, s, 1)
	closed(t, s)
	mark := filepath.Join(dir, openingName)
	if err := os.WriteFile(mark, []byte("."), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if _, got := s.Last(); got != root || s.Opened().Quarantined != "" {
		t.Errorf("after one crash: %+v, %s", s.Opened(), got.Short())
	}
	closed(t, s)
	if _, err := os.Lstat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of an open that succeeded: %v", err)
	}
	if err := os.WriteFile(mark, []byte(".."), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer closed(t, s)
	seq, got := s.Last()
	if s.Opened().Quarantined != dir+".quarantine-1" || seq != 0 || got != EmptyRoot() {
		t.Errorf("after two crashes: %+v, %d %s, want quarantine", s.Opened(), seq, got.Short())
	}
}

// TestPowerCutsAfterOpenAreNoCrashesOfIt loses, after each Open that went well, what became
// of the mark since the directory was last made durable.
func TestPowerCutsAfterOpenAreNoCrashesOfIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	mark := filepath.Join(dir, openingName)
	var durable []byte
	marked := false
	opts := Options{syncDir: func(synced string) error {
		if synced == dir {
			var err error
			durable, err = os.ReadFile(mark)
			marked = marked || err == nil
		}
		return syncDir(synced)
	}}
	s := open(t, dir, opts)
	fill(t, s, 0, 100, "x")
	root := checkpointed(t, s, 1)
	closed(t, s)
	for cut := range crashesMax + 1 {
		s = open(t, dir, opts)
		if _, got := s.Last(); got != root || s.Opened() != (Opened{Published: 1}) {
			t.Errorf("after %d power cuts: %+v, %s, want nothing special", cut, s.Opened(), got.Short())
		}
		left := durable
		closed(t, s)
		if left == nil {
			continue
		}
		if err := os.WriteFile(mark, left, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !marked {
		t.Error("no mark was made durable: the test tests nothing")
	}
}

func TestOpenFallsBackWhenTheNewestSnapshotIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 200, "x")
	old := checkpointed(t, s, 1)
	want := contentOf(t, s)
	fill(t, s, 50, 60, "y")
	checkpointed(t, s, 2)
	if err := s.rd.pages.apply([]change{{pageKey(s.newest().root), []byte("nonsense")}}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = open(t, dir, Options{})
	if seq, got := s.Last(); seq != 1 || got != old || !s.Opened().Fallback || s.Opened().Published != 2 {
		t.Fatalf("last is %d %s, opened %+v, want the first snapshot", seq, got.Short(), s.Opened())
	}
	fill(t, s, 50, 70, "z")
	checkpointed(t, s, 2)
	fill(t, s, 50, 70, "x")
	checkpointed(t, s, 3)
	s.Collect(3)
	if diff := cmp.Diff(contentOf(t, s), want); diff != "" {
		t.Error(diff)
	}
	closed(t, s)
	s = open(t, dir, Options{VerifyAll: true})
	if seq, got := s.Last(); seq != 3 || got != old || s.Opened().Fallback {
		t.Errorf("last is %d %s, opened %+v", seq, got.Short(), s.Opened())
	}
	closed(t, s)
}

func TestDamageSeenWhileReadingStopsTheStoreAndIsFoundByTheNextOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{CacheBytes: 1})
	fill(t, s, 0, 2000, "x")
	checkpointed(t, s, 1)
	leaf := s.newest().root
	for p, err := s.rd.load(leaf); err != nil || !p.leaf; p, err = s.rd.load(leaf) {
		if err != nil {
			t.Fatal(err)
		}
		leaf = p.kids[0].ref
	}
	if err := s.rd.pages.apply([]change{{pageKey(leaf), nil}}); err != nil {
		t.Fatal(err)
	}
	err := s.Scan(nil, nil, func(_, _ []byte) bool { return true })
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("scan over a missing page: %v, want %v", err, ErrDamaged)
	}
	if err := s.Put([]byte("k"), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("put after it: %v, want the same", err)
	}
	closed(t, s)
	if _, err := os.Lstat(filepath.Join(dir, suspectName)); err != nil {
		t.Errorf("the damage is not noted: %v", err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("open of a store without a whole snapshot: %v, want %v", err, ErrDamaged)
	}
	to, err := Quarantine(dir)
	if err != nil || to != dir+".quarantine-1" {
		t.Fatalf("quarantine to %q: %v", to, err)
	}
	s = open(t, dir, Options{CloseTimeout: time.Minute})
	closed(t, s)
}
