package scenario

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// Flags of the tests.
var (
	first = flag.Uint64("first", 1, "the first seed of TestEveryScenarioPasses")
	seeds = flag.Uint64("seeds", 1, "how many seeds TestEveryScenarioPasses runs")
)

// rows are the names of the attacks that the project promises to withstand.
func rows() []string {
	return strings.Fields(`
		split-preprepare split-preprepare-and-votes lone-preparer mute-primary mute-idle-primary almost-timeout-primary
		ramping-primary censor-client censor-by-order empty-batches huge-sequence wrong-digest forged-request bad-time bad-input
		dark-replica double-prepare withheld-commits future-votes bad-signature-flood relay-old-votes view-change-spam
		false-alarm hidden-certificate inflated-certificate one-voice-newview stale-newview wrong-choice-newview silent-successors
		amnesia power-cut clone twins checkpoint-lies diverging-app poisoned-transfer endless-transfer split-brain
		one-way-links slow-link rough-network clock-jumps partial-client weak-key-client replaying-outsider greedy-client
		mutating-read stale-reads straddled-epoch coalition decode-bombs failed-flush`)
}

// TestDocumentsCountTheAttacks reads what the documents say of the table.
func TestDocumentsCountTheAttacks(t *testing.T) {
	played := 0
	for _, s := range All() {
		if s.Real != nil {
			played++
		}
	}
	for file, want := range map[string]string{
		"../../README.md":       fmt.Sprintf("\n%d attacks have names", len(All())),
		"../../docs/TESTING.md": fmt.Sprintf("Of the %d rows %d are real", len(All()), played),
		"../../CHANGELOG.md":    fmt.Sprintf("`quorate scenario`: %d attacks by name", len(All())),
	} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: %v", file, want, err)
		}
	}
}

func TestTableHasEveryAttack(t *testing.T) {
	have := map[string]bool{}
	for _, s := range All() {
		if have[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		have[s.Name] = true
		if s.Faulty == "" || s.Stake == "" || s.Seen == "" || s.Sim == nil {
			t.Errorf("%s: the row is not complete", s.Name)
		}
		if (s.Real == nil) == (s.WhyNotReal == "") {
			t.Errorf("%s: it must run on real processes, or say why not", s.Name)
		}
	}
	for _, name := range rows() {
		if !have[name] {
			t.Errorf("%s is missing", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is no known attack", name)
	}
}

func TestEveryScenarioPasses(t *testing.T) {
	for _, s := range All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for seed := *first; seed < *first+*seeds; seed++ {
				r, err := s.Run(t.Context(), Options{Seed: seed})
				if err != nil || !r.Passed {
					t.Errorf("%v\n\t%s\n\treplay: %s", err, strings.Join(r.Failures, "\n\t"), r.Replay)
				}
				if len(r.Expected) == 0 {
					t.Error("it expects nothing")
				}
			}
		})
	}
}

// TestScenarioFailsWhenItsLiarsTellTheTruth is the test of the expectations: all
// of those whose faulty party is a strategy must miss it.
func TestScenarioFailsWhenItsLiarsTellTheTruth(t *testing.T) {
	for _, s := range All() {
		probe := newPlay(1)
		s.Sim(probe)
		if len(probe.Options.Byzantine) == 0 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			honest := s
			honest.Sim = func(p *Play) {
				s.Sim(p)
				for id := range p.Options.Byzantine {
					p.Options.Byzantine[id] = func() adversary.Strategy { return adversary.Honest{} }
				}
			}
			if r := honest.simulate(Options{Seed: 1}); r.Passed {
				t.Error("it passes with nobody lying")
			}
		})
	}
}

func TestFindProposesNamesThatAreNear(t *testing.T) {
	for name, want := range map[string]string{
		"mute-primry": "did you mean mute-primary?", "newview": "one-voice-newview or stale-newview or wrong-choice-newview",
		"split": "split-preprepare or split-preprepare-and-votes or split-brain", "zzzz": `no such scenario: "zzzz"`,
	} {
		_, err := Find(name)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if s, err := Find("clone"); err != nil || s.Name != "clone" {
		t.Errorf("clone: got %s, %v", s.Name, err)
	}
}

func TestReportIsTheSameEveryTimeAndItsNamesStay(t *testing.T) {
	var runs [2]Report
	for i := range runs {
		r, err := Run(t.Context(), "mute-primary", Options{Seed: 3, Record: true})
		if err != nil || !r.Passed || r.Picture == nil || len(r.Picture.Moments) == 0 {
			t.Fatalf("%v, %v", err, r.Failures)
		}
		r.Numbers.Took, r.Picture = 0, nil
		runs[i] = r
	}
	if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	text, err := json.Marshal(runs[0])
	if err != nil {
		t.Fatal(err)
	}
	var names map[string]any
	if err := json.Unmarshal(text, &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(
		"scenario faulty stake seen mode seed passed failures did noticed oracles expected numbers replay",
	) {
		if _, ok := names[name]; !ok {
			t.Errorf("the report has no %s", name)
		}
	}
	oracles := ""
	for _, v := range runs[0].Oracles {
		oracles += v.Name + "\n"
	}
	for i := range 9 {
		if !strings.Contains(oracles, fmt.Sprintf("O%d ", i+1)) {
			t.Errorf("the report has no verdict of O%d:\n%s", i+1, oracles)
		}
	}
}

// tally is an application of somebody else's.
type tally struct{ ran *int }

func (m tally) Execute(tx *app.Tx, op []byte) []byte {
	*m.ran++
	n := tx.Uint64(string(op)) + 1
	tx.PutUint64(string(op), n)
	return fmt.Append(nil, n)
}

func TestScenariosPlayAnyApplication(t *testing.T) {
	for _, s := range All() {
		ran := 0
		r, err := s.Run(t.Context(), Options{
			Machine:   func() app.StateMachine { return tally{&ran} },
			Operation: func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, rng.IntN(3)) },
		})
		keeps := slices.Contains([]string{"mutating-read", "stale-reads", "slow-link", "endless-transfer"}, s.Name)
		if err != nil || !r.Passed || ran == 0 != keeps {
			t.Errorf("%s: %v, %v, executed %d", s.Name, err, r.Failures, ran)
		}
		if own := strings.Contains(r.Replay, "with the same Machine"); own == keeps || own == strings.HasPrefix(r.Replay, "quorate") {
			t.Errorf("%s: the replay is %q", s.Name, r.Replay)
		}
	}
}

