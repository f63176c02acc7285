package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	logging "github.com/ipfs/go-log/v2"
	"golang.org/x/sys/unix"
)

// The files of a state directory.
const (
	lockName      = "lock"      // locked while a process has the directory open
	openingName   = "opening"   // there while Open opens the database: one byte for each try in a row
	suspectName   = "suspect"   // a damaged page was seen: verify everything
	publishedName = "published" // the manifest of the newest snapshot once more
	badgerName    = "badger"    // the database
)

const (
	// crashesMax is after how many crashes in a row while it was opened the directory is
	// quarantined: one may be a power cut, two are its content.
	crashesMax = 2
	// openBytesMin is what must be free to open: Badger maps its log.
	openBytesMin = 64 << 20
	// closeBytesMin is what must be free to close: Badger writes out its tables
	// in memory, two at most.
	closeBytesMin = 64 << 20
	// quarantinesMax bounds the search for a free name.
	quarantinesMax = 10000
)

// errUnopenable says that the directory's content cannot be opened.
var errUnopenable = errors.New("state directory cannot be opened")

// disk is the directory of a store.
type disk struct {
	dir   string
	lock  *os.File
	pages *badgerPages
	space func(dir string) (uint64, error)
	// syncDir makes durable which files a directory has.
	syncDir func(dir string) error
	files   func() (have, most uint64, ok bool)
	log     *logging.ZapEventLogger
}

// openDisk locks dir and opens the database in it. An errUnopenable asks for
// quarantine; every other error is of the environment.
func openDisk(dir string, opts Options) (d *disk, err error) {
	if err := os.MkdirAll(filepath.Join(dir, badgerName), 0o700); err != nil {
		return nil, err
	}
	if st, err := os.Lstat(filepath.Join(dir, badgerName)); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("%s is not a directory; move it away", filepath.Join(dir, badgerName))
	}
	d = &disk{dir: dir, space: opts.Free, syncDir: opts.syncDir, files: opts.files, log: logging.Logger("checkpoint")}
	if d.space == nil {
		d.space = freeBytes
	}
	if d.syncDir == nil {
		d.syncDir = syncDir
	}
	if d.files == nil {
		d.files = openFiles
	}
	if err := d.syncDir(filepath.Dir(dir)); err != nil {
		return nil, err // or a power cut could take the whole directory
	}
	if d.lock, err = lockFile(filepath.Join(dir, lockName)); err != nil {
		return nil, err
	}
	if err := d.open(opts.memTableBytes); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

