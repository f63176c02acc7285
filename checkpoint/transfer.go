package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// looksMax is how many pages a transfer looks for here before others are asked for
// those that lack: they take some tens of milliseconds.
const looksMax = 1024

// leavesMax is how many pages may be known to lack before leaves are asked for. It
// bounds what a transfer holds in memory, to some tens of megabytes.
const leavesMax = 1 << 16

// transfer fetches a snapshot from others, top-down. Of the target only the
// places of pages are held that are to be looked for next, or wanted: a
// depth-first frontier.
//
// Inner pages are wanted first, until many leaves are known, and these then in the order
// of their digests, which is that of their keys on disk. Leaves are nearly all that is
// written, and written at random each would be put in order with all others again and
// again.
//
// A page of the target comes, in this order, from the newest own snapshot (it
// is then shared, with all below it), from what was staged before, from an
// older own snapshot (copied), or from others. What is here is gone through
// little by little, while others are asked for the rest: gigabytes may be staged,
// and whoever asks nothing for so long finds the target collected.
type transfer struct {
	staging
	fresh bool   // nothing was staged before: no need to look
	mixed bool   // planned more than once: not all that is staged may be of use
	base  uint64 // the generation of the newest own snapshot when this was planned
	top   ref
	// unseen are the places that were not looked at yet, the next last.
	unseen []place
	// frontier has the place of every wanted page. The others have their digests, and
	// ones that came meanwhile, in the order of wanting, the next last; but found has
	// those leaves that are not in order yet.
	frontier             map[crypto.Digest]place
	inner, leaves, found []crypto.Digest
	own                  []*trail // of the snapshots kept when something was last looked for
	out                  *batch
}

// BeginTransfer starts, resumes or retargets the transfer of the snapshot after
// seq with this root. The running content stays until FinishTransfer.
func (s *Store) BeginTransfer(seq wire.Seq, root crypto.Digest) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.goOn(); err != nil {
		return err
	}
	if old := s.transfer; old != nil {
		if old.seq == seq && old.root == root {
			return nil
		}
		if err := old.out.flush(); err != nil {
			return s.broken(err)
		}
	}
	t := &transfer{staging: staging{seq: seq, root: root}, out: &batch{to: s.rd.pages, before: s.mayStage}}
	if s.staged != nil {
		t.gen, t.mixed = s.staged.gen, true
	} else {
		t.gen, t.fresh = s.generation(), true
	}
	record := t.staging
	if err := s.rd.pages.apply([]change{{stagingKey(), record.encode()}}); err != nil {
		return s.broken(err)
	}
	s.staged, s.transfer, s.collected.staged = &record, t, nil
	s.mu.Lock()
	s.mu.inFlight = true
	s.mu.Unlock()
	if err := s.plan(t); err != nil {
		return s.broken(err)
	}
	return nil
}

// broken makes the store dead after a failed write of the transfer.
func (s *Store) broken(err error) error {
	err = fmt.Errorf("checkpoint: state transfer: %w", err)
	if !errors.Is(err, ErrClosed) {
		s.fail(err)
	}
	return err
}

// mayStage is asked before each write of staged pages.
func (s *Store) mayStage() error {
	if err := s.goOn(); err != nil {
		return err
	}
	return s.guard(batchBytesMax)
}

// plan begins to look for the target, from its root down.
func (s *Store) plan(t *transfer) error {
	if err := t.out.flush(); err != nil {
		return err
	}
	t.frontier, t.unseen = map[crypto.Digest]place{}, nil
	t.inner, t.leaves, t.found = nil, nil, nil
	t.base = s.newest().gen
	t.top = ref{digest: t.root}
	if t.root != EmptyRoot() {
		t.unseen = []place{{ref: t.top}}
	}
	return nil
}

// planAgain is plan after a checkpoint has moved the newest own snapshot.
func (s *Store) planAgain(t *transfer) error {
	t.mixed, t.fresh = true, false
	return s.plan(t)
}

// seek looks for pages until so many are wanted, or, where some are, for a while:
// whoever asks for them shall not wait for the rest.
func (s *Store) seek(t *transfer, wanted int) error {
	if t.base != s.newest().gen {
		if err := s.planAgain(t); err != nil {
			return err
		}
	}
	for looked := 0; len(t.unseen) > 0 && len(t.frontier) < wanted; looked++ {
		if looked >= looksMax && len(t.frontier) > 0 {
			return nil
		}
		last := len(t.unseen) - 1
		at := t.unseen[last]
		t.unseen = t.unseen[:last]
		if err := s.look(t, at); err != nil {
			return err
		}
	}
	return nil
}

