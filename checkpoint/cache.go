package checkpoint

import (
	"container/list"
	"sync"

	"github.com/quorate/quorate/crypto"
)

// cache keeps decoded pages, the least recently used of which go first when
// their size exceeds the bound. Many goroutines may use it.
type cache struct {
	mu       sync.Mutex
	pages    map[cacheKey]*list.Element
	order    list.List // of *cached, the most recently used first
	bytes    int
	bytesMax int
}

type cacheKey struct {
	birth  uint64
	digest crypto.Digest
}

type cached struct {
	key   cacheKey
	page  *page
	bytes int
}

func newCache(bytesMax int) *cache {
	return &cache{pages: map[cacheKey]*list.Element{}, bytesMax: bytesMax}
}

func (c *cache) get(r ref) *page {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.pages[cacheKey{r.birth, r.digest}]
	if !ok {
		return nil
	}
	c.order.MoveToFront(el)
	return entryOf(el).page
}

// put adds a page whose stored form has size bytes.
func (c *cache) put(r ref, p *page, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey{r.birth, r.digest}
	if _, ok := c.pages[key]; ok {
		return
	}
	// Beside the bytes: slice headers of entries or decoded children, the maps.
	size += 200 + 48*len(p.entries) + 72*len(p.kids)
	if size > c.bytesMax {
		return
	}
	c.pages[key] = c.order.PushFront(&cached{key, p, size})
	c.bytes += size
	for c.bytes > c.bytesMax {
		last := c.order.Back()
		old := entryOf(last)
		c.order.Remove(last)
		delete(c.pages, old.key)
		c.bytes -= old.bytes
	}
}

func entryOf(el *list.Element) *cached {
	e, ok := el.Value.(*cached)
	if !ok {
		return &cached{}
	}
	return e
}
