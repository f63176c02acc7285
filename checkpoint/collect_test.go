package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestATransferredSnapshotInTheMiddleKeepsItsPages has one that shares pages with a snapshot
// from before the oldest that is kept: a dead list names them, and neither the oldest nor the
// newest reaches them.
func TestATransferredSnapshotInTheMiddleKeepsItsPages(t *testing.T) {
	s := OpenMemory()
	fill(t, s, 0, 500, "x")
	checkpointed(t, s, 1)
	shared := s.newest().root
	fill(t, s, 0, 500, "y")
	checkpointed(t, s, 2)
	middle := snapshot{s.generation(), 3, shared}
	out := &batch{to: s.rd.pages}
	dead := &deadList{gen: middle.gen, to: out}
	err := s.replaced(s.newest().root, &trail{rd: s.rd, of: middle}, dead.add)
	if err := errors.Join(err, dead.flush(), out.flush(), s.publish(middle)); err != nil {
		t.Fatal(err)
	}
	s.mu.kept, s.mu.lastState = append(s.mu.kept, middle), middle
	for seq := wire.Seq(4); seq <= 6; seq++ {
		fill(t, s, 0, 500, fmt.Sprint("y", seq))
		checkpointed(t, s, seq)
	}
	s.Collect(3)
	if oldest := s.snapshots()[0].seq; oldest != 2 {
		t.Fatalf("the oldest snapshot is %d, want 2: the test tests nothing", oldest)
	}
	for _, kept := range s.snapshots() {
		if err := s.rd.verify(kept.root, 0, always); err != nil {
			t.Errorf("kept snapshot %d: %v", kept.seq, err)
		}
	}
	s.Collect(7)
	if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
		t.Errorf("%d pages stored, want the %d that are reachable", len(got), len(want))
	}
}

// TestCollectingBesideManySnapshotsCostsAsMuchAsBesideFew counts what is read to collect as
// much, without a cache.
func TestCollectingBesideManySnapshotsCostsAsMuchAsBesideFew(t *testing.T) {
	reads := func(checkpoints wire.Seq) (perPage int) {
		storage := &reading{pages: newMemory()}
		s := newStore(storage, Options{CacheBytes: 1})
		s.adopt(nil, 1)
		fill(t, s, 0, 2000, "x")
		for seq := wire.Seq(1); seq <= checkpoints; seq++ {
			fill(t, s, int(seq)*10, int(seq)*10+30, fmt.Sprint(seq))
			checkpointed(t, s, seq)
		}
		pages := len(stored(t, s))
		before := storage.count
		s.Collect(6)
		gone := pages - len(stored(t, s))
		if kept := len(s.snapshots()); kept != int(checkpoints)-4 || gone < 100 {
			t.Fatalf("%d snapshots are kept and %d pages gone: the test tests nothing", kept, gone)
		}
		if got, most := len(s.heirs), len(s.snapshots()); got > most {
			t.Errorf("%d snapshots are noted as heirs, %d are kept", got, most)
		}
		return (storage.count - before) / gone
	}
	if few, many := reads(8), reads(100); many > few+1 {
		t.Errorf("%d reads for a page that is collected beside many snapshots, %d beside few", many, few)
	}
}

// busy is pages that tell when a snapshot is retired or published, and count the pages that go
// and come.
type busy struct {
	pages
	retired, published func()
	gone, come         int
}

func (b *busy) apply(changes []change) error {
	if err := b.pages.apply(changes); err != nil {
		return err
	}
	for _, c := range changes {
		switch space, deleted := c.key[0], c.value == nil; {
		case space == pageSpace && deleted:
			b.gone++
		case space == pageSpace:
			b.come++
		case space == manifestSpace && deleted:
			b.retired()
		case space == manifestSpace:
			b.published()
		}
	}
	return nil
}

// TestCheckpointsAndACollectionComeOnInTurn has a checkpoint wait at any time from when many
// snapshots are retired at once.
func TestCheckpointsAndACollectionComeOnInTurn(t *testing.T) {
	const least, before, after = 80, 20, 40
	s := open(t, t.TempDir(), Options{})
	defer closed(t, s)
	fill(t, s, 0, 3000, "x")
	first := 0
	for seq := wire.Seq(1); seq <= before; seq++ {
		fill(t, s, int(seq)*10, int(seq)*10+30, fmt.Sprint(seq))
		written := s.PagesWritten()
		checkpointed(t, s, seq)
		first = 2 * int(s.PagesWritten()-written) //nolint:gosec // some dozens
	}
	ended, waits := make(chan error, 1), false
	seq := wire.Seq(before)
	var ask func()
	ask = func() {
		seq++
		fill(t, s, int(seq), int(seq)+1, "y")
		s.Checkpoint(seq, func(_ crypto.Digest, err error) {
			if err != nil || seq == before+after {
				ended <- err
				return
			}
			ask()
		})
	}
	var turns []int // pages that went before each checkpoint
	b := &busy{pages: s.rd.pages}
	b.retired = func() {
		if !waits {
			waits = true
			ask()
		}
	}
	most, all := 0, 0
	b.published = func() {
		turns = append(turns, b.gone)
		if len(turns) > 1 && b.gone > max(least, most) {
			t.Errorf("%d pages went before checkpoint %d, want %d at most, or twice the %d that the last one wrote",
				b.gone, seq, least, most/2)
		}
		all += b.gone
		b.gone, most, b.come = 0, 2*b.come, 0
	}
	s.writer.Lock()
	s.buriedMin, s.rd.pages = least, b
	s.writer.Unlock()
	s.Collect(before)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if first <= least || turns[0] != first || turns[1] != least || all < 5*first || turns[after-1] > 0 {
		t.Errorf("%d pages went in turns of %v, want %d in the first, %d in the next, and all in the end",
			all, turns, first, least)
	}
	s.collect()
	if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
		t.Errorf("%d pages stored, want the %d that are reachable", len(got), len(want))
	}
}

