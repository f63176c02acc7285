package twins

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

var (
	scenarioName = flag.String("scenario", "twin=0 | {0,1}{0',2,3} | {0,0',1,2,3}", "the scenario that TestOne prints")
	all          = flag.Bool("all", false, "explore the whole scope, not a small one")
	shard        = flag.String("shard", "0/1", "i/n: explore the i-th of n parts of the scope")
	seed         = flag.Uint64("seed", 1, "of the samples")
	times        = flag.Int("times", 1, "multiplies the samples")
	every        = flag.Duration("every", 15*time.Second, "between two lines of progress of -all")
)

func newCast(tb testing.TB, n int) *Cast {
	tb.Helper()
	cast, err := NewCast(n)
	if err != nil {
		tb.Fatal(err)
	}
	return cast
}

func newScope(tb testing.TB, twin, rounds, irregular int) *Scope {
	tb.Helper()
	scope, err := NewScope(twin, rounds, irregular)
	if err != nil {
		tb.Fatal(err)
	}
	return scope
}

// run plays a scenario, and fails the test with how to replay it.
func run(tb testing.TB, cast *Cast, s *Scenario) {
	tb.Helper()
	if err := Run(cast, s, nil); err != nil {
		tb.Errorf("%v\n\tgo test ./test/twins -run TestOne -v -scenario %q", err, s)
	}
}

// TestOne plays one scenario and prints what happens.
func TestOne(t *testing.T) {
	s, err := Parse(*scenarioName)
	if err != nil {
		t.Fatal(err)
	}
	var trace strings.Builder
	err = Run(newCast(t, s.Replicas), s, &trace)
	t.Logf("%s\n%s", s, trace.String())
	if err != nil {
		t.Fatal(err)
	}
}

// TestTwinsBreakNothingInSample plays scenarios spread evenly over the scope, and
// over that of two irregular rounds, which nobody has the time to explore.
func TestTwinsBreakNothingInSample(t *testing.T) {
	each := 50 * *times
	t.Logf("seed %d", *seed)
	cast := newCast(t, 4)
	for twin := range 4 {
		for irregular := range 3 {
			scope := newScope(t, twin, 3, irregular)
			stride := scope.Size() / each
			for i := int(*seed*7919) % stride; i < scope.Size(); i += stride { //nolint:gosec // positive
				run(t, cast, scope.At(i))
			}
		}
	}
}

