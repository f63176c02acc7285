package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
)

// pair is the values of a key on both sides, with a mark where there is none.
type pair struct{ Own, Other string }

const none = "none"

// compared is what one comparison did.
type compared struct {
	keys    []string // in the order in which they came
	pairs   map[string]pair
	more    int
	fetched int // pages
	most    int // of them at once
}

// compare compares the newest snapshots of two stores.
func compare(t tester, own, other *Store, limit int) compared {
	t.Helper()
	c := compared{pairs: map[string]pair{}}
	fetch := func(digests []crypto.Digest) (pages [][]byte, err error) {
		c.fetched += len(digests)
		c.most = max(c.most, len(digests))
		for _, d := range digests {
			data, ok := other.Piece(d)
			if !ok {
				t.Fatal("a page was asked for that the other state does not have")
			}
			pages = append(pages, data)
		}
		return pages, nil
	}
	_, a := own.Last()
	_, b := other.Last()
	more, err := own.Compare(a, b, limit, fetch, func(key, own, other []byte) {
		c.keys = append(c.keys, string(key))
		c.pairs[string(key)] = pair{textOf(own), textOf(other)}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.more = more
	return c
}

func textOf(value []byte) string {
	if value == nil {
		return none
	}
	return "=" + string(value)
}

// differences returns where two contents differ.
func differences(own, other content) map[string]pair {
	pairs := map[string]pair{}
	of := func(c content, key string) string {
		if value, ok := c[key]; ok {
			return "=" + value
		}
		return none
	}
	for _, c := range []content{own, other} {
		for key := range c {
			if p := (pair{of(own, key), of(other, key)}); p.Own != p.Other {
				pairs[key] = p
			}
		}
	}
	return pairs
}

// TestCompareNamesExactlyTheKeysThatDiffer compares trees of any two shapes: pages that
// branch off above each other, leaves against inner pages, one side that has nothing.
func TestCompareNamesExactlyTheKeysThatDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := content{}
		for range rapid.IntRange(0, 40).Draw(t, "keys") {
			own[drawKey(t)] = drawValue(t)
		}
		other := maps.Clone(own)
		if rapid.IntRange(0, 3).Draw(t, "unrelated") == 0 {
			other = content{}
		}
		for range rapid.IntRange(0, 12).Draw(t, "changes") {
			key := drawKey(t)
			if keys := slices.Sorted(maps.Keys(other)); len(keys) > 0 && rapid.Bool().Draw(t, "there") {
				key = rapid.SampledFrom(keys).Draw(t, "of them")
			}
			if rapid.Bool().Draw(t, "delete") {
				delete(other, key)
			} else {
				other[key] = drawValue(t)
			}
		}
		want := differences(own, other)
		all := slices.Sorted(maps.Keys(want))
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		got := compare(t, fresh(t, own), fresh(t, other), limit)
		if diff := cmp.Diff(got.keys, all[:min(limit, len(all))]); diff != "" {
			t.Fatalf("keys (-got +want):\n%s", diff)
		}
		for key, p := range got.pairs {
			if p != want[key] {
				t.Fatalf("key %q: got values of %d and %d bytes, want %d and %d",
					key, len(p.Own), len(p.Other), len(want[key].Own), len(want[key].Other))
			}
		}
		if rest := len(all) - len(got.keys); (got.more > 0) != (rest > 0) || got.more > rest {
			t.Fatalf("got at least %d keys more, want some of %d", got.more, rest)
		}
		if got.most > limit {
			t.Fatalf("%d pages were asked for at once, want at most %d", got.most, limit)
		}
	})
}

// TestCompareReadsOnlyPagesThatDiffer has one key of a large state differ, and then all.
func TestCompareReadsOnlyPagesThatDiffer(t *testing.T) {
	own, other, third := OpenMemory(), OpenMemory(), OpenMemory()
	fill(t, own, 0, 20_000, "x")
	fill(t, other, 0, 20_000, "x")
	fill(t, other, 12_345, 12_346, "y")
	fill(t, third, 0, 20_000, "z")
	for _, s := range []*Store{own, other, third} {
		checkpointed(t, s, 1)
	}
	one := compare(t, own, other, 16)
	if len(one.keys) != 1 || one.more != 0 || one.fetched > 8 {
		t.Errorf("one key differs: got %d keys and %d more from %d pages, want 1 and 0 from a path", len(one.keys), one.more, one.fetched)
	}
	all := compare(t, own, third, 16)
	if len(all.keys) != 16 || all.more == 0 || all.fetched > 8*16 {
		t.Errorf("all keys differ: got %d keys and %d more from %d pages, want 16 and some from 16 paths",
			len(all.keys), all.more, all.fetched)
	}
}

