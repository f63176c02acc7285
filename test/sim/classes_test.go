package sim

import (
	"reflect"
	"testing"
	"time"
)

// TestEveryClassOfFaultsBitesAlone runs each class with no other, on a few seeds:
// its counters must not be zero, and without it they must be.
func TestEveryClassOfFaultsBitesAlone(t *testing.T) {
	base := Options{
		Replicas: 4, Clients: 2, Operations: 20, Outstanding: 2, Interval: 2, InFlight: 2,
		DelayMax: 20 * time.Millisecond, OutageMax: time.Second, Turbulence: 3 * time.Second,
	}
	const classSeeds = uint64(20)
	var without Counters
	for seed := range classSeeds {
		o := base
		o.Seed = seed
		without.Add(mustHold(t, o).Counters)
	}
	for name, class := range map[string]struct {
		set      func(o *Options)
		counters []string
	}{
		"replay":          {func(o *Options) { o.Replay = 0.1 }, []string{"Replayed"}},
		"corruption":      {func(o *Options) { o.Corruption = 0.1 }, []string{"Corrupted"}},
		"full links":      {func(o *Options) { o.LinkMax = 2 }, []string{"Overflowed"}},
		"clogs":           {func(o *Options) { o.Clogs = 4 }, []string{"Clogged"}},
		"cuts":            {func(o *Options) { o.Cuts = 4 }, []string{"Cuts"}},
		"backlog":         {func(o *Options) { o.Backlog, o.Crashes = 64, 20 }, []string{"Waited"}},
		"breaks":          {func(o *Options) { o.Breaks, o.Crashes = 1, 20 }, []string{"Unlinked", "Abandoned"}},
		"flaps":           {func(o *Options) { o.Flaps = 10 }, []string{"Unlinked", "Flaps"}},
		"shuns":           {func(o *Options) { o.Shuns = 4 }, []string{"Shunned"}},
		"pauses":          {func(o *Options) { o.Pauses = 3 }, []string{"Pauses"}},
		"jumps":           {func(o *Options) { o.Jumps = 5 }, []string{"Jumps"}},
		"bursts":          {func(o *Options) { o.Bursts = 3 }, []string{"BurstTicks"}},
		"strains":         {func(o *Options) { o.Strains = 5 }, []string{"Strains"}},
		"failing flushes": {func(o *Options) { o.FlushFailures = 3 }, []string{"FailedFlushes"}},
		"full disks":      {func(o *Options) { o.FullDisks = 3 }, []string{"Filled"}},
		"bad disks":       {func(o *Options) { o.BadDisks, o.RealStorage = 1, o.Seed%2 == 0 }, []string{"Corroded", "Forgot"}},
		"backups":         {func(o *Options) { o.Backups, o.RealStorage = 1, o.Seed%2 == 0 }, []string{"Restored"}},
		"deaths":          {func(o *Options) { o.Deaths = 1 }, []string{"Deaths"}},
		"massacre":        {func(o *Options) { o.Deaths, o.SafetyOnly = 4, true }, []string{"Deaths"}},
		"outlaws":         {func(o *Options) { o.Outlaws = 2 }, []string{"Crimes", "Unfit"}},
		"endings": {
			func(o *Options) { o.Liveness, o.Replicas, o.Faults = true, 6, 1 },
			[]string{"Dead", "CutOff", "Lossy", "Slow", "Turned"},
		},
		"small results": {func(o *Options) { o.ResultBytes, o.UnsavedBytes = 8, 1 }, []string{"RolledBack"}},
		"fast reads": {
			func(o *Options) { o.FastReads, o.Crashes = 0.5, 20 },
			[]string{"FastReads", "FallenBack", "HeldQueries", "LostQueries"},
		},
		"fast reads of who rejoins": {func(o *Options) { o.FastReads, o.Losses = 0.5, 1 }, []string{"Unread"}},
		"rots":                      {func(o *Options) { o.Rots, o.Crashes = 1, 20 }, []string{"Diverged", "HalfRepaired"}},
		"drift":                     {func(o *Options) { o.Drift = 0.3 }, []string{"Drifting"}},
		"crashes": {func(o *Options) { o.Crashes = 20 }, []string{
			"Unsent", "HalfSent", "Unanswered", "HalfStable", "EarlyLost", "Abstained", "Abdicated",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var with Counters
			for seed := range classSeeds {
				o := base
				o.Seed = seed
				class.set(&o)
				with.Add(mustHold(t, o).Counters)
			}
			for _, c := range class.counters {
				if reflect.ValueOf(with).FieldByName(c).Int() == 0 {
					t.Errorf("%s is 0: the class does not bite", c)
				}
				if got := reflect.ValueOf(without).FieldByName(c).Int(); got != 0 {
					t.Errorf("%s is %d without the class", c, got)
				}
			}
		})
	}
}

func mustHold(t *testing.T, o Options) Result {
	t.Helper()
	res := Run(o)
	if res.Violation != nil {
		t.Error(res.Violation)
	}
	return res
}
