package sim

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// store is a replicated state on a disk that survives the process.
type store interface {
	driver.State
	// persist makes the oldest snapshot that is being written durable, and calls
	// its done. It returns false if there is none.
	persist() bool
	// crash ends the process, and leaves the state as the next one finds it. It
	// tells whether a snapshot was lost.
	crash(rng *rand.Rand) (lost bool, err error)
	// copy returns a backup of what is durable, or nil if it cannot.
	copy() store
}

// snapshot is the content of the state after a number.
type snapshot struct {
	seq     wire.Seq
	root    crypto.Digest
	content *app.Memory
	data    []byte
}

// writing is a snapshot that is not durable yet.
type writing struct {
	snapshot
	done func(crypto.Digest, error)
}

// modelState is a fast model of a state, whose snapshots are one piece each.
// What is not in a durable snapshot is lost in a crash.
type modelState struct {
	*app.Memory
	durable []snapshot // ascending
	pending []writing
	target  snapshot
	got     bool
	size    int // about, of the content in bytes
}

func newModelState() *modelState {
	s := &modelState{Memory: app.NewMemory()}
	s.durable = []snapshot{s.freeze(0)}
	return s
}

func (s *modelState) freeze(seq wire.Seq) snapshot {
	data := flatten(s, s.size)
	s.size = len(data) + len(data)/8
	return snapshot{seq, modelRoot(data), s.Clone(), data}
}

// flatten returns the whole content of a state, of about size bytes.
func flatten(s app.Store, size int) []byte {
	data := make([]byte, 0, size)
	_ = s.Scan(nil, nil, func(key, value []byte) bool { // what is in memory does not fail
		data = binary.BigEndian.AppendUint32(data, uint32(len(key))) //nolint:gosec // short
		data = append(data, key...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(value))) //nolint:gosec // short
		data = append(data, value...)
		return true
	})
	return data
}

func modelRoot(data []byte) crypto.Digest { return crypto.Sum([]byte("sim state"), data) }

// Checkpoint freezes the content; persist makes it durable later.
func (s *modelState) Checkpoint(seq wire.Seq, done func(crypto.Digest, error)) {
	s.pending = append(s.pending, writing{s.freeze(seq), done})
}

func (s *modelState) persist() bool {
	if len(s.pending) == 0 {
		return false
	}
	p := s.pending[0]
	s.pending = s.pending[1:]
	s.durable = append(s.durable, p.snapshot)
	p.done(p.root, nil)
	return true
}

func (s *modelState) crash(rng *rand.Rand) (lost bool, err error) {
	if len(s.pending) > 0 && rng.IntN(2) == 0 { // it was durable, and nobody told
		s.durable = append(s.durable, s.pending[0].snapshot)
		s.pending = s.pending[1:]
	}
	lost = len(s.pending) > 0
	s.pending, s.got, s.target = nil, false, snapshot{}
	s.Memory = s.durable[len(s.durable)-1].content.Clone()
	return lost, nil
}

func (s *modelState) copy() store {
	return &modelState{Memory: s.durable[len(s.durable)-1].content.Clone(), durable: slices.Clone(s.durable)}
}

// Last returns the newest durable snapshot.
func (s *modelState) Last() (wire.Seq, crypto.Digest) {
	last := s.durable[len(s.durable)-1]
	return last.seq, last.root
}

// Collect keeps two generations.
func (s *modelState) Collect(seq wire.Seq) {
	for len(s.durable) > 2 && s.durable[1].seq <= seq {
		s.durable = s.durable[1:]
	}
}

// Piece returns a whole snapshot by its root.
func (s *modelState) Piece(digest crypto.Digest) ([]byte, bool) {
	for _, d := range s.durable {
		if d.root == digest {
			return d.data, true
		}
	}
	return nil, false
}

// BeginTransfer sets the target.
func (s *modelState) BeginTransfer(seq wire.Seq, root crypto.Digest) error {
	s.target, s.got = snapshot{seq: seq, root: root}, false
	return nil
}

// Wanted returns the one piece, until it is there.
func (s *modelState) Wanted(int) []crypto.Digest {
	if s.got {
		return nil
	}
	return []crypto.Digest{s.target.root}
}

// AddPiece takes the target's content.
func (s *modelState) AddPiece(data []byte) (bool, error) {
	if s.got || modelRoot(data) != s.target.root {
		return false, nil
	}
	content := app.NewMemory()
	for rest := data; len(rest) > 0; {
		var key, value []byte
		key, rest = field(rest)
		value, rest = field(rest)
		if err := content.Put(key, value); err != nil {
			return false, err
		}
	}
	s.target.content, s.target.data, s.got = content, slices.Clone(data), true
	return true, nil
}

func field(b []byte) (head, tail []byte) {
	n := binary.BigEndian.Uint32(b)
	return b[4 : 4+n], b[4+n:]
}

// FinishTransfer makes the target the content, durably.
func (s *modelState) FinishTransfer() error {
	if !s.got {
		return errors.New("sim: the transfer is not complete")
	}
	s.pending = nil
	s.durable = []snapshot{s.target}
	s.Memory = s.target.content.Clone()
	return nil
}

// Close does nothing.
func (s *modelState) Close() error { return nil }
