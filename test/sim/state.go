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
	// crash ends the process, and leaves the state as the next one finds it: of the
	// snapshots up to covered the oldest may be durable, and nobody told. It tells
	// whether a snapshot was lost.
	crash(rng *rand.Rand, covered wire.Seq) (lost bool, err error)
	// copy returns a backup of what is durable, or nil if it cannot.
	copy() store
}

// snapshot is the content of the state after a number.
type snapshot struct {
	seq     wire.Seq
	root    crypto.Digest
	content *app.Memory
	pieces  map[crypto.Digest][]byte // by their digests, if there are several
}

// writing is a snapshot that is not durable yet.
type writing struct {
	snapshot
	done func(crypto.Digest, error)
}

// modelState is a fast model of a state, whose snapshots are one piece each, as long
// as that can hold them. What is not in a durable snapshot is lost in a crash.
type modelState struct {
	*app.Memory
	durable []snapshot // ascending
	pending []writing
	target  snapshot
	parts   *incoming // of the target, if it has several pieces
	got     bool
}

func newModelState() *modelState {
	s := &modelState{Memory: app.NewMemory()}
	s.durable = []snapshot{s.freeze(0)}
	return s
}

func (s *modelState) freeze(seq wire.Seq) snapshot {
	root, pieces := cutModel(s.Memory)
	return snapshot{seq, root, s.Clone(), pieces}
}

// flatten returns the whole content of a state.
func flatten(s app.Store) []byte {
	var data []byte
	_ = s.Scan(nil, nil, func(key, value []byte) bool { // what is in memory does not fail
		data = binary.BigEndian.AppendUint32(data, uint32(len(key))) //nolint:gosec // short
		data = append(data, key...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(value))) //nolint:gosec // short
		data = append(data, value...)
		return true
	})
	return data
}

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

func (s *modelState) crash(rng *rand.Rand, covered wire.Seq) (lost bool, err error) {
	if len(s.pending) > 0 && rng.IntN(2) == 0 && s.pending[0].seq <= covered {
		s.durable = append(s.durable, s.pending[0].snapshot)
		s.pending = s.pending[1:]
	}
	lost = len(s.pending) > 0
	s.pending, s.got, s.target, s.parts = nil, false, snapshot{}, nil
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

// Keeps looks for a durable snapshot.
func (s *modelState) Keeps(seq wire.Seq, root crypto.Digest) bool {
	return slices.ContainsFunc(s.durable, func(d snapshot) bool { return d.seq == seq && d.root == root })
}

// Piece returns a whole snapshot by its root, or a part of a long one.
func (s *modelState) Piece(digest crypto.Digest) ([]byte, bool) {
	for _, d := range s.durable {
		if piece, ok := d.pieces[digest]; ok {
			return piece, true
		}
		if d.root == digest {
			return flatten(d.content), true
		}
	}
	return nil, false
}

// BeginTransfer sets the target.
func (s *modelState) BeginTransfer(seq wire.Seq, root crypto.Digest) error {
	s.target, s.parts, s.got = snapshot{seq: seq, root: root}, nil, false
	return nil
}

// Wanted returns the one piece, until it is there, or what lacks of several.
func (s *modelState) Wanted(n int) []crypto.Digest {
	switch {
	case s.got:
		return nil
	case s.parts != nil:
		return s.parts.missing(n)
	default:
		return []crypto.Digest{s.target.root}
	}
}

// AddPiece takes the target's content, or a part of it.
func (s *modelState) AddPiece(data []byte) (bool, error) {
	switch {
	case s.got:
		return false, nil
	case hasMark(data, listMark):
		if s.parts != nil || markedDigest(data) != s.target.root {
			return false, nil
		}
		s.parts = newIncoming(data)
		return true, nil
	case s.parts != nil:
		return s.addPart(data)
	}
	content, ok, err := unflatten(data)
	if err != nil || !ok || modelRoot(content) != s.target.root {
		return false, err
	}
	s.target.content, s.got = content, true
	return true, nil
}

// addPart takes a part, and with the last one the content.
func (s *modelState) addPart(data []byte) (bool, error) {
	if !hasMark(data, partMark) || !s.parts.add(data) {
		return false, nil
	}
	content, complete, err := s.parts.content()
	if err != nil || !complete {
		return err == nil, err
	}
	root, pieces := cutModel(content)
	if root != s.target.root {
		return false, errors.New("sim: the parts of a state do not make it")
	}
	s.target.content, s.target.pieces, s.got = content, pieces, true
	return true, nil
}

// PieceDigest returns the root of the content that data is, or the digest of a part.
func (*modelState) PieceDigest(data []byte) crypto.Digest {
	if hasMark(data, listMark) || hasMark(data, partMark) {
		return markedDigest(data)
	}
	content, ok, err := unflatten(data)
	if err != nil || !ok {
		return crypto.Digest{}
	}
	return modelRoot(content)
}

// unflatten is the reverse of flatten.
func unflatten(data []byte) (content *app.Memory, ok bool, err error) {
	content = app.NewMemory()
	for rest := slices.Clone(data); len(rest) > 0; {
		key, after, ok := field(rest)
		value, after, complete := field(after)
		if !ok || !complete {
			return nil, false, nil
		}
		rest = after
		if err := content.Put(key, value); err != nil {
			return nil, false, err
		}
	}
	return content, true, nil
}

// field returns what b begins with, and what follows.
func field(b []byte) (head, tail []byte, ok bool) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, false
	}
	n := 4 + binary.BigEndian.Uint32(b)
	return b[4:n], b[n:], true
}

// GiveUpTransfer forgets what was got.
func (s *modelState) GiveUpTransfer() { s.parts, s.got = nil, false }

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
