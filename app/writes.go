package app

import (
	"cmp"
	"slices"
)

// writes are what an operation did last to each key that it wrote. The values are
// never changed. Most operations write few keys: those are found by comparing, which
// costs less than a map.
type writes struct {
	list  []entry        // in the order of the first write to each key
	index map[string]int // in list, once that is longer than writesFew
	room  [1]entry       // of list, for operations that write one key
}

const writesFew = 8

// find returns the write of key, or nil. It may be changed until the next add.
func (w *writes) find(key string) *entry {
	if w.index != nil {
		if i, ok := w.index[key]; ok {
			return &w.list[i]
		}
		return nil
	}
	for i := range w.list {
		if w.list[i].key == key {
			return &w.list[i]
		}
	}
	return nil
}

// add takes the write of a key that has none.
func (w *writes) add(e entry) {
	if w.list == nil {
		w.list = w.room[:0]
	}
	w.list = append(w.list, e)
	switch {
	case w.index != nil:
		w.index[e.key] = len(w.list) - 1
	case len(w.list) > writesFew:
		w.index = make(map[string]int, 2*len(w.list))
		for i := range w.list {
			w.index[w.list[i].key] = i
		}
	}
}

// sorted returns all writes, ascending.
func (w *writes) sorted() []entry {
	if len(w.list) == 1 {
		return w.list
	}
	all := slices.Clone(w.list)
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	return all
}
