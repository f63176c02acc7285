package app_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
)

// slate is an application that changes its state in place, and hands out that very state
// as its snapshot. Its results are not its own for long either.
type slate struct{ state, result []byte }

func newSlate() app.Snapshotter { return &slate{state: make([]byte, 300<<10)} }

func (s *slate) Apply(_ app.Context, op []byte) (result []byte, outputs [][]byte) {
	for i := range s.state {
		s.state[i] += op[0]
	}
	s.result = fmt.Append(s.result[:0], s.sum())
	return s.result, nil
}

func (s *slate) Query(app.Context, []byte) []byte { return fmt.Append(nil, s.sum()) }

func (s *slate) Snapshot() []byte {
	clear(s.result)
	return s.state
}

func (s *slate) Restore(snapshot []byte) error { s.state = snapshot; return nil }

// sum is of all that is written, so that a part of another time shows.
func (s *slate) sum() (sum int) {
	for _, b := range s.state {
		sum += int(b)
	}
	return sum
}

// TestAnApplicationMayHandOutItsState holds that a snapshot is as of when it was taken,
// while it is written and the application goes on: at any moment, restored and restored
// while a snapshot was being written, it has the state that it has without a break.
func TestAnApplicationMayHandOutItsState(t *testing.T) {
	steady := &desk{t: t, machine: app.Keep(newSlate), store: app.NewMemory()}
	shaken := &desk{t: t, machine: app.Keep(newSlate), store: app.NewMemory()}
	op := append([]byte{1}, make([]byte, 200<<10)...)
	for n := range 40 {
		steady.ctx, shaken.ctx = next(n+1), next(n+1)
		if n%4 == 3 {
			shaken.machine = app.Keep(newSlate)
		}
		want := fmt.Sprintf("%d, told []", (n+1)*300<<10)
		for _, d := range []*desk{steady, shaken} {
			if got := d.attempt(op, true); got != want {
				t.Fatalf("operation %d: got %q, want %q", n+1, got, want)
			}
			again := app.NewTx(d.store, nil, d.ctx, true)
			got, failure, err := app.Run(app.Keep(newSlate), again, []byte{1})
			if failure != nil || err != nil {
				t.Fatal(failure, err)
			}
			if got, want := string(got), fmt.Sprint((n+1)*300<<10); got != want {
				t.Fatalf("restored after operation %d: got %s, want %s", n+1, got, want)
			}
		}
		if !steady.store.Equal(shaken.store) {
			t.Fatalf("operation %d: the states differ", n+1)
		}
	}
	if _, chunks := steady.held(); chunks == 0 {
		t.Error("no snapshot was written")
	}
}

// held returns how many bytes the state takes, and how many keys of it are of snapshots.
func (d *desk) held() (held, chunks int) {
	_ = d.store.Scan(nil, nil, func(key, value []byte) bool {
		held += len(key) + len(value)
		if bytes.HasPrefix(key, []byte("snapshot/")) {
			chunks++
		}
		return true
	})
	return held, chunks
}

// herald is an application whose outputs are as many as the first four bytes of an
// operation say, each as long as the next four say. It counts how often it was told to.
type herald struct{ n byte }

func newHerald() app.Snapshotter { return &herald{} }

func (h *herald) Apply(_ app.Context, op []byte) (result []byte, outputs [][]byte) {
	h.n++
	one := make([]byte, binary.BigEndian.Uint32(op[4:]))
	for range binary.BigEndian.Uint32(op) {
		outputs = append(outputs, one)
	}
	return []byte{h.n}, outputs
}

func (h *herald) Snapshot() []byte              { return bytes.Repeat([]byte{h.n}, 150<<10) }
func (h *herald) Restore(snapshot []byte) error { h.n = snapshot[0]; return nil }

