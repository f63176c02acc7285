package journal

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// errStop ends a process in the middle of an operation.
var errStop = errors.New("stopped")

// model is what a journal on a bad disk must hold to. Records are numbered, so
// that a prefix is told by its length.
type model struct {
	t    *rapid.T
	fsys *disk.Memory
	opts Options
	j    *Journal

	records []core.Record // appended since the last base, and that base
	durable int           // how many of them a crash must keep
	// rebased is the base of a Rebase that did not return; it may be what is
	// found, whole.
	rebased []core.Record
	// writing is a base that is being written, with all that was appended since, or nil.
	writing []core.Record
	next    int // number of the next record
	fuse    int // operations until the process stops; −1: none
}

func (m *model) make(n int) []core.Record {
	var records []core.Record
	for range n {
		m.next++
		if rapid.IntRange(0, 9).Draw(m.t, "large") == 0 {
			records = append(records, accepted(wire.Seq(m.next), rapid.IntRange(0, 3000).Draw(m.t, "bytes")))
			continue
		}
		records = append(records, core.ViewRecord{View: wire.View(m.next)})
	}
	return records
}

// light makes the process stop after some operations of its disk, or not.
func (m *model) light() {
	m.fuse = rapid.IntRange(-20, 25).Draw(m.t, "fuse")
	m.fsys.Before(func(op disk.Op) *disk.Fault {
		if m.fuse > 0 {
			m.fuse--
		}
		if m.fuse == 0 {
			return &disk.Fault{Err: errStop, Written: op.Bytes / 2}
		}
		return nil
	})
}

func (m *model) append() {
	records := m.make(rapid.IntRange(0, 12).Draw(m.t, "records"))
	m.records = append(m.records, records...) // even where it fails, some may be kept
	if m.writing != nil {
		m.writing = append(m.writing, records...)
	}
	m.check(m.j.Append(records))
}

func (m *model) flush() {
	n := len(m.records)
	if m.check(m.j.Flush()) {
		m.durable = n
	}
}

func (m *model) rebase() {
	base := m.make(rapid.IntRange(0, 60).Draw(m.t, "base"))
	m.rebased = append([]core.Record{}, base...)
	n := len(m.records)
	if !m.check(m.j.Rebase(base)) {
		return
	}
	if m.rebased = nil; m.j.base != nil {
		m.durable, m.writing = n, slices.Clone(base) // which is long
		return
	}
	m.records, m.durable, m.writing = slices.Clone(base), len(base), nil
}

// work goes on with a base that is being written.
func (m *model) work() {
	m.rebased = m.writing
	before := m.j.GivenUp()
	more, err := m.j.Work()
	if !m.check(err) {
		return
	}
	m.rebased = nil
	switch {
	case m.j.GivenUp() > before:
		m.writing = nil
	case m.writing != nil && !more:
		m.records, m.durable, m.writing = m.writing, len(m.writing), nil
	}
}

// check restarts after an error and tells whether there was none.
func (m *model) check(err error) bool {
	if err == nil {
		return true
	}
	if !errors.Is(err, errStop) {
		m.t.Fatalf("error = %v, want %v", err, errStop)
	}
	if again := m.j.Flush(); !errors.Is(again, errStop) {
		m.t.Fatalf("flush after an error = %v, want the same error", again)
	}
	m.restart()
	return false
}

// restart ends the process, or cuts the power, and opens the journal again; that
// may stop half-way too.
func (m *model) restart() {
	for attempt := 0; ; attempt++ {
		m.fsys.Before(nil)
		switch rapid.IntRange(0, 2).Draw(m.t, "end") {
		case 0:
			m.fsys.Kill()
		case 1:
			m.fsys.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(m.t, "fate") })
		default:
			if m.j != nil { // an orderly end, where that is possible
				_ = m.j.Close()
			}
			m.fsys.Kill()
		}
		m.j = nil
		if attempt < 3 {
			m.light()
		}
		j, got, err := Open(testDir, testID, m.opts)
		if errors.Is(err, errStop) {
			continue
		}
		if err != nil {
			m.t.Fatalf("open: %v", err)
		}
		m.j = j
		m.recovered(got)
		return
	}
}

// recovered checks what was found: a prefix of what was appended, with all that
// was flushed; or, after an unfinished Rebase, its base.
func (m *model) recovered(got []core.Record) {
	same := func(want []core.Record) bool {
		return slices.Equal(encoded(m.t, got), encoded(m.t, want))
	}
	switch {
	case len(got) >= m.durable && len(got) <= len(m.records) && same(m.records[:len(got)]):
	case m.rebased != nil && same(m.rebased):
	default:
		m.t.Fatalf("found %d records of %d appended and %d flushed, or not those", len(got), len(m.records), m.durable)
	}
	m.records, m.durable, m.rebased, m.writing = slices.Clone(got), len(got), nil, nil
}

func TestCrashesKeepWhatWasFlushed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fsys := disk.NewMemory()
		m := &model{t: rt, fsys: fsys, opts: inMemory(fsys)}
		m.opts.SegmentBytes = int64(rapid.IntRange(segmentBytesMin, 4*segmentBytesMin).Draw(rt, "segment"))
		m.opts.PortionBytes = int64(rapid.IntRange(1, 8000).Draw(rt, "portion"))
		m.opts.baseBytesMax = int64(rapid.IntRange(1<<15, 1<<17).Draw(rt, "longest"))
		j, err := Create(testDir, testID, m.opts)
		if err != nil {
			rt.Fatal(err)
		}
		m.j = j
		m.light()
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 12).Draw(rt, "step") {
			case 0:
				m.restart()
			case 1:
				m.rebase()
			case 2, 3, 4:
				m.append()
			case 5:
				m.light()
			case 6, 7:
				m.work()
			default:
				m.append()
				m.flush()
			}
		}
		m.restart()
		fsys.Before(nil)
		_ = m.j.Close()
	})
}

// TestACrashInCreateIsAFirstStartAgain cuts the power at every operation.
func TestACrashInCreateIsAFirstStartAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fsys := disk.NewMemory()
		opts := inMemory(fsys)
		fuse := rapid.IntRange(1, 12).Draw(rt, "fuse")
		fsys.Before(func(disk.Op) *disk.Fault {
			if fuse--; fuse <= 0 {
				return &disk.Fault{Err: errStop}
			}
			return nil
		})
		_, failed := Create(testDir, testID, opts)
		fsys.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "fate") })
		fsys.Before(nil)
		there, err := Exists(testDir, opts)
		if err != nil || failed == nil && !there {
			rt.Fatalf("create = %v, but exists = %v, %v", failed, there, err)
		}
		var j *Journal
		if there {
			j, _, err = Open(testDir, testID, opts)
		} else {
			j, err = Create(testDir, testID, opts)
		}
		if err != nil {
			rt.Fatalf("exists = %v, then %v", there, err)
		}
		if err := j.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
