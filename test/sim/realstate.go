package sim

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// realState is the real store, in memory, whose snapshots take time: what is
// written after a checkpoint waits above the store until the checkpoint is
// durable there.
type realState struct {
	*checkpoint.Store
	frozen []frozen // the oldest first
}

// frozen is a checkpoint that is not durable yet, and what was written since; a
// nil value is a deletion.
type frozen struct {
	seq   wire.Seq
	done  func(crypto.Digest, error)
	after map[string][]byte
}

func newRealState() *realState { return &realState{Store: checkpoint.OpenMemory()} }

// top is where writes go while a checkpoint is under way.
func (s *realState) top() map[string][]byte {
	if len(s.frozen) == 0 {
		return nil
	}
	return s.frozen[len(s.frozen)-1].after
}

// Get returns the value of key.
func (s *realState) Get(key []byte) (value []byte, ok bool, err error) {
	for _, f := range slices.Backward(s.frozen) {
		if value, ok := f.after[string(key)]; ok {
			return value, value != nil, nil
		}
	}
	return s.Store.Get(key)
}

// Put sets key to value.
func (s *realState) Put(key, value []byte) error {
	if top := s.top(); top != nil {
		top[string(key)] = append([]byte{}, value...)
		return nil
	}
	return s.Store.Put(key, value)
}

// Delete removes key.
func (s *realState) Delete(key []byte) error {
	if top := s.top(); top != nil {
		top[string(key)] = nil
		return nil
	}
	return s.Store.Delete(key)
}

// Scan calls yield for the keys in [from, to), ascending.
func (s *realState) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	if len(s.frozen) == 0 {
		return s.Store.Scan(from, to, yield)
	}
	merged := app.NewMemory()
	if err := s.Store.Scan(from, to, func(key, value []byte) bool { return merged.Put(key, value) == nil }); err != nil {
		return err
	}
	for _, f := range s.frozen {
		if err := f.writeTo(merged); err != nil {
			return err
		}
	}
	return merged.Scan(from, to, yield)
}

func (f *frozen) writeTo(to app.Store) error {
	for _, key := range slices.Sorted(maps.Keys(f.after)) {
		var err error
		if value := f.after[key]; value == nil {
			err = to.Delete([]byte(key))
		} else {
			err = to.Put([]byte(key), value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint freezes the content; persist makes it durable later.
func (s *realState) Checkpoint(seq wire.Seq, done func(crypto.Digest, error)) {
	s.frozen = append(s.frozen, frozen{seq, done, map[string][]byte{}})
}

func (s *realState) persist() bool {
	if len(s.frozen) == 0 {
		return false
	}
	f := s.frozen[0]
	s.frozen = s.frozen[1:]
	s.Store.Checkpoint(f.seq, func(root crypto.Digest, err error) {
		if err == nil {
			err = f.writeTo(s.Store)
		}
		f.done(root, err)
	})
	return true
}

// copy returns nil: an old journal is put beside the newest state, or an empty
// one.
func (s *realState) copy() store { return nil }

func (s *realState) crash(rng *rand.Rand, covered wire.Seq) (lost bool, err error) {
	if len(s.frozen) > 0 && rng.IntN(2) == 0 && s.frozen[0].seq <= covered {
		s.frozen[0].done = func(crypto.Digest, error) {}
		s.persist()
	}
	lost = len(s.frozen) > 0
	s.frozen = nil
	s.Store, err = s.Reopen()
	return lost, err
}