// TestAnApplicationMayTellAsMuchWhileASnapshotIsWritten has one use the bounds of an
// operation up, each time, and exceed them: what is refused does not depend on what Keep
// has to write itself.
func TestAnApplicationMayTellAsMuchWhileASnapshotIsWritten(t *testing.T) {
	const each = app.WriteBytesMax / 8
	for name, of := range map[string]struct {
		most, size uint32
		refusal    string
	}{
		"many": {app.WritesMax, 1, "more than 4096 writes and outputs in one operation"},
		"long": {8, each, "more than 1048576 bytes written and emitted in one operation"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{t: t, machine: app.Keep(newHerald), store: app.NewMemory()}
			op := func(outputs uint32) []byte {
				b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, outputs), of.size)
				return append(b, make([]byte, app.KeepOpBytesMax-len(b))...)
			}
			snapshots := 0
			for n := range 12 {
				d.ctx = next(n + 1)
				d.ctx.Input = make([]byte, app.InputBytesMax)
				if got := d.attempt(op(of.most+1), true); got != of.refusal {
					t.Errorf("operation %d: one output too many: got %.100q, want %q", n+1, got, of.refusal)
				}
				if got, want := d.attempt(op(of.most), true), fmt.Sprintf("%c, told [", n+1); !strings.HasPrefix(got, want) {
					t.Fatalf("operation %d: got %.100q, want %q", n+1, got, want)
				}
				_, chunks := d.held()
				snapshots = max(snapshots, chunks)
			}
			if snapshots < 3 {
				t.Errorf("got %d chunks of snapshots at most, want all 3", snapshots)
			}
		})
	}
}

// ballast is an application whose state has a given length, until an operation of one byte
// takes all but a byte of it off. It counts its snapshots.
type ballast struct {
	state []byte
	taken *int
}

func (b *ballast) Apply(_ app.Context, op []byte) (result []byte, outputs [][]byte) {
	b.state[0]++
	if len(op) == 1 {
		b.state = b.state[:1]
	}
	return b.state[:1], nil
}

func (b *ballast) Snapshot() []byte              { *b.taken++; return b.state }
func (b *ballast) Restore(snapshot []byte) error { b.state = snapshot; return nil }

// TestAKeptStateStaysInProportion holds that what is superseded goes, that a snapshot
// is written as fast as operations come, be they short, long or first one and then the
// other, and that there are no more of them than pay.
func TestAKeptStateStaysInProportion(t *testing.T) {
	const state, longest = 2 << 20, app.KeepOpBytesMax
	type part struct{ op, times int }
	for name, of := range map[string]struct {
		state, rest int // in the beginning, and in the end
		parts       []part
	}{
		"short":           {10, 10, []part{{10, 20_000}}},
		"long":            {10, 10, []part{{20_000, 2000}}},
		"large by long":   {state, state, []part{{20_000, 1000}}},
		"large by longer": {state, state, []part{{longest, 60}}},
		"mixed":           {10, 10, []part{{10, 16_850}, {longest, 30}}}, // the short ones are just superseded
		"shrinking":       {8 * state, 1, []part{{longest, 30}, {1, 1}, {longest, 60}}},
	} {
		t.Run(name, func(t *testing.T) {
			taken, logged, held, most, n := 0, 0, 0, 0, 0
			fresh := func() app.Snapshotter { return &ballast{make([]byte, of.state), &taken} }
			d := &desk{t: t, machine: app.Keep(fresh), store: app.NewMemory()}
			for _, part := range of.parts {
				op := make([]byte, part.op)
				for i := range part.times {
					n++
					d.ctx = next(n)
					if got, want := d.attempt(op, true), fmt.Sprintf("%s, told []", []byte{byte(n)}); got != want {
						t.Fatalf("operation %d: got %q, want %q", n, got, want)
					}
					if logged += len(op) + 100; i%max(1, part.times/200) == 0 {
						held, _ = d.held()
						most = max(most, held)
					}
				}
			}
			if bound := 2<<20 + 4*of.state; most > bound {
				t.Errorf("the state took up to %d bytes, want no more than %d", most, bound)
			}
			if bound := 2<<20 + 4*of.rest; held > bound {
				t.Errorf("the state takes %d bytes in the end, want no more than %d", held, bound)
			}
			if bound := 1 + logged/max(1<<20, of.rest); taken == 0 || taken > bound {
				t.Errorf("got %d snapshots, want some, and no more than %d", taken, bound)
			}
		})
	}
}
