package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeFile writes a file, if it has a name. Where that fails there is the file of before,
// or none, and not a part of the new one.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666); err == nil { //nolint:gosec // for others to read, as umask says
		if err := errors.Join(write(f), f.Close()); err != nil {
			return errors.Join(err, os.Remove(path))
		}
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() { // a pipe, a device or a link stays one
		return writeOver(path, write)
	}
	next, err := os.CreateTemp(filepath.Dir(path), ".quorate-")
	if err != nil {
		return writeOver(path, write) // the directory takes no others
	}
	err = errors.Join(write(next), next.Chmod(info.Mode().Perm()), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}

// writeOver writes into a file that is there, or tells why that cannot be.
func writeOver(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return usageError{err}
	}
	return errors.Join(write(f), f.Close())
}
