package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/quorate/quorate/crypto"
)

const (
	pageTag  = "quorate/state/page/1\x00" // what every page digest covers first
	leafKind = 'L'
	treeKind = 'N'

	leafHeaderBytes  = 3 // kind, number of entries
	entryHeaderBytes = 6 // length of key, length of value
	innerHeaderBytes = 3 // kind, depth
	bitmapBytes      = 4
	kidBytes         = crypto.DigestSize + 16 // digest, bytes, count
	birthBytes       = 8

	depthMax = 2 * KeyBytesMax
	// totalMax bounds the sizes that a page may claim, so that sums of all its
	// children cannot overflow.
	totalMax = 1 << 56
)

// ref names a page, and tells the size of the subtree below it.
type ref struct {
	digest crypto.Digest
	birth  uint64 // the generation that wrote it; not digested
	bytes  uint64 // of all its entries, encoded
	count  uint64 // of entries
}

type entry struct{ key, value []byte }

func (e entry) size() uint64 { return uint64(entryHeaderBytes + len(e.key) + len(e.value)) }

func sizeOf(entries []entry) uint64 {
	var n uint64
	for _, e := range entries {
		n += e.size()
	}
	return n
}

type kid struct {
	label byte
	ref   ref
}

// page is a decoded page. It is never changed after it was made.
type page struct {
	leaf    bool
	entries []entry // of a leaf, ascending

	prefix []byte // of an inner page: what all its keys begin with, padded
	depth  int    // in nibbles
	kids   []kid  // ascending label

	bytes uint64
	count uint64
}

// EmptyRoot returns the root digest of the state without any key.
func EmptyRoot() crypto.Digest { return pageDigest([]byte{leafKind, 0, 0}) }

func pageDigest(encoded []byte) crypto.Digest { return crypto.Sum([]byte(pageTag), encoded) }

// newLeaf makes a leaf of entries, which ascend and are not empty.
func newLeaf(entries []entry) *page {
	return &page{leaf: true, entries: entries, bytes: sizeOf(entries), count: uint64(len(entries))}
}

// newInner makes an inner page whose keys share the first depth nibbles of key.
func newInner(key []byte, depth int, kids []kid) *page {
	p := &page{prefix: prefixOf(key, depth), depth: depth, kids: kids}
	for _, k := range kids {
		p.bytes += k.ref.bytes
		p.count += k.ref.count
	}
	return p
}

// encode returns the canonical encoding, which the digest covers.
func (p *page) encode() []byte {
	if p.leaf {
		b := make([]byte, 0, leafHeaderBytes+int(p.bytes)) //nolint:gosec // a leaf is below PageBytesMax
		b = append(b, leafKind)
		b = binary.BigEndian.AppendUint16(b, uint16(p.count)) //nolint:gosec // a leaf has less than LeafBytesMax entries
		for _, e := range p.entries {
			b = binary.BigEndian.AppendUint16(b, uint16(len(e.key)))   //nolint:gosec // at most KeyBytesMax
			b = binary.BigEndian.AppendUint32(b, uint32(len(e.value))) //nolint:gosec // at most ValueBytesMax
			b = append(b, e.key...)
			b = append(b, e.value...)
		}
		return b
	}
	b := make([]byte, 0, innerHeaderBytes+len(p.prefix)+bitmapBytes+len(p.kids)*(kidBytes+birthBytes))
	b = append(b, treeKind)
	b = binary.BigEndian.AppendUint16(b, uint16(p.depth)) //nolint:gosec // at most depthMax
	b = append(b, p.prefix...)
	var bitmap uint32
	for _, k := range p.kids {
		bitmap |= 1 << k.label
	}
	b = binary.BigEndian.AppendUint32(b, bitmap)
	for _, k := range p.kids {
		b = append(b, k.ref.digest[:]...)
		b = binary.BigEndian.AppendUint64(b, k.ref.bytes)
		b = binary.BigEndian.AppendUint64(b, k.ref.count)
	}
	return b
}

// stored returns what is written to disk: the canonical encoding and, of an
// inner page, the generations that wrote its children.
func (p *page) stored(encoded []byte) []byte {
	for _, k := range p.kids {
		encoded = binary.BigEndian.AppendUint64(encoded, k.ref.birth)
	}
	return encoded
}

