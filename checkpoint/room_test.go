package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// weighing is pages that weigh what they are given.
type weighing struct {
	pages
	scale
}

func (w *weighing) apply(changes []change) error {
	return errors.Join(w.scale.apply(changes), w.pages.apply(changes))
}

func newWeighing() (*Store, *weighing) {
	w := &weighing{pages: newMemory()}
	s := newStore(w, Options{})
	s.adopt(nil, 1)
	return s, w
}

// drawMany draws the changes of one checkpoint: few or many keys, short or long, spread or in
// a row, of which some begin with each other; and what is to be put there or deleted.
func drawMany(t *rapid.T) []op {
	n := rapid.SampledFrom([]int{0, 1, 3, 30, 300, 1500}).Draw(t, "keys")
	shape := rapid.IntRange(0, 4).Draw(t, "shape")
	length := rapid.SampledFrom([]int{0, 0, 1, 30, 700, 5000}).Draw(t, "length")
	from := rapid.IntRange(0, 300).Draw(t, "from")
	deletes := rapid.SampledFrom([]int{1 << 30, 2, 1}).Draw(t, "one deletion of")
	var ops []op
	for i := from; i < from+n; i++ {
		var key []byte
		switch d := crypto.Sum(fmt.Append(nil, i)); shape {
		case 0:
			key = d[:2+i%2]
		case 1:
			key = append([]byte("a"), d[:16]...)
		case 2:
			key = bytes.Repeat([]byte{'a'}, min(i, KeyBytesMax))
		case 3: // rows of keys that begin with each other
			key = append(d[:1:1], bytes.Repeat([]byte{'b'}, i%100)...)
		case 4:
			key = fmt.Appendf(bytes.Repeat([]byte{'c'}, KeyBytesMax-8), "%08x", i)
		}
		o := op{key: key, deleted: i%deletes == 0}
		if !o.deleted {
			o.value = bytes.Repeat([]byte{byte(n)}, length*(i%3)/2)
		}
		ops = append(ops, o)
	}
	if rapid.IntRange(0, 3).Draw(t, "large") == 0 {
		ops = append(ops, op{key: []byte(drawKey(t)), value: make([]byte, ValueBytesMax)})
	}
	return append(ops, drawOps(t)...)
}

// TestACheckpointWritesNoMoreThanItsBounds: what is given to the database never weighs more
// than what is found out before without looking, and exactly what was weighed.
func TestACheckpointWritesNoMoreThanItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, w := newWeighing()
		for seq := wire.Seq(1); seq <= 4; seq++ {
			perform(t, s, content{}, drawMany(t))
			base, ops := s.newest().root, s.active.ops()
			most := s.active.dirtyBytes(base)
			weighed, err := s.weigh(base, ops)
			if err != nil {
				t.Fatal(err)
			}
			w.bytes = 0
			checkpointed(t, s, seq)
			if w.bytes > most || w.bytes != weighed {
				t.Fatalf("%d changes above %d entries of %d bytes wrote %d bytes, want %d at most, and the %d that were weighed",
					len(ops), base.count, base.bytes, w.bytes, most, weighed)
			}
		}
	})
}

// TestManyPagesOnOneWayAreWithinTheBounds changes one key that hundreds lead to, and one beside
// which there is a value of the largest size.
func TestManyPagesOnOneWayAreWithinTheBounds(t *testing.T) {
	s, w := newWeighing()
	for n := range KeyBytesMax {
		if err := s.Put(bytes.Repeat([]byte{'a'}, n), make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	last := bytes.Repeat([]byte{'a'}, KeyBytesMax)
	if err := s.Put(last, make([]byte, ValueBytesMax)); err != nil {
		t.Fatal(err)
	}
	checkpointed(t, s, 1)
	for seq, key := range [][]byte{last, append(last[:KeyBytesMax-1:KeyBytesMax-1], 'b')} {
		if err := s.Put(key, []byte{'x'}); err != nil {
			t.Fatal(err)
		}
		most := s.active.dirtyBytes(s.newest().root)
		w.bytes = 0
		checkpointed(t, s, wire.Seq(seq+2))
		if w.bytes > most || w.bytes < KeyBytesMax*KeyBytesMax/2 {
			t.Errorf("one change wrote %d bytes, want %d at most, and a long way", w.bytes, most)
		}
	}
}

// TestManyShortKeysNeedNoMoreSpaceThanTheyTake: a bound that counts a page for each would have
// all replicas stop at the same number.
func TestManyShortKeysNeedNoMoreSpaceThanTheyTake(t *testing.T) {
	put := func(s *Store) {
		t.Helper()
		for i := range 20_000 {
			d := crypto.Sum(fmt.Append(nil, i))
			if err := s.Put(append([]byte("a"), d[:16]...), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	measured, w := newWeighing()
	put(measured)
	checkpointed(t, measured, 1)
	for lacking, want := range []error{nil, ErrNoSpace} {
		free := 3*w.bytes + headroomBytes - uint64(lacking) //nolint:gosec // it is 0 or 1
		s := open(t, t.TempDir(), Options{Free: func(string) (uint64, error) { return free, nil }})
		put(s)
		done := make(chan error, 1)
		s.Checkpoint(1, func(_ crypto.Digest, err error) { done <- err })
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("checkpoint that writes %d bytes, with %d free: %v, want %v", w.bytes, free, err, want)
		}
		closed(t, s)
	}
}
