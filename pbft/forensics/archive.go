package forensics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of an archive.
const (
	// ArchiveBytesDefault bounds the segments of the past unless Options say
	// otherwise: about a million batches of a cluster of four.
	ArchiveBytesDefault = 256 << 20
	// ArchiveBytesMin is the least that may be set.
	ArchiveBytesMin = 1 << 20

	proofsBytesMax  = 64 << 20 // of the segment that is never dropped
	segmentsPerPast = 16       // so one sixteenth is dropped at a time
	pastBytesMax    = 64 << 20 // or so much: the newest segment is read at every start
)

// Options are how an archive is kept. The zero value is usable.
type Options struct {
	// Bytes bounds the segments of the past; 0 means ArchiveBytesDefault. What is
	// kept for ever, evidence and certificates that contradict each other, is at
	// most 64 MiB on top.
	Bytes int64
}

// Archive is what a replica writes for forensics: append-only segments, the
// oldest dropped first. Nothing depends on it: a message may be lost in a crash,
// and after an error it only returns errors. One goroutine uses it.
type Archive struct {
	dir    string
	id     Identity
	limit  int64
	each   int64 // bytes of a segment of the past
	past   *segment
	proofs *segment
	sizes  map[uint64]int64 // of older segments of the past
	serial uint64           // of past
	known  map[crypto.Digest]bool
	hurt   []string // files that are damaged
	err    error
}

// segment is a file that grows.
type segment struct {
	file  *os.File
	bytes int64
}

// OpenArchive opens the archive in dir, or makes one. It cuts a torn end off the
// newest segment, and never touches whole records: what is damaged stays as it is, and what
// comes is written to a new file.
func OpenArchive(dir string, id Identity, opts Options) (*Archive, error) {
	if opts.Bytes == 0 {
		opts.Bytes = ArchiveBytesDefault
	}
	if opts.Bytes < ArchiveBytesMin {
		return nil, fmt.Errorf("archive: %d bytes are too few, want at least %d", opts.Bytes, ArchiveBytesMin)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Archive{
		dir: dir, id: id, limit: opts.Bytes, each: min(opts.Bytes/segmentsPerPast, pastBytesMax),
		sizes: map[uint64]int64{}, known: map[crypto.Digest]bool{},
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("archive: %w", err), a.Close())
	}
	return a, nil
}

func (a *Archive) open() error {
	serials, err := segmentsOf(a.dir)
	if err != nil {
		return err
	}
	a.serial = 1
	for _, serial := range serials {
		info, err := os.Stat(filepath.Join(a.dir, segmentName(serial)))
		if err != nil {
			return err
		}
		a.sizes[serial], a.serial = info.Size(), serial
	}
	if a.sizes[a.serial] > segmentBytesMax {
		a.serial++ // it would be cut to what is read of it
	}
	delete(a.sizes, a.serial)
	var past, proofs contents
	if a.past, past, err = a.openSegment(segmentName(a.serial)); err != nil {
		return err
	}
	if past.damaged {
		a.hurt = append(a.hurt, filepath.Join(a.dir, segmentName(a.serial)))
		if err := a.rotate(); err != nil {
			return err
		}
	}
	if a.proofs, proofs, err = a.openSegment(proofsName); err != nil {
		return err
	}
	for _, frame := range proofs.frames {
		a.known[crypto.Sum(frame)] = true
	}
	if proofs.damaged {
		return a.renewProofs(proofs.frames)
	}
	return nil
}