// decodeStored is the reverse of stored; it verifies the digest (I4) and
// returns the canonical encoding too, which shares data.
func decodeStored(data []byte, want crypto.Digest) (*page, []byte, error) {
	encoded := data
	var births []byte
	if len(data) > 0 && data[0] == treeKind {
		n, err := innerLen(data)
		if err != nil {
			return nil, nil, err
		}
		encoded, births = data[:n:n], data[n:]
	}
	if pageDigest(encoded) != want {
		return nil, nil, errors.New("page does not have its digest")
	}
	p, err := decodePage(encoded)
	if err != nil {
		return nil, nil, err
	}
	if len(births) != birthBytes*len(p.kids) {
		return nil, nil, fmt.Errorf("page has %d bytes of births for %d children", len(births), len(p.kids))
	}
	for i := range p.kids {
		p.kids[i].ref.birth = binary.BigEndian.Uint64(births[i*birthBytes:])
	}
	return p, encoded, nil
}

// encodedPart returns the canonical encoding within what is stored.
func encodedPart(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != treeKind {
		return data, nil
	}
	n, err := innerLen(data)
	if err != nil {
		return nil, err
	}
	return data[:n:n], nil
}

// innerLen returns how long the canonical encoding is with which data begins.
func innerLen(data []byte) (int, error) {
	if len(data) < innerHeaderBytes {
		return 0, errors.New("inner page is cut short")
	}
	n := innerHeaderBytes + (int(binary.BigEndian.Uint16(data[1:]))+1)/2
	if len(data) < n+bitmapBytes {
		return 0, errors.New("inner page is cut short")
	}
	bitmap := binary.BigEndian.Uint32(data[n:])
	n += bitmapBytes
	for ; bitmap != 0; bitmap &= bitmap - 1 {
		n += kidBytes
	}
	if len(data) < n {
		return 0, errors.New("inner page is cut short")
	}
	return n, nil
}

// decodePage decodes the canonical encoding, and refuses every other one. The
// page shares data.
func decodePage(data []byte) (*page, error) {
	switch {
	case len(data) > PageBytesMax:
		return nil, fmt.Errorf("page of %d bytes, at most %d are allowed", len(data), PageBytesMax)
	case len(data) >= leafHeaderBytes && data[0] == leafKind:
		return decodeLeaf(data)
	case len(data) >= innerHeaderBytes && data[0] == treeKind:
		return decodeInner(data)
	default:
		return nil, errors.New("not a page")
	}
}

func decodeLeaf(data []byte) (*page, error) {
	count := int(binary.BigEndian.Uint16(data[1:]))
	rest := data[leafHeaderBytes:]
	if count == 0 || count*entryHeaderBytes > len(rest) {
		return nil, fmt.Errorf("leaf of %d entries in %d bytes", count, len(rest))
	}
	p := &page{leaf: true, entries: make([]entry, 0, count), bytes: uint64(len(rest)), count: uint64(count)}
	for range count {
		e, n, err := decodeEntry(rest)
		if err != nil {
			return nil, err
		}
		if k := len(p.entries); k > 0 && bytes.Compare(p.entries[k-1].key, e.key) >= 0 {
			return nil, errors.New("keys of a leaf do not ascend")
		}
		p.entries = append(p.entries, e)
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes after a leaf", len(rest))
	}
	if p.bytes > LeafBytesMax && count > 1 {
		return nil, fmt.Errorf("leaf of %d bytes, at most %d are allowed", p.bytes, LeafBytesMax)
	}
	return p, nil
}

func decodeEntry(data []byte) (entry, int, error) {
	if len(data) < entryHeaderBytes {
		return entry{}, 0, errors.New("entry is cut short")
	}
	keyLen, valueLen := int(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint32(data[2:]))
	if keyLen > KeyBytesMax || valueLen > ValueBytesMax {
		return entry{}, 0, fmt.Errorf("entry with a key of %d and a value of %d bytes", keyLen, valueLen)
	}
	end := entryHeaderBytes + keyLen + valueLen
	if len(data) < end {
		return entry{}, 0, errors.New("entry is cut short")
	}
	middle := entryHeaderBytes + keyLen
	return entry{data[entryHeaderBytes:middle:middle], data[middle:end:end]}, end, nil
}

