package checkpoint

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func TestMain(m *testing.M) {
	if openInChild() {
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// state is what the driver asks of a Store.
type state interface {
	app.Store
	Checkpoint(seq wire.Seq, done func(root crypto.Digest, err error))
	Last() (wire.Seq, crypto.Digest)
	Collect(seq wire.Seq)
	Keeps(seq wire.Seq, root crypto.Digest) bool
	Piece(digest crypto.Digest) (data []byte, ok bool)
	BeginTransfer(seq wire.Seq, root crypto.Digest) error
	Wanted(limit int) []crypto.Digest
	AddPiece(data []byte) (used bool, err error)
	GiveUpTransfer()
	FinishTransfer() error
	Close() error
}

var _ state = (*Store)(nil)

type content map[string]string

// keys draws keys that share prefixes, are prefixes of each other, and are empty.
func drawKey(t *rapid.T) string {
	key := rapid.StringOfN(rapid.SampledFrom([]rune("\x00\x01aq\x7f")), 0, 6, -1).Draw(t, "key")
	if rapid.IntRange(0, 20).Draw(t, "long") == 0 {
		key += string(bytes.Repeat([]byte{'a'}, rapid.SampledFrom([]int{100, KeyBytesMax - len(key)}).Draw(t, "tail")))
	}
	return key
}

func drawValue(t *rapid.T) string {
	n := rapid.SampledFrom([]int{0, 1, 30, 700, 2000, LeafBytesMax - 8, LeafBytesMax, 9000}).Draw(t, "length")
	return string(bytes.Repeat([]byte{byte(rapid.IntRange(0, 3).Draw(t, "value"))}, n))
}

// checkpointed takes a checkpoint and waits for it.
func checkpointed(t tester, s *Store, seq wire.Seq) crypto.Digest {
	t.Helper()
	type result struct {
		root crypto.Digest
		err  error
	}
	done := make(chan result, 1)
	s.Checkpoint(seq, func(root crypto.Digest, err error) { done <- result{root, err} })
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if gotSeq, got := s.Last(); gotSeq != seq || got != r.root {
		t.Fatal("last snapshot is not the one just taken")
	}
	return r.root
}

// fresh builds content at once.
func fresh(t tester, c content) *Store {
	t.Helper()
	s := OpenMemory()
	for _, k := range slices.Sorted(maps.Keys(c)) {
		if err := s.Put([]byte(k), []byte(c[k])); err != nil {
			t.Fatal(err)
		}
	}
	checkpointed(t, s, 1)
	return s
}

func contentOf(t tester, s *Store) content {
	t.Helper()
	got := content{}
	last := []byte(nil)
	err := s.Scan(nil, nil, func(k, v []byte) bool {
		if last != nil && bytes.Compare(last, k) >= 0 {
			t.Fatal("scan does not ascend")
		}
		last = bytes.Clone(k)
		if last == nil {
			last = []byte{}
		}
		got[string(k)] = string(v)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// probes are keys to read, and a range to scan.
type probes struct{ one, two, from, to string }

func drawProbes(t *rapid.T) probes { return probes{drawKey(t), drawKey(t), drawKey(t), drawKey(t)} }

func sameContent(t tester, s *Store, want content, at probes) {
	t.Helper()
	if diff := cmp.Diff(contentOf(t, s), want); diff != "" {
		t.Fatalf("content (-got +want):\n%.2000s", diff)
	}
	for _, k := range []string{at.one, at.two} {
		v, ok, err := s.Get([]byte(k))
		wanted, there := want[k]
		if err != nil || ok != there || string(v) != wanted {
			t.Fatalf("get %q: %d bytes, %v, %v; want %d bytes, %v", k, len(v), ok, err, len(wanted), there)
		}
	}
	var got, expected []string
	err := s.Scan([]byte(at.from), []byte(at.to), func(k, _ []byte) bool { got = append(got, string(k)); return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if k >= at.from && k < at.to {
			expected = append(expected, k)
		}
	}
	if diff := cmp.Diff(got, expected); diff != "" {
		t.Fatalf("scan from %q to %q (-got +want):\n%s", at.from, at.to, diff)
	}
}

func TestRootIsFunctionOfContentAndStoreIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := OpenMemory(), content{}
		for seq := wire.Seq(1); seq <= 4; seq++ {
			if rapid.Bool().Draw(t, "scanned before") {
				sameContent(t, s, want, drawProbes(t)) // what changes afterwards must be in order, too
			}
			perform(t, s, want, drawOps(t))
			sameContent(t, s, want, drawProbes(t))
			root := checkpointed(t, s, seq)
			if _, wanted := fresh(t, want).Last(); root != wanted {
				t.Fatalf("root %s, from scratch %s", root.Short(), wanted.Short())
			}
			if len(want) == 0 && root != EmptyRoot() {
				t.Fatal("empty content does not have the empty root")
			}
			if err := s.rd.verify(s.newest().root, 0, always); err != nil {
				t.Fatal(err)
			}
			sameContent(t, s, want, drawProbes(t))
			s.Collect(seq)
		}
	})
}

// drawOps draws changes; some delete what one of them has put.
func drawOps(t *rapid.T) []op {
	var ops []op
	for range rapid.IntRange(0, 25).Draw(t, "ops") {
		o := op{key: []byte(drawKey(t)), deleted: rapid.IntRange(0, 2).Draw(t, "delete") == 0}
		if o.deleted && len(ops) > 0 && rapid.Bool().Draw(t, "present") {
			o.key = rapid.SampledFrom(ops).Draw(t, "which").key
		}
		if !o.deleted {
			o.value = []byte(drawValue(t))
		}
		ops = append(ops, o)
	}
	return ops
}

// perform applies changes to a store and to its model.
func perform(t tester, s *Store, model content, ops []op) {
	t.Helper()
	for _, o := range ops {
		var err error
		if o.deleted {
			delete(model, string(o.key))
			err = s.Delete(o.key)
		} else {
			model[string(o.key)] = string(o.value)
			err = s.Put(o.key, o.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCollectDeletesExactlyWhatNoKeptSnapshotReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := OpenMemory(), content{}
		past := map[wire.Seq]content{0: {}}
		for seq := wire.Seq(1); seq <= 6; seq++ {
			perform(t, s, want, drawOps(t))
			checkpointed(t, s, seq)
			past[seq] = maps.Clone(want)
			if rapid.Bool().Draw(t, "collect") {
				s.Collect(wire.Seq(rapid.Uint64Range(0, uint64(seq)+1).Draw(t, "below")))
			}
			for _, kept := range s.snapshots() {
				if err := s.rd.verify(kept.root, 0, always); err != nil {
					t.Fatalf("kept snapshot %d: %v", kept.seq, err)
				}
			}
		}
		s.Collect(6)
		if n := len(s.snapshots()); n != 2 {
			t.Fatalf("%d snapshots kept, want 2", n)
		}
		if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
			t.Fatalf("%d pages stored, want the %d that are reachable", len(got), len(want))
		}
	})
}

// stored returns all pages in storage.
func stored(t tester, s *Store) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	index := 0
	err := s.rd.pages.scan([]byte{pageSpace}, 1, func(k, _ []byte) bool { got[string(k)] = true; return true })
	if err != nil {
		t.Fatal(err)
	}
	err = s.rd.pages.scan([]byte{indexSpace}, 1, func(_, _ []byte) bool { index++; return true })
	if err != nil || index != len(got) {
		t.Fatalf("%d index records for %d pages, %v", index, len(got), err)
	}
	return got
}

// reachable returns the pages of all kept snapshots.
func reachable(t tester, s *Store) map[string]bool {
	t.Helper()
	want := map[string]bool{}
	for _, kept := range s.snapshots() {
		for _, r := range below(t, s, kept.root) {
			want[string(pageKey(r))] = true
		}
	}
	return want
}

// below returns r and all pages below it, each before its children.
func below(t tester, s *Store, r ref) []ref {
	t.Helper()
	if r.count == 0 {
		return nil
	}
	p, err := s.rd.load(r)
	if err != nil {
		t.Fatal(err)
	}
	all := []ref{r}
	for _, k := range p.kids {
		all = append(all, below(t, s, k.ref)...)
	}
	return all
}

// TestATrailTellsInAnyOrderWhatIsPartOfASnapshot asks about pages of two snapshots.
func TestATrailTellsInAnyOrderWhatIsPartOfASnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := OpenMemory(), content{}
		var all []ref
		for seq := wire.Seq(1); seq <= 2; seq++ {
			perform(t, s, now, drawOps(t))
			checkpointed(t, s, seq)
			all = append(all, below(t, s, s.newest().root)...)
		}
		of := rapid.SampledFrom(s.snapshots()).Draw(t, "snapshot")
		part := map[string]bool{}
		for _, r := range below(t, s, of.root) {
			part[string(pageKey(r))] = true
		}
		asked := &trail{rd: s.rd, of: of}
		for _, r := range rapid.Permutation(all).Draw(t, "pages") {
			p, err := s.rd.load(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := asked.reaches(r, p)
			if want := part[string(pageKey(r))]; got != want || err != nil {
				t.Fatalf("page %s of generation %d: %v, %v, want %v", r.digest.Short(), r.birth, got, err, want)
			}
		}
	})
}

