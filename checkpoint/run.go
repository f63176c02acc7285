package checkpoint

import (
	"bytes"
	"slices"
)

// runBytesMax is how much of a checkpoint is held in memory to be put in order.
const runBytesMax = 64 << 20

// run collects the new pages of a checkpoint, and writes them in the order of their
// keys. The database fills table after table with what comes: so each has a range of
// keys of its own, and is never merged with the others of this checkpoint.
type run struct {
	to    *batch
	pages []placed
	bytes int
}

// placed is a page's encoding, and where it belongs.
type placed struct {
	ref
	stored []byte
}

func (u *run) add(r ref, stored []byte) error {
	u.pages = append(u.pages, placed{r, stored})
	u.bytes += len(stored)
	if u.bytes < runBytesMax {
		return nil
	}
	return u.flush()
}

// flush writes what there is: the pages, and then their indexes, for no index is without
// its page. All pages are of one generation, so the order of their keys is that of their
// digests.
func (u *run) flush() error {
	slices.SortFunc(u.pages, func(a, b placed) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	for _, p := range u.pages {
		if err := u.to.add(pageKey(p.ref), p.stored); err != nil {
			return err
		}
	}
	for _, p := range u.pages {
		if err := u.to.add(indexKey(p.ref), []byte{}); err != nil {
			return err
		}
	}
	clear(u.pages)
	u.pages, u.bytes = u.pages[:0], 0
	return nil
}
