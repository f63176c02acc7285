package checkpoint

import "bytes"

// reader reads trees of pages. Many goroutines may use it.
type reader struct {
	pages pages
	cache *cache
}

// load returns the page that r names, verified against its digest (I4).
func (rd *reader) load(r ref) (*page, error) {
	if p := rd.cache.get(r); p != nil {
		return p, nil
	}
	p, size, err := rd.fetch(r)
	if err != nil {
		return nil, err
	}
	rd.cache.put(r, p, size)
	return p, nil
}

// fetch is load past the cache. It returns the stored size too.
func (rd *reader) fetch(r ref) (*page, int, error) {
	data, ok, err := rd.pages.get(pageKey(r))
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, damaged("page %s of generation %d is missing", r.digest.Short(), r.birth)
	}
	p, _, err := decodeStored(data, r.digest)
	if err != nil {
		return nil, 0, damaged("page %s of generation %d: %v", r.digest.Short(), r.birth, err)
	}
	return p, len(data), nil
}

// walk calls visit for every page on the route, from root down, until it
// returns false. It reads a page only after visit has agreed to go on.
func (rd *reader) walk(root ref, rt route, visit func(r ref) bool) error {
	for r, ok := root, root.count > 0; ok; {
		if !visit(r) {
			return nil
		}
		p, err := rd.load(r)
		if err != nil {
			return err
		}
		r, ok = p.next(rt)
	}
	return nil
}

// get returns the value of key in the tree below root.
func (rd *reader) get(root ref, key []byte) ([]byte, bool, error) {
	var last ref
	if err := rd.walk(root, routeTo(key), func(r ref) bool { last = r; return true }); err != nil || last.count == 0 {
		return nil, false, err
	}
	p, err := rd.load(last)
	if err != nil {
		return nil, false, err
	}
	value, ok := p.find(key)
	return value, ok, nil
}

// trail looks for one page after another in a snapshot. It goes back only to where the way to
// the next one branches off: from a page to the one above or below that is a step, and not the
// whole way. Keys that begin with each other make it long, for every one of them has a page. One
// goroutine uses a trail.
type trail struct {
	rd  *reader
	of  snapshot
	way []visited // from the root down
}

type visited struct {
	ref  ref
	page *page
}

// reaches tells whether the page p, which r names, is part of the snapshot.
func (t *trail) reaches(r ref, p *page) (bool, error) {
	_, found, err := t.find(p.route(), func(on ref) bool { return on.digest == r.digest && on.birth == r.birth })
	return found, err
}

// at returns the page of this digest that belongs at a place, if the snapshot has it there.
func (t *trail) at(at place) (ref, bool, error) {
	return t.find(at.route(), func(on ref) bool { return on.digest == at.ref.digest })
}

// find returns the page on a route, or where it leads to, that is the one. That must not have
// a shorter prefix than the route.
func (t *trail) find(rt route, is func(on ref) bool) (ref, bool, error) {
	next, ok := t.back(rt)
	if n := len(t.way); n > 0 && is(t.way[n-1].ref) {
		return t.way[n-1].ref, true, nil
	}
	for ok {
		if is(next) {
			return next, true, nil
		}
		p, err := t.rd.load(next)
		if err != nil {
			return ref{}, false, err
		}
		t.way = append(t.way, visited{next, p})
		next, ok = p.next(rt)
	}
	return ref{}, false, nil
}

// back goes back to the last page on a route, and returns the next one there, if there is
// one.
func (t *trail) back(rt route) (next ref, ok bool) {
	for n := len(t.way); n > 0; n-- {
		if on := t.way[n-1].page; !on.leaf && rt.under(on.prefix, on.depth) {
			t.way = t.way[:n]
			return on.next(rt)
		}
	}
	t.way = t.way[:0]
	return t.of.root, t.of.root.count > 0
}

// verify reads the tree below root down to depth levels, and checks each page
// against its parent. It returns the first damage that it finds, or the first error of goOn,
// which it asks before each page.
func (rd *reader) verify(root ref, levels int, goOn func() error) error {
	if root.count == 0 {
		return nil
	}
	type task struct {
		at    place
		level int
	}
	stack := []task{{place{ref: root}, 1}}
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := goOn(); err != nil {
			return err
		}
		p, _, err := rd.fetch(t.at.ref)
		if err != nil {
			return err
		}
		if p.bytes != t.at.ref.bytes || p.count != t.at.ref.count {
			return damaged("page %s does not have the size that its parent says", t.at.ref.digest.Short())
		}
		if err := t.at.refuse(p); err != nil {
			return damaged("page %s: %v", t.at.ref.digest.Short(), err)
		}
		if t.level == levels {
			continue
		}
		for _, k := range p.kids {
			stack = append(stack, task{place{p, k.label, k.ref}, t.level + 1})
		}
	}
	return nil
}

// cursor goes through the entries of a tree in ascending order.
type cursor struct {
	rd      *reader
	from    []byte
	stack   []ref // subtrees to go through, the next last
	entries []entry
}

func (rd *reader) cursor(root ref, from []byte) *cursor {
	c := &cursor{rd: rd, from: from}
	if root.count > 0 {
		c.stack = append(c.stack, root)
	}
	return c
}

// peek returns the next entry, or false at the end.
func (c *cursor) peek() (entry, bool, error) {
	for len(c.entries) == 0 {
		if len(c.stack) == 0 {
			return entry{}, false, nil
		}
		r := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		p, err := c.rd.load(r)
		if err != nil {
			return entry{}, false, err
		}
		c.open(p)
	}
	return c.entries[0], true, nil
}

func (c *cursor) next() { c.entries = c.entries[1:] }

// open puts what of p is at or above from before everything else.
func (c *cursor) open(p *page) {
	if p.leaf {
		c.entries = p.entries[p.seek(c.from):]
		return
	}
	first := byte(0) // the lowest label that may hold keys at or above from
	if shared := commonDepth(c.from, p.prefix); shared >= p.depth && 2*len(c.from) >= p.depth {
		first = label(c.from, p.depth)
	} else if bytes.Compare(c.from, p.prefix) > 0 {
		return
	}
	for i := len(p.kids) - 1; i >= 0 && p.kids[i].label >= first; i-- {
		c.stack = append(c.stack, p.kids[i].ref)
	}
}