// TestCompareTakesFromHereWhatIsHere compares two snapshots of one store.
func TestCompareTakesFromHereWhatIsHere(t *testing.T) {
	s := OpenMemory()
	fill(t, s, 0, 2000, "x")
	before := checkpointed(t, s, 1)
	fill(t, s, 7, 8, "y")
	after := checkpointed(t, s, 2)
	keys := 0
	_, err := s.Compare(before, after, 16, func([]crypto.Digest) ([][]byte, error) {
		return nil, errors.New("nothing may be fetched")
	}, func(_, _, _ []byte) { keys++ })
	if err != nil || keys != 1 {
		t.Errorf("got %d keys and %v, want 1 and no error", keys, err)
	}
}

// TestCompareBelievesNoPage has the other side's pages be others, be none, and be such
// that a root commits to them and they fit no place.
func TestCompareBelievesNoPage(t *testing.T) {
	own, other := OpenMemory(), OpenMemory()
	fill(t, own, 0, 2000, "x")
	fill(t, other, 0, 2000, "y")
	root := checkpointed(t, own, 1)
	real := checkpointed(t, other, 1)
	lost := errors.New("nobody has it")
	_, leaf := leafOf(t, other, real)
	forged := *rootOf(t, other, real)
	forged.kids = slices.Clone(forged.kids)
	forged.kids[0].ref.digest = pageDigest(leaf)
	forgedRoot := forged.encode()
	pages := map[crypto.Digest][]byte{pageDigest(forgedRoot): forgedRoot, pageDigest(leaf): leaf}
	for name, c := range map[string]struct {
		other crypto.Digest
		fetch func(digests []crypto.Digest) ([][]byte, error)
		want  func(err error) bool
	}{
		"another page": {real, func(digests []crypto.Digest) ([][]byte, error) {
			return make([][]byte, len(digests)), nil
		}, func(err error) bool { return !errors.Is(err, ErrMisfit) }},
		"fewer pages": {real, func([]crypto.Digest) ([][]byte, error) {
			return nil, nil
		}, func(err error) bool { return !errors.Is(err, ErrMisfit) }},
		"no page": {real, func([]crypto.Digest) ([][]byte, error) {
			return nil, lost
		}, func(err error) bool { return errors.Is(err, lost) }},
		"a page at the wrong place": {pageDigest(forgedRoot), func(digests []crypto.Digest) (all [][]byte, err error) {
			for _, d := range digests {
				data, ok := pages[d]
				if !ok {
					data, _ = other.Piece(d)
				}
				all = append(all, data)
			}
			return all, nil
		}, func(err error) bool { return errors.Is(err, ErrMisfit) }},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := own.Compare(root, c.other, 16, c.fetch, func(key, _, _ []byte) {
				t.Errorf("key %q was named", key)
			})
			if err == nil || !c.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := own.Compare(real, root, 16, func([]crypto.Digest) ([][]byte, error) { return nil, lost }, func(_, _, _ []byte) {})
	if err == nil || errors.Is(err, lost) {
		t.Errorf("an own snapshot that is not here: got %v, want an error that says so", err)
	}
}

// rootOf returns the page of a root.
func rootOf(t *testing.T, s *Store, root crypto.Digest) *page {
	t.Helper()
	data, ok := s.Piece(root)
	if !ok {
		t.Fatal("no such page")
	}
	p, err := decodePage(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// leafOf returns the last leaf below a root.
func leafOf(t *testing.T, s *Store, root crypto.Digest) (*page, []byte) {
	t.Helper()
	p := rootOf(t, s, root)
	for !p.leaf {
		p = rootOf(t, s, p.kids[len(p.kids)-1].ref.digest)
	}
	return p, p.encode()
}

func ExampleStore_Compare() {
	own, other := OpenMemory(), OpenMemory()
	for i, s := range []*Store{own, other} {
		_ = s.Put([]byte("same"), []byte("value"))
		_ = s.Put([]byte("mood"), fmt.Appendf(nil, "of replica %d", i))
		s.Checkpoint(8, func(crypto.Digest, error) {})
	}
	_, ownRoot := own.Last()
	_, otherRoot := other.Last()
	fetch := func(digests []crypto.Digest) (pages [][]byte, err error) {
		for _, d := range digests {
			page, _ := other.Piece(d)
			pages = append(pages, page)
		}
		return pages, nil
	}
	more, err := own.Compare(ownRoot, otherRoot, 16, fetch, func(key, own, other []byte) {
		fmt.Printf("%q: %q here, %q there\n", key, own, other)
	})
	fmt.Println(more, err)
	// Output:
	// "mood": "of replica 0" here, "of replica 1" there
	// 0 <nil>
}
