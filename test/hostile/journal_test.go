package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

var every = flag.Bool("every", false, "flip every byte of the journal and of the state, and cut them everywhere")

// sector is the unit of the journal: its header is one, and a flush begins one.
const sector = 512

// logged is a replica's directory whose journal is in small segments.
type logged struct {
	*kept
	dir      string // of the replica
	files    []string
	good     map[string][]byte // their content
	records  int
	last     int // how many records are in the last flush
	identity journal.Identity
}

// logged copies the directory, and writes its journal anew: the same records, in
// flushes of a few.
func (k *kept) logged(t *testing.T, segmentBytes int64) *logged {
	t.Helper()
	l := &logged{kept: k, dir: k.copied(t), good: map[string][]byte{}}
	domain := k.genesis.Domain()
	l.identity = journal.Identity{Cluster: domain.Cluster, Epoch: domain.Epoch, Replica: wire.ReplicaID(k.id)} //nolint:gosec // 0 to 3
	records, err := l.read(l.path())
	must(t, err, os.RemoveAll(l.path()))
	opts := l.options()
	opts.SegmentBytes, opts.Foreground = segmentBytes, true
	j, err := journal.Create(l.path(), l.identity, opts)
	must(t, err)
	const flush = 5
	for l.records = len(records); len(records) > 0; records = records[l.last:] {
		l.last = min(flush, len(records))
		must(t, j.Append(records[:l.last]), j.Flush())
	}
	must(t, j.Close())
	l.files, err = filepath.Glob(filepath.Join(l.path(), "*.seg"))
	must(t, err)
	for _, file := range l.files {
		l.good[file], err = os.ReadFile(file)
		must(t, err)
	}
	return l
}

func (l *logged) path() string { return filepath.Join(l.dir, pbft.DataDir, "journal") }

func (l *logged) options() journal.Options { return journal.Options{Limits: l.genesis.WireLimits()} }

// read opens and closes the journal in dir.
func (l *logged) read(dir string) ([]core.Record, error) {
	j, records, err := journal.Open(dir, l.identity, l.options())
	if err != nil {
		return nil, err
	}
	return records, j.Close()
}

// write makes a journal of files: the good ones, but for those in bad, of which
// nil is none.
func (l *logged) write(t *testing.T, dir string, bad map[string][]byte) {
	t.Helper()
	must(t, os.RemoveAll(dir), os.MkdirAll(dir, 0o700))
	all := maps.Clone(l.good)
	maps.Copy(all, bad)
	for file, data := range all {
		if data != nil {
			must(t, os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600))
		}
	}
}

// try starts the replica with bad files, and says how many records its journal
// has then. A start that is refused must have left everything as it was.
func (l *logged) try(t *testing.T, bad map[string][]byte) (records int, err error) {
	t.Helper()
	l.write(t, l.path(), bad)
	check := unchanged(t, l.path())
	report, err := tries(configOf(l.dir))
	if err != nil {
		check()
		return 0, err
	}
	probe := filepath.Join(t.TempDir(), "journal")
	l.write(t, probe, bad)
	got, err := l.read(probe)
	must(t, err)
	if least := l.report.Checkpoint; report.Executed < least {
		t.Errorf("started at %d, want at least %d", report.Executed, least)
	}
	return len(got), nil
}

func damagedJournal(t *testing.T, s *siege) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 56)) //nolint:gosec // a test
	t.Logf("-seed=%d", *seed)
	l := s.kept.logged(t, 4<<10)
	if len(l.files) < 4 {
		t.Fatalf("%d segments, want 4", len(l.files))
	}
	if n, err := l.try(t, nil); err != nil || n != l.records {
		t.Fatalf("the journal in small segments has %d records, %v, want %d", n, err, l.records)
	}
	l.flips(t, rnd)
	l.cuts(t, rnd)
	l.segments(t)
	l.foreign(t, s.kept)
	if n, err := l.try(t, nil); err != nil || n != l.records {
		t.Errorf("with all files as they were: %d records, %v, want %d", n, err, l.records)
	}
}

// places returns offsets below size: all of them, or so many.
func places(rnd *rand.Rand, size, some int) []int {
	if *every {
		some = size
	}
	if testing.Short() {
		some = min(some, 8)
	}
	return rnd.Perm(size)[:min(some, size)]
}

