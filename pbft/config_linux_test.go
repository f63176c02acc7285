package pbft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestInitDataLeavesNothingWhereItFails has the name of the data directory be as long as a
// name may be, so that no file in it has one.
func TestInitDataLeavesNothingWhereItFails(t *testing.T) {
	dir := t.TempDir()
	longest := syscall.PathMax - 1 - len("/"+DataDir)
	for left := longest - len(dir); left > 0; left = longest - len(dir) {
		part := min(left-1, 200)
		if left-1-part == 1 { // no room for a slash and a name after it
			part--
		}
		dir = filepath.Join(dir, strings.Repeat("d", part))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := InitData(dir); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("got %v, want %v", err, syscall.ENAMETOOLONG)
		}
		if _, err := os.Lstat(filepath.Join(dir, DataDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the data directory is left: %v", err)
		}
	}
}
