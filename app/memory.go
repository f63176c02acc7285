package app

import (
	"bytes"
	"slices"
)

// Memory is a Store in memory, for tests. The zero Memory is empty and ready.
// Its methods are for one goroutine at a time.
type Memory struct {
	pairs []pair // ascending by key
}

type pair struct{ key, value []byte }

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{} }

// Get returns the value of key; it never fails.
func (m *Memory) Get(key []byte) (value []byte, ok bool, err error) {
	i, ok := m.find(key)
	if !ok {
		return nil, false, nil
	}
	return m.pairs[i].value, true, nil
}

// Put sets key to value; it never fails.
func (m *Memory) Put(key, value []byte) error {
	i, ok := m.find(key)
	if ok {
		m.pairs[i].value = value
		return nil
	}
	m.pairs = slices.Insert(m.pairs, i, pair{key, value})
	return nil
}

// Delete removes key; it never fails.
func (m *Memory) Delete(key []byte) error {
	if i, ok := m.find(key); ok {
		m.pairs = slices.Delete(m.pairs, i, i+1)
	}
	return nil
}

// Scan calls yield for the keys in [from, to) in ascending order, until it
// returns false; it never fails.
func (m *Memory) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	i, _ := m.find(from)
	for ; i < len(m.pairs); i++ {
		p := m.pairs[i]
		if to != nil && bytes.Compare(p.key, to) >= 0 {
			break
		}
		if !yield(p.key, p.value) {
			break
		}
	}
	return nil
}

// Len returns how many keys there are.
func (m *Memory) Len() int { return len(m.pairs) }

// Clone returns a copy that changes to m do not reach.
func (m *Memory) Clone() *Memory { return &Memory{pairs: slices.Clone(m.pairs)} }

// Equal tells whether m and other hold the same keys and values.
func (m *Memory) Equal(other *Memory) bool {
	return slices.EqualFunc(m.pairs, other.pairs, func(a, b pair) bool {
		return bytes.Equal(a.key, b.key) && bytes.Equal(a.value, b.value)
	})
}

// find returns where key is or belongs.
func (m *Memory) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(m.pairs, key, func(p pair, key []byte) int {
		return bytes.Compare(p.key, key)
	})
}
