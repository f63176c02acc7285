package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBothFileSystemsBehaveAlike holds Memory to what OS does.
func TestBothFileSystemsBehaveAlike(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS{}, "memory": NewMemory()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			if _, err := fsys.List(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("list of nothing = %v", err)
			}
			if _, err := fsys.Create(filepath.Join(dir, "f")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("create in no directory = %v", err)
			}
			if err := errors.Join(fsys.MakeDir(dir), fsys.MakeDir(dir)); err != nil {
				t.Fatal(err)
			}
			checkFiles(t, fsys, dir)
			checkContent(t, fsys, filepath.Join(dir, "content"))
			checkLock(t, fsys, filepath.Join(dir, "LOCK"))
		})
	}
}

func checkFiles(t *testing.T, fsys FS, dir string) {
	t.Helper()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{b, a} {
		f, err := fsys.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fsys.Create(a); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create of what is there = %v", err)
	}
	if err := errors.Join(fsys.Rename(b, a), fsys.SyncDir(dir)); err != nil {
		t.Error(err)
	}
	names, err := fsys.List(dir)
	if diff := cmp.Diff(names, []string{"a"}); diff != "" || err != nil {
		t.Errorf("names (-got +want), %v:\n%s", err, diff)
	}
	if err := fsys.Remove(a); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"remove": fsys.Remove(a), "rename": fsys.Rename(a, b)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of nothing = %v", what, err)
		}
	}
	if _, err := fsys.Open(a); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing = %v", err)
	}
}

func checkContent(t *testing.T, fsys FS, path string) {
	t.Helper()
	f, err := fsys.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{600, 0} {
		if n, err := f.WriteAt([]byte("abc"), off); n != 3 || err != nil {
			t.Errorf("write = %d, %v", n, err)
		}
	}
	if err := errors.Join(f.Sync(), f.SyncData(), f.Close()); err != nil {
		t.Error(err)
	}
	f, err = fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := f.Bytes(); size != 603 || err != nil {
		t.Errorf("size = %d, %v", size, err)
	}
	want := make([]byte, 603)
	copy(want, "abc")
	copy(want[600:], "abc")
	got := make([]byte, 603)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("content = %x, %v", got, err)
	}
	if n, err := f.ReadAt(got, 601); n != 2 || err == nil {
		t.Errorf("read over the end = %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func checkLock(t *testing.T, fsys FS, path string) {
	t.Helper()
	lock, err := fsys.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock = %v, want %v", err, ErrLocked)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	lock, err = fsys.Lock(path)
	if err != nil {
		t.Fatalf("lock after it was given back = %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestOSFollowsNoSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.seg")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Open(link); err == nil {
		t.Error("open follows the link")
	}
	if _, err := (OS{}).Lock(link); err == nil {
		t.Error("lock follows the link")
	}
	if _, err := (OS{}).List(dir, ".seg"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("list = %v", err)
	}
	if names, err := (OS{}).List(dir); len(names) != 1 || err != nil {
		t.Errorf("list of what is not strict = %v, %v", names, err)
	}
}

// sectors writes one letter to each sector of the file.
func sectors(t *testing.T, f File, letters string) {
	t.Helper()
	for i, l := range []byte(letters) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{l}, SectorBytes), int64(i*SectorBytes)); err != nil {
			t.Fatal(err)
		}
	}
}

func letters(t *testing.T, m *Memory) string {
	t.Helper()
	f, err := m.Open("/d/f")
	if err != nil {
		return "none"
	}
	size, err := f.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	var s []byte
	for i := 0; i < len(data); i += SectorBytes {
		s = append(s, max(data[i], '.'))
	}
	return string(s)
}

func memoryFileOf(t *testing.T) (*Memory, File) {
	t.Helper()
	m := NewMemory()
	if err := m.MakeDir("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("/d/f")
	if err != nil {
		t.Fatal(err)
	}
	return m, f
}

func TestACrashLosesAnySubsetOfWhatIsNotSynced(t *testing.T) {
	outcomes := map[string]bool{}
	for fate := range 3 * 2 * 2 { // fates: the name, then each sector
		m, f := memoryFileOf(t)
		if err := m.SyncDir("/d"); err != nil {
			t.Fatal(err)
		}
		sectors(t, f, "abc")
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		sectors(t, f, "AB")
		sectors(t, f, "1")
		m.Crash(func(n int) int { v := fate % n; fate /= n; return v })
		outcomes[letters(t, m)] = true
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, errDead) {
			t.Errorf("write of a dead process = %v", err)
		}
	}
	for _, want := range []string{"abc", "Abc", "1bc", "aBc", "ABc", "1Bc"} {
		if !outcomes[want] {
			t.Errorf("%s never happens, of %v", want, outcomes)
		}
	}
	if len(outcomes) != 6 {
		t.Errorf("outcomes = %v, want 6", outcomes)
	}
}

func TestACrashLosesNamesThatAreNotSynced(t *testing.T) {
	for fate, want := range []string{"none", "a"} {
		m, f := memoryFileOf(t)
		sectors(t, f, "a")
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		m.Crash(func(n int) int { return min(fate, n-1) })
		if got := letters(t, m); got != want {
			t.Errorf("content = %s, want %s", got, want)
		}
	}
}

func TestWhatAFailedSyncGaveUpIsNotWrittenByTheNext(t *testing.T) {
	m, f := memoryFileOf(t)
	sectors(t, f, "ab")
	if err := errors.Join(f.Sync(), m.SyncDir("/d")); err != nil {
		t.Fatal(err)
	}
	sectors(t, f, "AB")
	broken := errors.New("broken")
	m.Before(func(op Op) *Fault {
		if op.Kind == OpSync {
			return &Fault{Err: broken}
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, broken) {
		t.Fatalf("sync = %v", err)
	}
	m.Before(nil)
	sectors(t, f, "1") // written again, and so no longer given up
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := letters(t, m); got != "1B" {
		t.Errorf("content = %s before the crash, want 1B", got)
	}
	m.Crash(func(int) int { return 0 })
	if got := letters(t, m); got != "1b" {
		t.Errorf("content = %s after the crash, want 1b", got)
	}
}

// TestMemoryLiesWhenTold covers disks that seem to succeed: a write that goes
// elsewhere, or says something else, and a sync that syncs nothing.
func TestMemoryLiesWhenTold(t *testing.T) {
	m := NewMemory()
	if err := m.MakeDir("d"); err != nil {
		t.Fatal(err)
	}
	f, err := m.Create("d/f")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, fault *Fault) {
		t.Helper()
		m.Before(func(op Op) *Fault {
			if op.Kind == OpWrite && string(op.Data) != text {
				t.Errorf("a write of %q is announced as %q", text, op.Data)
			}
			return fault
		})
		if n, err := f.WriteAt([]byte(text), 0); n != len(text) || err != nil {
			t.Errorf("got %d, %v, want a write that seems well", n, err)
		}
		m.Before(nil)
	}
	write("abc", nil)
	write("xyz", &Fault{Silent: true, Data: []byte("z"), At: 1})
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("d"); err != nil {
		t.Fatal(err)
	}
	write("lost", nil)
	copied := m.Clone()
	m.Before(func(Op) *Fault { return &Fault{Silent: true} })
	if err := f.Sync(); err != nil {
		t.Errorf("got %v, want a sync that seems well", err)
	}
	m.Before(nil)
	for name, c := range map[string]struct {
		m    *Memory
		want string
	}{"the disk": {m, "azc"}, "its copy": {copied, "lost"}} {
		c.m.Crash(func(int) int { return 0 })
		f, err := c.m.Open("d/f")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(c.want))
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}