// renewProofs sets the damaged segment of proofs aside, and writes its whole records to a new
// one. At every moment one of them has the name.
func (a *Archive) renewProofs(frames [][]byte) error {
	path := filepath.Join(a.dir, proofsName)
	aside, err := setAside(path)
	if err != nil {
		return err
	}
	a.hurt = append(a.hurt, aside)
	b := a.id.header()
	for _, frame := range frames {
		b = appendRecord(b, frame)
	}
	file, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	renewed := &segment{file: file}
	err = errors.Join(renewed.write(b), file.Sync())
	if err == nil { // or what is whole in the damaged one would be read no more
		err = os.Rename(path+newSuffix, path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	damaged := a.proofs
	a.proofs = renewed
	return damaged.file.Close()
}

// newSuffix ends the name of a segment that is not whole yet.
const newSuffix = ".new"

// setAside gives a file a second name, such as proofs-damaged-1.arc, which nothing reads or
// removes.
func setAside(path string) (aside string, err error) {
	for i := 1; ; i++ {
		aside = fmt.Sprintf("%s-damaged-%d%s", strings.TrimSuffix(path, segmentSuffix), i, segmentSuffix)
		if err = os.Link(path, aside); !errors.Is(err, fs.ErrExist) {
			return aside, err
		}
	}
}

// Damaged returns the files that were found damaged when it was opened. Their whole records
// are read as before.
func (a *Archive) Damaged() []string { return a.hurt }

// segmentsOf returns the serial numbers of the segments in dir, ascending.
func segmentsOf(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var serials []uint64
	for _, e := range entries {
		if serial, ok := segmentSerial(e.Name()); ok && e.Type().IsRegular() {
			serials = append(serials, serial)
		}
	}
	slices.Sort(serials)
	return serials, nil
}

// openSegment opens a segment to append to it, unless it is damaged, and returns what it
// holds. One with a header that a crash tore is begun anew; one of somebody else is refused.
func (a *Archive) openSegment(name string) (*segment, contents, error) {
	path := filepath.Join(a.dir, name)
	data, err := readSegment(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, contents{}, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, contents{}, err
	}
	s := &segment{file: file}
	if !begun(data) {
		return s, contents{}, errors.Join(s.cut(0), s.write(a.id.header()))
	}
	id, err := parseHeader(data)
	unknown := errors.Is(err, errHeader)
	if err == nil && id != a.id {
		err = fmt.Errorf("%w: it is of replica %d of cluster %s", ErrOtherCluster, id.Replica, id.Domain.Cluster.Short())
	}
	if err != nil && !unknown {
		return nil, contents{}, errors.Join(fmt.Errorf("%s: %w: move it away", path, err), file.Close())
	}
	c := contentsOf(data)
	if c.damaged = c.damaged || unknown; c.damaged {
		s.bytes = int64(len(data))
		return s, c, nil
	}
	return s, c, s.cut(int64(c.end))
}

// cut drops everything from offset at on.
func (s *segment) cut(at int64) error {
	s.bytes = at
	if err := s.file.Truncate(at); err != nil {
		return err
	}
	_, err := s.file.Seek(at, 0)
	return err
}

func (s *segment) write(b []byte) error {
	n, err := s.file.Write(b)
	s.bytes += int64(n)
	return err
}

// Add archives messages that were verified: commit certificates, stable proofs,
// view changes and new views. Others it leaves out. It syncs nothing.
func (a *Archive) Add(messages ...wire.Message) error {
	var b []byte
	for _, m := range messages {
		switch m.(type) { //nolint:gochecksumtype // the others prove nothing later
		case *wire.CommitProof, *wire.StableProof, *wire.ViewChange, *wire.NewView, *wire.Evidence:
			b = appendRecord(b, wire.Encode(m))
		}
	}
	if a.err != nil || len(b) == 0 {
		return a.err
	}
	if err := a.past.write(b); err != nil {
		return a.fail(err)
	}
	if a.past.bytes < a.each {
		return nil
	}
	return a.fail(a.rotate())
}

// Keep archives messages that are never dropped, evidence and certificates that
// contradict each other, each once, durably. Beyond 64 MiB they are left out.
func (a *Archive) Keep(messages ...wire.Message) error {
	var b []byte
	for _, m := range messages {
		frame := wire.Encode(m)
		digest := crypto.Sum(frame)
		if a.known[digest] || a.proofs == nil || a.proofs.bytes+int64(len(b)+len(frame)) > proofsBytesMax {
			continue
		}
		a.known[digest] = true
		b = appendRecord(b, frame)
	}
	if a.err != nil || len(b) == 0 {
		return a.err
	}
	if err := a.proofs.write(b); err != nil {
		return a.fail(err)
	}
	return a.fail(a.proofs.file.Sync())
}

// fail remembers the first error: what follows it could be unreadable.
func (a *Archive) fail(err error) error {
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("archive: %w", err)
	}
	return a.err
}

// rotate begins a new segment and drops the oldest ones beyond the limit.
func (a *Archive) rotate() error {
	if err := errors.Join(a.past.file.Sync(), a.past.file.Close()); err != nil {
		return err
	}
	a.sizes[a.serial] = a.past.bytes
	a.serial++
	var err error
	if a.past, _, err = a.openSegment(segmentName(a.serial)); err != nil {
		return err
	}
	return a.drop()
}

func (a *Archive) drop() error {
	serials, total := []uint64{}, a.each // the newest may grow so long
	for serial, bytes := range a.sizes {
		serials, total = append(serials, serial), total+bytes
	}
	slices.Sort(serials)
	for _, serial := range serials {
		if total <= a.limit {
			return nil
		}
		if err := os.Remove(filepath.Join(a.dir, segmentName(serial))); err != nil {
			return err
		}
		total -= a.sizes[serial]
		delete(a.sizes, serial)
	}
	return nil
}

// Close syncs and ends it. It returns the error of Add, if there was one.
func (a *Archive) Close() error {
	errs := []error{a.err}
	for _, s := range []*segment{a.past, a.proofs} {
		if s != nil {
			errs = append(errs, s.file.Sync(), s.file.Close())
		}
	}
	a.past, a.proofs = nil, nil
	if a.err == nil {
		a.err = errors.New("archive: it is closed")
	}
	return errors.Join(errs...)
}
