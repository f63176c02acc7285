package checkpoint

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/pbft/wire"
)

var (
	seed      = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random tests")
	flipCount = flag.Int("flips", 2, "how many bytes are flipped in each file, one at a time")
)

// damage is one way to change a file.
type damage struct {
	name string
	do   func(path string, rnd *rand.Rand) error
}

func damages() []damage {
	return []damage{
		{"flip", func(path string, rnd *rand.Rand) error { return flip(path, rnd) }},
		{"truncate", func(path string, rnd *rand.Rand) error {
			st, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, rnd.Int64N(st.Size()+1))
		}},
	}
}

// flip changes one byte of the written part of a file.
func flip(path string, rnd *rand.Rand) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	end, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil || end == 0 {
		return err
	}
	at, b := rnd.Int64N(end), make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= byte(1 + rnd.IntN(255))
	_, err = f.WriteAt(b, at)
	return err
}

// inChild opens dir in a child process, and returns what the child said. If it
// crashes, whoever looks after the replica is not told what is wrong.
func inChild(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir, "GOLOG_LOG_LEVEL=fatal")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the first start ends with the process: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// TestADamagedTableIsNamedByTheFirstOpen flips bytes all over a table of the
// database, where Badger itself would panic in a goroutine of its own.
func TestADamagedTableIsNamedByTheFirstOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 200, "x")
	checkpointed(t, s, 1)
	closed(t, s)
	badgerDir := filepath.Join(dir, badgerName)
	if err := checkTables(badgerDir); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(badgerDir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	good, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(tables[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkTables(badgerDir); !errors.Is(err, errUnopenable) || !strings.Contains(err.Error(), tables[0]) {
			t.Errorf("%s: %v, want %v that names %s", what, err, errUnopenable, tables[0])
		}
	}
	for at := 0; at < len(good); at += 1 + len(good)/500 {
		bad := slices.Clone(good)
		bad[at] ^= byte(1 + at%255)
		refuses(fmt.Sprintf("byte %d of %d", at, len(good)), bad)
		refuses(fmt.Sprintf("cut to %d of %d", at, len(good)), good[:at])
	}
	if err := os.Remove(tables[0]); err != nil {
		t.Fatal(err)
	}
	if err := checkTables(badgerDir); !errors.Is(err, errUnopenable) {
		t.Errorf("without the table: %v, want %v", err, errUnopenable)
	}
}

// TestATableThatAFlushLeftUnfinishedIsNoDamage: the manifest does not name it, as
// when the power failed before it was written whole.
func TestATableThatAFlushLeftUnfinishedIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	fill(t, s, 0, 50, "x")
	root := checkpointed(t, s, 1)
	closed(t, s)
	if err := os.WriteFile(filepath.Join(dir, badgerName, "000999.sst"), []byte("half a ta"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer closed(t, s)
	if opened := s.Opened(); opened.Quarantined != "" || opened.Fallback {
		t.Errorf("opened with %+v, want it whole", opened)
	}
	if _, got := s.Last(); got != root {
		t.Errorf("root = %s, want %s", got, root)
	}
}

// TestDamagedFilesNeverGiveWrongData damages every file of a store, as a crash
// left it and as Close did. Whatever comes back is a snapshot that was taken, and
// when it is not the newest, that is said.
func TestDamagedFilesNeverGiveWrongData(t *testing.T) {
	rnd := rand.New(rand.NewPCG(*seed, 0))
	t.Logf("-seed=%d", *seed)
	base := t.TempDir()
	crashed, ended := filepath.Join(base, "crashed"), filepath.Join(base, "ended")
	s := open(t, ended, Options{})
	contents := map[wire.Seq]content{0: {}}
	for seq := wire.Seq(1); seq <= 4; seq++ {
		fill(t, s, int(seq)*20, int(seq)*20+100, fmt.Sprint(seq))
		checkpointed(t, s, seq)
		contents[seq] = maps.Clone(contentOf(t, s))
		s.Collect(seq)
	}
	copyTree(t, ended, crashed)
	closed(t, s)

	outcomes := map[string]int{}
	for _, origin := range []string{crashed, ended} {
		files, err := filepath.Glob(filepath.Join(origin, badgerName, "*"))
		if err != nil || len(files) < 3 {
			t.Fatal(files, err)
		}
		files = append(files, filepath.Join(origin, publishedName))
		for i, file := range files {
			for n := range *flipCount {
				d := damages()[n%len(damages())]
				dir := filepath.Join(base, fmt.Sprint(filepath.Base(origin), i, "-", n))
				copyTree(t, origin, dir)
				path := dir + strings.TrimPrefix(file, origin)
				if err := d.do(path, rnd); err != nil {
					t.Fatal(err)
				}
				said := inChild(t, dir)
				outcomes[strings.Fields(said)[0]]++
				if why := wrong(said, contents); why != "" {
					t.Errorf("%s %s: %s: %s", d.name, strings.TrimPrefix(path, dir), said, why)
				}
			}
		}
	}
	t.Logf("outcomes: %v", outcomes)
}

// wrong tells what is wrong about the answer of a child, or nothing.
func wrong(said string, contents map[wire.Seq]content) string {
	var kind, digest string
	var seq wire.Seq
	if n, _ := fmt.Sscan(said, &kind, &seq, &digest); n == 3 && digest != contents[seq].digest() {
		return "content is not that of the snapshot"
	}
	switch {
	case kind == "whole" && seq != 4:
		return "the newest snapshot is lost without a word"
	case kind == "fallback" && seq == 4:
		return "claims to have lost what is there"
	case kind == "quarantined" && seq != 0, kind == "fault", kind == "error":
		return "unexpected"
	}
	return ""
}

// TestLogsOfLargerTablesAreRead opens what a crash leaves when Badger had gathered
// nearly as much as it ever does before it writes a table, with the least that it may
// gather from now on. Where it has no room for what a log holds, it ends the process.
func TestLogsOfLargerTablesAreRead(t *testing.T) {
	const valueBytes = 64 << 10
	for _, memTableBytes := range []int64{memTableBytesMin * 3 / 2, memTableBytesMax} { // the most that is drawn; format 1
		dir, image := t.TempDir(), t.TempDir()
		s := open(t, dir, Options{memTableBytes: memTableBytes})
		want := content{}
		for i := range memTableBytes * 9 / 10 / valueBytes {
			key, value := fmt.Sprintf("%08d", i), strings.Repeat(string('a'+rune(i%26)), valueBytes)
			want[key] = value
			if err := s.Put([]byte(key), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		checkpointed(t, s, 1)
		if tables, err := filepath.Glob(filepath.Join(dir, badgerName, "*.sst")); err != nil || len(tables) > 0 {
			t.Fatalf("got tables %q, %v, want everything in the log", tables, err)
		}
		copyTree(t, dir, image)
		closed(t, s)
		if got, want := inChild(t, image), fmt.Sprint("whole 1 ", want.digest()); got != want {
			t.Errorf("%d bytes in memory: got %q, want %q", memTableBytes, got, want)
		}
	}
}
