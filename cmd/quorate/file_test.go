package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// errNoRoom is what a full disk tells.
var errNoRoom = errors.New("no room")

// says returns what writes a text, and then fails with err, if that is one.
func says(text string, err error) func(io.Writer) error {
	return func(to io.Writer) error {
		_, writeErr := io.WriteString(to, text)
		return errors.Join(writeErr, err)
	}
}

// TestFileIsWrittenWholeOrNotAtAll has a write fail half way, with nothing there before and
// with a file, and then succeed.
func TestFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "result.json")
	holds := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != len(want) {
			t.Fatalf("the directory holds %v, %v, want %d files", entries, err, len(want))
		}
		for _, text := range want {
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("the file holds %q, %v, want %q", got, err, text)
			}
		}
	}
	for _, step := range []struct {
		text string
		err  error
		want []string
	}{
		{"ha", errNoRoom, nil},
		{"the first", nil, []string{"the first"}},
		{"the sec", errNoRoom, []string{"the first"}},
		{"the second", nil, []string{"the second"}},
	} {
		if err := writeFile(path, says(step.text, step.err)); !errors.Is(err, step.err) {
			t.Errorf("writing %q: got %v, want %v", step.text, err, step.err)
		}
		holds(step.want...)
	}
}

// TestFileKeepsWhatItIs has its mode stay, and a link go where it went.
func TestFileKeepsWhatItIs(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "private"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Symlink("private", link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if err := writeFile(name, says(name, nil)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if errors.Join(err, statErr) != nil || string(text) != name || info.Mode().Perm() != 0o600 {
			t.Errorf("through %s: holds %q with mode %v, %v", name, text, info.Mode(), errors.Join(err, statErr))
		}
	}
	if to, err := os.Readlink(link); err != nil || to != "private" {
		t.Errorf("the link is one to %q, %v", to, err)
	}
	if err := writeFile(filepath.Join(dir, "missing", "x"), says("", nil)); exitCode(err) != exitUsage || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: got %v, want a usage error", err)
	}
}
