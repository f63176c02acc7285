package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// ErrMisfit says that the pages of another's state do not fit each other: no correct
// replica signs its root.
var ErrMisfit = errors.New("its pages do not fit each other, so whoever signed it is faulty")

// Compare finds out at which keys two snapshots differ. It walks both trees top-down
// and together, and reads only pages that differ: of own from a snapshot kept here,
// and of other from here or, where it is not here, from fetch, which returns the pages
// with these digests, in their order. Any goroutine may call it; nothing is stored.
//
// It calls yield for the first limit keys that differ, in ascending order, with both
// values, nil where there is none; and returns how many others differ at least: each of
// them is a key, or a page that was not looked into. No call of fetch asks for more
// than limit pages. An error is one of fetch, ErrMisfit, or says that own is not here
// any more; yield was not called then.
func (s *Store) Compare(own, other crypto.Digest, limit int, fetch func([]crypto.Digest) ([][]byte, error),
	yield func(key, own, other []byte),
) (more int, err error) {
	parts := apart(halfOf(own), halfOf(other))
	for {
		if n := len(parts) - limit; n > 0 {
			more, parts = more+n, parts[:limit]
		}
		if !slices.ContainsFunc(parts, func(p part) bool { return p.found == nil }) {
			break
		}
		if err := s.read(parts, fetch); err != nil {
			return 0, fmt.Errorf("checkpoint: compare states: %w", err)
		}
		var next []part
		for i := range parts {
			next = append(next, parts[i].split()...)
		}
		parts = next
	}
	for _, p := range parts {
		yield(p.found.key, p.found.own, p.found.other)
	}
	return more, nil
}

// part is a part of the key space, down to a single key, in which two trees differ. It is
// known to, for equal contents have equal digests: so the first parts hold the first keys.
type part struct {
	own, other half
	found      *difference // if it is a single key
}

type difference struct{ key, own, other []byte }

// half is what one tree has in a part: the page that belongs at a place, nil before it
// is read. The zero half is nothing.
type half struct {
	at   place
	page *page
}

func halfOf(root crypto.Digest) half {
	if root == EmptyRoot() {
		return half{}
	}
	return half{at: place{ref: ref{digest: root}}}
}

func (h half) digest() crypto.Digest { return h.at.ref.digest }

// missing tells whether there is a page to be read.
func (h half) missing() bool { return h.page == nil && !h.digest().IsZero() }

// apart returns the part of two halves, or none if they are equal.
func apart(own, other half) []part {
	if own.digest() == other.digest() {
		return nil
	}
	return []part{{own: own, other: other}}
}

// read reads the pages of all parts.
func (s *Store) read(parts []part, fetch func([]crypto.Digest) ([][]byte, error)) error {
	var own, other []*half
	for i := range parts {
		own, other = append(own, &parts[i].own), append(other, &parts[i].other)
	}
	lack, err := s.readHere(own)
	if err != nil {
		return err
	}
	if len(lack) > 0 {
		return fmt.Errorf("page %s of the own snapshot is not here any more", lack[0].digest().Short())
	}
	lack, err = s.readHere(other)
	if err != nil || len(lack) == 0 {
		return err
	}
	var digests []crypto.Digest
	for _, h := range lack {
		digests = append(digests, h.digest())
	}
	fetched, err := fetch(digests)
	if err == nil && len(fetched) != len(lack) {
		err = fmt.Errorf("fetched %d pages of %d", len(fetched), len(lack))
	}
	for i := 0; err == nil && i < len(lack); i++ {
		err = lack[i].take(fetched[i])
	}
	return err
}

// readHere reads the pages that snapshots kept here have, and returns the halves whose
// pages they lack.
func (s *Store) readHere(halves []*half) (lack []*half, err error) {
	for _, h := range halves {
		if !h.missing() {
			continue
		}
		data, ok := s.Piece(h.digest())
		if !ok {
			lack = append(lack, h)
			continue
		}
		if err := h.take(data); err != nil {
			return nil, err
		}
	}
	return lack, nil
}

// take takes the page that belongs to h's place.
func (h *half) take(data []byte) error {
	if pageDigest(data) != h.digest() {
		return fmt.Errorf("a page does not have the digest %s", h.digest().Short())
	}
	p, err := h.at.proven(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMisfit, err)
	}
	h.page = p
	return nil
}

// split returns the smaller parts in which the halves of p differ, ascending. It makes
// keys of two leaves; otherwise the part falls apart by the labels of the highest page,
// or where a page branches off above it.
func (p part) split() []part {
	if p.found != nil {
		return []part{p}
	}
	own, other := p.own.page, p.other.page
	if (own == nil || own.leaf) && (other == nil || other.leaf) {
		return merge(entriesOf(own), entriesOf(other))
	}
	depth := forkOf(own, other)
	left, right := p.own.below(depth), p.other.below(depth)
	var parts []part
	for l := range left {
		parts = append(parts, apart(left[l], right[l])...)
	}
	return parts
}

func entriesOf(p *page) []entry {
	if p == nil {
		return nil
	}
	return p.entries
}

// merge returns the keys at which two leaves differ.
func merge(own, other []entry) []part {
	var parts []part
	for len(own)+len(other) > 0 {
		var d difference
		order := 0
		switch {
		case len(other) == 0:
			order = -1
		case len(own) == 0:
			order = 1
		default:
			order = bytes.Compare(own[0].key, other[0].key)
		}
		if order <= 0 {
			d.key, d.own, own = own[0].key, own[0].value, own[1:]
		}
		if order >= 0 {
			d.key, d.other, other = other[0].key, other[0].value, other[1:]
		}
		if order != 0 || !bytes.Equal(d.own, d.other) {
			parts = append(parts, part{found: &d})
		}
	}
	return parts
}

// forkOf returns the depth down to which all keys of some pages, one of which is not a
// leaf, are alike.
func forkOf(pages ...*page) int {
	var prefix []byte
	depth := depthMax
	for _, p := range pages {
		if p == nil || p.leaf {
			continue
		}
		if prefix != nil {
			depth = min(depth, commonDepth(prefix, p.prefix))
		}
		prefix, depth = p.prefix, min(depth, p.depth)
	}
	for _, p := range pages {
		for _, e := range entriesOf(p) {
			depth = min(depth, commonDepth(prefix, e.key))
		}
	}
	return depth
}

// below returns what h has under each label at depth, down to which all its keys are
// alike. What is left of a leaf is a leaf again, and has the digest of one.
func (h half) below(depth int) (halves [labels]half) {
	p := h.page
	switch {
	case p == nil:
	case !p.leaf && p.depth > depth:
		halves[label(p.prefix, depth)] = h
	case !p.leaf:
		for _, k := range p.kids {
			halves[k.label] = half{at: place{p, k.label, k.ref}}
		}
	default:
		for rest := p.entries; len(rest) > 0; {
			l, n := label(rest[0].key, depth), 1
			for n < len(rest) && label(rest[n].key, depth) == l {
				n++
			}
			leaf := newLeaf(rest[:n])
			halves[l] = half{place{ref: ref{digest: pageDigest(leaf.encode())}}, leaf}
			rest = rest[n:]
		}
	}
	return halves
}