// look finds the page of a place here, or wants it from others.
func (s *Store) look(t *transfer, at place) error {
	own := s.own(t)
	if r, ok := shared(own, at); ok {
		if at.parent == nil {
			t.top = r
		}
		return nil
	}
	if p := s.stagedPage(t, at); p != nil {
		return s.stage(t, at, p, true)
	}
	for _, older := range own[:len(own)-1] {
		r, ok, err := older.at(at)
		if err != nil || !ok {
			continue
		}
		if p, _, err := s.rd.fetch(r); err == nil {
			return s.stage(t, at, p, false)
		}
	}
	t.frontier[at.ref.digest] = at
	if at.leaf() {
		t.found = append(t.found, at.ref.digest)
	} else {
		t.inner = append(t.inner, at.ref.digest)
	}
	return nil
}

// own returns trails of the snapshots kept.
func (s *Store) own(t *transfer) []*trail {
	if !slices.EqualFunc(t.own, s.snapshots(), func(own *trail, kept snapshot) bool { return own.of == kept }) {
		t.own = s.trails()
	}
	return t.own
}

// shared returns the page of a place in the newest of the own snapshots.
func shared(own []*trail, at place) (ref, bool) {
	r, ok, err := own[len(own)-1].at(at)
	return r, ok && err == nil
}

// stagedPage returns a page that was staged before, if it is whole.
func (s *Store) stagedPage(t *transfer, at place) *page {
	if t.fresh {
		return nil
	}
	here := at.ref
	here.birth = t.gen
	p, _, err := s.rd.fetch(here)
	if err != nil || at.refuse(p) != nil {
		return nil
	}
	return p
}

// stage keeps a page, under the transfer's generation, with the places of its
// children as they are known now. One that is there already is written again only
// if one of those has changed.
func (s *Store) stage(t *transfer, at place, p *page, there bool) error {
	here := ref{at.ref.digest, t.gen, p.bytes, p.count}
	if at.parent == nil {
		t.top = here
	}
	settled := *p
	settled.kids = append([]kid(nil), p.kids...)
	own := s.own(t)
	for i := len(settled.kids) - 1; i >= 0; i-- {
		k := &settled.kids[i]
		below := place{p, k.label, k.ref}
		birth := t.gen
		if r, ok := shared(own, below); ok {
			birth = r.birth
		} else {
			t.unseen = append(t.unseen, below)
		}
		there = there && birth == k.ref.birth
		k.ref.birth = birth
	}
	if there {
		return nil
	}
	return s.emit(t.out, here, settled.stored(settled.encode()))
}

// Wanted returns up to limit digests of pages that the transfer lacks, and none
// when all are there. It names a page again until it is added.
func (s *Store) Wanted(limit int) []crypto.Digest {
	s.writer.Lock()
	defer s.writer.Unlock()
	t := s.transfer
	if t == nil || s.dead.Load() {
		return nil
	}
	if err := s.seek(t, s.leavesMax); err != nil {
		_ = s.broken(err) // FinishTransfer returns it
		return nil
	}
	return t.wanted(limit, s.leavesMax)
}

// wanted returns up to limit digests: those of inner pages as long as few leaves are
// known, and then of leaves, in order.
func (t *transfer) wanted(limit, leavesMax int) (wanted []crypto.Digest) {
	full := len(t.frontier) >= leavesMax
	if !full {
		wanted = t.last(&t.inner, limit)
	}
	exploring := len(wanted) > 0
	leaves := t.last(&t.leaves, limit-len(wanted))
	if len(leaves) == 0 && !exploring {
		slices.SortFunc(t.found, func(a, b crypto.Digest) int { return bytes.Compare(b[:], a[:]) })
		t.leaves, t.found = t.found, nil
		leaves = t.last(&t.leaves, limit)
	}
	wanted = append(wanted, leaves...)
	if len(wanted) == 0 { // all that is known are inner pages
		wanted = t.last(&t.inner, limit)
	}
	return wanted
}

// last returns up to limit digests from the end of a list that are wanted, the last one
// first, and takes those that are not from its end.
func (t *transfer) last(list *[]crypto.Digest, limit int) (wanted []crypto.Digest) {
	for n := len(*list) - 1; n >= 0 && len(wanted) < limit; n-- {
		d := (*list)[n]
		if _, ok := t.frontier[d]; ok {
			wanted = append(wanted, d)
		}
		*list = (*list)[:n]
	}
	for _, d := range slices.Backward(wanted) {
		*list = append(*list, d)
	}
	return wanted
}

