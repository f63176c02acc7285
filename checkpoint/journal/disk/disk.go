// Package disk is what the journal needs of a file system, so that tests can
// put a worse one underneath.
//
// OS is the real one. Memory keeps everything in memory and is as unkind as the
// rules allow: a crash loses any subset of the sectors and directory entries
// that were not synced, and keeps the others; any operation may be made to fail.
package disk

import (
	"errors"
	"io"
)

// SectorBytes is the largest unit that a disk writes whole or not at all.
const SectorBytes = 512

// ErrLocked says that somebody holds the lock already: another process, or another user of
// this one, such as a replica that was not closed.
var ErrLocked = errors.New("locked already, by another process or by this one")

// FS is a file system. Its methods may be called by many goroutines at once.
// A missing file or directory is reported with an error that is fs.ErrNotExist.
type FS interface {
	// MakeDir creates dir, durably, if it is not there.
	MakeDir(dir string) error
	// List returns the names of the regular files in dir, sorted. Anything else
	// whose name ends in one of strict is an error.
	List(dir string, strict ...string) ([]string, error)
	// Create makes the file name, which may not exist, empty.
	Create(name string) (File, error)
	// Open opens the file name for reading and writing. It follows no symbolic
	// link.
	Open(name string) (File, error)
	// Rename gives the file from the name to, replacing what was there.
	Rename(from, to string) error
	// Remove removes the file name.
	Remove(name string) error
	// SyncDir makes what was created, renamed and removed in dir durable.
	SyncDir(dir string) error
	// Lock takes the lock of the file name, which it creates, or returns
	// ErrLocked at once. Close, and the end of the process, give it back.
	Lock(name string) (io.Closer, error)
}

// File is an open file. One goroutine at a time uses it.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Bytes returns the length of the file.
	Bytes() (int64, error)
	// Sync makes the content and all attributes durable.
	Sync() error
	// SyncData makes durable the content, and what is needed to read it back.
	SyncData() error
}
