package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func fileRows() []row {
	return []row{
		{
			55, "bad genesis", "a genesis with duplicates, too few replicas, unknown fields, without the own key, or " +
				"of another cluster",
			"the start is refused and says what is wrong; no file is touched", badGenesis, true,
		},
		{
			56, "damaged journal", "a journal with any byte flipped, cut anywhere, with segments missing, swapped, of " +
				"another replica, of a newer version",
			"the start is refused and nothing is changed; only the last flush may be cut off, as a crash would",
			damagedJournal, true,
		},
		{
			57, "damaged state", "state files with flipped bytes, cut, missing, with others beside them, or links",
			"whatever starts has a state that was agreed on, and says what it lost", damagedState, true,
		},
		{
			58, "bad key file", "a wrong passphrase, flipped bytes, a key file cut short, of a mode that others read, a link",
			"the start is refused and says why", badKeyFile, true,
		},
		{59, "one directory twice", "one directory, two processes", "the second is refused; the first goes on", twice, true},
		{
			60, "bad places", "a directory that is read-only, one without space, a clock long before the genesis",
			"refused, or ended by itself without loss; a clock leads nobody astray", badPlaces, true,
		},
	}
}

// kept is a replica's directory after a life that ended well.
type kept struct {
	*cluster
	id     int
	report wire.Report // where the replica stood
	roots  map[wire.Seq]crypto.Digest
}

// keep runs a cluster for some checkpoints and ends it.
func keep(t *testing.T) *kept {
	t.Helper()
	limits := pbft.DefaultGenesisLimits()
	limits.CheckpointInterval, limits.Window = 8, 16
	c := newCluster(t, options{liar: 3, timeout: calmTimeout, limits: limits})
	c.startHonest(t)
	c.serves(t, 30)
	k := &kept{cluster: c, id: 2, roots: map[wire.Seq]crypto.Digest{}}
	await(t, "the last checkpoint is stable", func() bool { return c.replicas[2].Report().Checkpoint >= 24 })
	k.report = c.replicas[2].Report()
	for _, o := range c.seen[2].since(0) {
		if stable, ok := o.(core.BecameStable); ok {
			k.roots[stable.Seq] = stable.State
		}
	}
	k.roots[k.report.Checkpoint] = k.report.State
	c.close(t)
	c.honest.client = nil
	return k
}

// copied returns a copy of the directory.
func (k *kept) copied(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "r")
	must(t, os.CopyFS(dir, os.DirFS(k.path(k.id))), tighten(dir))
	return dir
}

// tighten gives files the modes that they had.
func tighten(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
}

// configOf is a replica that nobody can reach, nor can it reach anybody.
func configOf(dir string) pbft.Config {
	return pbft.Config{Dir: dir, PlainKey: true, Listen: []string{"127.0.0.1:0"}}
}

// tries starts a replica and ends it again; it returns where it stood.
func tries(cfg pbft.Config) (wire.Report, error) {
	r, err := pbft.Start(context.Background(), cfg, tally{})
	if err != nil {
		return wire.Report{}, err
	}
	report := r.Report()
	return report, r.Close()
}

// refuses demands that a start fails with an error that is want, if that is not
// nil, and contains words.
func refuses(t *testing.T, what string, cfg pbft.Config, want error, words ...string) {
	t.Helper()
	_, err := tries(cfg)
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: started with %v, want %v", what, err, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error lacks %q: %v", what, w, err)
		}
	}
}

// unchanged returns a check that no file below dir has changed.
func unchanged(t *testing.T, dir string) (check func()) {
	t.Helper()
	before := digestOf(t, dir)
	return func() {
		t.Helper()
		if after := digestOf(t, dir); after != before {
			t.Errorf("files below %s have changed:\n%s\nwere\n%s", dir, after, before)
		}
	}
}

