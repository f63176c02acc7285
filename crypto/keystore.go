package crypto

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// keyFileBytesMax is more than twice the longest key file.
	keyFileBytesMax = 1024
	// keyFileOpen are the permissions that a key file may not give.
	keyFileOpen = 0o077
)

// readKeyFile returns the content of a file that nobody else can read or have
// put in the place of ours.
func readKeyFile(path string) (text []byte, err error) {
	named, err := os.Lstat(path) // of a symbolic link, not of what it leads to
	if err != nil {
		return nil, fmt.Errorf("crypto: key file: %w", err)
	}
	if !named.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is a %s, want a regular file", ErrKeyFileUnsafe, path, kindOf(named.Mode()))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("crypto: key file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	opened, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("crypto: key file: %w", err)
	}
	if !os.SameFile(named, opened) {
		return nil, fmt.Errorf("%w: %s was replaced while it was opened", ErrKeyFileUnsafe, path)
	}
	if perm := opened.Mode().Perm(); perm&keyFileOpen != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o, open to others: make it 0600, or a new key if it was read",
			ErrKeyFileUnsafe, path, perm)
	}
	text, err = io.ReadAll(io.LimitReader(file, keyFileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("crypto: key file: %w", err)
	}
	if len(text) > keyFileBytesMax {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrKeyFile, path, keyFileBytesMax)
	}
	return text, nil
}

// kindOf names what is no regular file.
func kindOf(mode os.FileMode) string {
	switch {
	case mode&os.ModeSymlink != 0:
		return "symbolic link"
	case mode.IsDir():
		return "directory"
	default:
		return "special file"
	}
}

// writeKeyFile makes a file of mode 0600 at path that holds text, whole and
// durable, or none. It links the finished file to its name instead of renaming
// it, since a rename would replace a file that is there.
func writeKeyFile(path string, text []byte) error {
	if path == "" {
		return fmt.Errorf("%w: it has no name: give one", ErrKeyFile)
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".quorate-key-*") // mode 0600, whatever the umask
	if err != nil {
		return fmt.Errorf("crypto: key file: %w", err)
	}
	err = writeDurably(temp, text)
	if err == nil {
		err = os.Link(temp.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s is there, and never overwritten: give another name: %w", path, fs.ErrExist)
	}
	if err = errors.Join(err, os.Remove(temp.Name())); err != nil {
		return fmt.Errorf("crypto: key file: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("crypto: key file: %w", err)
	}
	return nil
}

// writeDurably writes text, has the disk take it, and closes the file.
func writeDurably(file *os.File, text []byte) error {
	_, err := file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir has the disk take the names in dir.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
