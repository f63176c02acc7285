package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
)

// Open opens the journal in dir and returns all its records, in order. A flush
// that a crash tore is cut off; anything else that is not as it was written is
// an error that says where: see the sentinels of this package. Nothing on disk
// changes unless everything is well.
func Open(dir string, id Identity, opts Options) (*Journal, []core.Record, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, nil, err
	}
	there, err := Exists(dir, opts)
	if err != nil {
		return nil, nil, err
	}
	if !there {
		return nil, nil, fmt.Errorf("%w in %s: if this replica ever ran, its votes are lost and it must rejoin; "+
			"if not, create one", ErrMissing, dir)
	}
	j, err := lockDir(dir, id, opts)
	if err != nil {
		return nil, nil, err
	}
	o := opening{Journal: j}
	if err := o.run(); err != nil {
		return nil, nil, errors.Join(err, j.abandon())
	}
	return j, o.records, nil
}

// opening is the work of Open.
type opening struct {
	*Journal
	heads   []header // of the base segment and those after it, ascending
	stale   []uint64 // serials of segments before the base
	before  *replay  // the segment before the last, if there is one
	last    *replay
	records []core.Record
}

func (o *opening) run() error {
	serials, err := segments(o.opts.FS, o.dir)
	if err != nil {
		return err
	}
	if err := o.order(serials); err != nil {
		return err
	}
	if err := o.replayAll(); err != nil {
		return err
	}
	return o.heal()
}

// order finds the newest base and the segments after it, and refuses gaps and
// what belongs elsewhere.
func (o *opening) order(serials []uint64) error {
	based := false
	for _, serial := range slices.Backward(serials) {
		head, err := o.readHead(serial)
		switch {
		case based && (err == nil || errors.Is(err, ErrCorrupt)):
			o.stale = append(o.stale, serial) // harmless, and about to be removed
			continue
		case err != nil:
			return err
		}
		o.heads = append(o.heads, head)
		based = head.base
	}
	slices.Reverse(o.heads)
	if !based {
		return fmt.Errorf("journal: %w: segments before %s are missing%s", ErrCorrupt, o.path(serials[0]), advice)
	}
	for i, head := range o.heads[1:] {
		if want := o.heads[i].serial + 1; head.serial != want {
			return fmt.Errorf("journal: %w: %s is missing%s", ErrCorrupt, o.path(want), advice)
		}
	}
	return nil
}

// readHead reads and checks the header of one segment.
func (o *opening) readHead(serial uint64) (header, error) {
	path := o.path(serial)
	file, err := o.opts.FS.Open(path)
	if err != nil {
		return header{}, fmt.Errorf("journal: %w", err)
	}
	head, err := checkHead(file, serial)
	err = errors.Join(err, file.Close())
	switch {
	case errors.Is(err, ErrCorrupt):
		return header{}, fmt.Errorf("journal: %s: %w%s", path, err, advice)
	case err != nil:
		return header{}, fmt.Errorf("journal: %s: %w", path, err)
	}
	if head.id != o.id {
		return header{}, fmt.Errorf("%w: %s is of %v, but this is %v: point each replica to its own directory",
			ErrForeign, path, head.id, o.id)
	}
	return head, nil
}

// checkHead also refuses a file that is shorter than its segment, which by (J3)
// no crash leaves.
func checkHead(file disk.File, serial uint64) (header, error) {
	size, err := file.Bytes()
	if err != nil {
		return header{}, err
	}
	if size < sector {
		return header{}, fmt.Errorf("%w: the file has %d bytes, less than a header", ErrCorrupt, size)
	}
	sectorBuf := make([]byte, sector)
	if err := readAt(file, sectorBuf); err != nil {
		return header{}, err
	}
	head, err := parseHeader(sectorBuf)
	switch {
	case err != nil:
		return header{}, err
	case head.serial != serial:
		return header{}, fmt.Errorf("%w: the file holds segment %d: files were swapped or renamed, undo that",
			ErrCorrupt, head.serial)
	case size < head.bytes:
		return header{}, fmt.Errorf("%w: the file has %d bytes of the segment's %d: it was cut short",
			ErrCorrupt, size, head.bytes)
	case size > segmentBytesMax:
		return header{}, fmt.Errorf("%w: the file has %d bytes, more than any segment", ErrCorrupt, size)
	}
	return head, nil
}