func decodeInner(data []byte) (*page, error) {
	n, err := innerLen(data)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, fmt.Errorf("%d bytes after an inner page", len(data)-n)
	}
	depth := int(binary.BigEndian.Uint16(data[1:]))
	end := innerHeaderBytes + (depth+1)/2
	p := &page{prefix: data[innerHeaderBytes:end:end], depth: depth}
	if depth > depthMax || depth%2 == 1 && p.prefix[len(p.prefix)-1]&0xf != 0 {
		return nil, fmt.Errorf("inner page with a bad prefix of %d nibbles", depth)
	}
	bitmap := binary.BigEndian.Uint32(data[end:])
	rest := data[end+bitmapBytes:]
	for l := byte(0); bitmap>>l != 0; l++ {
		if bitmap>>l&1 == 0 {
			continue
		}
		k := kid{label: l}
		copy(k.ref.digest[:], rest)
		k.ref.bytes = binary.BigEndian.Uint64(rest[crypto.DigestSize:])
		k.ref.count = binary.BigEndian.Uint64(rest[crypto.DigestSize+8:])
		rest = rest[kidBytes:]
		if err := p.refuseKid(k); err != nil {
			return nil, err
		}
		p.kids = append(p.kids, k)
		p.bytes += k.ref.bytes
		p.count += k.ref.count
	}
	if len(p.kids) < 2 || p.bytes <= LeafBytesMax || p.bytes > totalMax {
		return nil, fmt.Errorf("inner page of %d children and %d bytes", len(p.kids), p.bytes)
	}
	return p, nil
}

// refuseKid tells what is impossible about a child, or nil.
func (p *page) refuseKid(k kid) error {
	switch {
	case k.label >= labels || k.label > 0 && p.depth >= depthMax || k.label == 0 && p.depth%2 == 1:
		return fmt.Errorf("child %d of an inner page at depth %d", k.label, p.depth)
	case k.ref.bytes > totalMax || k.ref.count == 0 || k.ref.count > k.ref.bytes/entryHeaderBytes:
		return fmt.Errorf("child %d has %d entries in %d bytes", k.label, k.ref.count, k.ref.bytes)
	case k.label == 0 && k.ref.count != 1:
		return fmt.Errorf("child for one key has %d entries", k.ref.count)
	}
	return nil
}

// place is where a page must be: below parent at label. A nil parent is the
// place of the root.
type place struct {
	parent *page
	label  byte
	ref    ref
}

// leaf tells whether a leaf is there. What the root is, nobody has told.
func (at place) leaf() bool { return at.parent != nil && isLeaf(at.ref.bytes, at.ref.count) }

// isLeaf tells whether so much is one leaf.
func isLeaf(size, count uint64) bool { return size <= LeafBytesMax || count == 1 }

// refuse tells why p, which has the digest that its parent says, cannot be at
// this place, or nil.
func (at place) refuse(p *page) error {
	if at.parent == nil {
		return nil
	}
	if p.bytes != at.ref.bytes || p.count != at.ref.count {
		return fmt.Errorf("page of %d entries in %d bytes where its parent has %d in %d",
			p.count, p.bytes, at.ref.count, at.ref.bytes)
	}
	if p.leaf != isLeaf(p.bytes, p.count) {
		return fmt.Errorf("page of %d entries in %d bytes is of the wrong kind", p.count, p.bytes)
	}
	if !p.leaf {
		if p.depth <= at.parent.depth || !at.holds(p.prefix) {
			return errors.New("page has another prefix than its parent says")
		}
		return nil
	}
	for _, e := range p.entries {
		if !at.holds(e.key) {
			return errors.New("page has a key outside of the range that its parent says")
		}
	}
	return nil
}

func (at place) holds(key []byte) bool {
	return hasPrefix(key, at.parent.prefix, at.parent.depth) && label(key, at.parent.depth) == at.label
}

// route returns the way to this place.
func (at place) route() route {
	if at.parent == nil {
		return route{nil, 0, noLabel}
	}
	return route{at.parent.prefix, at.parent.depth, at.label}
}

// route returns the way to p itself, wherever p is.
func (p *page) route() route {
	if p.leaf {
		return routeTo(p.entries[0].key)
	}
	return route{p.prefix, p.depth, noLabel}
}

// kid returns the child with this label.
func (p *page) kid(l byte) (ref, bool) {
	for _, k := range p.kids {
		if k.label == l {
			return k.ref, true
		}
	}
	return ref{}, false
}

// next returns the child on the route, if there is one.
func (p *page) next(rt route) (ref, bool) {
	if p.leaf || !rt.under(p.prefix, p.depth) {
		return ref{}, false
	}
	return p.kid(rt.label(p.depth))
}

// find returns the value of key in a leaf; another page has none.
func (p *page) find(key []byte) ([]byte, bool) {
	i := p.seek(key)
	if i == len(p.entries) || !bytes.Equal(p.entries[i].key, key) {
		return nil, false
	}
	return p.entries[i].value, true
}

// seek returns the index of the first entry of a leaf at or above key.
func (p *page) seek(key []byte) int {
	return sort.Search(len(p.entries), func(i int) bool { return bytes.Compare(p.entries[i].key, key) >= 0 })
}
