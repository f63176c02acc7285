package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// surplusMax is how many snapshots may be left that are needed no more while there are
// checkpoints to write. Under a load that lasts there always are, and replicas that then
// collected nothing would fill their disks, all at once.
const surplusMax = 4

// Collect says that snapshots older than seq are needed no more. The newest of
// these is kept all the same: it is what a damaged one falls back to. The
// deletion happens in the background (in memory: before Collect returns).
func (s *Store) Collect(seq wire.Seq) {
	s.mu.Lock()
	s.mu.wanted = max(s.mu.wanted, seq)
	s.mu.collect = true
	s.changed.Broadcast()
	s.mu.Unlock()
	if s.disk == nil {
		s.collect()
	}
}

func (s *Store) collect() {
	s.writer.Lock()
	defer s.writer.Unlock()
	if s.dead.Load() || s.disk != nil && !s.disk.roomFor(headroomBytes) {
		return // to delete is to write; a later one does it
	}
	out := &batch{to: s.rd.pages, before: s.goOn}
	err := s.retire(out)
	if err == nil {
		err = s.buryDead(out)
	}
	if err == nil {
		err = s.dropStaging(out)
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		s.fail(fmt.Errorf("checkpoint: collect: %w", err))
	}
}

// retire deletes the manifests of snapshots that are kept no more, durably
// before any of their pages goes.
func (s *Store) retire(out *batch) error {
	s.mu.Lock()
	n := s.surplus()
	gone := s.mu.kept[:n:n]
	s.mu.kept = append([]snapshot(nil), s.mu.kept[n:]...)
	s.mu.Unlock()
	for _, snap := range gone {
		if err := out.add(manifestKey(snap.gen), nil); err != nil {
			return err
		}
	}
	return out.flush()
}

// surplus returns how many of the oldest snapshots may go: those before the
// newest one below what is wanted, but never the newest two, nor one that is
// being read. The caller holds mu.
func (s *Store) surplus() int {
	n := len(s.mu.kept) - 2
	for n > 0 && s.mu.kept[n].seq >= s.mu.wanted {
		n--
	}
	for i := range max(n, 0) {
		if s.mu.pins[s.mu.kept[i].gen] > 0 {
			return i
		}
	}
	return max(n, 0)
}

// buryDead deletes what the dead lists up to the oldest kept generation name.
func (s *Store) buryDead(out *batch) error {
	kept := s.trails()
	var failed error
	err := s.rd.pages.scan([]byte{deadSpace}, 1, func(key, value []byte) bool {
		if len(key) < 1+birthBytes || binary.BigEndian.Uint64(key[1:]) > kept[0].of.gen {
			return false
		}
		for _, r := range deadRefs(value) {
			if failed = s.bury(out, r, kept); failed != nil {
				return false
			}
		}
		failed = out.add(key, nil)
		return failed == nil
	})
	return errors.Join(err, failed)
}

func (s *Store) snapshots() []snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]snapshot(nil), s.mu.kept...)
}

// trails returns one for each snapshot that is kept.
func (s *Store) trails() []*trail {
	var trails []*trail
	for _, snap := range s.snapshots() {
		trails = append(trails, &trail{rd: s.rd, of: snap})
	}
	return trails
}

// bury deletes a page, unless a kept snapshot reaches it (I3). By the lists none
// does; but after a crash Badger may bring deleted records back, old lists too.
func (s *Store) bury(out *batch, r ref, kept []*trail) error {
	if _, ok, err := s.rd.pages.get(pageKey(r)); err != nil || !ok {
		return err
	}
	p, _, err := s.rd.fetch(r)
	if err != nil {
		s.log.Warnw("a dead page is damaged and stays", "page", r.digest.Short(), "error", err)
		return nil
	}
	for i := len(kept) - 1; i >= 0; i-- {
		reached, err := kept[i].reaches(r, p)
		if err != nil && i == len(kept)-1 {
			s.noteDamage()
			return err
		}
		if err != nil {
			s.log.Warnw("an older snapshot is damaged; its pages stay", "seq", kept[i].of.seq, "error", err)
			reached = true
		}
		if reached {
			return nil
		}
	}
	return s.erase(out, r)
}

// erase deletes a page. The page goes last, so that after a crash between it is
// still there to be found.
func (s *Store) erase(out *batch, r ref) error {
	if err := out.add(indexKey(r), nil); err != nil {
		return err
	}
	return out.add(pageKey(r), nil)
}

// dropStaging deletes what an abandoned transfer has left: one that this process
// does not go on with, to a snapshot that is wanted no more.
func (s *Store) dropStaging(out *batch) error {
	s.mu.Lock()
	drop := s.staged != nil && !s.mu.inFlight && s.staged.seq < s.mu.wanted
	s.mu.Unlock()
	if !drop {
		return nil
	}
	kept := s.trails()
	if err := s.eachOf(s.staged.gen, func(r ref) error { return s.bury(out, r, kept) }); err != nil {
		return err
	}
	s.staged = nil
	return out.add(stagingKey(), nil)
}

// eachOf calls yield for every page that generation gen has written.
func (s *Store) eachOf(gen uint64, yield func(r ref) error) error {
	var failed error
	prefix := spaceKey(pageSpace, gen)
	err := s.rd.pages.scan(prefix, len(prefix), func(key, _ []byte) bool {
		if r, ok := refOfPageKey(key); ok {
			failed = yield(r)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}