func (d *disk) open(memTableBytes int64) error {
	switch free, err := d.free(); {
	case err != nil:
		return fmt.Errorf("ask for the free space of %s: %w", d.dir, err)
	case free < openBytesMin:
		return fmt.Errorf("%s has %d MiB free, %d MiB are needed: %w", d.dir, free>>20, openBytesMin>>20, ErrNoSpace)
	}
	tables, err := countTables(d.path(badgerName))
	if err == nil {
		err = d.guardFiles(tables)
	}
	if err != nil {
		return err
	}
	if err := d.removeEmptyLogs(); err != nil {
		return err
	}
	if err := checkTables(d.path(badgerName)); err != nil {
		return err
	}
	if err := d.mark(); err != nil {
		return err
	}
	p, err := openBadger(d.path(badgerName), memTableBytes)
	unmarked := d.unmark()
	switch {
	case err == nil && unmarked == nil:
		d.pages = p
		return nil
	case err == nil:
		return errors.Join(unmarked, p.close())
	case unmarked != nil || environmental(err):
		return errors.Join(err, unmarked)
	}
	return fmt.Errorf("%w: %w", errUnopenable, err)
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// mark notes that the database is about to be opened. A panic in one of Badger's
// goroutines ends the process, and only such a mark tells the next one. To check the
// tables is not part of it, nor to verify pages: that takes minutes for a large state,
// during which the process may be ended for other reasons.
func (d *disk) mark() error {
	tries, err := os.ReadFile(d.path(openingName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(tries) >= crashesMax {
		return fmt.Errorf("%w: the process ended %d times in a row while opening it", errUnopenable, len(tries))
	}
	return d.write(openingName, append(tries, '.'))
}

// unmark notes, durably, that the database was opened, or could not be.
func (d *disk) unmark() error {
	if err := os.Remove(d.path(openingName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return d.syncDir(d.dir) // or a power cut later on would bring the mark back, and count as a crash
}

// removeEmptyLogs removes logs of length 0, which a crash right after their
// creation leaves and Badger refuses, though nothing is lost.
func (d *disk) removeEmptyLogs() error {
	logs, err := logsIn(d.path(badgerName))
	if err != nil {
		return err
	}
	for _, name := range logs {
		if st, err := os.Lstat(name); err != nil || st.Size() != 0 {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		d.log.Infow("removed an empty log that a crash has left", "file", name)
	}
	return nil
}

// suspect makes the next Open verify everything, as far as that can be noted.
func (d *disk) suspect() {
	if err := d.write(suspectName, []byte{'.'}); err != nil {
		d.log.Warnw("cannot note the damage; open with VerifyAll", "error", err)
	}
}

func (d *disk) suspected() bool {
	_, err := os.Lstat(d.path(suspectName))
	return err == nil
}

// trusted undoes suspect.
func (d *disk) trusted() error {
	if err := os.Remove(d.path(suspectName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// publish notes snap, whose manifest is durable, outside of the database: so a
// database that silently lost its end is told from one that never had it.
func (d *disk) publish(snap snapshot) error {
	if err := d.syncDir(filepath.Join(d.dir, badgerName)); err != nil {
		return err
	}
	return d.write(publishedName, snap.encode())
}

// published returns what publish noted last, or false.
func (d *disk) published() (snapshot, bool) {
	data, err := os.ReadFile(d.path(publishedName))
	if err != nil {
		return snapshot{}, false
	}
	snap, err := decodeManifest(data)
	return snap, err == nil
}

// write replaces a small file, durably and at once.
func (d *disk) write(name string, data []byte) error {
	temporary := d.path(name + ".new")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, d.path(name)); err != nil {
		return err
	}
	return d.syncDir(d.dir)
}

func (d *disk) free() (uint64, error) { return d.space(d.dir) }

// roomFor tells whether so many bytes are free, as far as that can be told.
func (d *disk) roomFor(bytes uint64) bool {
	free, err := d.free()
	return err != nil || free >= bytes
}

// close closes the database. On a full disk it leaves that to the end of the
// process, and the directory locked: to close Badger is to write, and what it
// cannot write there kills the process. Nothing is lost, all is in its log.
func (d *disk) close() error {
	if !d.roomFor(closeBytesMin) {
		return fmt.Errorf("checkpoint: %s stays open until the process ends: %w", d.dir, ErrNoSpace)
	}
	return errors.Join(d.pages.close(), d.lock.Close())
}

// Quarantine renames a state directory that no process has open to the first
// free name of the form dir.quarantine-N, which it returns. The next Open then
// starts with an empty one.
func Quarantine(dir string) (string, error) {
	dir = filepath.Clean(dir)
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return "", fmt.Errorf("checkpoint: quarantine %s: %w", dir, err)
	}
	defer func() { _ = lock.Close() }()
	for n := 1; n < quarantinesMax; n++ {
		to := fmt.Sprintf("%s.quarantine-%d", dir, n)
		if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.Rename(dir, to); err != nil {
			return "", fmt.Errorf("checkpoint: quarantine: %w", err)
		}
		return to, syncDir(filepath.Dir(dir))
	}
	return "", fmt.Errorf("checkpoint: %s.quarantine-1 to -%d all exist; remove some", dir, quarantinesMax)
}

// lockFile opens a file and locks it; closing it unlocks.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// environmental tells whether Badger failed for want of space, rights, files or
// memory, which says nothing about its data. It does not wrap its causes, so
// their words have to do.
func environmental(err error) bool {
	for _, cause := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if strings.Contains(err.Error(), cause.Error()) {
			return true
		}
	}
	return strings.Contains(err.Error(), "Cannot acquire directory lock")
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// freeBytes asks the file system how much an ordinary user may still write.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil //nolint:gosec,unconvert // other systems have other types
}
