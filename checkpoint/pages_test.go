package checkpoint

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// TestNewPagesComeAfterOlderOnesAndBeforeAllElse is what keeps Badger from rewriting
// all older pages with each table.
func TestNewPagesComeAfterOlderOnesAndBeforeAllElse(t *testing.T) {
	first, last := crypto.Digest{}, crypto.Digest(bytes.Repeat([]byte{0xff}, crypto.DigestSize))
	ascending := [][]byte{pageKey(ref{birth: 255, digest: last}), pageKey(ref{birth: 256, digest: first})}
	if bytes.Compare(ascending[0], ascending[1]) >= 0 {
		t.Errorf("a page of generation 256 comes before one of 255")
	}
	newest := pageKey(ref{birth: 1<<64 - 1, digest: last})
	for name, key := range map[string][]byte{
		"a manifest": manifestKey(0), "an index": indexKey(ref{digest: first}),
		"a dead list": deadKey(0, 0), "the transfer": stagingKey(),
	} {
		if bytes.Compare(newest, key) >= 0 {
			t.Errorf("%s comes before a page", name)
		}
	}
}

// noting notes the keys that are written, in their order.
type noting struct {
	pages
	keys [][]byte
}

func (n *noting) apply(changes []change) error {
	for _, c := range changes {
		n.keys = append(n.keys, c.key)
	}
	return n.pages.apply(changes)
}

// TestPagesOfACheckpointAreWrittenInOrder has Badger fill tables whose keys do not
// overlap; and no index comes before its page.
func TestPagesOfACheckpointAreWrittenInOrder(t *testing.T) {
	s := OpenMemory()
	fill(t, s, 0, 20_000, "x")
	n := &noting{pages: s.rd.pages}
	s.rd.pages = n
	checkpointed(t, s, 1)
	var last []byte
	pages, indexes := map[ref]bool{}, 0
	for _, key := range n.keys {
		switch r, ok := refOfPageKey(key); {
		case ok:
			if bytes.Compare(key, last) <= 0 {
				t.Fatalf("page %x comes after %x", key, last)
			}
			last, pages[ref{birth: r.birth, digest: r.digest}] = key, true
		case key[0] == indexSpace:
			indexes++
			of := ref{digest: crypto.Digest(key[1 : 1+crypto.DigestSize]), birth: binary.BigEndian.Uint64(key[1+crypto.DigestSize:])}
			if !pages[of] {
				t.Fatalf("index %x comes before its page", key)
			}
		}
	}
	if len(pages) < 10 || indexes != len(pages) {
		t.Errorf("got %d pages and %d indexes, want more, and as many", len(pages), indexes)
	}
}

// TestRunsOfPagesAreBounded writes what would be too much to hold.
func TestRunsOfPagesAreBounded(t *testing.T) {
	n := &noting{pages: newMemory()}
	u := &run{to: &batch{to: n}}
	for i := range 3 {
		if err := u.add(ref{digest: crypto.Digest{byte(3 - i)}}, make([]byte, runBytesMax/2)); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.keys) < 2 || u.bytes > runBytesMax || len(u.pages) != 1 {
		t.Errorf("%d keys are written, and %d pages of %d bytes held", len(n.keys), len(u.pages), u.bytes)
	}
}
