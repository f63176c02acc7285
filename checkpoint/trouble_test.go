package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// watched is pages that count the transactions.
type watched struct {
	pages
	applied atomic.Int64
}

func (w *watched) apply(changes []change) error {
	w.applied.Add(1)
	return w.pages.apply(changes)
}

// watch has s count its transactions. Nothing may be under way in it.
func watch(s *Store) *watched {
	w := &watched{pages: s.rd.pages}
	s.rd.pages = w
	return w
}

// TestDamageThatACheckpointMeetsIsFoundByTheNextOpen: a page on the way to what changed
// is read for the first time when the checkpoint is written.
func TestDamageThatACheckpointMeetsIsFoundByTheNextOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{CacheBytes: 1})
	fill(t, s, 0, 2000, "x")
	checkpointed(t, s, 1)
	if err := s.rd.pages.apply([]change{{pageKey(s.newest().root), nil}}); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 0, 1, "y")
	done := make(chan error, 1)
	s.Checkpoint(2, func(_ crypto.Digest, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrDamaged) {
		t.Errorf("checkpoint over a missing page: %v, want %v", err, ErrDamaged)
	}
	closed(t, s)
	if _, err := os.Lstat(filepath.Join(dir, suspectName)); err != nil {
		t.Errorf("the damage is not noted: %v", err)
	}
}

// TestCloseWritesNothingOfATransferToAFullDisk: see TestCloseWritesNothingToAFullDisk.
func TestCloseWritesNothingOfATransferToAFullDisk(t *testing.T) {
	source := OpenMemory()
	fill(t, source, 0, 2000, "x")
	checkpointed(t, source, 1)
	var free atomic.Uint64
	free.Store(1 << 40)
	s := open(t, t.TempDir(), Options{Free: func(string) (uint64, error) { return free.Load(), nil }})
	w := watch(s)
	begin(t, s, source)
	fetch(t, s, source, 3)
	before := w.applied.Load()
	free.Store(closeBytesMin - 1)
	if err := s.Close(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("close on a full disk: %v, want %v", err, ErrNoSpace)
	}
	if got := w.applied.Load() - before; got != 0 {
		t.Errorf("%d transactions were written to a full disk", got)
	}
	free.Store(closeBytesMin)
	if err := s.disk.close(); err != nil {
		t.Fatal(err)
	}
}

// TestCollectionWaitsForFreeSpace: to delete is to write.
func TestCollectionWaitsForFreeSpace(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := open(t, t.TempDir(), Options{Free: func(string) (uint64, error) { return free.Load(), nil }})
	defer closed(t, s)
	for i := range uint64(5) {
		fill(t, s, 0, 100, fmt.Sprint(i))
		checkpointed(t, s, wire.Seq(i+1))
	}
	w := watch(s)
	free.Store(headroomBytes - 1)
	s.Collect(5)
	s.collect() // again, to wait for it
	if got := w.applied.Load(); got != 0 || s.failure() != nil {
		t.Errorf("%d transactions were written to a full disk; the store says %v", got, s.failure())
	}
	free.Store(1 << 40)
	s.collect()
	if got := len(s.snapshots()); got != 2 {
		t.Errorf("%d snapshots are kept once there is space, want 2", got)
	}
}

// TestEndWhileTablesAreCheckedIsNoCrash: that takes minutes for a large state, and a
// process that is killed for it twice shall not lose the state.
func TestEndWhileTablesAreCheckedIsNoCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 100, "x")
	checkpointed(t, s, 1)
	closed(t, s)
	manifest := filepath.Join(dir, badgerName, "MANIFEST")
	aside := filepath.Join(t.TempDir(), "MANIFEST")
	if err := errors.Join(os.Rename(manifest, aside), unix.Mkfifo(manifest, 0o600)); err != nil {
		t.Fatal(err)
	}
	marked := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(manifest, os.O_WRONLY, 0) // once it is read to check the tables
		if err == nil {
			_, err = os.Lstat(filepath.Join(dir, openingName))
			err = errors.Join(err, os.Rename(aside, manifest), f.Close())
		}
		marked <- err
	}()
	s = open(t, dir, Options{})
	defer closed(t, s)
	if err := <-marked; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("while tables are checked the open is marked as one that may crash: %v", err)
	}
	if seq, _ := s.Last(); seq != 1 {
		t.Errorf("last is %d, want 1", seq)
	}
}