// replayAll reads all records.
func (o *opening) replayAll() error {
	for i, head := range o.heads {
		if i > 0 {
			if err := o.follows(head); err != nil {
				return err
			}
		}
		data, err := o.readSegment(head.serial)
		if err != nil {
			return err
		}
		o.before, o.last = o.last, newReplay(o.path(head.serial), head, data)
		if err := o.last.run(o.keep); err != nil {
			return err
		}
		if o.before != nil {
			o.olderBytes += alignUp(int64(o.before.pos), sector) + sector // with the seal
			o.older = append(o.older, o.before.head.serial)
			o.before.data = nil
		}
	}
	if o.last.sealed {
		return fmt.Errorf("journal: %w: %s is missing, or a base with a higher number: %s says that there was one%s",
			ErrCorrupt, o.path(o.last.head.serial+1), o.last.name, advice)
	}
	if !o.last.torn() {
		return o.last.corrupt(o.last.why)
	}
	return nil
}

// follows checks that the last segment read ends where head begins: it was
// flushed whole before head's segment came to be.
func (o *opening) follows(head header) error {
	if o.last.index == head.first && o.last.chain == head.chain {
		return nil
	}
	return o.last.corrupt(fmt.Sprintf("%s, and the next segment, which begins at record %d, does not follow",
		o.last.why, head.first))
}

func (o *opening) keep(payload []byte) error {
	record, err := decodeRecord(payload, &o.opts.Limits)
	if err != nil {
		return fmt.Errorf("is intact but cannot be read; was it written with other limits or by another version? %w", err)
	}
	o.records = append(o.records, record)
	return nil
}

func (o *opening) readSegment(serial uint64) ([]byte, error) {
	file, err := o.opts.FS.Open(o.path(serial))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	size, err := file.Bytes()
	if err == nil && size > segmentBytesMax {
		err = fmt.Errorf("%s has grown to %d bytes", o.path(serial), size)
	}
	var data []byte
	if err == nil {
		data = make([]byte, size)
		err = readAt(file, data)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return data, nil
}

func readAt(file io.ReaderAt, b []byte) error {
	n, err := file.ReadAt(b, 0)
	if n == len(b) {
		return nil
	}
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// heal makes the disk what was read, durably, and gets ready to append.
func (o *opening) heal() error {
	for _, path := range []string{o.spare.path, o.basePath()} {
		if err := removeIfThere(o.opts.FS, path); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := o.resume(o.last); err != nil {
		return fmt.Errorf("journal: %s: %w", o.last.name, err)
	}
	// The names too: a process that died between a rename and its sync may have
	// left them visible and not durable.
	if err := o.opts.FS.SyncDir(o.dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := o.sealBefore(); err != nil {
		return fmt.Errorf("journal: %s: %w", o.before.name, err)
	}
	older, used := o.older, o.olderBytes
	if err := o.forget(o.stale); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	o.older, o.olderBytes = older, used
	o.spare.prepare()
	return nil
}

// resume makes the segment that r read the one to append to.
//
// It writes the last flush again: after a failed sync the system may show bytes
// that it will never write (J5). It zeroes what lies behind (J4).
func (o *opening) resume(r *replay) error {
	file, err := o.opts.FS.Open(r.name)
	if err != nil {
		return err
	}
	o.tail = r.tail(file)
	if r.groupAt > 0 {
		if err := writeAt(file, r.data[r.groupAt:r.pos], int64(r.groupAt)); err != nil {
			return err
		}
	}
	if rest := lastNonZero(r.data[r.pos:]); rest >= 0 {
		if err := zero(file, int64(r.pos), int64(r.pos+rest+1)); err != nil {
			return err
		}
	}
	return file.Sync()
}

// sealBefore makes up for a seal that a crash prevented.
func (o *opening) sealBefore() error {
	if o.before == nil || o.before.sealed {
		return nil
	}
	file, err := o.opts.FS.Open(o.before.name)
	if err != nil {
		return err
	}
	return errors.Join(o.before.tail(file).seal(), file.Close())
}

// tail returns what appends after what r read.
func (r *replay) tail(file disk.File) *tail {
	t := newTail(file, r.head)
	t.pos = alignUp(int64(r.pos), sector)
	t.group, t.index, t.chain = r.group, r.index, r.chain
	if r.inside {
		t.group++ // the number of a torn flush is not used again
	}
	return t
}
