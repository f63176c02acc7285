package checkpoint

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/google/btree"

	"github.com/quorate/quorate/crypto"
)

// pages is where pages and manifests are kept: an ordered key-value store with
// durable, atomic, bounded transactions. Its methods may be called by many
// goroutines at once; only one of them writes.
type pages interface {
	// get returns a value that the caller owns.
	get(key []byte) (value []byte, ok bool, err error)
	// apply makes all changes, at once and durably. They keep to batchBytesMax
	// and batchChangesMax.
	apply(changes []change) error
	// scan calls yield for every key at or above from that begins with its first
	// prefix bytes, ascending, as of now, until it returns false. yield may apply
	// changes, and may keep what it got.
	scan(from []byte, prefix int, yield func(key, value []byte) bool) error
	// sync makes durable whatever a crash of the machine might still undo.
	sync() error
	close() error
}

// change sets key to value, or deletes it if value is nil.
type change struct{ key, value []byte }

const (
	// batchBytesMax keeps a transaction below Badger's limit of 15 % of the
	// memtable (1.2 MiB), with a page of the largest size on top.
	batchBytesMax   = 512 << 10
	batchChangesMax = 4096
)

// The first byte of a key in storage. Pages come before all else, and each new one
// after the older ones: so a table that Badger writes begins at its own pages, and
// putting it in order rewrites none of the older ones. If anything that every checkpoint
// writes came before them, each table would cover them all.
const (
	manifestSpace = 'm' // generation → manifest
	pageSpace     = 'P' // birth, digest → page
	indexSpace    = 'd' // digest, birth → nothing
	deadSpace     = 'x' // generation, chunk → pages that the generation did away with
	stagingSpace  = 't' // → the transfer that is under way
)

func manifestKey(gen uint64) []byte { return spaceKey(manifestSpace, gen) }

func stagingKey() []byte { return []byte{stagingSpace} }

func spaceKey(space byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 48), space), number)
}

func pageKey(r ref) []byte { return append(spaceKey(pageSpace, r.birth), r.digest[:]...) }

func indexKey(r ref) []byte {
	return binary.BigEndian.AppendUint64(indexPrefix(r.digest), r.birth)
}

func indexPrefix(digest crypto.Digest) []byte {
	return append(append(make([]byte, 0, 48), indexSpace), digest[:]...)
}

func deadKey(gen uint64, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(spaceKey(deadSpace, gen), chunk)
}

// refOfPageKey is the reverse of pageKey; the sizes stay unknown.
func refOfPageKey(key []byte) (ref, bool) {
	if len(key) != 1+birthBytes+crypto.DigestSize || key[0] != pageSpace {
		return ref{}, false
	}
	return ref{birth: binary.BigEndian.Uint64(key[1:]), digest: crypto.Digest(key[1+birthBytes:])}, true
}

// batch collects changes and applies them in transactions of bounded size.
type batch struct {
	to      pages
	changes []change
	bytes   int
	// before is asked ahead of each transaction whether to go on.
	before func() error
}

func (b *batch) add(key, value []byte) error { return b.addAll(change{key, value}) }

// addAll adds changes that become durable together.
func (b *batch) addAll(changes ...change) error {
	for _, c := range changes {
		b.changes = append(b.changes, c)
		b.bytes += len(c.key) + len(c.value)
	}
	if b.bytes < batchBytesMax && len(b.changes) < batchChangesMax {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.changes) == 0 {
		return nil
	}
	if b.before != nil {
		if err := b.before(); err != nil {
			return err
		}
	}
	err := b.to.apply(b.changes)
	b.changes, b.bytes = b.changes[:0], 0
	return err
}

// memory is pages in memory, for simulations: no goroutine, no clock.
type memory struct {
	mu sync.Mutex
	// tree is replaced by its clone before it is read outside of mu.
	tree *btree.BTreeG[change]
}

func newMemory() *memory {
	return &memory{tree: btree.NewG(32, func(a, b change) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

func (m *memory) get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.tree.Get(change{key: key})
	return c.value, ok, nil
}

func (m *memory) apply(changes []change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.value == nil {
			m.tree.Delete(c)
			continue
		}
		m.tree.ReplaceOrInsert(c)
	}
	return nil
}

func (m *memory) scan(from []byte, prefix int, yield func(key, value []byte) bool) error {
	m.mu.Lock()
	tree := m.tree.Clone()
	m.mu.Unlock()
	tree.AscendGreaterOrEqual(change{key: from}, func(c change) bool {
		return bytes.HasPrefix(c.key, from[:prefix]) && yield(c.key, c.value)
	})
	return nil
}

func (m *memory) sync() error { return nil }

func (m *memory) close() error { return nil }
