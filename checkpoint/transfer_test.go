package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// fill puts n keys into s, the i-th with a value that tag changes.
func fill(t tester, s *Store, from, to int, tag string) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Put(fmt.Appendf(nil, "account/%08x", i*2654435761%(1<<32)), fmt.Appendf(nil, "%s %060d", tag, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// fetch adds up to limit wanted pieces from source, in rounds of different
// sizes, and returns how many it added.
func fetch(t tester, to, source *Store, limit int) int {
	t.Helper()
	added := 0
	for round := 1; added < limit; round++ {
		wanted := to.Wanted(min(1+round%7, limit-added))
		if len(wanted) == 0 {
			return added
		}
		for _, digest := range wanted {
			piece, ok := source.Piece(digest)
			if !ok {
				t.Fatalf("the source lacks piece %s", digest.Short())
			}
			used, err := to.AddPiece(piece)
			if err != nil || !used {
				t.Fatalf("wanted piece %s: used %v, %v", digest.Short(), used, err)
			}
			added++
		}
	}
	return added
}

func begin(t tester, s, source *Store) {
	t.Helper()
	seq, root := source.Last()
	if err := s.BeginTransfer(seq, root); err != nil {
		t.Fatal(err)
	}
}

// finish ends a transfer, and checks that s is like source.
func finish(t tester, s, source *Store) {
	t.Helper()
	if err := s.FinishTransfer(); err != nil {
		t.Fatal(err)
	}
	seq, root := s.Last()
	if wantSeq, want := source.Last(); seq != wantSeq || root != want {
		t.Fatalf("transferred %d %s, want %d %s", seq, root.Short(), wantSeq, want.Short())
	}
	if err := s.rd.verify(s.newest().root, 0, always); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contentOf(t, s), contentOf(t, source)); diff != "" {
		t.Fatalf("content (-got +want):\n%.1000s", diff)
	}
}

func TestTransferFetchesOnlyWhatDiffers(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	for _, x := range []*Store{source, s} {
		fill(t, x, 0, 5000, "same")
		checkpointed(t, x, 1)
	}
	all := source.PagesWritten()
	fill(t, source, 100, 110, "changed")
	checkpointed(t, source, 2)
	changed := source.PagesWritten() - all

	fill(t, s, 7000, 7010, "never checkpointed")
	begin(t, s, source)
	if got := fetch(t, s, source, 1<<30); uint64(got) != changed {
		t.Errorf("fetched %d pages, want the %d that differ, of %d", got, changed, all)
	}
	finish(t, s, source)
}

func TestTransferRefusesWhatIsNotWanted(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	fill(t, source, 0, 2000, "x")
	checkpointed(t, source, 1)
	if used, err := s.AddPiece([]byte("before")); used || err != nil {
		t.Errorf("a piece before the transfer: used %v, %v", used, err)
	}
	begin(t, s, source)
	_, root := source.Last()
	piece, ok := source.Piece(root)
	if !ok {
		t.Fatal("no root page")
	}
	poisoned := append([]byte(nil), piece...)
	poisoned[len(poisoned)-1] ^= 1
	unwanted, ok := source.Piece(source.newestKid(t))
	if !ok {
		t.Fatal("no page below the root")
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "poisoned": poisoned, "truncated": piece[:len(piece)-1], "extended": append(piece[:len(piece):len(piece)], 0),
		"unwanted": unwanted, "oversized": make([]byte, PageBytesMax+1),
	} {
		if used, err := s.AddPiece(bad); used || err != nil {
			t.Errorf("%s: used %v, %v, want refused", name, used, err)
		}
	}
	if err := s.FinishTransfer(); !errors.Is(err, ErrIncomplete) {
		t.Errorf("finished without a page: %v", err)
	}
	if used, err := s.AddPiece(piece); !used || err != nil {
		t.Fatalf("root: used %v, %v", used, err)
	}
	if used, err := s.AddPiece(piece); used || err != nil {
		t.Errorf("root again: used %v, %v, want refused", used, err)
	}
	fetch(t, s, source, 1<<30)
	finish(t, s, source)
}

// newestKid returns the digest of a page below the root.
func (s *Store) newestKid(t tester) crypto.Digest {
	t.Helper()
	p, err := s.rd.load(s.newest().root)
	if err != nil || p.leaf {
		t.Fatal("root is not an inner page")
	}
	return p.kids[0].ref.digest
}

// TestTransferRefusesPagesThatContradictTheirParent has a parent, whose digest
// is taken as certified, that says something else than the child under its digest.
func TestTransferRefusesPagesThatContradictTheirParent(t *testing.T) {
	big := make([]byte, LeafBytesMax)
	child := newLeaf([]entry{{[]byte("a1"), []byte("v")}})
	other := newLeaf([]entry{{[]byte("b1"), big}})
	refOf := func(p *page) ref { return ref{digest: pageDigest(p.encode()), bytes: p.bytes, count: p.count} }
	for name, lie := range map[string]func(k *kid){
		"more bytes":   func(k *kid) { k.ref.bytes++ },
		"more entries": func(k *kid) { k.ref.bytes, k.ref.count = k.ref.bytes*2, 2 },
		"other place":  func(k *kid) { k.label++ },
	} {
		kids := []kid{{2, refOf(child)}, {9, refOf(other)}}
		lie(&kids[0])
		parent := newInner([]byte("a"), 1, kids)
		s := OpenMemory()
		if err := s.BeginTransfer(1, pageDigest(parent.encode())); err != nil {
			t.Fatal(err)
		}
		s.Wanted(1)
		if used, err := s.AddPiece(parent.encode()); !used || err != nil {
			t.Fatalf("%s: parent: %v %v", name, used, err)
		}
		if wanted := s.Wanted(2); !slices.Contains(wanted, pageDigest(child.encode())) {
			t.Fatalf("%s: the child is not wanted: the test tests nothing", name)
		}
		if used, err := s.AddPiece(child.encode()); used || err != nil {
			t.Errorf("%s: used %v, %v, want refused", name, used, err)
		}
	}
}

func TestTransferToTheEmptyState(t *testing.T) {
	s := OpenMemory()
	fill(t, s, 0, 500, "x")
	checkpointed(t, s, 5)
	if err := s.BeginTransfer(9, EmptyRoot()); err != nil {
		t.Fatal(err)
	}
	if wanted := s.Wanted(10); len(wanted) != 0 {
		t.Errorf("wants %d pieces", len(wanted))
	}
	if err := s.FinishTransfer(); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, s); len(got) != 0 {
		t.Errorf("%d keys are left", len(got))
	}
	if seq, root := s.Last(); seq != 9 || root != EmptyRoot() {
		t.Errorf("last is %d %s", seq, root.Short())
	}
}

