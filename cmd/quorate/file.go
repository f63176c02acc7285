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

// writeDurably makes a file, and has the disk take what it holds. Its name is syncDir's.
func writeDurably(path string, text []byte, perm os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir has the disk take the names in a directory.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDirs is os.MkdirAll of directories that hold nothing secret, and durable.
func makeDirs(path string) error {
	if _, err := os.Stat(path); err == nil {
		return os.MkdirAll(path, 0o755) //nolint:gosec // which tells if it is a file
	}
	above := filepath.Dir(path)
	if above != path {
		if err := makeDirs(above); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	return syncDir(above)
}
