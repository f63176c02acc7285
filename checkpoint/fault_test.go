package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

var errDisk = errors.New("the disk is on fire")

// faulty is pages that fail after a number of changes, in the middle of a
// transaction too: worse than what any backend promises.
type faulty struct {
	pages
	left int
}

func (f *faulty) apply(changes []change) error {
	for i := range changes {
		if f.left == 0 {
			return errDisk
		}
		f.left--
		if err := f.pages.apply(changes[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// life is a store's work: checkpoints, collections and a transfer. It returns
// at the first failure, and keeps in durable what contents a crash may leave.
func life(t tester, s, source *Store, durable map[crypto.Digest]content) error {
	t.Helper()
	for seq := wire.Seq(1); seq <= 4; seq++ {
		fill(t, s, int(seq)*20, int(seq)*20+60, fmt.Sprint(seq))
		want := contentOf(t, s)
		durable[fresh(t, want).newest().root.digest] = want
		err := errors.New("done was not called")
		s.Checkpoint(seq, func(_ crypto.Digest, e error) { err = e })
		if err != nil {
			return err
		}
		s.Collect(seq)
		if err := s.failure(); err != nil {
			return err
		}
	}
	seq, root := source.Last()
	if err := s.BeginTransfer(seq, root); err != nil {
		return err
	}
	for {
		wanted := s.Wanted(3)
		for _, d := range wanted {
			piece, _ := source.Piece(d)
			if _, err := s.AddPiece(piece); err != nil {
				return err
			}
		}
		if len(wanted) == 0 {
			break
		}
	}
	durable[root] = contentOf(t, source)
	if err := s.FinishTransfer(); err != nil {
		return err
	}
	s.Collect(seq)
	return s.failure()
}

// TestCrashAtEveryWriteLeavesASnapshot fails a write somewhere in the life of a
// store, checks that it is dead, and restarts it from what was written.
func TestCrashAtEveryWriteLeavesASnapshot(t *testing.T) {
	source := OpenMemory()
	fill(t, source, 0, 300, "target")
	checkpointed(t, source, 9)
	total := 1 << 30
	measure := &faulty{newMemory(), total}
	healthy := newStore(measure, Options{})
	healthy.adopt(nil, 1)
	if err := life(t, healthy, source, map[crypto.Digest]content{}); err != nil {
		t.Fatal(err)
	}
	total -= measure.left

	rapid.Check(t, func(t *rapid.T) {
		disk := &faulty{newMemory(), rapid.IntRange(0, total-1).Draw(t, "writes")}
		s := newStore(disk, Options{})
		s.adopt(nil, 1)
		durable := map[crypto.Digest]content{EmptyRoot(): {}}
		if err := life(t, s, source, durable); !errors.Is(err, errDisk) {
			t.Fatalf("the life ended with %v, want %v", err, errDisk)
		}
		if err := s.Put([]byte("k"), nil); !errors.Is(err, errDisk) {
			t.Fatalf("put after the failed write: %v, want %v", err, errDisk)
		}
		before, _ := s.Last()
		disk.left = 1 << 30
		s, err := s.Reopen()
		if err != nil {
			t.Fatal(err)
		}
		seq, root := s.Last()
		want, known := durable[root]
		if seq < before || !known || !maps.Equal(contentOf(t, s), want) {
			t.Fatalf("after the crash the store has %d %s, and had %d", seq, root.Short(), before)
		}
		if rapid.Bool().Draw(t, "transfer") {
			begin(t, s, source)
			fetch(t, s, source, 1<<30)
			finish(t, s, source)
		}
		for i := range wire.Seq(3) {
			fill(t, s, 0, 40, fmt.Sprint("again", i))
			checkpointed(t, s, 20+i)
			s.Collect(20 + i)
		}
		if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
			t.Fatalf("%d pages stored, want the %d that are reachable", len(got), len(want))
		}
	})
}

// TestOthersMayAskAtAnyTime has many goroutines ask for what any may ask for,
// while the content changes and old snapshots are collected.
func TestOthersMayAskAtAnyTime(t *testing.T) {
	for name, s := range map[string]*Store{"memory": OpenMemory(), "disk": open(t, t.TempDir(), Options{CacheBytes: 50 << 10})} {
		fill(t, s, 0, 300, "x")
		checkpointed(t, s, 1)
		stop := make(chan struct{})
		var askers sync.WaitGroup
		for range 4 {
			askers.Go(func() { ask(t, s, stop) })
		}
		for seq := wire.Seq(2); seq <= 12; seq++ {
			fill(t, s, int(seq)*7, int(seq)*7+100, fmt.Sprint(seq))
			root := checkpointed(t, s, seq)
			s.Collect(seq)
			if _, ok := s.Piece(root); !ok {
				t.Errorf("%s: the root page of %d is not served", name, seq)
			}
		}
		close(stop)
		askers.Wait()
		closed(t, s)
	}
}

func ask(t *testing.T, s *Store, stop <-chan struct{}) {
	t.Helper()
	key := fmt.Appendf(nil, "account/%08x", 0)
	for {
		select {
		case <-stop:
			return
		default:
		}
		seq, root := s.Last()
		if data, ok := s.Piece(root); ok && pageDigest(data) != root {
			t.Error("a piece without its digest")
		}
		proof, err := s.Prove(key)
		if err != nil {
			t.Error(err)
			return
		}
		if _, present, err := VerifyProof(proof.Root, key, proof); err != nil || !present {
			t.Errorf("proof: present %v, %v", present, err)
		}
		s.Collect(seq)
	}
}

func TestFailedWriteOnDiskAnswersEveryCheckpoint(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closed(t, s)
	s.writer.Lock()
	s.rd.pages = &faulty{s.rd.pages, 3}
	s.writer.Unlock()
	const checkpoints = 6
	answers := make(chan error, checkpoints)
	for seq := range wire.Seq(checkpoints) {
		if err := s.Put(fmt.Appendf(nil, "%d", seq), []byte("v")); err != nil && !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		s.Checkpoint(seq+1, func(_ crypto.Digest, err error) { answers <- err })
	}
	failed := 0
	for range checkpoints {
		if err := <-answers; errors.Is(err, errDisk) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if failed != checkpoints-1 {
		t.Errorf("%d of %d checkpoints failed, want all but the first, which writes 3 changes", failed, checkpoints)
	}
}