// AddPiece takes a page that is wanted. It reports used false for one that is
// not, or that is malformed or does not fit its place: that harms nothing. An
// error is a fault of the storage.
func (s *Store) AddPiece(data []byte) (used bool, err error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.goOn(); err != nil {
		return false, err
	}
	t := s.transfer
	if t == nil || len(data) > PageBytesMax {
		return false, nil
	}
	if err := s.seek(t, 1); err != nil {
		return false, s.broken(err)
	}
	digest := pageDigest(data)
	at, wanted := t.frontier[digest]
	if !wanted {
		return false, nil
	}
	p, err := decodePage(append([]byte(nil), data...))
	if err != nil || at.refuse(p) != nil {
		return false, nil
	}
	delete(t.frontier, digest)
	if err := s.stage(t, at, p, false); err != nil {
		return false, s.broken(err)
	}
	return true, nil
}

// PieceDigest returns what data hashes to: the digest by which Wanted would name it.
func (s *Store) PieceDigest(data []byte) crypto.Digest { return pageDigest(data) }

// FinishTransfer makes the transferred snapshot, durably, the content; what was
// written since the last checkpoint is gone. It returns ErrIncomplete, and
// changes nothing, while pages lack.
func (s *Store) FinishTransfer() error {
	if s.transfer == nil {
		return errors.New("checkpoint: no state transfer was begun")
	}
	if err := s.drain(); err != nil {
		return err
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	t := s.transfer
	if err := s.seek(t, 1); err != nil {
		return s.broken(err)
	}
	if len(t.frontier) > 0 {
		return fmt.Errorf("checkpoint: %d pieces known to lack: %w", len(t.frontier), ErrIncomplete)
	}
	snap, err := s.install(t)
	if err != nil {
		return s.broken(err)
	}
	s.transfer, s.staged, s.active = nil, nil, newOverlay()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.inFlight = false
	s.mu.kept = append(s.mu.kept, snap)
	s.mu.lastState = snap
	return nil
}

// GiveUpTransfer ends a transfer that leads nowhere. What it has staged is of use to the
// next one, and collected with the snapshots of its age if none begins before.
func (s *Store) GiveUpTransfer() {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.transfer = nil // what of it was not written is fetched again
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.inFlight = false
}

// drain waits until all checkpoints asked for are written.
func (s *Store) drain() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.mu.frozen) > 0 && s.mu.err == nil && !s.mu.closing {
		s.changed.Wait()
	}
	if s.mu.closing {
		return ErrClosed
	}
	return s.mu.err
}

// install verifies that the target is whole and publishes it.
func (s *Store) install(t *transfer) (snapshot, error) {
	if err := t.out.flush(); err != nil {
		return snapshot{}, err
	}
	if err := s.verifyStaged(t); err != nil {
		return snapshot{}, err
	}
	snap := snapshot{s.generation(), t.seq, t.top}
	dead := &deadList{gen: snap.gen, to: t.out}
	now := &trail{rd: s.rd, of: snap}
	if err := s.replaced(s.newest().root, now, dead.add); err != nil {
		return snapshot{}, err
	}
	if t.mixed {
		unused := func(r ref) error { return s.unlessReached(now, r, dead.add) }
		if err := s.eachOf(t.gen, nil, unused); err != nil {
			return snapshot{}, err
		}
	}
	if err := errors.Join(dead.flush(), t.out.flush()); err != nil {
		return snapshot{}, err
	}
	return snap, s.publish(snap, change{stagingKey(), nil})
}

// verifyStaged reads back every staged page of the target.
func (s *Store) verifyStaged(t *transfer) error {
	if t.top.count == 0 {
		return nil
	}
	stack := []place{{ref: t.top}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.ref.birth != t.gen {
			continue // shared with the newest own snapshot
		}
		p, _, err := s.rd.fetch(at.ref)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if err := at.refuse(p); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		for _, k := range p.kids {
			stack = append(stack, place{p, k.label, k.ref})
		}
	}
	return nil
}

// replaced calls yield for every page below old that is no part of now. What of
// old is damaged is passed over: its pages stay, and harm nothing.
func (s *Store) replaced(old ref, now *trail, yield func(r ref) error) error {
	if old.count == 0 {
		return nil
	}
	stack := []ref{old}
	for len(stack) > 0 {
		r := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		p, err := s.rd.load(r)
		if err != nil {
			s.log.Warnw("a replaced page is damaged; what is below stays on disk", "page", r.digest.Short(), "error", err)
			continue
		}
		shared, err := now.reaches(r, p)
		if err != nil {
			return err
		}
		if shared {
			continue
		}
		if err := yield(r); err != nil {
			return err
		}
		for _, k := range p.kids {
			stack = append(stack, k.ref)
		}
	}
	return nil
}

// unlessReached calls yield for a page that is no part of now, which is whole.
func (s *Store) unlessReached(now *trail, r ref, yield func(r ref) error) error {
	p, _, err := s.rd.fetch(r)
	if err != nil {
		return nil //nolint:nilerr // damaged, so no part of now; it stays and harms nothing
	}
	reached, err := now.reaches(r, p)
	if err != nil || reached {
		return err
	}
	return yield(r)
}
