package mutants

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// Flags of the tests.
var (
	sample = flag.Int("sample", 0, "how many mutants TestHuntFindsEveryMutant hunts")
	rotate = flag.Int("rotate", 0, "with which it begins; the next runs take the next")
	only   = flag.String("only", "", "hunt the mutants whose name holds this")
	first  = flag.Uint64("first", 1, "the first seed")
	budget = flag.Int("budget", 0, "schedules for each, instead of its own budget")
)

func load(t *testing.T) []Mutant {
	t.Helper()
	all, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMutantsFollowTheCode fails when the code that a mutant changes has changed.
func TestMutantsFollowTheCode(t *testing.T) {
	all := load(t)
	if len(all) < 30 {
		t.Errorf("there are %d mutants, want 30 or more", len(all))
	}
	for _, m := range all {
		if err := m.Check(root); err != nil {
			t.Error(err)
		}
	}
}

// TestDocumentsCountTheMutants reads what the documents say of their number.
func TestDocumentsCountTheMutants(t *testing.T) {
	n := len(load(t))
	for file, want := range map[string]string{
		"docs/TESTING.md": fmt.Sprintf("`test/mutants/testdata` holds %d bugs", n),
		"CHANGELOG.md":    fmt.Sprintf("\n- %d seeded bugs that it must find", n),
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: %v", file, want, err)
		}
	}
}

// TestHuntFindsEveryMutant hunts a sample of the mutants: those from -rotate on.
func TestHuntFindsEveryMutant(t *testing.T) {
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range choose(load(t)) {
		if *budget > 0 {
			m.Budget = *budget
		}
		h, err := m.Find(t.Context(), base, t.TempDir(), *first)
		switch {
		case err != nil:
			t.Error(err)
		case h.Schedules == 0:
			t.Errorf("%s: not found in %d schedules (%s): %s", m.Name, m.Budget, h.Time, m.Says)
		default:
			t.Logf("%-32s found after %5d schedules, %6.1f s: %s", m.Name, h.Schedules, h.Time.Seconds(), h.How)
		}
	}
}

// TestFoundScenariosNameTheirMutants also plays them on those, if TestHunt plays:
// what was recorded from a mutant breaks on it, and holds on the real core.
func TestFoundScenariosNameTheirMutants(t *testing.T) {
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(base, "test", "golden", "testdata", "found", "*.txt"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d scenarios, %v", len(paths), err)
	}
	all := load(t)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`Found on the mutant ([a-z-]+)\.`).FindSubmatch(text)
		if named == nil {
			continue // found in the product
		}
		i := slices.IndexFunc(all, func(m Mutant) bool { return m.Name == string(named[1]) })
		if i < 0 {
			t.Errorf("%s names mutant %s, which is not there", path, named[1])
			continue
		}
		if *sample == 0 {
			continue
		}
		if broke, err := all[i].Breaks(t.Context(), base, t.TempDir(), path); err != nil || !broke {
			t.Errorf("%s holds on mutant %s: %v", path, named[1], err)
		}
	}
}

func choose(all []Mutant) []Mutant {
	var chosen []Mutant
	for i := range all {
		m := all[(*rotate+i)%len(all)]
		if len(chosen) < *sample && strings.Contains(m.Name, *only) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

func TestLoadWantsABudgetOfSchedules(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]int{
		"A law.\n--- a.go\n-x\n": BudgetDefault, "A law.\nbudget: 7\n--- a.go\n-x\n": 7,
		"A law.\nbudget: 0\n--- a.go\n-x\n": 0, "A law.\nbudget: many\n--- a.go\n-x\n": 0,
	} {
		if err := os.WriteFile(filepath.Join(dir, "one.mutant"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := Load(dir)
		switch {
		case want == 0 && (err == nil || !strings.Contains(err.Error(), "want a number of schedules")):
			t.Errorf("%q: got %v", text, err)
		case want > 0 && (err != nil || all[0].Budget != want):
			t.Errorf("%q: got %+v, %v", text, all, err)
		}
	}
}
