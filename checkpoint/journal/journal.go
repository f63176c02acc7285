package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Options are the settings of a journal. Limits must be set; the rest has
// defaults.
type Options struct {
	// Limits are the cluster's; records beyond them are refused.
	Limits wire.Limits
	// SegmentBytes is the length of a segment: 0 means 16 MiB. It is rounded up
	// to whole sectors and may change between two runs.
	SegmentBytes int64
	// PortionBytes is how much of a long base Work writes at once: 0 means 1 MiB.
	PortionBytes int64
	// FS is the file system: nil means the operating system's.
	FS disk.FS
	// Foreground zeroes segments when they are needed and starts no goroutine,
	// for simulators.
	Foreground bool

	baseBytesMax int64 // of a base written little by little; 0 means segmentBytesMax
}

const (
	segmentBytesDefault = 16 << 20
	segmentBytesMin     = 4 << 10
	segmentBytesLargest = 256 << 20
)

func (o Options) complete() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = segmentBytesDefault
	}
	if o.SegmentBytes < segmentBytesMin || o.SegmentBytes > segmentBytesLargest {
		return o, fmt.Errorf("journal: a segment of %d bytes: want %d to %d, or 0 for the default",
			o.SegmentBytes, segmentBytesMin, segmentBytesLargest)
	}
	if o.PortionBytes < 0 {
		return o, fmt.Errorf("journal: a portion of %d bytes: want more than 0, or 0 for the default", o.PortionBytes)
	}
	if o.PortionBytes == 0 {
		o.PortionBytes = portionBytesDefault
	}
	if o.baseBytesMax == 0 {
		o.baseBytesMax = segmentBytesMax
	}
	o.SegmentBytes = alignUp(o.SegmentBytes, sector)
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Limits.Replicas < 1 {
		return o, errors.New("journal: Options.Limits is not set")
	}
	if longest := o.Limits.FrameBytesMax(); longest >= recordBytesMax {
		return o, fmt.Errorf("journal: the limits allow frames of %d bytes, a record holds less than %d: lower them",
			longest, recordBytesMax)
	}
	return o, nil
}

// Journal is an open journal. One goroutine at a time uses it; only the zeroing
// of segments ahead runs beside it.
type Journal struct {
	dir   string
	id    Identity
	opts  Options
	lock  io.Closer
	spare spare
	tail  *tail        // of the last segment
	base  *baseWriting // nil while none is being written

	givenUp int // bases

	older      []uint64 // serials of the segments before the last, ascending
	olderBytes int64    // used in them

	err error // the first one: the journal is dead (J5)
}

// Exists tells whether dir holds a journal. A replica that has lost it must not
// start as if for the first time: who calls Create must know otherwise that it
// is the first time.
func Exists(dir string, opts Options) (bool, error) {
	opts, err := opts.complete()
	if err != nil {
		return false, err
	}
	serials, err := segments(opts.FS, dir)
	return len(serials) > 0, err
}

// Create begins an empty journal in dir, which it creates as well. It returns
// an ErrExists if there is one, and an ErrLocked if somebody has it open.
func Create(dir string, id Identity, opts Options) (*Journal, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if err := opts.FS.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j, err := lockDir(dir, id, opts)
	if err != nil {
		return nil, err
	}
	if err := j.begin(); err != nil {
		return nil, errors.Join(err, j.abandon())
	}
	return j, nil
}

// begin writes the first segment.
func (j *Journal) begin() error {
	serials, err := segments(j.opts.FS, j.dir)
	if err != nil {
		return err
	}
	if len(serials) > 0 {
		return fmt.Errorf("%w in %s: open it, or choose another directory", ErrExists, j.dir)
	}
	return j.Rebase(nil)
}

// lockDir returns a Journal that holds the lock of dir and nothing else.
func lockDir(dir string, id Identity, opts Options) (*Journal, error) {
	lock, err := opts.FS.Lock(filepath.Join(dir, lockName))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("journal: %s is %w: two replicas with one key would contradict each other; "+
			"end the other one, or close it if it is in this process", dir, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: lock %s: %w", dir, err)
	}
	return &Journal{
		dir: dir, id: id, opts: opts, lock: lock,
		spare: spare{
			fs: opts.FS, path: filepath.Join(dir, spareName), bytes: opts.SegmentBytes, foreground: opts.Foreground,
		},
	}, nil
}

