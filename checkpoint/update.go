package checkpoint

import (
	"bytes"
	"fmt"
)

// op is one change of the content.
type op struct {
	key, value []byte
	deleted    bool
}

// builder makes the tree of a changed content out of the tree before. It reads,
// rehashes and writes only the pages on the paths of what changed.
type builder struct {
	rd  *reader
	gen uint64
	// emit writes a page that is part of the new tree, after its children.
	emit func(r ref, encoded, stored []byte) error
	// drop takes a page of the old tree that is no part of the new one.
	drop func(r ref) error
}

// sub is a subtree in the making: nothing (count 0), a page of the old tree
// (clean), or a new page that is not written yet, because a parent may still
// swallow it.
type sub struct {
	bytes, count uint64
	clean        bool
	ref          ref   // if clean
	page         *page // if not clean
}

func cleanSub(r ref) sub { return sub{bytes: r.bytes, count: r.count, clean: r.count > 0, ref: r} }

func dirtySub(p *page) sub { return sub{bytes: p.bytes, count: p.count, page: p} }

// build returns the root of the content below root after ops, which ascend.
func (b *builder) build(root ref, ops []op) (ref, error) {
	s, err := b.update(root, ops)
	if err != nil {
		return ref{}, err
	}
	if s.count == 0 {
		return ref{digest: EmptyRoot()}, nil
	}
	return b.settle(s)
}

func (b *builder) update(old ref, ops []op) (sub, error) {
	if len(ops) == 0 {
		return cleanSub(old), nil
	}
	if old.count == 0 {
		return b.fromEntries(puts(ops))
	}
	p, err := b.rd.load(old)
	if err != nil {
		return sub{}, err
	}
	if !p.leaf {
		return b.updateInner(old, p, ops)
	}
	entries, changed := mergeOps(p.entries, ops)
	if !changed {
		return cleanSub(old), nil
	}
	if err := b.drop(old); err != nil {
		return sub{}, err
	}
	return b.fromEntries(entries)
}

func (b *builder) updateInner(old ref, p *page, ops []op) (sub, error) {
	// Deletions of keys outside of the prefix delete nothing; what is put there
	// goes beside this subtree.
	i, j := 0, len(ops)
	for i < j && !hasPrefix(ops[i].key, p.prefix, p.depth) {
		i++
	}
	for j > i && !hasPrefix(ops[j-1].key, p.prefix, p.depth) {
		j--
	}
	outside := append(puts(ops[:i]), puts(ops[j:])...)

	kids, changed, err := b.updateKids(p, ops[i:j])
	if err != nil {
		return sub{}, err
	}
	s := cleanSub(old)
	if changed {
		if err := b.drop(old); err != nil {
			return sub{}, err
		}
		if s, err = b.normal(p, kids); err != nil {
			return sub{}, err
		}
	}
	return b.join(s, outside)
}

// updateKids applies ops, all below p, to its children.
func (b *builder) updateKids(p *page, ops []op) (kids [labels]sub, changed bool, err error) {
	for _, k := range p.kids {
		kids[k.label] = cleanSub(k.ref)
	}
	for len(ops) > 0 {
		l := label(ops[0].key, p.depth)
		n := 1
		for n < len(ops) && label(ops[n].key, p.depth) == l {
			n++
		}
		s, err := b.update(kids[l].ref, ops[:n])
		if err != nil {
			return kids, false, err
		}
		changed = changed || s.clean != kids[l].clean || s.ref != kids[l].ref || s.page != nil
		kids[l] = s
		ops = ops[n:]
	}
	return kids, changed, nil
}

// normal gives the subtree of these children its one shape.
func (b *builder) normal(p *page, kids [labels]sub) (sub, error) {
	var total sub
	parts, last := 0, sub{}
	for _, k := range kids {
		if k.count > 0 {
			parts, last = parts+1, k
			total.bytes += k.bytes
			total.count += k.count
		}
	}
	switch {
	case parts == 0:
		return sub{}, nil
	case parts == 1:
		return last, nil
	case total.bytes <= LeafBytesMax:
		var entries []entry
		for _, k := range kids {
			more, err := b.swallow(k)
			if err != nil {
				return sub{}, err
			}
			entries = append(entries, more...)
		}
		return dirtySub(newLeaf(entries)), nil
	default:
		return b.inner(p.prefix, p.depth, kids)
	}
}

// inner makes an inner page over children, which are written.
func (b *builder) inner(key []byte, depth int, kids [labels]sub) (sub, error) {
	var settled []kid
	for l, k := range kids {
		if k.count == 0 {
			continue
		}
		r, err := b.settle(k)
		if err != nil {
			return sub{}, err
		}
		settled = append(settled, kid{byte(l), r})
	}
	return dirtySub(newInner(key, depth, settled)), nil
}

