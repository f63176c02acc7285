package crypto

import (
	"sync"
	"sync/atomic"
)

// keyCache keeps at most size expanded keys. It evicts by second chance (the
// clock algorithm), an approximation of least-recently-used in which a hit sets
// one bit under a read lock, so that readers do not queue. Keys enter only after
// a valid signature and without the bit: a flood of keys that are used once
// evicts first its own.
type keyCache struct {
	size int
	mu   struct {
		sync.RWMutex
		entries map[PublicKey]*keyEntry
		ring    []*keyEntry // all entries, in the order the hand visits them
		hand    int
		granted int // how many entries may have multiples
	}
}

type keyEntry struct {
	key      PublicKey
	expanded *expandedKey
	used     atomic.Bool // since the hand last passed
	granted  bool        // it may have multiples
}

func newKeyCache(size int) *keyCache {
	c := &keyCache{size: max(size, 0)}
	c.mu.entries = make(map[PublicKey]*keyEntry)
	return c
}

// get fills in the expanded keys that it has, and tells whether it has all.
func (c *keyCache) get(checks []Check, expanded []*expandedKey) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := true
	for i := range checks {
		e := c.mu.entries[checks[i].Key]
		if e == nil {
			all = false
			continue
		}
		if !e.used.Load() { // most hits write nothing
			e.used.Store(true)
		}
		expanded[i] = e.expanded
	}
	return all
}

// put adds the keys of the valid checks.
func (c *keyCache) put(checks []Check, expanded []*expandedKey, ok []bool) {
	if c.size == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range checks {
		if ok[i] && c.mu.entries[checks[i].Key] == nil {
			c.add(&keyEntry{key: checks[i].Key, expanded: expanded[i]})
		}
	}
}

// add puts e in a free place or in that of the first entry from the hand on
// that was not used since the hand passed it. The caller holds the lock.
func (c *keyCache) add(e *keyEntry) {
	c.mu.entries[e.key] = e
	if len(c.mu.ring) < c.size {
		c.mu.ring = append(c.mu.ring, e)
		return
	}
	for c.mu.ring[c.mu.hand].used.Swap(false) { // ends within one round: all bits are clear then
		c.mu.hand = (c.mu.hand + 1) % c.size
	}
	gone := c.mu.ring[c.mu.hand]
	delete(c.mu.entries, gone.key)
	if gone.granted {
		c.mu.granted--
	}
	c.mu.ring[c.mu.hand] = e
	c.mu.hand = (c.mu.hand + 1) % c.size
}

// grant tells whether a key shall get a table of multiples: one that stays here, while few
// others have one.
func (c *keyCache) grant(key PublicKey, expanded *expandedKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[key]
	if e == nil || e.expanded != expanded || e.granted || c.mu.granted >= multiplesMax {
		return false
	}
	e.granted = true
	c.mu.granted++
	return true
}
