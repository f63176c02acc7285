package checkpoint

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// How much of the disk a checkpoint takes is bounded in two ways, which cost nothing; where the
// disk has no room for the lower of them, it is built once to be weighed, and only what it
// really takes must be free. A bound of so much for each key would not do alone: whether a key
// costs a hundred bytes or a page of 256 KiB beside it is up to those who choose keys.

const (
	// headroomBytes must stay free on the disk beside three times what is written:
	// Badger maps its log, and a full disk kills the process with SIGBUS.
	headroomBytes = 256 << 20

	// recordBytes is the most that Badger adds to a record, in its log or in a table. In the
	// log that is a header of up to 22, a timestamp of 8, a checksum of 4. In a table: a header
	// of 4, a timestamp of 8, 3 before the value, an offset of 4, 2 of the filter; and, if a
	// block holds nothing else, 16 for that, and 92 to find it by a key of up to 49.
	recordBytes = 136

	// placeBytes is what a page takes beside what is stored: two keys, its own and its index.
	placeBytes = 2 * (1 + birthBytes + crypto.DigestSize + recordBytes)
	// leafCost and innerCost are what a leaf takes beside its entries, and an inner page
	// beside its children and its prefix; kidCost is what its parent holds of a page.
	leafCost  = leafHeaderBytes + placeBytes
	innerCost = innerHeaderBytes + bitmapBytes + placeBytes
	kidCost   = kidBytes + birthBytes

	// deadCost is what one page takes in a dead list, with its share of a full record.
	deadCost = deadBytes + 1
	// fixedCost is what every checkpoint takes: the manifest, and a record of a dead list
	// that is not full.
	fixedCost = manifestBytes + 1 + birthBytes + 4 + recordBytes

	// stepCost is the most that a key costs for each of the inner pages on the way to it: one
	// with a prefix and as many children as there can be, all of them leaves that are new; and
	// in the dead list the page in its place, and its children.
	stepCost = innerCost + KeyBytesMax + labels*(kidCost+leafCost) + (1+labels)*deadCost
	// keyCost is the most that it costs besides: a leaf, which is in a tree without inner pages,
	// and entries that are rewritten with it: of the leaf that it was put in or removed from,
	// and of one that its neighbours become.
	keyCost = entryHeaderBytes + leafCost + deadCost + PageBytesMax + LeafBytesMax
)

// dirtyBytes bounds what a checkpoint of the overlay writes above the tree below base.
func (o *overlay) dirtyBytes(base ref) uint64 {
	n, bytes, keyBytes := uint64(len(o.byKey)), uint64(o.bytes), uint64(o.keyBytes) //nolint:gosec // all are positive
	whole := treeBytesMax(base.bytes+bytes+n*entryHeaderBytes, base.count+n) + 2*base.count*deadCost
	// A page is written if it is on the way to a key that changes, which is at most one for each
	// length that the prefix of such a page may have, in nibbles, or if it is a child of one.
	ways := bytes + n*keyCost + (2*keyBytes+n)*stepCost
	return uint64(fixedCost) + min(whole, ways)
}

// treeBytesMax bounds what the pages of a tree take: it has no more leaves than entries; less
// inner pages than leaves, for each of them has two children; and each page is the child of
// one. For every inner page there is another leaf below it, whose keys begin with its prefix:
// so all prefixes are no longer than all keys.
func treeBytesMax(bytes, count uint64) uint64 {
	return 2*bytes + count*(leafCost+innerCost+2*kidCost)
}

// admit refuses a checkpoint of ops above base for which the disk has no room.
func (s *Store) admit(base ref, o *overlay, ops []op) error {
	err := s.guard(o.dirtyBytes(base))
	if !errors.Is(err, ErrNoSpace) {
		return err
	}
	bytes, err := s.weigh(base, ops)
	if err != nil {
		return err
	}
	return s.guard(bytes)
}

// weigh returns what a checkpoint of ops above base writes: it builds all of it, and keeps
// nothing.
func (s *Store) weigh(base ref, ops []op) (uint64, error) {
	on := &scale{bytes: uint64(manifestBytes)}
	_, _, err := s.build(base, s.nextGen, ops, &batch{to: on, before: s.goOn})
	return on.bytes, err
}

// scale is pages that weigh what is written, and drop it. Nobody reads them.
type scale struct {
	pages
	bytes uint64
}

func (s *scale) apply(changes []change) error {
	for _, c := range changes {
		s.bytes += uint64(len(c.key) + len(c.value) + recordBytes)
	}
	return nil
}

// guard refuses to write so many bytes when the disk could fill up.
func (s *Store) guard(bytes uint64) error {
	if s.disk == nil {
		return nil
	}
	free, err := s.disk.free()
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", s.disk.dir, err)
	}
	if need := 3*bytes + headroomBytes; free < need {
		return fmt.Errorf("%s has %d MiB free, %d MiB are needed: %w", s.disk.dir, free>>20, need>>20, ErrNoSpace)
	}
	return nil
}
