package app

import (
	"fmt"
	"iter"
	"slices"
)

// A scan reads ahead by pages, so that the store is never in the middle of its
// own Scan while code of the application runs: that code may read, scan, write,
// break and panic. The first page is small, for loops that break early.
const (
	pageEntriesMin = 8
	pageEntriesMax = 256
	pageBytesMax   = 64 << 10
)

// Scan returns the keys in [from, to) with their values, in ascending order of
// bytes; an empty to means no end. A loop sees the content as of when it began,
// the operation's own writes included; what its body writes it does not see. It
// may break at any time, and loops may nest.
func (tx *Tx) Scan(from, to string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		tx.mustRun()
		s := scanner{tx: tx, own: tx.ownIn(from, to), entries: pageEntriesMin}
		s.from = slices.Concat(tx.prefix, []byte(from))
		s.to = tx.endOf(to)
		for e, ok := s.next(); ok; e, ok = s.next() {
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Prefix returns the keys that begin with prefix, with their values; as Scan.
func (tx *Tx) Prefix(prefix string) iter.Seq2[string, []byte] {
	return tx.Scan(prefix, PrefixEnd(prefix))
}

// PrefixEnd returns the first key after all those that begin with prefix, or ""
// if there is none: with prefix, the range of Scan.
func PrefixEnd(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return ""
}

// endOf returns the store's key for the end of a range, nil for none.
func (tx *Tx) endOf(to string) []byte {
	if to != "" {
		return slices.Concat(tx.prefix, []byte(to))
	}
	if end := PrefixEnd(string(tx.prefix)); end != "" {
		return []byte(end)
	}
	return nil
}

// entry is a key and its value, or that it was deleted.
type entry struct {
	key     string
	value   []byte
	deleted bool
}

// ownIn returns what the operation itself wrote in [from, to), ascending.
func (tx *Tx) ownIn(from, to string) []entry {
	var own []entry
	for _, w := range tx.writes.sorted() {
		if w.key >= from && (to == "" || w.key < to) {
			own = append(own, w)
		}
	}
	return own
}

// scanner merges what the operation wrote with what the store holds.
type scanner struct {
	tx       *Tx
	own      []entry // not yet returned
	page     []entry // read from the store and not yet returned
	from, to []byte  // what of the store is not yet read
	entries  int     // how many the next page takes
	whole    bool    // the store has no more
}

// next returns the next entry, with a value of its own.
func (s *scanner) next() (entry, bool) {
	for {
		s.tx.mustRun()
		if len(s.page) == 0 && !s.whole {
			s.readPage()
		}
		if len(s.own) == 0 || (len(s.page) > 0 && s.page[0].key < s.own[0].key) {
			return s.fromPage()
		}
		e := s.own[0]
		s.own = s.own[1:]
		if len(s.page) > 0 && s.page[0].key == e.key {
			s.page = s.page[1:]
		}
		if !e.deleted {
			e.value = append([]byte{}, e.value...)
			return e, true
		}
	}
}

func (s *scanner) fromPage() (entry, bool) {
	if len(s.page) == 0 {
		return entry{}, false
	}
	e := s.page[0]
	s.page = s.page[1:]
	return e, true
}

// readPage reads on in the store, up to the bounds of a page.
func (s *scanner) readPage() {
	if s.to != nil && string(s.from) >= string(s.to) {
		s.whole = true
		return
	}
	size, full := 0, false
	skip := len(s.tx.prefix)
	err := s.tx.store.Scan(s.from, s.to, func(key, value []byte) bool {
		s.page = append(s.page, entry{key: string(key[skip:]), value: append([]byte{}, value...)})
		size += len(key) + len(value)
		full = len(s.page) >= s.entries || size >= pageBytesMax
		return !full
	})
	if err != nil {
		s.tx.fail(fmt.Errorf("scan: %w", err))
	}
	s.whole = !full
	if full {
		last := s.page[len(s.page)-1].key
		s.from = slices.Concat(s.tx.prefix, []byte(last), []byte{0})
	}
	s.entries = min(2*s.entries, pageEntriesMax)
}