func TestOpenSaysWhatSpaceLacks(t *testing.T) {
	unknown := errors.New("stale file handle")
	_, err := Open(t.TempDir(), Options{Free: func(string) (uint64, error) { return 0, unknown }})
	if !errors.Is(err, unknown) || errors.Is(err, ErrNoSpace) {
		t.Errorf("open where the free space is not known: %v, want that it is not known", err)
	}
	_, err = Open(t.TempDir(), Options{Free: func(string) (uint64, error) { return 12 << 20, nil }})
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "64 MiB are needed") {
		t.Errorf("open on a full disk: %v, want how much is needed", err)
	}
}

// TestDamageThatAPeerMeetsIsFoundByTheNextOpen: the page is not served, and the store goes
// on, for it may not need that page. Where Badger cannot read a block, it says that what
// is in there is not there.
func TestDamageThatAPeerMeetsIsFoundByTheNextOpen(t *testing.T) {
	for name, damaged := range map[string][]byte{"changed": []byte("damaged"), "unreadable": nil} {
		dir := t.TempDir()
		s := open(t, dir, Options{CacheBytes: 1})
		fill(t, s, 0, 2000, "x")
		checkpointed(t, s, 1)
		if _, ok := s.Piece(crypto.Digest{1}); ok {
			t.Error("a page is served that is not there")
		}
		if _, err := os.Lstat(filepath.Join(dir, suspectName)); err == nil {
			t.Error("a question for what is not there counts as damage")
		}
		root := s.newest().root
		if err := s.rd.pages.apply([]change{{pageKey(root), damaged}}); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Piece(root.digest); ok || s.failure() != nil {
			t.Errorf("%s: served %v, the store says %v; want it not served, and no more", name, ok, s.failure())
		}
		if _, err := os.Lstat(filepath.Join(dir, suspectName)); err != nil {
			t.Errorf("%s: the damage is not noted: %v", name, err)
		}
		closed(t, s)
	}
}

// TestSnapshotsAreCollectedWhileCheckpointsWait has the next checkpoint wait whenever one is
// written, as under a load that lasts.
func TestSnapshotsAreCollectedWhileCheckpointsWait(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closed(t, s)
	const checkpoints = 20
	asked := make(chan struct{}, checkpoints+1)
	kept := make(chan int, checkpoints)
	for seq := wire.Seq(1); seq <= checkpoints; seq++ {
		fill(t, s, 0, 10, fmt.Sprint(seq))
		s.Checkpoint(seq, func(_ crypto.Digest, err error) {
			if err != nil {
				t.Error(err)
			}
			if seq == 1 {
				<-asked
			}
			<-asked // the next one waits
			s.Collect(seq)
			kept <- len(s.snapshots())
		})
		asked <- struct{}{}
	}
	asked <- struct{}{}
	for range checkpoints {
		if got, most := <-kept, 2+surplusMax+1; got > most {
			t.Errorf("%d snapshots are kept while checkpoints wait, want %d at most", got, most)
		}
	}
}