// takeTurn collects while a checkpoint waits.
func takeTurn(s *Store) (more bool) {
	s.buriedMin, s.lastPages = 7, 0
	s.mu.frozen = []*frozen{{}}
	defer func() { s.mu.frozen = nil }()
	return s.collect()
}

// TestWhatAnAbandonedTransferLeftGoesInTurnsToo has a transfer begin, and be given up, while
// half of what the one before it had staged is gone.
func TestWhatAnAbandonedTransferLeftGoesInTurnsToo(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	fill(t, source, 0, 3000, "target")
	checkpointed(t, source, 1)
	abandoned := func(pages int) {
		t.Helper()
		begin(t, s, source)
		if got := fetch(t, s, source, pages); got != pages {
			t.Fatalf("%d pages were fetched, want %d: the test tests nothing", got, pages)
		}
		if err := s.transfer.out.flush(); err != nil {
			t.Fatal(err)
		}
		s.GiveUpTransfer()
	}
	abandoned(60)
	s.mu.wanted = 2
	for range 4 {
		before := len(stored(t, s))
		if more, gone := takeTurn(s), before-len(stored(t, s)); !more || gone == 0 || gone > s.buriedMin {
			t.Errorf("%d of %d pages went in one turn, more %v; want %d at most", gone, before, more, s.buriedMin)
		}
	}
	abandoned(20)
	for takeTurn(s) {
	}
	if got := stored(t, s); len(got) > 0 || s.staged != nil {
		t.Errorf("%d pages are left, and the record of the transfer: %v", len(got), s.staged != nil)
	}
}

// TestACollectionThatGaveWayGoesOnAfterAnything has crashes, failed writes, checkpoints and
// transfers come between.
func TestACollectionThatGaveWayGoesOnAfterAnything(t *testing.T) {
	source := OpenMemory()
	fill(t, source, 0, 3000, "target")
	checkpointed(t, source, 1)
	unfinished := 0
	rapid.Check(t, func(t *rapid.T) {
		disk := &faulty{newMemory(), 1 << 30}
		s := newStore(disk, Options{})
		s.adopt(nil, 1)
		seq := wire.Seq(1)
		next := func() {
			seq++
			fill(t, s, int(seq)*20, int(seq)*20+200, fmt.Sprint(seq))
			checkpointed(t, s, seq)
		}
		reopen := func() {
			var err error
			if s, err = s.Reopen(); err != nil {
				t.Fatal(err)
			}
			s.mu.wanted = seq
		}
		transfer := func() {
			begin(t, s, source)
			fetch(t, s, source, rapid.IntRange(1, 60).Draw(t, "pages"))
			if err := s.transfer.out.flush(); err != nil {
				t.Fatal(err)
			}
			s.GiveUpTransfer()
		}
		transfer()
		for range 3 {
			next()
		}
		s.mu.wanted = seq
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0:
				next()
				s.mu.wanted = seq
			case 1:
				reopen()
			case 2:
				transfer()
			case 3:
				disk.left = rapid.IntRange(0, 20).Draw(t, "writes")
				takeTurn(s)
				disk.left = 1 << 30
				reopen()
			default:
				if takeTurn(s) {
					unfinished++
				}
			}
			for _, kept := range s.snapshots() {
				if err := s.rd.verify(kept.root, 0, always); err != nil {
					t.Fatalf("kept snapshot %d: %v", kept.seq, err)
				}
			}
		}
		for takeTurn(s) {
		}
		if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
			t.Fatalf("%d pages stored, want the %d that are reachable", len(got), len(want))
		}
	})
	if unfinished == 0 {
		t.Error("no collection gave way: the test tests nothing")
	}
}

// TestKeepsWhatIsThereAndNeeded asks for snapshots by their numbers and roots.
func TestKeepsWhatIsThereAndNeeded(t *testing.T) {
	s := OpenMemory()
	roots := []crypto.Digest{EmptyRoot()}
	for seq := wire.Seq(1); seq <= 5; seq++ {
		fill(t, s, 0, 10, fmt.Sprint(seq))
		roots = append(roots, checkpointed(t, s, seq))
	}
	check := func(from wire.Seq) {
		t.Helper()
		for seq, root := range roots {
			if got, want := s.Keeps(wire.Seq(seq), root), wire.Seq(seq) >= from; got != want { //nolint:gosec // there are few
				t.Errorf("keeps %d: %v, want %v", seq, got, want)
			}
			if s.Keeps(wire.Seq(seq), roots[(seq+1)%len(roots)]) { //nolint:gosec // there are few
				t.Errorf("keeps %d with the root of another one", seq)
			}
		}
	}
	check(0)
	s.mu.wanted = 4 // what Collect says first
	check(3)
	s.Collect(4)
	check(3)
}
