package pbft

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/app/counter"
)

// names returns what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// dumps makes so many dumps of a word, and checks what is in each.
func dumps(t *testing.T, f *flightFiles, word string, count int) {
	t.Helper()
	for i := range count {
		path, err := f.put(word, writes(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != fmt.Sprint(i) {
			t.Fatalf("dump %d at %s is %q, %v", i, path, text, err)
		}
	}
}

// numbered are the names of dumps of a word, of these numbers.
func numbered(word string, numbers ...int) (names []string) {
	for _, n := range numbers {
		names = append(names, fmt.Sprintf("%06d-%s.txt", n, word))
	}
	return names
}

// wantNames compares what is in a directory.
func wantNames(t *testing.T, dir, when string, want ...[]string) {
	t.Helper()
	if diff := cmp.Diff(names(t, dir), slices.Sorted(slices.Values(slices.Concat(want...)))); diff != "" {
		t.Errorf("%s (-got +want):\n%s", when, diff)
	}
}

// TestTheFirstDumpOfARowAndTheNewestAreKept makes more dumps than are kept, beside files that
// are none: a row of them, while others are asked for, a second row, and more after a restart.
func TestTheFirstDumpOfARowAndTheNewestAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flightFiles{dir: filepath.Join(t.TempDir(), FlightDir)}
		dumps(t, f, "asked", 1)
		others := []string{"000098-left-view.txt.gz", "000099.txt", "notes-to-keep.txt"}
		for _, other := range others {
			if err := os.WriteFile(filepath.Join(f.dir, other), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dumps(t, f, "left-view", 5) // 2 to 6
		for range 6 {
			<-time.After(flightRowGap) // and not more
			dumps(t, f, "left-view", 1)
		}
		wantNames(t, f.dir, "after a row", others, numbered("asked", 1), numbered("left-view", 2, 6, 7, 8, 9, 10, 11, 12))

		dumps(t, f, "asked", 10) // 13 to 22
		wantNames(t, f.dir, "after some that were asked for", others, numbered("left-view", 2, 6, 7, 8, 9, 10, 11, 12),
			numbered("asked", 19, 20, 21, 22))

		<-time.After(flightRowGap + 1)
		dumps(t, f, "diverged", 1) // 23
		wantNames(t, f.dir, "after the first of another row", others, numbered("left-view", 6, 7, 8, 9, 10, 11, 12),
			numbered("asked", 19, 20, 21, 22), numbered("diverged", 23))
		dumps(t, f, "left-view", 9) // 24 to 32
		wantNames(t, f.dir, "after another row", others, numbered("asked", 19, 20, 21, 22), numbered("diverged", 23),
			numbered("left-view", 26, 27, 28, 29, 30, 31, 32))

		f = &flightFiles{dir: f.dir} // after a restart
		dumps(t, f, "stopped", 1)
		wantNames(t, f.dir, "after a restart", others, numbered("asked", 19, 20, 21, 22),
			numbered("left-view", 26, 27, 28, 29, 30, 31, 32), numbered("stopped", 33))
	})
}

// TestADumpThatFailsCostsNoOther has no room on the disk for one more than are kept.
func TestADumpThatFailsCostsNoOther(t *testing.T) {
	f := &flightFiles{dir: filepath.Join(t.TempDir(), FlightDir)}
	dumps(t, f, "left-view", flightOwnMax)
	if _, err := f.put("left-view", func(io.Writer) error { return syscall.ENOSPC }); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want that there is no space", err)
	}
	wantNames(t, f.dir, "after one that failed", numbered("left-view", 1, 2, 3, 4, 5, 6, 7, 8))
}

// TestDumpsThatCannotBeWrittenLeaveNothing has a dump fail in the middle, and one whose
// directory cannot be made.
func TestDumpsThatCannotBeWrittenLeaveNothing(t *testing.T) {
	f := &flightFiles{dir: filepath.Join(t.TempDir(), FlightDir)}
	broken := errors.New("broken")
	path, err := f.put("asked", func(w io.Writer) error { return errors.Join(writes("half")(w), broken) })
	if !errors.Is(err, broken) || path != "" {
		t.Errorf("got %q, %v, want %v", path, err, broken)
	}
	if left := names(t, f.dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := (&flightFiles{dir: filepath.Join(file, FlightDir)}).put("asked", writes("x")); err == nil {
		t.Errorf("a dump was written below a file: %s", path)
	}
}

// TestReplicasTellWhatTheyDid asks one of a running cluster, also where no file can be
// made: that fails, and the replica goes on.
func TestReplicasTellWhatTheyDid(t *testing.T) {
	cluster, err := StartLocalWith(t.Context(), LocalConfig{Replicas: 4, Memory: true}, counter.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Close() }()
	client, err := cluster.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	submit := func() {
		t.Helper()
		if _, err := client.Submit(t.Context(), []byte("add")); err != nil {
			t.Fatal(err)
		}
	}
	submit()
	var text strings.Builder
	r := cluster.Replicas()[0]
	for r.Report().Executed == 0 { // the result may be of others
		<-time.After(time.Millisecond)
	}
	if err := r.WriteFlight(&text); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"proposed ", "prepared ", "committed"} { // it is the primary
		if want = "core    " + want + "   view=0 seq=1 digest="; !strings.Contains(text.String(), want) {
			t.Errorf("got\n%s\nwant a line with %q", text.String(), want)
		}
	}
	path, err := r.DumpFlight()
	if want := filepath.Join(cluster.dir, "r0", FlightDir, "000001-asked.txt"); err != nil || path != want {
		t.Errorf("got %s, %v, want %s", path, err, want)
	}
	dir := filepath.Dir(path)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := r.DumpFlight(); err == nil {
		t.Errorf("a dump was written into a file: %s", path)
	}
	submit()
}
