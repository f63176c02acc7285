package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
)

// shelf is an application that keeps its state in memory: the last long value of each
// of a few places, and how many there were.
type shelf struct {
	places map[string]string
	count  int
}

func newShelf() app.Snapshotter { return &shelf{places: map[string]string{}} }

func (s *shelf) Apply(ctx app.Context, op []byte) (result []byte, outputs [][]byte) {
	s.count++
	s.places[string(op[:1])] = fmt.Sprintf("%s at %d, %d", op, ctx.Seq, ctx.Time)
	return fmt.Appendf(nil, "%d %d", s.count, len(s.places)), [][]byte{op[:1]}
}

func (s *shelf) Query(_ app.Context, op []byte) []byte {
	return fmt.Appendf(nil, "%d %.40s", s.count, s.places[string(op)])
}

func (s *shelf) Snapshot() []byte {
	b := fmt.Appendln(nil, s.count)
	for _, place := range slices.Sorted(maps.Keys(s.places)) {
		b = fmt.Appendln(b, s.places[place])
	}
	return b
}

func (s *shelf) Restore(b []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for _, line := range lines[1:] {
		s.places[line[:1]] = line
	}
	_, err := fmt.Sscan(lines[0], &s.count)
	return err
}

// onShelf has the replicas of o run shelves.
func onShelf(o Options) Options {
	o.Machine = func() app.StateMachine { return app.Keep(newShelf) }
	o.Operation = func(rng *rand.Rand, client, i int) []byte {
		return fmt.Appendf(nil, "%c%d/%d %s", 'a'+rng.IntN(5), client, i, strings.Repeat("x", 60_000))
	}
	o.Query = func(rng *rand.Rand, _, _ int) []byte { return []byte{'a' + byte(rng.IntN(5))} }
	o.BatchBytes, o.OpsMax, o.RealStorage = 1<<20, 1, true
	return o
}

// TestApplicationsInMemoryHoldEveryProperty runs one that app.Keep keeps through crashes,
// transfers and liars: each replica restores it at other moments, and all agree.
func TestApplicationsInMemoryHoldEveryProperty(t *testing.T) {
	t.Parallel()
	var counters Counters
	for seed := uint64(1); seed <= 20; seed++ {
		res := Run(onShelf(FromSeed(seed)))
		if res.Violation != nil {
			t.Fatalf("seed %d: %v", seed, res.Violation)
		}
		counters.Add(res.Counters)
	}
	if counters.Crashes == 0 || counters.Transfers == 0 || counters.Outputs == 0 {
		t.Errorf("got %+v: the test is void without crashes, transfers and outputs", counters)
	}
}

// misfiled is a shelf whose snapshots are not what they should be.
type misfiled struct {
	*shelf

	snapshot func(s *shelf) []byte
	restore  func(s *shelf, b []byte) error
}

func (m misfiled) Snapshot() []byte       { return m.snapshot(m.shelf) }
func (m misfiled) Restore(b []byte) error { return m.restore(m.shelf, b) }

// TestCheckTakesSnapshots: with short operations neither a run nor a restart ever takes one.
func TestCheckTakesSnapshots(t *testing.T) {
	t.Parallel()
	made := 0
	for name, c := range map[string]struct {
		snapshot func(s *shelf) []byte
		restore  func(s *shelf, b []byte) error
		want     string
	}{
		"well":         {(*shelf).Snapshot, (*shelf).Restore, ""},
		"not restored": {(*shelf).Snapshot, func(*shelf, []byte) error { return errUnread }, "cannot be restored"},
		"restored as another": {(*shelf).Snapshot, func(s *shelf, b []byte) error {
			err := s.Restore(b)
			s.count++
			return err
		}, "gives another one"},
		"half of the state": { // which no snapshot shows, but what comes after it
			func(s *shelf) []byte { return (&shelf{places: s.places}).Snapshot() },
			func(s *shelf, b []byte) error { return s.Restore(b) }, "after restoring snapshots",
		},
		"of its own": { // as addresses and times are
			func(s *shelf) []byte {
				if s.places["o"] == "" {
					made++
					s.places["o"] = fmt.Sprint("own ", made)
				}
				return s.Snapshot()
			},
			(*shelf).Restore, "its snapshot is",
		},
	} {
		o := onShelf(Options{Seed: 1, Clients: 2, Operations: 20})
		o.Machine = func() app.StateMachine {
			return app.Keep(func() app.Snapshotter { return misfiled{&shelf{places: map[string]string{}}, c.snapshot, c.restore} })
		}
		o.Operation = func(rng *rand.Rand, client, i int) []byte {
			return fmt.Appendf(nil, "%c%d/%d", 'a'+rng.IntN(5), client, i)
		}
		err := checkDeterminism(o, noWait)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestApplicationsInMemoryAreDeterministic(t *testing.T) {
	t.Parallel()
	if err := checkDeterminism(onShelf(Options{Seed: 1, Clients: 3, Operations: 30}), noWait); err != nil {
		t.Error(err)
	}
}