// fromEntries makes the subtree of entries, which ascend.
func (b *builder) fromEntries(entries []entry) (sub, error) {
	if len(entries) == 0 {
		return sub{}, nil
	}
	if len(entries) == 1 || sizeOf(entries) <= LeafBytesMax {
		return dirtySub(newLeaf(entries)), nil
	}
	first := entries[0].key
	depth := commonDepth(first, entries[len(entries)-1].key)
	var kids [labels]sub
	for len(entries) > 0 {
		l, n := group(entries, depth)
		s, err := b.fromEntries(entries[:n:n])
		if err != nil {
			return sub{}, err
		}
		kids[l] = s
		entries = entries[n:]
	}
	return b.inner(first, depth, kids)
}

// group returns the label at depth of the first entries, and how many have it.
func group(entries []entry, depth int) (l byte, n int) {
	l = label(entries[0].key, depth)
	for n < len(entries) && label(entries[n].key, depth) == l {
		n++
	}
	return l, n
}

// join adds entries, none of which has a key within the common prefix of s.
func (b *builder) join(s sub, entries []entry) (sub, error) {
	if len(entries) == 0 {
		return s, nil
	}
	if s.count == 0 {
		return b.fromEntries(entries)
	}
	if s.bytes+sizeOf(entries) <= LeafBytesMax {
		own, err := b.swallow(s)
		if err != nil {
			return sub{}, err
		}
		return dirtySub(newLeaf(mergeEntries(own, entries))), nil
	}
	key, depth, err := b.span(s)
	if err != nil {
		return sub{}, err
	}
	for _, e := range entries {
		depth = min(depth, commonDepth(key, e.key))
	}
	var kids [labels]sub
	kids[label(key, depth)] = s
	for len(entries) > 0 {
		l, n := group(entries, depth)
		if kids[l], err = b.join(kids[l], entries[:n:n]); err != nil {
			return sub{}, err
		}
		entries = entries[n:]
	}
	return b.inner(key, depth, kids)
}

// span returns the longest common prefix of the keys of s, as some key that
// begins with it and its depth.
func (b *builder) span(s sub) ([]byte, int, error) {
	p, err := b.open(s)
	if err != nil {
		return nil, 0, err
	}
	if !p.leaf {
		return p.prefix, p.depth, nil
	}
	first, last := p.entries[0].key, p.entries[len(p.entries)-1].key
	return first, commonDepth(first, last), nil
}

// swallow returns the entries of a leaf that becomes part of another one.
func (b *builder) swallow(s sub) ([]entry, error) {
	if s.count == 0 {
		return nil, nil
	}
	p, err := b.open(s)
	if err != nil {
		return nil, err
	}
	if !p.leaf {
		return nil, fmt.Errorf("checkpoint: inner page of only %d bytes", s.bytes)
	}
	if s.clean {
		err = b.drop(s.ref)
	}
	return p.entries, err
}

func (b *builder) open(s sub) (*page, error) {
	if s.clean {
		return b.rd.load(s.ref)
	}
	return s.page, nil
}

// settle writes s if it is new, and returns its name.
func (b *builder) settle(s sub) (ref, error) {
	if s.clean {
		return s.ref, nil
	}
	encoded := s.page.encode()
	r := ref{digest: pageDigest(encoded), birth: b.gen, bytes: s.bytes, count: s.count}
	return r, b.emit(r, encoded, s.page.stored(encoded))
}

func puts(ops []op) []entry {
	var entries []entry
	for _, o := range ops {
		if !o.deleted {
			entries = append(entries, entry{o.key, o.value})
		}
	}
	return entries
}

// mergeOps returns entries after ops, both ascending, and whether they differ.
func mergeOps(entries []entry, ops []op) (merged []entry, changed bool) {
	merged = make([]entry, 0, len(entries)+len(ops))
	for _, o := range ops {
		for len(entries) > 0 && bytes.Compare(entries[0].key, o.key) < 0 {
			merged = append(merged, entries[0])
			entries = entries[1:]
		}
		had := len(entries) > 0 && bytes.Equal(entries[0].key, o.key)
		changed = changed || had == o.deleted || had && !bytes.Equal(entries[0].value, o.value)
		if had {
			entries = entries[1:]
		}
		if !o.deleted {
			merged = append(merged, entry{o.key, o.value})
		}
	}
	return append(merged, entries...), changed
}

// mergeEntries merges two ascending lists without common keys.
func mergeEntries(a, b []entry) []entry {
	ops := make([]op, len(b))
	for i, e := range b {
		ops[i] = op{key: e.key, value: e.value}
	}
	merged, _ := mergeOps(a, ops)
	return merged
}
