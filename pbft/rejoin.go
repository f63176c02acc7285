package pbft

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/pbft/core"
)

// RejoinFile is there, in the data directory, from when a replica without data
// begins to rejoin until its journal says so. A start that ends in between must
// not leave an empty journal that looks like one of a replica that never voted.
const RejoinFile = "REJOIN"

// markRejoin notes, durably, that the journal to come is that of a replica that
// lost its data.
func markRejoin(data string) error {
	f, err := os.OpenFile(filepath.Join(data, RejoinFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	_, err = f.WriteString("This replica lost its data and rejoins. Do not remove this file: the replica does.\n")
	return errors.Join(err, f.Sync(), f.Close(), syncDir(data))
}

// rejoinMarked tells whether markRejoin has noted that, and no journal says it yet.
func rejoinMarked(data string) bool {
	_, err := os.Lstat(filepath.Join(data, RejoinFile))
	return err == nil
}

// keepRejoin moves what markRejoin noted into the journal, and tells whether
// there was anything.
func keepRejoin(data string, j *journal.Journal) (rejoin bool, err error) {
	mark := filepath.Join(data, RejoinFile)
	if _, err := os.Lstat(mark); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := j.Append([]core.Record{core.RejoinRecord{Open: true}}); err != nil {
		return false, err
	}
	if err := j.Flush(); err != nil {
		return false, err
	}
	return true, errors.Join(os.Remove(mark), syncDir(data))
}

// newLife returns a name for this start: core.Restored.Life.
func newLife() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                   // it never fails
	return binary.BigEndian.Uint64(b[:]) | 1 // 0 is none
}

// syncDir makes the entries of a directory durable.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// adviseJournal adds what to do about a journal that cannot be used.
func adviseJournal(err error, data string) error {
	switch {
	case errors.Is(err, journal.ErrMissing), errors.Is(err, journal.ErrCorrupt):
		return fmt.Errorf("%w\nto rejoin, move %s away and start with --rejoin (Config.Rejoin)", err, data)
	case errors.Is(err, journal.ErrForeign):
		return fmt.Errorf("%w, and give it the key and the genesis that it ran with", err)
	default:
		return err
	}
}
