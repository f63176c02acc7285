package pbft

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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

// TestNewestDumpsAreKept makes more dumps than are kept, beside files that are none.
func TestNewestDumpsAreKept(t *testing.T) {
	f := &flightFiles{dir: filepath.Join(t.TempDir(), FlightDir)}
	for i := range flightFilesMax + 3 {
		path, err := f.put("left-view", writes(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != fmt.Sprint(i) {
			t.Fatalf("dump %d at %s is %q, %v", i, path, text, err)
		}
		if i == 0 {
			for _, other := range []string{"notes-to-keep.txt", "000099.txt", "000098-left-view.txt.gz"} {
				if err := os.WriteFile(filepath.Join(f.dir, other), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	want := []string{"000098-left-view.txt.gz", "000099.txt", "notes-to-keep.txt"}
	for i := range flightFilesMax {
		want = append(want, fmt.Sprintf("%06d-left-view.txt", i+4))
	}
	got := names(t, f.dir)
	if diff := cmp.Diff(got, slices.Sorted(slices.Values(want))); diff != "" {
		t.Errorf("got-, want+:\n%s", diff)
	}
	again := &flightFiles{dir: f.dir} // after a restart
	path, err := again.put("stopped", writes("x"))
	if want := fmt.Sprintf("%06d-stopped.txt", flightFilesMax+4); err != nil || filepath.Base(path) != want {
		t.Errorf("after a restart the next one is %s, %v, want %s", path, err, want)
	}
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
