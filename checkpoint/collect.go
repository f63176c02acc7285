package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// surplusMax is how many snapshots may be left that are needed no more while there are
// checkpoints to write. Under a load that lasts there always are, and replicas that then
// collected nothing would fill their disks, all at once.
const surplusMax = 4

// buriedMin is how many pages a collection goes through at least before it gives way to a
// checkpoint that waits; or twice as many as the last checkpoint wrote, if that is more. When a
// peer has fetched for minutes, all that was kept for it may go at once, at every replica at
// about the same time: none may let checkpoints wait for the whole of it. And what is left has
// to shrink under a load that lasts: no more pages die than are written.
const buriedMin = 1024

// errGaveWay ends a collection that is not over, because a checkpoint waits.
var errGaveWay = errors.New("a checkpoint waits")

// turn is what a collection does until it is over or gives way.
type turn struct {
	out *batch
	// heads are trails of those kept snapshots that have to be asked for a page, the oldest
	// and the newest of all among them.
	heads         []*trail
	gone, goneMax int // pages gone through, and after how many it may give way
}

// collected is how far a collection came before it gave way. The next one goes on there, and
// reads nothing again; without it that would only take longer, for what is gone stays gone.
type collected struct {
	dead   []byte // a record of a dead list
	refs   int    // pages of this record that were gone through
	staged []byte // the next page of an abandoned transfer
}

// Collect says that snapshots older than seq are needed no more. The newest of
// these is kept all the same: it is what a damaged one falls back to. The
// deletion happens in the background (in memory: before Collect returns).
func (s *Store) Collect(seq wire.Seq) {
	s.mu.Lock()
	s.mu.wanted = max(s.mu.wanted, seq)
	s.mu.collect = true
	s.changed.Broadcast()
	s.mu.Unlock()
	for s.disk == nil && s.collect() {
	}
}

// collect deletes what is needed no more. It returns true if it gave way before it was over.
func (s *Store) collect() (more bool) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if s.dead.Load() || s.disk != nil && !s.disk.roomFor(headroomBytes) {
		return false // to delete is to write; a later one does it
	}
	t := &turn{out: &batch{to: s.rd.pages, before: s.goOn}, goneMax: max(s.buriedMin, 2*s.lastPages)}
	err := s.retire(t.out)
	if err == nil {
		t.heads = s.heads()
		err = s.buryDead(t)
	}
	if err == nil {
		err = s.dropStaging(t)
	}
	more = errors.Is(err, errGaveWay)
	if err == nil || more {
		err = t.out.flush()
	}
	if err != nil {
		if !errors.Is(err, ErrClosed) {
			s.fail(fmt.Errorf("checkpoint: collect: %w", err))
		}
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.collect = s.mu.collect || more
	s.mu.unfinished, s.mu.gaveWay = more, more
	return more
}

// collectsNow tells whether the next to do is to collect, and not to write the checkpoint that
// waits, if one does. One that was given way to is written before the collection goes on, and
// the next one after: so both come on. The caller holds mu.
func (s *Store) collectsNow() bool {
	switch {
	case len(s.mu.frozen) == 0:
		return true
	case s.mu.gaveWay:
		return false
	default:
		return s.mu.unfinished || s.surplus() > surplusMax
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
		delete(s.heirs, snap.gen)
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
func (s *Store) buryDead(t *turn) error {
	var failed error
	err := s.rd.pages.scan([]byte{deadSpace}, 1, func(key, value []byte) bool {
		if len(key) < 1+birthBytes || binary.BigEndian.Uint64(key[1:]) > t.heads[0].of.gen {
			return false
		}
		failed = s.buryListed(t, key, deadRefs(value))
		return failed == nil
	})
	return errors.Join(err, failed)
}

// buryListed deletes the pages that one record of a dead list names, and the record.
func (s *Store) buryListed(t *turn, key []byte, refs []ref) error {
	at := 0
	if bytes.Equal(key, s.collected.dead) {
		at = min(s.collected.refs, len(refs))
	}
	for ; at < len(refs); at++ {
		if refs[at].birth > t.heads[0].of.gen {
			continue // no list names what came after it
		}
		if err := s.bury(t, refs[at]); err != nil {
			s.collected.dead, s.collected.refs = key, at
			return err
		}
	}
	return t.out.add(key, nil)
}

// Keeps tells whether the snapshot after seq with this root is kept, and is not one of those
// that may go. Any goroutine may call it.
func (s *Store) Keeps(seq wire.Seq, root crypto.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.mu.kept[s.surplus():], func(kept snapshot) bool {
		return kept.seq == seq && kept.root.digest == root
	})
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

// heads returns trails of the kept snapshots that have to be asked for a page: all but the
// heirs. A dead list names what was there before the oldest one, and a transfer's pages have a
// generation that is no snapshot's: so no heir wrote any of them, and reaches one only if the
// one kept before it does (I6), and so on, back to one that is asked. The newest is asked all
// the same: what it has matters most.
func (s *Store) heads() []*trail {
	var heads []*trail
	kept := s.trails()
	for i, t := range kept {
		if i == 0 || i == len(kept)-1 || !s.heirs[t.of.gen] {
			heads = append(heads, t)
		}
	}
	return heads
}

// bury deletes a page, unless a kept snapshot reaches it (I3). By the lists none
// does; but after a crash Badger may bring deleted records back, old lists too.
// It returns errGaveWay, and does nothing, when the turn is over.
func (s *Store) bury(t *turn, r ref) error {
	if t.gone >= t.goneMax && s.checkpointWaits() {
		return errGaveWay
	}
	t.gone++
	if _, ok, err := s.rd.pages.get(pageKey(r)); err != nil || !ok {
		return err
	}
	p, _, err := s.rd.fetch(r)
	if err != nil {
		s.log.Warnw("a dead page is damaged and stays", "page", r.digest.Short(), "error", err)
		return nil
	}
	for i := len(t.heads) - 1; i >= 0; i-- {
		reached, err := t.heads[i].reaches(r, p)
		if err != nil && i == len(t.heads)-1 {
			s.noteDamage()
			return err
		}
		if err != nil {
			s.log.Warnw("an older snapshot is damaged; its pages stay", "seq", t.heads[i].of.seq, "error", err)
			reached = true
		}
		if reached {
			return nil
		}
	}
	return s.erase(t.out, r)
}

func (s *Store) checkpointWaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.frozen) > 0
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
func (s *Store) dropStaging(t *turn) error {
	s.mu.Lock()
	drop := s.staged != nil && !s.mu.inFlight && s.staged.seq < s.mu.wanted
	s.mu.Unlock()
	if !drop {
		return nil
	}
	err := s.eachOf(s.staged.gen, s.collected.staged, func(r ref) error {
		err := s.bury(t, r)
		if err != nil {
			s.collected.staged = pageKey(r)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.staged, s.collected.staged = nil, nil
	return t.out.add(stagingKey(), nil)
}

// eachOf calls yield for every page that generation gen has written, or for those from a key on.
func (s *Store) eachOf(gen uint64, from []byte, yield func(r ref) error) error {
	var failed error
	prefix := spaceKey(pageSpace, gen)
	if from == nil {
		from = prefix
	}
	err := s.rd.pages.scan(from, len(prefix), func(key, _ []byte) bool {
		if r, ok := refOfPageKey(key); ok {
			failed = yield(r)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}