// digestOf lists the files below dir with digests of their content.
func digestOf(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.EqualFold(d.Name(), "lock") {
			return err
		}
		data, err := os.ReadFile(path)
		lines = append(lines, fmt.Sprintf("%s %s", strings.TrimPrefix(path, dir), crypto.Sum(data)))
		return err
	})
	must(t, err)
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// child is what the test binary does as a replica: it starts one, says where it
// stands, and ends it. Badger meets some damage by ending the process.
func child(dir string) int {
	report, err := tries(configOf(dir))
	words := fmt.Sprintln("started", report.Executed, report.Checkpoint, report.State)
	if err != nil {
		words = fmt.Sprintln("refused", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if _, err := os.Stdout.WriteString(words); err != nil {
		return 1
	}
	return 0
}

// said is what a child said.
type said struct {
	started    bool
	executed   wire.Seq
	checkpoint wire.Seq
	state      string
	text       string
	crashed    bool
}

// inChild starts the replica in dir in another process.
func inChild(t *testing.T, dir string) said {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir, "GOLOG_LOG_LEVEL=error", "GOLOG_OUTPUT=stderr")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	s := said{text: strings.TrimSpace(out.String()) + " " + log.String(), crashed: err != nil}
	n, _ := fmt.Sscanf(out.String(), "started %d %d %s", &s.executed, &s.checkpoint, &s.state)
	s.started = n == 3
	return s
}

func badGenesis(t *testing.T, s *siege) {
	t.Helper()
	dir := s.kept.copied(t)
	path := filepath.Join(dir, pbft.GenesisFile)
	check := unchanged(t, filepath.Join(dir, pbft.DataDir))
	for _, bad := range []struct {
		what   string
		change func(g *pbft.Genesis)
		want   error
		words  string
	}{
		{"two ids", func(g *pbft.Genesis) { g.Members[1].ID = 0 }, pbft.ErrGenesis, "id 0"},
		{"two keys", func(g *pbft.Genesis) { g.Members[1].Key = g.Members[0].Key }, pbft.ErrGenesis, "same key"},
		{"two addresses", func(g *pbft.Genesis) { g.Members[1].Addrs = g.Members[0].Addrs }, pbft.ErrGenesis, "same address"},
		{"three replicas", func(g *pbft.Genesis) { g.Members = g.Members[:3] }, pbft.ErrGenesis, "at least 4"},
		{"two faults of four", func(g *pbft.Genesis) { g.Faults = 2 }, pbft.ErrGenesis, "3f+1"},
		{"a key of small order", func(g *pbft.Genesis) { g.Members[0].Key = crypto.PublicKey{1} }, pbft.ErrGenesis, "key"},
		{"another key", func(g *pbft.Genesis) { g.Members[s.kept.id].Key = newKey(t).Public() }, pbft.ErrNotMember, "key"},
		{"another limit", func(g *pbft.Genesis) { g.Limits.Window *= 2 }, nil, "another replica"},
	} {
		g := *s.kept.genesis
		g.Members = slices.Clone(g.Members)
		bad.change(&g)
		must(t, os.WriteFile(path, g.Encode(), 0o600))
		refuses(t, bad.what, configOf(dir), bad.want, bad.words)
	}
	for what, text := range map[string]string{
		"an unknown field": "colour = \"red\"\n" + string(s.kept.genesis.Encode()),
		"no TOML":          "\x00\xff",
		"nothing":          "",
		"a field twice":    "name = \"a\"\n" + string(s.kept.genesis.Encode()),
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		refuses(t, what, configOf(dir), pbft.ErrGenesis)
	}
	must(t, os.WriteFile(path, bytes.Repeat([]byte("#"), 2<<20), 0o600))
	refuses(t, "2 MiB", configOf(dir), pbft.ErrGenesis, "at most")
	check()
}

// badKeyFile needs no data: a key is loaded before anything else is looked at.
func badKeyFile(t *testing.T, s *siege) {
	t.Helper()
	dir := s.kept.copied(t)
	path := filepath.Join(dir, pbft.KeyFile)
	check := unchanged(t, filepath.Join(dir, pbft.DataDir))
	secret := []byte("correct horse")
	must(t, os.Remove(path), crypto.SaveKey(path, s.kept.keys[s.kept.id], secret))
	good, err := os.ReadFile(path)
	must(t, err)
	cfg := configOf(dir)
	cfg.PlainKey, cfg.Passphrase = false, []byte("wrong")
	refuses(t, "wrong passphrase", cfg, crypto.ErrPassphrase)
	cfg.Passphrase = nil
	refuses(t, "no passphrase", cfg, crypto.ErrPassphrase)
	cfg.Passphrase = secret
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= byte(1 + i%255)
		must(t, os.WriteFile(path, bad, 0o600))
		refuses(t, fmt.Sprintf("byte %d flipped", i), cfg, crypto.ErrKeyFile)
		must(t, os.WriteFile(path, good[:i], 0o600))
		refuses(t, fmt.Sprintf("cut to %d bytes", i), cfg, crypto.ErrKeyFile)
	}
	must(t, os.WriteFile(path, good, 0o600))
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o660} {
		must(t, os.Chmod(path, mode))
		refuses(t, "mode "+mode.String(), cfg, crypto.ErrKeyFileUnsafe, fmt.Sprintf("%04o", mode))
	}
	must(t, os.Chmod(path, 0o600), os.Rename(path, path+".elsewhere"), os.Symlink(path+".elsewhere", path))
	refuses(t, "a link", cfg, crypto.ErrKeyFileUnsafe, "symbolic link")
	must(t, os.Remove(path), os.Mkdir(path, 0o700))
	refuses(t, "a directory", cfg, crypto.ErrKeyFileUnsafe, "directory")
	must(t, os.Remove(path))
	refuses(t, "no key file", cfg, fs.ErrNotExist, path)
	must(t, os.Rename(path+".elsewhere", path))
	check()
	if report, err := tries(cfg); err != nil || report.Executed < s.kept.report.Checkpoint {
		t.Errorf("with its key back: %v, at %d", err, report.Executed)
	}
}

func twice(t *testing.T, s *siege) {
	t.Helper()
	dir := s.kept.copied(t)
	first, err := pbft.Start(t.Context(), configOf(dir), tally{})
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, "twice in one process", configOf(dir), journal.ErrLocked, "end the other one")
	if other := inChild(t, dir); other.started || other.crashed || !strings.Contains(other.text, "end the other one") {
		t.Errorf("twice in two processes: %+v", other)
	}
	select {
	case <-first.Done():
		t.Errorf("the first ended: %v", first.Err())
	default:
	}
	must(t, first.Close())
	if other := inChild(t, dir); !other.started {
		t.Errorf("after the end of the first: %+v", other)
	}
}