// segments returns the serials of the segments in dir, ascending; none where
// there is no dir.
func segments(fsys disk.FS, dir string) ([]uint64, error) {
	names, err := fsys.List(dir, segmentSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var serials []uint64
	for _, name := range names { // sorted, so that serials are
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		serial, err := segmentSerial(name)
		if err != nil {
			return nil, err
		}
		serials = append(serials, serial)
	}
	return serials, nil
}

// Append adds records, in order. They are durable only after Flush; but where a
// segment is full, Append flushes it. After an error the journal is dead.
func (j *Journal) Append(records []core.Record) error {
	if j.err != nil {
		return j.err
	}
	bytes := int64(0)
	for _, r := range records {
		payload, err := j.tail.encode(r)
		if err != nil {
			return j.fail(err)
		}
		bytes += int64(len(payload))
		if !j.tail.fits(len(payload)) {
			if err := j.rotate(); err != nil {
				return j.fail(err)
			}
		}
		j.tail.add(payload)
		if err := j.tail.spill(); err != nil {
			return j.fail(err)
		}
	}
	if j.base != nil {
		j.base.keep(records, bytes)
	}
	return nil
}

// Flush returns once everything appended is durable: one write, one sync. After
// an error the journal is dead.
func (j *Journal) Flush() error {
	if j.err != nil {
		return j.err
	}
	if err := j.tail.flush(); err != nil {
		return j.fail(err)
	}
	return nil
}

// Size returns how many bytes the journal holds, without what is zeroed ahead.
func (j *Journal) Size() int64 { return j.olderBytes + j.tail.end() }

// Close flushes, and gives the directory back. A second Close does nothing.
func (j *Journal) Close() error {
	if j.lock == nil {
		return nil
	}
	err := j.Flush()
	if j.err == nil {
		j.err = errClosed
	}
	return errors.Join(err, j.abandon())
}

// abandon gives everything back and flushes nothing.
func (j *Journal) abandon() error {
	err := errors.Join(j.spare.drop(), j.giveUpBase())
	if j.tail != nil {
		err = errors.Join(err, j.tail.file.Close())
	}
	err = errors.Join(err, j.lock.Close())
	j.lock = nil
	return err
}

// fail makes err the end of the journal (J5).
func (j *Journal) fail(err error) error {
	j.err = fmt.Errorf("journal: %s is dead: %w", j.dir, err)
	return j.err
}

func (j *Journal) path(serial uint64) string { return filepath.Join(j.dir, segmentName(serial)) }

// rotate flushes the last segment and begins another one after it.
func (j *Journal) rotate() error {
	old := j.tail
	if err := old.flush(); err != nil {
		return err
	}
	next, err := j.next(header{serial: old.head.serial + 1, first: old.index, chain: old.chain})
	if err != nil {
		return err
	}
	if err := j.install(next, j.spare.path); err != nil {
		return err
	}
	j.older = append(j.older, old.head.serial)
	j.olderBytes += old.pos
	return nil
}

// rebase writes base to a new segment and removes the others.
func (j *Journal) rebase(base []core.Record) error {
	head := header{base: true, serial: 1}
	old := j.tail
	if old != nil {
		if err := old.flush(); err != nil { // its seal speaks for all before it
			return err
		}
		head.serial, head.first = old.head.serial+1, old.index
	}
	next, err := j.next(head)
	if err != nil {
		return err
	}
	if err := next.fill(base); err != nil {
		return errors.Join(err, next.file.Close())
	}
	if err := j.install(next, j.spare.path); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return j.forget(append(j.older, old.head.serial))
}

// forget removes segments before a base.
func (j *Journal) forget(serials []uint64) error {
	for _, serial := range serials {
		if err := removeIfThere(j.opts.FS, j.path(serial)); err != nil {
			return fmt.Errorf("remove an old segment: %w", err)
		}
	}
	j.older, j.olderBytes = nil, 0
	return nil
}

// next turns the spare into a segment that has no name yet.
func (j *Journal) next(head header) (*tail, error) {
	head, err := j.head(head)
	if err != nil {
		return nil, err
	}
	file, err := j.spare.take()
	if err != nil {
		return nil, err
	}
	return newTail(file, head), nil
}

// head completes the header of a segment.
func (j *Journal) head(head header) (header, error) {
	head.id, head.bytes = j.id, j.opts.SegmentBytes
	if _, err := rand.Read(head.salt[:]); err != nil {
		return head, err
	}
	if head.base {
		head.chain = head.seed()
	}
	return head, nil
}

// install makes next, whose file has the name from, durable, gives it its own name and
// makes it the last segment.
func (j *Journal) install(next *tail, from string) error {
	old := j.tail
	err := next.publish()
	if err == nil {
		err = j.opts.FS.Rename(from, j.path(next.head.serial))
	}
	if err == nil {
		err = j.opts.FS.SyncDir(j.dir)
	}
	if err != nil {
		return errors.Join(err, next.file.Close())
	}
	j.tail = next
	j.spare.prepare()
	if old == nil {
		return nil
	}
	return errors.Join(old.seal(), old.file.Close())
}
