package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Badger keeps every table open. Where it puts tables in order and cannot make one of the new
// ones, it goes on without that one and deletes those that it was made of (Badger 4.9,
// levelsController.subcompact): what was in it is gone. A process runs out of files at some
// size of the state, and so would all replicas at about the same time. So the store stops
// while there are enough of them.
const (
	// filesSpare is how many files a process must have left to open: for the tables that are
	// made at once, in several goroutines, and for as many connections as a replica serves.
	filesSpare = 512
	// filesPages is after how many pages that were written they are counted again: tables of
	// 1 MiB take some hundred of them each.
	filesPages = 4096
)

// openFiles returns how many files this process has open, and how many it may have. It is not
// ok where the system does not tell.
func openFiles() (have, most uint64, ok bool) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0, 0, false
	}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	names, err := dir.Readdirnames(-1)
	if err := dir.Close(); err != nil {
		return 0, 0, false
	}
	return uint64(len(names)), limit.Cur, err == nil
}

// countTables returns how many tables a database has.
func countTables(dir string) (tables int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".sst" {
			tables++
		}
	}
	return tables, err
}

// guardFiles refuses to go on when there are too few files left beside so many more tables.
func (d *disk) guardFiles(tables int) error {
	have, most, ok := d.files()
	if need := uint64(tables) + filesSpare; ok && have+need > most { //nolint:gosec // not negative
		return fmt.Errorf("%s: %d of %d files are open, and there must be %d more: %w", d.dir, have, most, need, ErrNoFiles)
	}
	return nil
}

// guardFiles is that of the disk, now and then.
func (s *Store) guardFiles() error {
	if written := s.pages.Load(); s.disk == nil || written < s.filesNext {
		return nil
	}
	s.filesNext = s.pages.Load() + filesPages
	return s.disk.guardFiles(0)
}