// TestEndWhilePagesAreVerifiedIsNoCrash: after damage that takes minutes, too. What was
// published is read after the database was opened, and before any page is verified.
func TestEndWhilePagesAreVerifiedIsNoCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 100, "x")
	checkpointed(t, s, 1)
	closed(t, s)
	published := filepath.Join(dir, publishedName)
	data, err := os.ReadFile(published)
	if err := errors.Join(err, os.Remove(published), unix.Mkfifo(published, 0o600)); err != nil {
		t.Fatal(err)
	}
	marked := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(published, os.O_WRONLY, 0)
		if err == nil {
			_, err = os.Lstat(filepath.Join(dir, openingName))
			_, failed := f.Write(data)
			err = errors.Join(err, failed, f.Close())
		}
		marked <- err
	}()
	s = open(t, dir, Options{VerifyAll: true})
	defer closed(t, s)
	if err := <-marked; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("when pages are about to be verified the open is marked as one that may crash: %v", err)
	}
	if seq, _ := s.Last(); seq != 1 {
		t.Errorf("last is %d, want 1", seq)
	}
}

// always goes on.
func always() error { return nil }

// TestAStartThatEndsWhileItVerifiesLosesNothing has Open end in the middle, again and again, as
// where an operator grows impatient: that is no damage, and the next one has all of it.
func TestAStartThatEndsWhileItVerifiesLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 2000, "x")
	root := checkpointed(t, s, 1)
	closed(t, s)
	errEnough := errors.New("enough")
	for range 4 {
		pages := 0
		enough := func() error {
			if pages++; pages > 3 {
				return errEnough
			}
			return nil
		}
		if s, err := Open(dir, Options{VerifyAll: true, GoOn: enough}); !errors.Is(err, errEnough) {
			t.Fatalf("opened %v, %v, want %v", s, err, errEnough)
		}
	}
	s = open(t, dir, Options{VerifyAll: true, GoOn: always})
	defer closed(t, s)
	if seq, got := s.Last(); seq != 1 || got != root || s.Opened() != (Opened{Published: 1}) {
		t.Errorf("last is %d %s, opened %+v, want all of the snapshot", seq, got.Short(), s.Opened())
	}
}

// TestTooFewFilesStopTheStoreBeforeItWrites, and before it opens its tables.
func TestTooFewFilesStopTheStoreBeforeItWrites(t *testing.T) {
	dir := t.TempDir()
	have, known := uint64(100), true
	const most = 1000
	opts := Options{files: func() (uint64, uint64, bool) { return have, most, known }}
	s := open(t, dir, opts)
	fill(t, s, 0, 100, "durable")
	checkpointed(t, s, 1)
	have = most - filesSpare + 1
	fill(t, s, 0, 100, "more")
	checkpointed(t, s, 2) // nobody counts after so few pages
	s.filesNext = 0
	fill(t, s, 0, 100, "still more")
	done := make(chan error, 1)
	s.Checkpoint(3, func(_ crypto.Digest, err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrNoFiles) {
		t.Errorf("checkpoint with too few files left: %v, want %v", err, ErrNoFiles)
	}
	closed(t, s)
	if s, err := Open(dir, opts); !errors.Is(err, ErrNoFiles) {
		t.Fatalf("opened %v, %v, want %v", s, err, ErrNoFiles)
	}
	have-- // enough, but for the tables that are there
	if s, err := Open(dir, opts); !errors.Is(err, ErrNoFiles) {
		t.Fatalf("opened %v, %v, want %v", s, err, ErrNoFiles)
	}
	known = false
	s = open(t, dir, opts)
	defer closed(t, s)
	if seq, _ := s.Last(); seq != 2 || s.Opened() != (Opened{Published: 2}) {
		t.Errorf("last is %d, opened %+v, want all of it", seq, s.Opened())
	}
}

// TestFilesAreCounted opens some.
func TestFilesAreCounted(t *testing.T) {
	before, _, ok := openFiles()
	if runtime.GOOS != "linux" && !ok {
		return // nothing is known, and nothing refused
	}
	var files []*os.File
	for range 10 {
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	after, most, _ := openFiles()
	if after < before+10 || after > most {
		t.Errorf("%d files are open of %d, want %d and 10 more", after, most, before)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