// reading is pages that count what is read.
type reading struct {
	pages
	count int
}

func (r *reading) get(key []byte) ([]byte, bool, error) {
	r.count++
	return r.pages.get(key)
}

// longWay is how many keys begin with each other in these tests. When the last one changes,
// every page on the way to it is replaced.
const longWay = 300

// putLast changes the last of them, and takes a checkpoint.
func putLast(t tester, s *Store, seq wire.Seq) {
	t.Helper()
	for n := 0; n < longWay && seq == 1; n++ {
		if err := s.Put(bytes.Repeat([]byte{'a'}, n), make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(bytes.Repeat([]byte{'a'}, longWay), bytes.Repeat([]byte{byte(seq)}, 2*LeafBytesMax)); err != nil {
		t.Fatal(err)
	}
	checkpointed(t, s, seq)
}

func TestCollectingALongWayCostsItOnce(t *testing.T) {
	storage := &reading{pages: newMemory()}
	s := newStore(storage, Options{CacheBytes: 1})
	s.adopt(nil, 1)
	for seq := wire.Seq(1); seq <= 3; seq++ {
		putLast(t, s, seq)
	}
	before := storage.count
	s.Collect(3)
	if got, want := storage.count-before, 10*longWay; got > want {
		t.Errorf("%d pages were read to collect %d, want %d at most", got, longWay, want)
	}
	if got, want := stored(t, s), reachable(t, s); !maps.Equal(got, want) {
		t.Errorf("%d pages stored, want the %d that are reachable", len(got), len(want))
	}
}

func TestFetchingALongWayCostsItOnce(t *testing.T) {
	storage, source := &reading{pages: newMemory()}, OpenMemory()
	s := newStore(storage, Options{CacheBytes: 1})
	s.adopt(nil, 1)
	putLast(t, s, 1)
	putLast(t, s, 2)
	putLast(t, source, 1)
	putLast(t, source, 3)
	before := storage.count
	begin(t, s, source)
	fetched := fetch(t, s, source, 1<<30)
	finish(t, s, source)
	if got, want := storage.count-before, 20*longWay; got > want || fetched < longWay {
		t.Errorf("%d pages were read to fetch %d, want %d at most", got, fetched, want)
	}
}

func TestCheckpointWritesOnlyDirtyPaths(t *testing.T) {
	s := OpenMemory()
	for i := range 20000 {
		if err := s.Put(fmt.Appendf(nil, "key %06d", i*7919%20000), fmt.Appendf(nil, "value %050d", i)); err != nil {
			t.Fatal(err)
		}
	}
	checkpointed(t, s, 1)
	all := s.PagesWritten()
	if err := s.Put([]byte("key 012345"), []byte("changed")); err != nil {
		t.Fatal(err)
	}
	checkpointed(t, s, 2)
	if got := s.PagesWritten() - all; got > 12 || all < 400 {
		t.Errorf("one change wrote %d pages of %d, want a path", got, all)
	}
	before := s.PagesWritten()
	if err := s.Put([]byte("key 012345"), []byte("changed")); err != nil {
		t.Fatal(err)
	}
	checkpointed(t, s, 3)
	if got := s.PagesWritten() - before; got != 0 {
		t.Errorf("no change wrote %d pages", got)
	}
}

func TestProofShowsValueOrAbsence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := OpenMemory(), content{}
		perform(t, s, want, drawOps(t))
		root := checkpointed(t, s, 1)
		key := drawKey(t)
		proof, err := s.Prove([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		value, present, err := VerifyProof(root, []byte(key), proof)
		wanted, there := want[key]
		if err != nil || present != there || string(value) != wanted {
			t.Fatalf("proof of %q: %v, %v; want %v", key, present, err, there)
		}
		if len(proof.Pages) == 0 {
			return
		}
		i := rapid.IntRange(0, len(proof.Pages)-1).Draw(t, "page")
		j := rapid.IntRange(0, len(proof.Pages[i])-1).Draw(t, "byte")
		proof.Pages[i][j] ^= 1
		if _, _, err := VerifyProof(root, []byte(key), proof); err == nil {
			t.Fatal("a changed proof holds")
		}
	})
}

func TestPageDecoderIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := content{}
		s := OpenMemory()
		perform(t, s, want, drawOps(t))
		checkpointed(t, s, 1)
		for key := range reachable(t, s) {
			data, _, _ := s.rd.pages.get([]byte(key))
			data, _ = encodedPart(data)
			p, err := decodePage(data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.encode(), data) {
				t.Fatal("page encodes to other bytes")
			}
		}
	})
}

func FuzzDecodePage(f *testing.F) {
	f.Add([]byte{leafKind, 0, 1, 0, 1, 0, 0, 0, 1, 'k', 'v'})
	f.Add(newInner([]byte("abc"), 5, []kid{
		{2, ref{bytes: 4000, count: 2}}, {3, ref{bytes: 4000, count: 3}},
	}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePage(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.encode(), data) {
			t.Errorf("%x decodes and encodes to %x", data, p.encode())
		}
	})
}