// TestTwinsBreakNothing explores every scenario: by default those of two rounds
// and one twin, with -all the whole scope.
func TestTwinsBreakNothing(t *testing.T) {
	part, of := 0, 1
	if _, err := fmt.Sscanf(*shard, "%d/%d", &part, &of); err != nil || part < 0 || part >= of {
		t.Fatalf("-shard %q, want i/n with 0 ≤ i < n", *shard)
	}
	if !*all {
		explore(t, newScope(t, int(*seed%4), 2, 0), part, of) //nolint:gosec // 0 to 3
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	for twin := range 4 {
		for irregular := range 2 {
			explore(t, newScope(t, twin, 3, irregular), part, of)
		}
	}
}

// explore runs a part of a scope on all processors.
func explore(t *testing.T, scope *Scope, part, of int) {
	t.Helper()
	start := time.Now()
	e := NewExplorer(newCast(t, 4), scope)
	tasks, err := e.Begin()
	if err != nil {
		t.Fatal(err)
	}
	title := fmt.Sprintf("twin %d, %d rounds, %d irregular, %d scenarios in %d classes",
		scope.shape.Twins[0], scope.rounds, scope.irregular, scope.Size(), scope.Classes())
	var group errgroup.Group
	group.SetLimit(2)
	told := start
	for i, task := range tasks {
		if i%of != part {
			continue
		}
		group.Go(task)
		if now := time.Now(); now.Sub(told) > *every {
			told = now
			t.Logf("%s: %s, %s", title, e.Stats(), now.Sub(start).Round(time.Second))
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	stats := e.Stats()
	took := time.Since(start)
	t.Logf("%s: %s, %s, %.0f a second", title, stats, took.Round(time.Millisecond), float64(stats.Ends)/took.Seconds())
	if stats.Ends == 0 {
		t.Errorf("no scenario of %d was played", scope.Size())
	}
	for _, f := range stats.Failed {
		t.Errorf("after %d scenarios: %v\n\tgo test ./test/twins -run TestOne -v -scenario %q", f.Ends, f.Err, f.Scenario)
	}
}

// TestTwinsBreakNothingBeyond samples what no enumeration reaches: more rounds,
// anything irregular, crashes, and seven replicas with two twins.
func TestTwinsBreakNothingBeyond(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 0))
	four, seven := newCast(t, 4), newCast(t, 7)
	for range 80 * *times {
		run(t, four, Draw(rng, 4, []int{rng.IntN(4)}, 4, false))
		run(t, four, Draw(rng, 4, []int{rng.IntN(4)}, 3, true))
	}
	for range 30 * *times {
		run(t, seven, Draw(rng, 7, rng.Perm(7)[:2], 4, rng.IntN(2) == 0))
	}
}

// TestTwoTwinsOfFourBreakAgreement goes beyond what four replicas tolerate: the
// laws must be seen to break, or nothing that holds says anything.
func TestTwoTwinsOfFourBreakAgreement(t *testing.T) {
	s, err := Parse("twin=0 twin=1 | {0,1,2}{0',1',3}")
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(newCast(t, 4), s, nil); err == nil || !strings.Contains(err.Error(), "agreement") {
		t.Errorf("%s ends in %v, want a breach of agreement", s, err)
	}
}

// TestMirroredScenariosEndAlike holds the one symmetry that Explore uses against
// samples. When the copies change places in the scenario, in the turns that
// processes take and in the requests of their sides, all come to where they came
// before, with the copies' places changed. What is left of the difference between
// a scenario and its mirror is only who speaks first, which the scope does not
// fix: the verdict is the same.
func TestMirroredScenariosEndAlike(t *testing.T) {
	cast := newCast(t, 4)
	for twin := range 4 {
		scope := newScope(t, twin, 3, 1)
		for i := int(*seed); i < scope.Size(); i += scope.Size() / 25 { //nolint:gosec // small
			s := scope.At(i)
			one, err := end(cast, s, false)
			other, errOther := end(cast, s.Mirror(), true)
			if (err == nil) != (errOther == nil) || !slices.Equal(one, other) {
				t.Errorf("%s ends %v, %v\nits mirror %s ends %v, %v", s, one, err, s.Mirror(), other, errOther)
			}
			if verdict := Run(cast, s.Mirror(), nil); (err == nil) != (verdict == nil) {
				t.Errorf("%s ends in %v, its mirror in %v", s, err, verdict)
			}
		}
	}
}

// place is where a process is.
type place struct {
	view     wire.View
	active   bool
	executed wire.Seq
}

// end plays a scenario and returns where every process is after the rounds; in a
// mirrored world, with the copies in their old places.
func end(cast *Cast, s *Scenario, mirrored bool) ([]place, error) {
	w, err := newWorld(cast, s, mirrored)
	if err != nil {
		return nil, err
	}
	for i := range s.Rounds {
		w.Round(&s.Rounds[i])
	}
	var out []place
	for _, p := range w.turns {
		out = append(out, place{p.replica.View(), p.replica.Active(), p.replica.Executed()})
	}
	w.Mend()
	return out, w.Violation()
}

// TestEqualStatesHaveEqualFutures holds the merging of states against samples:
// different beginnings with one key go on alike, message by message.
func TestEqualStatesHaveEqualFutures(t *testing.T) {
	cast, scope := newCast(t, 4), newScope(t, 0, 2, 1)
	states := map[crypto.Digest]int{}
	compared := 0
	for l := range scope.letters {
		key := future(t, cast, scope.scenario([]int{l}), nil)
		old, met := states[key]
		states[key] = l
		if !met || compared == 60 {
			continue
		}
		compared++
		next := compared % scope.regular
		var one, other bytes.Buffer
		future(t, cast, scope.scenario([]int{old, next}), &one)
		future(t, cast, scope.scenario([]int{l, next}), &other)
		if one.Len() == 0 || !bytes.Equal(one.Bytes(), other.Bytes()) {
			t.Errorf("%s and %s have one state and go on as\n%s\nand\n%s",
				scope.scenario([]int{old, next}), scope.scenario([]int{l, next}), one.String(), other.String())
		}
	}
	if compared < 20 || len(states) < 20 {
		t.Errorf("%d states, of which %d were met again: want many of both", len(states), compared)
	}
}

// TestKeyReadsEveryField checks that no part of a replica is of a kind that the
// key cannot tell apart.
func TestKeyReadsEveryField(t *testing.T) {
	s, err := Parse("twin=0 | {0,1}{0',2,3} | {0,0',2,3}{1} commit:drop-to{2}")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWorld(newCast(t, 4), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Rounds {
		before := w.key()
		w.Round(&s.Rounds[i])
		if k := w.keep(); len(k.unknown) > 0 || w.key() == before {
			t.Errorf("round %d: the key cannot read %v, or stays as it was", i, k.unknown)
		}
	}
}

// future plays a scenario, tracing what comes after its first round, and returns
// the key after the first round's timeouts.
func future(t *testing.T, cast *Cast, s *Scenario, trace io.Writer) crypto.Digest {
	t.Helper()
	w, err := NewWorld(cast, s)
	if err != nil {
		t.Fatal(err)
	}
	w.Round(&s.Rounds[0])
	w.expire()
	key := w.key()
	w.trace = trace
	for i := range s.Rounds[1:] {
		w.Round(&s.Rounds[i+1])
	}
	if trace != nil {
		w.Mend()
	}
	return key
}

// TestCopiedWorldGoesOnAlike holds World.again against playing on.
func TestCopiedWorldGoesOnAlike(t *testing.T) {
	cast, scope := newCast(t, 4), newScope(t, 1, 3, 1)
	for i := 0; i < scope.Size(); i += scope.Size() / 20 {
		s := scope.At(i)
		w, err := NewWorld(cast, s)
		if err != nil {
			t.Fatal(err)
		}
		for r := range s.Rounds {
			w.Round(&s.Rounds[r])
			if r == 0 {
				w.expire()
			}
			copied, err := w.again()
			if err != nil {
				t.Fatal(err)
			}
			if copied.key() != w.key() {
				t.Fatalf("%s: after round %d the copy differs", s, r)
			}
			w = copied
		}
	}
}

// TestNamesAreCanonical checks that every scenario has one name, which says all
// of it.
func TestNamesAreCanonical(t *testing.T) {
	scenarios := []*Scenario{}
	rng := rand.New(rand.NewPCG(*seed, 1))
	for range 200 {
		scenarios = append(scenarios, Draw(rng, 7, rng.Perm(7)[:2], 2, true))
	}
	scope := newScope(t, 2, 2, 1)
	names := map[string]bool{}
	for i := range scope.Size() {
		s := scope.At(i)
		if name := s.String(); names[name] {
			t.Fatalf("two scenarios are called %s", name)
		} else {
			names[name] = true
		}
		if i%10 == 0 {
			scenarios = append(scenarios, s, s.Mirror())
		}
	}
	for _, s := range scenarios {
		again, err := Parse(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != s.String() || !slices.EqualFunc(again.Rounds, s.Rounds, equal) {
			t.Fatalf("%s is read as %s", s, again)
		}
	}
}

func equal(a, b Round) bool {
	return slices.Equal(a.Groups, b.Groups) && a.Cut == b.Cut && a.Deaf == b.Deaf && a.Crash == b.Crash
}

func TestParseRefusesNonsense(t *testing.T) {
	for _, name := range []string{
		"twin=x", "twin=4", "twin=0 twin=0", "four=4", "n=0", "n=12 twin=0 twin=1 twin=2 twin=3 twin=4",
		"twin=0 | ", "twin=0 | {0,1}{2,3}", "twin=0 | {0,0',1,2,3}{0}", "twin=0 | {0,0',1,2,4}",
		"twin=0 | 0,0',1,2,3", "twin=0 | {0,0',1,2,3} only", "twin=0 | {0,0',1,2,3} but gossip",
		"twin=0 | {0,0',1,2,3} commit:drop{1}", "twin=0 | {0,0',1,2,3} gossip:drop-to{1}",
		"twin=0 | {0,0',1,2,3} crash{1'}",
	} {
		if s, err := Parse(name); err == nil {
			t.Errorf("%q is read as %s", name, s)
		}
	}
}

// TestScopeIsWhole counts the alphabets and words by other means.
func TestScopeIsWhole(t *testing.T) {
	for m, bell := range []int{1, 1, 2, 5, 15, 52, 203} {
		if got := len(partitions(m)); got != bell {
			t.Errorf("%d partitions of %d, want %d", got, m, bell)
		}
	}
	scope := newScope(t, 0, 2, 1)
	words := map[string]bool{}
	classes := map[string]bool{}
	for i := range scope.Size() {
		s := scope.At(i)
		words[s.String()] = true
		classes[min(s.String(), s.Mirror().String())] = true
	}
	if len(words) != scope.Size() || len(classes) != scope.Classes() {
		t.Errorf("%d scenarios in %d classes, want %d in %d", len(words), len(classes), scope.Size(), scope.Classes())
	}
	// 16 partitions of at most two groups, 15 of them for one phase only or all
	// but one, 31 deaf sets of the whole, 6 in each of 7 groups of three replicas,
	// and 8 in each of 5 groups of four processes; each for five phases.
	if regular, irregular := 16, 5*(15*2+31+6*7+8*5); scope.regular != regular || len(scope.letters) != regular+irregular {
		t.Errorf("%d regular letters of %d, want %d of %d", scope.regular, len(scope.letters), regular, regular+irregular)
	}
}

// BenchmarkScenarios plays scenarios spread over the scope, one after another.
func BenchmarkScenarios(b *testing.B) {
	cast, scope := newCast(b, 4), newScope(b, 0, 3, 1)
	i := 0
	for b.Loop() {
		run(b, cast, scope.At(i%scope.Size()))
		i += 7919
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scenarios/s")
}
