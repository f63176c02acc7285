package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func flushed(t *testing.T, records ...core.Record) *realLedger {
	t.Helper()
	l, err := newRealLedger(crypto.Domain{}, 0, 4, 4<<10)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := errors.Join(l.Append([]core.Record{r}), l.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestWhatAFailedFlushLeftSurvivesThePowerCutAfter: the system shows, after a
// failed sync, what it will never write. Who reads it must write it again.
func TestWhatAFailedFlushLeftSurvivesThePowerCutAfter(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		l := flushed(t, core.ViewRecord{View: 1})
		if err := l.Append([]core.Record{core.ViewRecord{View: 2}}); err != nil {
			t.Fatal(err)
		}
		if err := l.fail(rng); err != nil {
			t.Fatal(err)
		}
		first, err := l.reopen()
		if err != nil {
			t.Fatal(err)
		}
		l.crash(rng)
		second, err := l.reopen() // which compares
		if err != nil || len(second.records) != len(first.records) {
			t.Errorf("seed %d: %d records, then %d, %v", seed, len(first.records), len(second.records), err)
		}
	}
}

// TestFullDiskIsNoDamage: what was flushed is there when there is room again.
func TestFullDiskIsNoDamage(t *testing.T) {
	l := flushed(t, core.ViewRecord{View: 1})
	l.fill(true)
	err := l.Append([]core.Record{core.ViewRecord{View: 2}})
	if err = errors.Join(err, l.Flush()); !errors.Is(err, errFull) {
		t.Fatalf("got %v, want a full disk", err)
	}
	l.kill(nil)
	if _, err := l.reopen(); !errors.Is(err, errFull) {
		t.Fatalf("got %v, want a full disk at the start too", err)
	}
	l.fill(false)
	if found, err := l.reopen(); err != nil || len(found.records) == 0 {
		t.Errorf("got %v, %v, want what was flushed", found.records, err)
	}
}

// TestJournalInventsNothing holds the check of lying disks to account.
func TestJournalInventsNothing(t *testing.T) {
	l := flushed(t, core.ViewRecord{View: 1}, core.ViewRecord{View: 2})
	l.spoil(rand.New(rand.NewPCG(1, 1))) //nolint:gosec // a test
	for name, c := range map[string]struct {
		records []core.Record
		forgot  bool
		err     error
	}{
		"all":      {[]core.Record{core.ViewRecord{View: 1}, core.ViewRecord{View: 2}}, false, nil},
		"a part":   {[]core.Record{core.ViewRecord{View: 1}}, true, nil},
		"invented": {[]core.Record{core.ViewRecord{View: 3}}, false, errInvented},
	} {
		one := *l
		got, err := one.believe(slices.Clone(c.records), 2)
		if got.forgot != c.forgot || !errors.Is(err, c.err) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// TestScriptRestoresABackup: a primary that goes back in time contradicts itself,
// and breaks nothing.
func TestScriptRestoresABackup(t *testing.T) {
	before, after := wire.Seq(0), wire.Seq(0)
	o := Options{Seed: 3, Operations: 40, Outstanding: 2, Turbulence: 4 * time.Second}
	o.Script = func(c *Control) {
		c.When(func() bool { return c.Replica(0).Executed >= 3 }, func() { c.Backup(0) })
		c.When(func() bool { return c.Replica(0).Executed >= 12 }, func() {
			before = c.Replica(0).Executed
			c.RestoreBackup(0)
			c.Restart(0)
			after = c.Replica(0).Executed
		})
	}
	res := mustHold(t, o)
	if res.Counters.Restored != 1 || after >= before {
		t.Errorf("restored %d times, from %d to %d: want once, to an earlier number", res.Counters.Restored, before, after)
	}
}
