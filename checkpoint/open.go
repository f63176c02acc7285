package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/quorate/quorate/crypto"
)

const (
	// verifyBytesMax is up to which size Open reads a whole snapshot.
	verifyBytesMax = 64 << 20
	// verifyLevels is how far down it looks at a larger one.
	verifyLevels = 2
)

// Open opens the store in dir, or makes one. Its content is the newest durable
// snapshot. One process may have it open (ErrInUse).
//
// A database that cannot be opened at all is moved away (Quarantine), and the
// store is empty; a newest snapshot that is damaged makes room for the one
// before it: Opened tells. If there were snapshots and none is whole, Open
// returns ErrDamaged and leaves everything where it is; one of an earlier format is
// ErrFormat.
func Open(dir string, opts Options) (*Store, error) {
	dir = filepath.Clean(dir)
	s, err := openOnce(dir, opts)
	if !errors.Is(err, errUnopenable) {
		return s, err
	}
	why := err.Error()
	to, err := Quarantine(dir)
	if err != nil {
		return nil, errors.Join(err, errors.New(why))
	}
	s, err = openOnce(dir, opts)
	if err != nil {
		return nil, err
	}
	s.opened.Quarantined, s.opened.Why = to, why
	s.log.Errorw("the state could not be opened and was moved away; it must be fetched from the other replicas",
		"moved", to, "why", why)
	return s, nil
}

func openOnce(dir string, opts Options) (*Store, error) {
	d, err := openDisk(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: open %s: %w", dir, err)
	}
	s := newStore(d.pages, opts)
	s.disk = d
	if err := s.recover(opts.VerifyAll || d.suspected()); err != nil {
		return nil, errors.Join(fmt.Errorf("checkpoint: open %s: %w", dir, err), d.close())
	}
	if err := d.trusted(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	s.ended = make(chan struct{})
	go s.run()
	return s, nil
}

// recover finds the newest whole snapshot, and clears away what came after it.
func (s *Store) recover(all bool) error {
	kept, newest, err := s.manifests()
	if err != nil {
		return err
	}
	if s.disk != nil {
		if snap, ok := s.disk.published(); ok {
			newest = max(newest, snap.gen)
			s.opened.Published = snap.seq
		}
	}
	if n := len(kept); n > 0 {
		s.opened.Published = max(s.opened.Published, kept[n-1].seq)
	}
	if kept, err = s.dropDamaged(kept, all); err != nil {
		return err
	}
	if len(kept) == 0 && newest > 0 {
		return damaged("no whole snapshot (%s)", s.opened.Why)
	}
	var base uint64
	if len(kept) > 0 {
		base = kept[len(kept)-1].gen
	}
	if base < newest {
		s.opened.Fallback = true
		if s.opened.Why == "" {
			s.opened.Why = "the manifest of the newest snapshot is missing or damaged"
		}
		s.log.Errorw("the newest snapshot is damaged or lost; an older one takes its place", "why", s.opened.Why)
	}
	if err := s.readStaging(); err != nil {
		return err
	}
	if err := s.clearAfter(base); err != nil {
		return err
	}
	next := max(newest, base) + 1
	if s.staged != nil {
		next = max(next, s.staged.gen+1)
	}
	s.adopt(kept, next)
	return nil
}

// manifests returns all whole manifests, ascending, and the newest generation
// that there was one of, whole or not.
func (s *Store) manifests() (kept []snapshot, newest uint64, err error) {
	former := false
	err = s.rd.pages.scan([]byte{manifestSpace}, 1, func(key, value []byte) bool {
		if len(key) != 1+birthBytes {
			return true
		}
		gen := binary.BigEndian.Uint64(key[1:])
		newest = gen
		former = former || bytes.HasPrefix(value, []byte(formerManifestTag))
		snap, err := decodeManifest(value)
		if err != nil || snap.gen != gen {
			s.opened.Why = fmt.Sprintf("manifest of generation %d is damaged", gen)
			return true
		}
		kept = append(kept, snap)
		return true
	})
	if err == nil && former {
		err = ErrFormat
	}
	return kept, newest, err
}

// dropDamaged cuts off the newest snapshots up to the first whole one. An error is that of
// Options.GoOn, and says nothing of them.
func (s *Store) dropDamaged(kept []snapshot, all bool) ([]snapshot, error) {
	var stopped error
	goOn := func() error {
		if s.opts.GoOn != nil {
			stopped = s.opts.GoOn()
		}
		return stopped
	}
	for len(kept) > 0 {
		newest := kept[len(kept)-1]
		levels := verifyLevels
		if all || newest.root.bytes <= verifyBytesMax {
			levels = 0
		}
		err := s.rd.verify(newest.root, levels, goOn)
		if stopped != nil {
			return nil, stopped
		}
		if err == nil {
			break
		}
		s.opened.Why = fmt.Sprintf("snapshot after %d: %v", newest.seq, err)
		kept = kept[:len(kept)-1]
	}
	return kept, nil
}

func (s *Store) readStaging() error {
	data, ok, err := s.rd.pages.get(stagingKey())
	if err != nil || !ok {
		return err
	}
	if bytes.HasPrefix(data, []byte(formerStagingTag)) {
		return ErrFormat
	}
	record, err := decodeStaging(data)
	if err != nil {
		s.log.Warnw("the record of a state transfer is damaged; it starts over")
		return s.rd.pages.apply([]change{{stagingKey(), nil}})
	}
	s.staged = &record
	return nil
}

// clearAfter deletes what generations after base have left: pages of a crashed
// checkpoint, or a damaged snapshot with its dead list, which must not be
// believed. The pages of a transfer stay.
func (s *Store) clearAfter(base uint64) error {
	out := &batch{to: s.rd.pages}
	var failed error
	for _, space := range []byte{manifestSpace, deadSpace, pageSpace} {
		err := s.rd.pages.scan(spaceKey(space, base+1), 1, func(key, _ []byte) bool {
			failed = s.clearRecord(out, key, base)
			return failed == nil
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
	}
	return out.flush()
}

// clearRecord deletes one record if it is of a generation after base.
func (s *Store) clearRecord(out *batch, key []byte, base uint64) error {
	if len(key) < 1+birthBytes {
		return nil
	}
	gen := binary.BigEndian.Uint64(key[1:])
	if gen <= base || s.staged != nil && gen == s.staged.gen {
		return nil
	}
	if len(key) == 1+birthBytes+crypto.DigestSize {
		if r, ok := refOfPageKey(key); ok {
			return s.erase(out, r)
		}
	}
	return out.add(key, nil)
}
