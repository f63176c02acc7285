package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// baseName is the file of a base that is being written.
	baseName = "base.tmp"
	// baseGap is how many segments may be begun while one is written: it has the serial
	// after those from the beginning, for its chain begins with that.
	baseGap = 1 << 20
	// portionBytesDefault is how much of a base is written at once: some milliseconds of
	// a disk.
	portionBytesDefault = 1 << 20
	// catchUpPortions is how many portions of what is appended meanwhile Work writes at once
	// beside its own, and behindPortionsMax how many may lack before the base is given up.
	catchUpPortions   = 3
	behindPortionsMax = 256
	// recordBytesGuess is what a record counts for beside what may be long in it, to tell a
	// long base from a short one; certBytesGuess is that of a certificate in a record, and
	// signedBytes each signature.
	recordBytesGuess = 512
	certBytesGuess   = 128
	signedBytes      = 4 + len(crypto.Signature{})
)

// baseWriting is a base that is being written, to a file that has no name of a segment
// yet.
type baseWriting struct {
	tail    *tail
	most    int64         // bytes that its segment may have
	waiting []core.Record // of the base, and what was appended since, as far as it is not in tail
	behind  int64         // bytes that were appended since, and not caught up with
}

// errBaseLong says that a base does not fit into its segment.
var errBaseLong = fmt.Errorf("a base of more than %d bytes", segmentBytesMax)

// Rebase makes base the beginning of the journal, and removes all older records, those
// appended and not flushed too. A base of up to Options.PortionBytes is that, durably, when
// Rebase returns. A longer one becomes it little by little, with Work: until that is done all that
// was appended before Rebase is durable, and older records and later ones are found after a
// crash; from then on base and the later ones. Another Rebase meanwhile gives up the one
// before. After an error the journal is dead.
func (j *Journal) Rebase(base []core.Record) error {
	if j.err != nil {
		return j.err
	}
	err := j.giveUpBase()
	switch {
	case err != nil:
	case j.tail == nil || guess(base) <= j.opts.PortionBytes:
		err = j.rebase(base)
	default:
		err = j.beginBase(base)
	}
	if err != nil {
		return j.fail(err)
	}
	return nil
}

// Work writes a portion of the base that is being written, if there is one, and up to three
// more if more was appended meanwhile, so that it comes to an end: call it when nothing else
// is to be done, such as after each Flush. It returns whether there is more to be written.
// Where too much is appended for that, or the base is too long for a segment, it gives it up, and
// all that was before it and came since stays in the journal, until another Rebase; GivenUp
// tells. After an error the journal is dead.
func (j *Journal) Work() (more bool, err error) {
	if j.err != nil || j.base == nil {
		return false, j.err
	}
	done, err := j.base.write(j.opts.PortionBytes)
	switch {
	case err == nil && done:
		err = j.endBase()
	case errors.Is(err, errBaseLong), err == nil && j.base.behind > behindPortionsMax*j.opts.PortionBytes:
		j.givenUp++
		done, err = true, j.giveUpBase()
	}
	if err != nil {
		return false, j.fail(err)
	}
	return !done, nil
}

// GivenUp returns how many bases were given up because too much came meanwhile, or was in them.
func (j *Journal) GivenUp() int { return j.givenUp }

// guess returns how long the records of a base are, or so.
func guess(base []core.Record) int64 {
	n := 0
	for _, r := range base {
		n += recordBytesGuess
		switch r := r.(type) { //nolint:gochecksumtype // the others are short
		case core.AcceptedRecord:
			n += r.PrePrepare.Batch.Size()
		case core.BatchRecord:
			n += r.Batch.Size()
		case core.PreparedRecord:
			n += signedBytes * len(r.Cert.Prepares)
		case core.CommittedRecord:
			n += signedBytes * len(r.Cert.Commits)
		case core.ViewChangeRecord:
			n += guessChange(r.ViewChange)
		case core.EvidenceRecord:
			n += guessEvidence(r.Evidence)
		}
	}
	return int64(n)
}

// guessChange returns how long the certificates of a view change are, or so: in a large cluster
// those of a whole window, from a quorum, are as long as its batches.
func guessChange(vc *wire.ViewChange) int {
	n := 0
	for i := range vc.Prepared {
		n += certBytesGuess + signedBytes*len(vc.Prepared[i].Prepares)
	}
	return n
}

func guessEvidence(e *wire.Evidence) int {
	n := len(e.First.Body) + len(e.Second.Body)
	for _, b := range e.Attached {
		n += len(b)
	}
	return n
}

// beginBase makes all that was appended durable, and the file of a base.
func (j *Journal) beginBase(base []core.Record) error {
	old := j.tail
	if err := old.flush(); err != nil {
		return err
	}
	head, err := j.head(header{base: true, serial: old.head.serial + baseGap, first: old.index})
	if err != nil {
		return err
	}
	path := j.basePath()
	if err := removeIfThere(j.opts.FS, path); err != nil {
		return err
	}
	file, err := j.opts.FS.Create(path)
	if err != nil {
		return err
	}
	head.bytes = 0 // its file is as long as it is
	j.base = &baseWriting{tail: newTail(file, head), most: j.opts.baseBytesMax, waiting: slices.Clone(base)}
	return nil
}

// keep has b hold what is appended to the journal meanwhile.
func (b *baseWriting) keep(records []core.Record, bytes int64) {
	b.waiting = append(b.waiting, records...)
	b.behind += bytes
}

// write writes a portion, and beside it as much as was appended since, at most some portions:
// what a turn appended at once, such as the batches that a view change carries over, it
// catches up with in several. It returns whether all is written; what is not yet the last
// portion it syncs, so that the last sync has little to do.
func (b *baseWriting) write(portion int64) (done bool, err error) {
	more := min(b.behind, catchUpPortions*portion)
	until := b.tail.end() + portion + more
	b.behind -= more
	for len(b.waiting) > 0 && b.tail.end() < until {
		if err := b.tail.addBase(b.waiting[0], b.most); err != nil {
			return false, err
		}
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
	if len(b.waiting) == 0 {
		return true, b.tail.finish()
	}
	if err := b.tail.write(); err != nil {
		return false, err
	}
	if err := b.tail.file.SyncData(); err != nil {
		return false, fmt.Errorf("sync %s: %w", baseName, err)
	}
	return false, nil
}

// endBase makes the base that is written the beginning of the journal.
func (j *Journal) endBase() error {
	old := j.tail
	if err := old.flush(); err != nil { // its seal speaks for all before it
		return err
	}
	next := j.base.tail
	j.base = nil
	if err := j.install(next, j.basePath()); err != nil {
		return err
	}
	return j.forget(append(j.older, old.head.serial))
}

// giveUpBase removes a base that is being written.
func (j *Journal) giveUpBase() error {
	if j.base == nil {
		return nil
	}
	file := j.base.tail.file
	j.base = nil
	return errors.Join(file.Close(), removeIfThere(j.opts.FS, j.basePath()))
}

func (j *Journal) basePath() string { return filepath.Join(j.dir, baseName) }
