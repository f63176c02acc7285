package sim

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// snapshot is the content of the state after a number.
type snapshot struct {
	seq     wire.Seq
	root    crypto.Digest
	content *app.Memory
	data    []byte
}

// pending is a snapshot that is not durable yet.
type pendingSnapshot struct {
	snapshot
	done func(crypto.Digest, error)
}

// state is a replicated state whose snapshots are one piece each. What is not in
// a durable snapshot is lost in a crash.
type state struct {
	*app.Memory
	durable []snapshot // ascending
	pending []pendingSnapshot
	target  snapshot
	got     bool
}

func newState() *state {
	s := &state{Memory: app.NewMemory()}
	s.durable = []snapshot{s.freeze(0)}
	return s
}

// EmptyRoot is the digest of the empty state.
func EmptyRoot() crypto.Digest { return newState().durable[0].root }

func (s *state) freeze(seq wire.Seq) snapshot {
	var data []byte
	_ = s.Scan(nil, nil, func(key, value []byte) bool { // memory does not fail
		data = binary.BigEndian.AppendUint32(data, uint32(len(key)))
		data = append(data, key...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(value)))
		data = append(data, value...)
		return true
	})
	return snapshot{seq, crypto.Sum([]byte("sim state"), data), s.Memory.Clone(), data}
}

// Checkpoint freezes the content; persist makes it durable later.
func (s *state) Checkpoint(seq wire.Seq, done func(crypto.Digest, error)) {
	s.pending = append(s.pending, pendingSnapshot{s.freeze(seq), done})
}

// persist makes the oldest pending snapshot durable.
func (s *state) persist() {
	if len(s.pending) == 0 {
		return
	}
	p := s.pending[0]
	s.pending = s.pending[1:]
	s.durable = append(s.durable, p.snapshot)
	p.done(p.root, nil)
}

// crash loses what is not durable.
func (s *state) crash() {
	s.pending, s.got, s.target = nil, false, snapshot{}
	s.Memory = s.durable[len(s.durable)-1].content.Clone()
}

// Last returns the newest durable snapshot.
func (s *state) Last() (wire.Seq, crypto.Digest) {
	last := s.durable[len(s.durable)-1]
	return last.seq, last.root
}

// Collect keeps two generations.
func (s *state) Collect(seq wire.Seq) {
	for len(s.durable) > 2 && s.durable[1].seq <= seq {
		s.durable = s.durable[1:]
	}
}

// Piece returns a whole snapshot by its root.
func (s *state) Piece(digest crypto.Digest) ([]byte, bool) {
	for _, d := range s.durable {
		if d.root == digest {
			return d.data, true
		}
	}
	return nil, false
}

// BeginTransfer sets the target.
func (s *state) BeginTransfer(seq wire.Seq, root crypto.Digest) error {
	s.target, s.got = snapshot{seq: seq, root: root}, false
	return nil
}

// Wanted returns the one piece, until it is there.
func (s *state) Wanted(int) []crypto.Digest {
	if s.got {
		return nil
	}
	return []crypto.Digest{s.target.root}
}

// AddPiece takes the target's content.
func (s *state) AddPiece(data []byte) (bool, error) {
	if s.got || crypto.Sum([]byte("sim state"), data) != s.target.root {
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
func (s *state) FinishTransfer() error {
	if !s.got {
		return errors.New("sim: the transfer is not complete")
	}
	s.pending = nil
	s.durable = []snapshot{s.target}
	s.Memory = s.target.content.Clone()
	return nil
}

// Close does nothing.
func (s *state) Close() error { return nil }