// TestHalfAnApplicationIsNotPlayed: what is missing is named, whatever the scenario.
func TestHalfAnApplicationIsNotPlayed(t *testing.T) {
	machine := func() app.StateMachine { return tally{new(int)} }
	op := func(*rand.Rand, int, int) []byte { return nil }
	for _, o := range []Options{{Machine: machine}, {Machine: machine, Query: op}, {Operation: op}, {Query: op}} {
		if _, err := Run(t.Context(), "split-preprepare", o); err == nil || !strings.Contains(err.Error(), "is not: say") {
			t.Errorf("got %v, want what is not set", err)
		}
	}
}

// helpless is an application whose every operation panics.
type helpless struct{}

func (helpless) Execute(_ *app.Tx, op []byte) []byte { return op[1<<10:] }

// TestApplicationThatOnlyPanicsFails: nothing is seen of it, however well the replicas agree.
func TestApplicationThatOnlyPanicsFails(t *testing.T) {
	op := func(*rand.Rand, int, int) []byte { return []byte("op") }
	for _, name := range []string{"split-preprepare", "mute-primary"} {
		r, err := Run(t.Context(), name, Options{Machine: func() app.StateMachine { return helpless{} }, Operation: op})
		if text := strings.Join(r.Failures, "; "); err != nil || r.Passed || !strings.Contains(text, "slice bounds out of range") {
			t.Errorf("%s: %v, passed %v, %s", name, err, r.Passed, text)
		}
	}
	nothing := Options{Machine: func() app.StateMachine { return nil }, Operation: op}
	if _, err := Run(t.Context(), "split-preprepare", nothing); err == nil || !strings.Contains(err.Error(), "returns nil") {
		t.Errorf("got %v, want that there is no machine", err)
	}
}

func TestOperationThatIsTooLongIsNamed(t *testing.T) {
	r, err := Run(t.Context(), "power-cut", Options{
		Machine:   func() app.StateMachine { return tally{new(int)} },
		Operation: func(*rand.Rand, int, int) []byte { return make([]byte, 1<<20) },
	})
	if text := strings.Join(r.Failures, "; "); err != nil || r.Passed || !strings.Contains(text, "has 1048576 bytes") {
		t.Errorf("%v, passed %v, %s", err, r.Passed, text)
	}
}

func TestStepThatIsNotReachedFails(t *testing.T) {
	s := Scenario{Name: "test", Sim: func(p *Play) {
		p.Steps(
			Step{What: "pigs fly", Within: timeout, Until: func(*sim.Control) bool { return false }},
			Step{What: "they land", Within: timeout, Until: func(*sim.Control) bool { return true }},
		)
		p.Never("the view is 0", func(c *sim.Control) bool { return c.Now() > timeout/2 && c.Replica(wire.ReplicaID(1)).View == 0 })
	}}
	r := s.simulate(Options{})
	if r.Passed || len(r.Failures) == 0 {
		t.Errorf("passed %v: %q", r.Passed, r.Failures)
	}
	s.Sim = func(p *Play) {
		p.Steps(
			Step{What: "pigs fly", Within: timeout, Until: func(*sim.Control) bool { return false }},
			Step{What: "they land", Within: timeout, Until: func(*sim.Control) bool { return true }},
		)
	}
	r = s.simulate(Options{})
	if want := []string{"pigs fly: not within 500ms", "they land: it was never looked at"}; r.Passed || cmp.Diff(r.Failures, want) != "" {
		t.Errorf("passed %v: %q, want %q", r.Passed, r.Failures, want)
	}
}

func TestEventsThatDifferInNumbersAreCounted(t *testing.T) {
	var list []Event
	for _, text := range []string{"R1 refuses 12 of 0a1b2c3d", "R1 refuses 7 of 99ffee00", "R2 refuses 7 of 99ffee00"} {
		list = addEvent(list, timeout, "R0", text)
	}
	want := []Event{{0.5, "R0", "R1 refuses 12 of 0a1b2c3d", 2}, {0.5, "R0", "R2 refuses 7 of 99ffee00", 1}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
}
