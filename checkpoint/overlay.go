package checkpoint

import (
	"bytes"
	"slices"

	"github.com/google/btree"
)

// overlay holds changes that are not in pages yet. One goroutine writes and scans it;
// once frozen, many may read it. Changes are found by a table; they are put in order
// when somebody scans, for few do, and every operation writes several keys.
type overlay struct {
	byKey map[string]*op
	tree  *btree.BTreeG[*op] // the same in order, from the first scan on

	bytes, keyBytes int // of keys and values, and of keys alone
}

func newOverlay() *overlay { return &overlay{byKey: make(map[string]*op)} }

func (o *overlay) set(c op) {
	if old, had := o.byKey[string(c.key)]; had {
		o.bytes += len(c.value) - len(old.value)
		old.value, old.deleted = c.value, c.deleted
		return
	}
	added := c // c itself needs no memory of its own
	o.bytes += len(c.key) + len(c.value)
	o.keyBytes += len(c.key)
	o.byKey[string(c.key)] = &added
	if o.tree != nil {
		o.tree.ReplaceOrInsert(&added)
	}
}

// get returns the change of a key, if there is one.
func (o *overlay) get(key []byte) (op, bool) {
	if c, ok := o.byKey[string(key)]; ok {
		return *c, true
	}
	return op{}, false
}

// sorted returns the changes in order. Nobody may change the tree.
func (o *overlay) sorted() *btree.BTreeG[*op] {
	if o.tree == nil {
		o.tree = btree.NewG(32, func(a, b *op) bool { return bytes.Compare(a.key, b.key) < 0 })
		for _, c := range o.byKey {
			o.tree.ReplaceOrInsert(c)
		}
	}
	return o.tree
}

// ops returns the changes in ascending order.
func (o *overlay) ops() []op {
	all := make([]op, 0, len(o.byKey))
	for _, c := range o.byKey {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b op) int { return bytes.Compare(a.key, b.key) })
	return all
}

// overlayCursor goes through an overlay in ascending order, in small portions:
// the tree has no iterator that can be paused.
type overlayCursor struct {
	of    *overlay
	from  []byte
	ahead []op
	ended bool
}

const portion = 64

func (c *overlayCursor) peek() (op, bool) {
	if len(c.ahead) == 0 && !c.ended {
		c.ahead = c.ahead[:0]
		c.of.sorted().AscendGreaterOrEqual(&op{key: c.from}, func(o *op) bool {
			c.ahead = append(c.ahead, *o)
			return len(c.ahead) < portion
		})
		c.ended = len(c.ahead) < portion
		if n := len(c.ahead); n > 0 {
			c.from = append(bytes.Clone(c.ahead[n-1].key), 0)
		}
	}
	if len(c.ahead) == 0 {
		return op{}, false
	}
	return c.ahead[0], true
}

func (c *overlayCursor) next() { c.ahead = c.ahead[1:] }

// scan calls yield for every key in [from, to) of overlays, the newest first,
// above a tree, until it returns false.
func scan(overlays []*overlay, base *cursor, to []byte, yield func(key, value []byte) bool) error {
	cursors := make([]*overlayCursor, len(overlays))
	for i, o := range overlays {
		cursors[i] = &overlayCursor{of: o, from: base.from}
	}
	for {
		next, any, err := lowest(cursors, base)
		if err != nil || !any || to != nil && bytes.Compare(next.key, to) >= 0 {
			return err
		}
		if !next.deleted && !yield(next.key, next.value) {
			return nil
		}
	}
}

// lowest takes the change with the lowest key, of the newest overlay that has
// it, and moves all that stand at this key on.
func lowest(cursors []*overlayCursor, base *cursor) (next op, any bool, err error) {
	for _, c := range cursors {
		if o, ok := c.peek(); ok && (!any || bytes.Compare(o.key, next.key) < 0) {
			next, any = o, true
		}
	}
	e, ok, err := base.peek()
	if err != nil {
		return op{}, false, err
	}
	if ok && (!any || bytes.Compare(e.key, next.key) < 0) {
		next, any = op{key: e.key, value: e.value}, true
	}
	for _, c := range cursors {
		if o, ok := c.peek(); ok && bytes.Equal(o.key, next.key) {
			c.next()
		}
	}
	if ok && bytes.Equal(e.key, next.key) {
		base.next()
	}
	return next, any, nil
}
