package forensics_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/pbft/forensics"
)

// TestDamagedProofsStayWhereTheDiskIsFull: what is whole in them is still read.
func TestDamagedProofsStayWhereTheDiskIsFull(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	one := w.evidence(1, 2)
	a := w.archive(dir, 0)
	if err := errors.Join(a.Keep(one[0], one[1]), a.Close()); err != nil {
		t.Fatal(err)
	}
	damaged := flip(t, filepath.Join(dir, "proofs.arc"), 0.3)
	if err := os.Symlink("/dev/full", filepath.Join(dir, "proofs.arc.new")); err != nil {
		t.Fatal(err)
	}
	if _, err := forensics.OpenArchive(dir, w.identity(), forensics.Options{}); err == nil {
		t.Error("a full disk is no error")
	}
	path := filepath.Join(dir, "proofs.arc")
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() { // it would have no end
		t.Fatalf("the proofs were replaced: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, damaged) {
		t.Errorf("the proofs were changed: %v", err)
	}
}
