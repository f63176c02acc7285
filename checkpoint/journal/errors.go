package journal

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/checkpoint/journal/disk"
)

// What can be wrong with a journal on disk. Each error that wraps one of them
// says where, and what to do.
var (
	// ErrMissing says that there is no journal in the directory.
	ErrMissing = errors.New("no journal")
	// ErrExists says that there is one already.
	ErrExists = errors.New("a journal exists already")
	// ErrLocked says that another process, or this one, has it open.
	ErrLocked = disk.ErrLocked
	// ErrForeign says that it belongs to another replica, cluster or epoch.
	ErrForeign = errors.New("journal of another replica")
	// ErrVersion says that a newer version of this program wrote it.
	ErrVersion = errors.New("newer journal format")
	// ErrCorrupt says that durable records were lost or changed. See
	// CorruptError.
	ErrCorrupt = errors.New("journal is damaged")
)

var errClosed = errors.New("journal: closed")

// advice ends the errors about files that are lost or changed as a whole.
const advice = ": undo what was done to the files (an older copy is no substitute, it lacks votes), or put the " +
	"directory aside and have the replica rejoin"

// CorruptError says where durable records were lost or changed, which no crash
// does. It is an ErrCorrupt.
type CorruptError struct {
	File   string // the segment
	Offset int64  // of the damage in it
	Index  uint64 // of the first record that is lost
	Reason string
}

// Error says what is damaged, and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s, offset %d (record %d): %s. No crash does this: the disk, or something that wrote to "+
		"the files, did. The replica's votes are lost and it must not vote on: check the disk, put the directory aside, "+
		"and have the replica rejoin", ErrCorrupt, e.File, e.Offset, e.Index, e.Reason)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