func TestTransferFrontierIsBounded(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	s.leavesMax = 100
	fill(t, source, 0, 30000, "x")
	checkpointed(t, source, 1)
	begin(t, s, source)
	most := 0
	for {
		wanted := s.Wanted(4)
		if len(wanted) == 0 {
			break
		}
		for _, d := range wanted {
			piece, _ := source.Piece(d)
			if used, err := s.AddPiece(piece); !used || err != nil {
				t.Fatal(used, err)
			}
		}
		x := s.transfer
		most = max(most, len(x.frontier), len(x.inner), len(x.leaves)+len(x.found), len(x.unseen))
	}
	if total := source.PagesWritten(); most > 200 || total < 1000 {
		t.Errorf("the frontier had %d of %d pages", most, total)
	}
	finish(t, s, source)
}

// TestTransferWantsLeavesInOrder has inner pages asked for first, and then leaves in the
// order in which they lie on disk.
func TestTransferWantsLeavesInOrder(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	fill(t, source, 0, 30000, "x")
	checkpointed(t, source, 1)
	begin(t, s, source)
	var last crypto.Digest
	leaves, inner := 0, 0
	for wanted := s.Wanted(7); len(wanted) > 0; wanted = s.Wanted(7) {
		for _, d := range wanted {
			at := s.transfer.frontier[d]
			switch {
			case !at.leaf() && leaves > 0:
				t.Fatalf("an inner page is wanted after %d leaves", leaves)
			case !at.leaf():
				inner++
			case bytes.Compare(d[:], last[:]) <= 0:
				t.Fatalf("leaf %s is wanted after %s", d.Short(), last.Short())
			default:
				leaves, last = leaves+1, d
			}
			piece, _ := source.Piece(d)
			if used, err := s.AddPiece(piece); !used || err != nil {
				t.Fatal(used, err)
			}
		}
	}
	if total := int(source.PagesWritten()); leaves+inner != total || leaves < 4*inner || inner < 10 {
		t.Errorf("%d leaves and %d inner pages were wanted, want all %d", leaves, inner, total)
	}
	finish(t, s, source)
}

// counted is pages that count what is read.
type counted struct {
	pages
	reads int
}

func (c *counted) get(key []byte) ([]byte, bool, error) {
	c.reads++
	return c.pages.get(key)
}

// TestNewerTargetCostsWhatDiffers begins anew after a restart with most of a state
// staged, and when the others have moved on: nothing that is there is written again, and
// what lacks is asked for before all that is there was looked through.
func TestNewerTargetCostsWhatDiffers(t *testing.T) {
	source, disk := OpenMemory(), &counted{pages: newMemory()}
	s := newStore(disk, Options{})
	s.adopt(nil, 1)
	fill(t, source, 0, 60000, "x")
	checkpointed(t, source, 1)
	begin(t, s, source)
	all := int(source.PagesWritten())
	fetch(t, s, source, all*9/10)
	s, err := s.Reopen()
	if err != nil {
		t.Fatal(err)
	}
	for round := range wire.Seq(3) {
		fill(t, source, 0, 1, fmt.Sprint("y", round)) // the first key
		before := source.PagesWritten()
		checkpointed(t, source, round+2)
		changed := source.PagesWritten() - before
		written := s.PagesWritten()
		begin(t, s, source)
		for range changed {
			disk.reads = 0
			fetch(t, s, source, 1)
			if most := 2 * looksMax; disk.reads > most || all < 2*most {
				t.Errorf("round %d: %d reads for one question, of %d pages; want at most %d", round, disk.reads, all, most)
			}
		}
		if rewritten := s.PagesWritten() - written - changed; rewritten > 0 {
			t.Errorf("round %d: %d pages of %d were written again", round, rewritten, all)
		}
	}
	fetch(t, s, source, 1<<30)
	finish(t, s, source)
}

