package pbft

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FlightDir is the directory, in a replica's, of the dumps of its flight recorder.
const FlightDir = "flight"

// flightOwnMax is how many dumps are kept that the replica made by itself, of at most some
// megabytes each, and flightAskedMax how many that it was asked for. They are counted apart:
// who asks again and again shall not lose what an outage left.
const (
	flightOwnMax   = 8
	flightAskedMax = 4
)

// flightAsked is the word of dumps that were asked for.
const flightAsked = "asked"

// flightRowGap ends a row of dumps, if there is none for so long. An outage makes several,
// one for each view that is left, and the first of them says most: it stays, and the others
// make room.
const flightRowGap = 10 * time.Minute

// flightPart is the name of a dump that is not whole.
const flightPart = "dump.part"

// flightNumber returns the number of the dump with this name: 000017-left-view.txt has 17.
// Other files are none.
func flightNumber(name string) (uint64, bool) {
	number, _, dashed := strings.Cut(name, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	return n, dashed && err == nil && len(number) >= 6 && strings.HasSuffix(name, ".txt")
}

// flightFiles are the dumps of a flight recorder, in a directory that need not be there.
// Any goroutine may call its methods. Nothing is flushed: where the disk is slow, a dump
// shall not make it slower.
type flightFiles struct {
	dir string
	mu  struct {
		sync.Mutex
		first string    // of the last row in this life of the process: its name
		last  time.Time // when a dump was last added to it
	}
}

// put makes a new dump for a word, which write writes, and returns its path. The oldest
// ones of its kind make room for it once it is written: a full disk costs none of them.
func (f *flightFiles) put(word string, write func(w io.Writer) error) (path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("flight recorder: %w", err)
	}
	path, err = f.add(word, write)
	if err != nil {
		return "", fmt.Errorf("flight recorder: %w", errors.Join(err, os.RemoveAll(filepath.Join(f.dir, flightPart))))
	}
	return path, nil
}

// add is put in a directory that is there. With an error it may leave flightPart. It needs
// the lock, as all below.
func (f *flightFiles) add(word string, write func(w io.Writer) error) (path string, err error) {
	part := filepath.Join(f.dir, flightPart)
	if err := writeFlight(part, write); err != nil {
		return "", err
	}
	names, last, err := f.list()
	if err != nil {
		return "", err
	}
	now, name := time.Now(), fmt.Sprintf("%06d-%s.txt", last+1, word)
	if word != flightAsked && now.Sub(f.mu.last) > flightRowGap {
		f.mu.first = name
	}
	if err := f.makeRoom(names, word == flightAsked); err != nil {
		return "", err
	}
	path = filepath.Join(f.dir, name)
	if err := os.Rename(part, path); err != nil {
		return "", err
	}
	if word != flightAsked {
		f.mu.last = now
	}
	return path, nil
}

// makeRoom removes the oldest of names, but not the first of the row, so that one more of a
// kind can be kept.
func (f *flightFiles) makeRoom(names []string, asked bool) error {
	kind, most := make([]string, 0, len(names)), flightOwnMax
	if asked {
		most = flightAskedMax
	}
	for _, name := range names {
		if isAsked := strings.HasSuffix(name, "-"+flightAsked+".txt"); isAsked == asked {
			kind = append(kind, name)
		}
	}
	for i := 0; len(kind) >= most; {
		if kind[i] == f.mu.first {
			i++
			continue
		}
		if err := os.Remove(filepath.Join(f.dir, kind[i])); err != nil {
			return err
		}
		kind = slices.Delete(kind, i, i+1)
	}
	return nil
}

// list returns the names of the dumps, the oldest first, and the number of the newest.
func (f *flightFiles) list() (names []string, last uint64, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, 0, err
	}
	number := make(map[string]uint64)
	for _, e := range entries {
		if n, ok := flightNumber(e.Name()); ok {
			names, number[e.Name()] = append(names, e.Name()), n
			last = max(last, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(number[a], number[b]), cmp.Compare(a, b)) })
	return names, last, nil
}

// writeFlight makes a file at path.
func writeFlight(path string, write func(w io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// FlightPath returns where the dumps of the flight recorder are.
func (c Config) FlightPath() string { return filepath.Join(c.Dir, FlightDir) }

// WriteFlight writes, as text, what the replica did lately: what each stage of it waited
// for and how long it took, what came, and how far batches were. It does so by itself, to
// a file in Config.FlightPath, when it suspects the primary, leaves its view, finds states
// or certificates that differ, or stops by itself. Any goroutine may call it.
func (r *Replica) WriteFlight(w io.Writer) error { return r.node.WriteFlight(w) }

// DumpFlight is WriteFlight to a file in Config.FlightPath, of which it returns the path.
// The newest four that were asked for are kept, beside eight that the replica wrote by itself.
func (r *Replica) DumpFlight() (path string, err error) { return r.node.DumpFlight() }