// flips flips bytes of all segments. What is durable for sure, because a mark that
// follows says so, is refused, or means nothing, as the padding of a sector. The
// last flush looks as if a crash had torn it, before it was acknowledged: what
// cannot be told apart is cut off; what is before it is all there.
func (l *logged) flips(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	refused, cut, harmless := 0, 0, 0
	for n, file := range l.files {
		used := len(bytes.TrimRight(l.good[file], "\x00"))
		for _, at := range places(rnd, used, 12) {
			bad := bytes.Clone(l.good[file])
			bad[at] ^= byte(1 + rnd.IntN(255))
			got, err := l.try(t, map[string][]byte{file: bad})
			what := fmt.Sprintf("%s, byte %d of %d", filepath.Base(file), at, used)
			switch {
			case err != nil:
				refused++
				if !errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, journal.ErrVersion) {
					t.Errorf("%s: %v, want %v", what, err, journal.ErrCorrupt)
				}
			case got == l.records:
				harmless++
			case n == len(l.files)-1 && got >= l.records-l.last:
				cut++
			default:
				t.Errorf("%s: %d records of %d, and no error", what, got, l.records)
			}
		}
	}
	t.Logf("%d flips refused, %d harmless, %d cut the last flush off", refused, harmless, cut)
	if refused == 0 {
		t.Error("no flip was refused: the row tests nothing")
	}
}

// cuts cuts every segment short, which no crash does: a segment has its length
// before it has its name.
func (l *logged) cuts(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	for _, file := range l.files {
		for _, size := range places(rnd, len(l.good[file]), 3) {
			_, err := l.try(t, map[string][]byte{file: l.good[file][:size]})
			if !errors.Is(err, journal.ErrCorrupt) {
				t.Errorf("%s cut to %d bytes: %v, want %v", filepath.Base(file), size, err, journal.ErrCorrupt)
			}
		}
	}
}

func (l *logged) segments(t *testing.T) {
	t.Helper()
	first, middle, next, last := l.files[0], l.files[1], l.files[2], l.files[len(l.files)-1]
	missing := map[string][]byte{}
	for _, file := range l.files {
		missing[file] = nil
	}
	for _, bad := range []struct {
		what  string
		files map[string][]byte
		want  error
		words string
	}{
		{"the first missing", map[string][]byte{first: nil}, journal.ErrCorrupt, "missing"},
		{"one in the middle missing", map[string][]byte{middle: nil}, journal.ErrCorrupt, filepath.Base(middle)},
		{"the last missing", map[string][]byte{last: nil}, journal.ErrCorrupt, filepath.Base(last)},
		{"two swapped", map[string][]byte{middle: l.good[next], next: l.good[middle]}, journal.ErrCorrupt, "swapped"},
		{"one twice", map[string][]byte{next: l.good[middle]}, journal.ErrCorrupt, "swapped"},
		{"an empty one", map[string][]byte{middle: {}}, journal.ErrCorrupt, "less than a header"},
		{"one of zeros", map[string][]byte{middle: make([]byte, len(l.good[middle]))}, journal.ErrCorrupt, "begin"},
		{"all missing", missing, journal.ErrMissing, "rejoin"},
	} {
		if _, err := l.try(t, bad.files); !errors.Is(err, bad.want) || !strings.Contains(err.Error(), bad.words) {
			t.Errorf("%s: %v, want %v with %q", bad.what, err, bad.want, bad.words)
		}
	}
	l.write(t, l.path(), nil)
	elsewhere := filepath.Join(t.TempDir(), "segment")
	must(t, os.Rename(filepath.Join(l.path(), filepath.Base(middle)), elsewhere), os.Symlink(elsewhere, middle))
	refuses(t, "a link", configOf(l.dir), nil, "regular file")
}

// foreign puts the journals of another replica, another cluster and another
// version there.
func (l *logged) foreign(t *testing.T, k *kept) {
	t.Helper()
	other := *k
	other.id = 1
	theirs := other.logged(t, 4<<10)
	l.write(t, l.path(), nil)
	for file := range l.good {
		must(t, os.Remove(file))
	}
	theirs.write(t, l.path(), nil)
	refuses(t, "another replica's", configOf(l.dir), journal.ErrForeign, "replica 1", "replica 2")
	for _, file := range l.files {
		newer := bytes.Clone(l.good[file])
		binary.BigEndian.PutUint32(newer[8:], 2)
		sum := crc32.Checksum(newer[:sector-4], crc32.MakeTable(crc32.Castagnoli))
		binary.BigEndian.PutUint32(newer[sector-4:], sum)
		if _, err := l.try(t, map[string][]byte{file: newer}); !errors.Is(err, journal.ErrVersion) {
			t.Errorf("%s of a newer version: %v, want %v", filepath.Base(file), err, journal.ErrVersion)
		}
	}
}
