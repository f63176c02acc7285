package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OS is the file system of the operating system. Files are made with mode 0600
// and directories with 0700.
type OS struct{}

// MakeDir implements FS.
func (OS) MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return OS{}.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// List implements FS.
func (OS) List(dir string, strict ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
			continue
		}
		for _, suffix := range strict {
			if strings.HasSuffix(e.Name(), suffix) {
				return nil, fmt.Errorf("%s is not a regular file but %s: remove it",
					filepath.Join(dir, e.Name()), e.Type())
			}
		}
	}
	return names, nil
}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return osOpen(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open implements FS.
func (OS) Open(name string) (File, error) {
	return osOpen(name, os.O_RDWR|openFlags)
}

func osOpen(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|openFlags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type osFile struct{ *os.File }

// Bytes returns the length of the file.
func (f osFile) Bytes() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Mode().Type() != 0 {
		return 0, fmt.Errorf("%s is not a regular file: %w", f.Name(), fs.ErrInvalid)
	}
	return info.Size(), nil
}

// SyncData makes what was written durable.
func (f osFile) SyncData() error { return syncData(f.File) }
