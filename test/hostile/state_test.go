package hostile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/pbft"
)

// damagedState damages each file of the state, and starts the replica in another
// process, as Badger may end it. Whatever starts stands at a checkpoint that the
// cluster agreed on, or at none, and has said so if it is not the newest.
func damagedState(t *testing.T, s *siege) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 57)) //nolint:gosec // a test
	t.Logf("-seed=%d", *seed)
	origin := s.kept.copied(t)
	files := stateFiles(t, origin)
	if whole := inChild(t, origin); !whole.started || whole.checkpoint != s.kept.report.Checkpoint {
		t.Fatalf("undamaged: %+v, want it at checkpoint %d", whole, s.kept.report.Checkpoint)
	}
	for _, file := range files {
		all := damages()
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if !*every {
			all = all[:2]
		}
		for _, d := range all {
			dir := s.kept.copied(t)
			path := filepath.Join(dir, file)
			if _, err := os.Lstat(path); err != nil {
				continue
			}
			must(t, d.do(path, rnd))
			s.kept.judge(t, d.name+" "+file, dir)
		}
	}
	s.kept.strays(t)
}

// stateFiles returns the files of the state below the directory of a replica.
func stateFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*", "badger/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pbft.DataDir, "state", pattern))
		must(t, err)
		for _, name := range names {
			if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
				out = append(out, strings.TrimPrefix(name, dir))
			}
		}
	}
	if len(out) < 5 {
		t.Fatalf("the state has %d files: %v", len(out), out)
	}
	return out
}

// damage is something that may happen to a file.
type damage struct {
	name string
	do   func(path string, rnd *rand.Rand) error
}

func damages() []damage {
	return []damage{
		{"flip in", flipIn},
		{"cut", func(path string, rnd *rand.Rand) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, rnd.Int64N(info.Size()+1))
		}},
		{"remove", func(path string, _ *rand.Rand) error { return os.Remove(path) }},
	}
}

// flipIn changes one byte of what was written of a file.
func flipIn(path string, rnd *rand.Rand) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the write tells
	end, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) {
		return nil // an empty file
	}
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

// judge starts a damaged replica and holds what it says against what the cluster agreed on.
func (k *kept) judge(t *testing.T, what, dir string) {
	t.Helper()
	s := inChild(t, dir)
	switch root, agreed := k.roots[s.checkpoint]; {
	case s.crashed:
		t.Errorf("%s: the process ended before it said what is wrong: %.600s", what, s.text)
	case !s.started:
		if !strings.Contains(s.text, "refused") || !strings.Contains(s.text, dir) {
			t.Errorf("%s: neither started nor refused with words: %s", what, s.text)
		}
	case s.checkpoint > 0 && (!agreed || root.String() != s.state):
		t.Errorf("%s: stands at checkpoint %d with state %s, which nobody agreed on", what, s.checkpoint, s.state)
	case s.checkpoint < k.report.Checkpoint && !strings.Contains(s.text, "fetched"):
		t.Errorf("%s: stands at checkpoint %d of %d without a word: %s", what, s.checkpoint, k.report.Checkpoint, s.text)
	}
}

// strays puts files there that do not belong, and links in the place of files.
func (k *kept) strays(t *testing.T) {
	t.Helper()
	for n, name := range []string{"README", "badger/README", "badger/999999.sst", "badger/00099.mem", "published.new"} {
		dir := k.copied(t)
		must(t, os.WriteFile(filepath.Join(dir, pbft.DataDir, "state", name), []byte("not ours"), 0o600))
		k.judge(t, fmt.Sprintf("stray %d: %s", n, name), dir)
	}
	for _, name := range []string{"published", "badger", "lock"} {
		dir := k.copied(t)
		path := filepath.Join(dir, pbft.DataDir, "state", name)
		must(t, os.Rename(path, filepath.Join(dir, "elsewhere")), os.Symlink(filepath.Join(dir, "elsewhere"), path))
		k.judge(t, "a link for "+name, dir)
	}
}
