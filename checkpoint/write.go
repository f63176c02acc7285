package checkpoint

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Checkpoint freezes the content as the snapshot after seq. It returns at once,
// unless two others wait for the disk already. The store's own goroutine (in
// memory: this one, before Checkpoint returns) hashes and writes what changed
// and calls done once, which must not wait for the goroutine that called
// Checkpoint.
func (s *Store) Checkpoint(seq wire.Seq, done func(root crypto.Digest, err error)) {
	f := &frozen{s.active, seq, done}
	if err := s.freeze(f); err != nil {
		done(crypto.Digest{}, err)
		return
	}
	s.active = newOverlay()
	if s.disk == nil {
		s.checkpoint(f)
	}
}

// freeze queues a checkpoint. It waits while the queue is full.
func (s *Store) freeze(f *frozen) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mu.frozen) >= frozenMax && s.mu.err == nil && !s.mu.closing {
		s.changed.Wait()
	}
	if s.mu.err != nil {
		return s.mu.err
	}
	if s.mu.closing {
		return ErrClosed
	}
	s.mu.frozen = append(s.mu.frozen, f)
	s.changed.Broadcast()
	return nil
}

// run is the store's own goroutine. It writes checkpoints in order, and
// collects when there is none to write, or much to collect: then in turn with them.
func (s *Store) run() {
	defer close(s.ended)
	for {
		f, collect, why := s.next()
		switch {
		case why != nil:
			s.giveUp(why)
			return
		case f != nil:
			s.checkpoint(f)
		case collect:
			s.collect()
		}
	}
}

// next waits for something to do, or for a reason to end.
func (s *Store) next() (f *frozen, collect bool, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.mu.closing:
			return nil, false, ErrClosed
		case s.mu.err != nil:
			return nil, false, s.mu.err
		case s.mu.collect && s.collectsNow():
			s.mu.collect = false
			return nil, true, nil
		case len(s.mu.frozen) > 0:
			return s.mu.frozen[0], false, nil
		}
		s.changed.Wait()
	}
}

// giveUp answers all checkpoints that will not be written.
func (s *Store) giveUp(why error) {
	s.mu.Lock()
	left := s.mu.frozen
	s.mu.frozen = nil
	s.changed.Broadcast()
	s.mu.Unlock()
	for _, f := range left {
		f.done(crypto.Digest{}, why)
	}
}

// checkpoint writes f, which is the oldest, and makes it the newest snapshot.
func (s *Store) checkpoint(f *frozen) {
	snap, err := s.write(f)
	if err != nil {
		if !errors.Is(err, ErrClosed) {
			err = fmt.Errorf("checkpoint: write the snapshot after %d: %w", f.seq, err)
			s.fail(err)
		}
		s.giveUp(err)
		return
	}
	s.mu.Lock()
	s.mu.frozen, s.mu.gaveWay = s.mu.frozen[1:], false
	s.mu.kept = append(s.mu.kept, snap)
	s.mu.lastState = snap
	s.changed.Broadcast()
	s.mu.Unlock()
	f.done(snap.root.digest, nil)
}

// write makes f durable: pages, read back; then the manifest.
func (s *Store) write(f *frozen) (snapshot, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	base, ops := s.newest(), f.overlay.ops()
	if err := errors.Join(s.guardFiles(), s.admit(base.root, f.overlay, ops)); err != nil {
		return snapshot{}, err
	}
	gen := s.generation()
	root, written, err := s.build(base.root, gen, ops, &batch{to: s.rd.pages, before: s.goOn})
	if err != nil {
		return snapshot{}, err
	}
	s.pages.Add(uint64(len(written)))
	for _, r := range written {
		// A new page cannot be in the cache yet: this reads storage.
		if _, err := s.rd.load(r); err != nil {
			return snapshot{}, fmt.Errorf("read back: %w", err)
		}
	}
	snap := snapshot{gen, f.seq, root}
	if err := s.publish(snap); err != nil {
		return snapshot{}, err
	}
	s.heirs[gen], s.lastPages = true, len(written)
	return snap, nil
}

// build makes the tree after ops out of that below base: it writes the pages that are new, and
// the list of those that are dead.
func (s *Store) build(base ref, gen uint64, ops []op, out *batch) (root ref, written []ref, err error) {
	dead := &deadList{gen: gen, to: out}
	pages := &run{to: out}
	b := &builder{rd: s.rd, gen: gen, drop: dead.add, emit: func(r ref, _, stored []byte) error {
		written = append(written, r)
		return pages.add(r, stored)
	}}
	if root, err = b.build(base, ops); err != nil {
		return ref{}, nil, err
	}
	return root, written, errors.Join(dead.flush(), pages.flush(), out.flush())
}

// emit adds a page with its index to out: none is ever without the other.
func (s *Store) emit(out *batch, r ref, stored []byte) error {
	s.pages.Add(1)
	return out.addAll(change{pageKey(r), stored}, change{indexKey(r), []byte{}})
}

// publish writes the manifest of snap, whose pages are all there (I2).
func (s *Store) publish(snap snapshot, also ...change) error {
	changes := append([]change{{manifestKey(snap.gen), snap.encode()}}, also...)
	if err := s.rd.pages.apply(changes); err != nil {
		return err
	}
	if err := s.rd.pages.sync(); err != nil {
		return err
	}
	if s.disk == nil {
		return nil
	}
	return s.disk.publish(snap)
}

// generation returns the next generation. The caller holds writer.
func (s *Store) generation() uint64 {
	gen := s.nextGen
	s.nextGen++
	return gen
}

// goOn returns why a write that is under way must stop.
func (s *Store) goOn() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closing {
		return ErrClosed
	}
	return s.mu.err
}