// TestTransferSurvivesCrashesRetargetsAndCheckpoints runs transfers through what
// may come between, and compares with the source.
func TestTransferSurvivesCrashesRetargetsAndCheckpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		source, s := OpenMemory(), OpenMemory()
		seq := wire.Seq(1)
		fill(t, source, 0, 300+rnd.IntN(600), "x")
		fill(t, s, 0, rnd.IntN(900), "x")
		checkpointed(t, source, seq)
		checkpointed(t, s, seq)
		begin(t, s, source)
		for range rapid.IntRange(0, 8).Draw(t, "disturbances") {
			fetch(t, s, source, rnd.IntN(40))
			seq++
			from := rnd.IntN(900)
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0: // retarget
				fill(t, source, from, from+rnd.IntN(30), fmt.Sprint("y", seq))
				checkpointed(t, source, seq)
				begin(t, s, source)
			case 1: // crash
				next, err := s.Reopen()
				if err != nil {
					t.Fatal(err)
				}
				s = next
				begin(t, s, source)
			case 2: // the running content goes on
				fill(t, s, from, from+rnd.IntN(300), fmt.Sprint("x", seq%2))
				checkpointed(t, s, seq)
			case 3: // and is collected
				s.Collect(seq)
			case 4: // crash, and no transfer: what was staged is collected
				next, err := s.Reopen()
				if err != nil {
					t.Fatal(err)
				}
				s = next
				checkpointed(t, s, seq)
				s.Collect(seq)
				begin(t, s, source)
			case 5: // given up, and tried again
				s.GiveUpTransfer()
				if rnd.IntN(2) == 0 {
					checkpointed(t, s, seq)
					s.Collect(seq)
				}
				begin(t, s, source)
			}
		}
		fetch(t, s, source, 1<<30)
		finish(t, s, source)
		afterTransfer(t, s)
	})
}

// TestWhatATransferThatWasGivenUpHasStagedIsCollected has one given up, and the running
// content go on past its target, in the same process.
func TestWhatATransferThatWasGivenUpHasStagedIsCollected(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	fill(t, source, 0, 3000, "x")
	checkpointed(t, source, 5)
	fill(t, s, 0, 10, "own")
	checkpointed(t, s, 1)
	begin(t, s, source)
	fetch(t, s, source, 100)
	if err := s.transfer.out.flush(); err != nil {
		t.Fatal(err)
	}
	s.Collect(6)
	if got := s.Wanted(1); len(got) == 0 || len(stored(t, s)) < 20 {
		t.Fatalf("%d pages stored and %d wanted: what is under way must stay", len(stored(t, s)), len(got))
	}
	s.GiveUpTransfer()
	if got := s.Wanted(1); len(got) > 0 {
		t.Errorf("%d pieces are wanted after the transfer was given up, want none", len(got))
	}
	s.Collect(6)
	if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
		t.Errorf("%d pages stored, want the %d that are reachable", len(got), len(want))
	}
	begin(t, s, source)
	fetch(t, s, source, 1<<30)
	finish(t, s, source)
}

// afterTransfer checks that a transferred store works on, and keeps nothing that
// it does not need.
func afterTransfer(t *rapid.T, s *Store) {
	t.Helper()
	seq, _ := s.Last()
	for i := range wire.Seq(3) {
		fill(t, s, int(i), int(i)+50, "z")
		checkpointed(t, s, seq+i+1)
		s.Collect(seq + i + 1)
		if err := s.rd.verify(s.newest().root, 0, always); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
		t.Fatalf("%d pages stored, want the %d that are reachable", len(got), len(want))
	}
}

func TestRepairReplacesADivergedStateOfTheSameNumber(t *testing.T) {
	source, s := OpenMemory(), OpenMemory()
	fill(t, source, 0, 1000, "right")
	checkpointed(t, source, 7)
	fill(t, s, 0, 1000, "right")
	fill(t, s, 500, 501, "wrong")
	checkpointed(t, s, 7)
	begin(t, s, source)
	if n := fetch(t, s, source, 1<<30); n > 6 {
		t.Errorf("fetched %d pages for one wrong key", n)
	}
	finish(t, s, source)
	s.Collect(7)
	next, err := s.Reopen()
	if err != nil {
		t.Fatal(err)
	}
	if _, got := next.Last(); got != source.newest().root.digest {
		t.Errorf("after a restart the root is %s", got.Short())
	}
}
