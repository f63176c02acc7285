package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/quorate/quorate/checkpoint/journal/disk"
)

// zeroBytes is how much is zeroed with one write.
const zeroBytes = 256 << 10

// spare zeroes the next segment ahead of its use: overwriting is faster than
// growing a file, and its sync writes no metadata. At most one file is under way.
type spare struct {
	fs         disk.FS
	path       string
	bytes      int64
	foreground bool
	ready      chan spareFile // with room for one; nil while none is under way
}

type spareFile struct {
	file disk.File
	err  error
}

// prepare begins to make a spare, in a goroutine of its own that ends with it.
func (s *spare) prepare() {
	if s.ready != nil {
		return
	}
	ready := make(chan spareFile, 1) // one: the goroutine never waits
	s.ready = ready
	zero := func() {
		file, err := zeroed(s.fs, s.path, s.bytes)
		ready <- spareFile{file, err}
	}
	if s.foreground {
		zero()
		return
	}
	go zero()
}

// take returns the spare, and waits for it where it is not ready. If making it
// ahead failed, it is made anew: the disk may have room again.
func (s *spare) take() (disk.File, error) {
	if s.ready != nil {
		got := <-s.ready
		s.ready = nil
		if got.err == nil {
			return got.file, nil
		}
	}
	return zeroed(s.fs, s.path, s.bytes)
}

// drop waits for what is under way and removes the spare.
func (s *spare) drop() error {
	if s.ready == nil {
		return nil
	}
	got := <-s.ready
	s.ready = nil
	if got.err != nil {
		return removeIfThere(s.fs, s.path)
	}
	return errors.Join(got.file.Close(), s.fs.Remove(s.path))
}

// zeroed makes the file path of size zeros, synced.
func zeroed(fsys disk.FS, path string, size int64) (disk.File, error) {
	if err := removeIfThere(fsys, path); err != nil {
		return nil, err
	}
	file, err := fsys.Create(path)
	if err != nil {
		return nil, err
	}
	if err := zero(file, 0, size); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), file.Close())
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(fmt.Errorf("sync %s: %w", path, err), file.Close())
	}
	return file, nil
}

// zero writes zeros from from to to.
func zero(file disk.File, from, to int64) error {
	zeros := make([]byte, min(zeroBytes, max(0, to-from)))
	for from < to {
		n := min(int64(len(zeros)), to-from)
		if err := writeAt(file, zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

func removeIfThere(fsys disk.FS, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
