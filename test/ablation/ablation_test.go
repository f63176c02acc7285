package ablation

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/test/bench"
)

const root = "../.."

// Flags of the tests.
var (
	rounds   = flag.Int("rounds", 0, "how often TestMeasure measures each ablation, 2 or more")
	rotate   = flag.Int("rotate", 0, "which TestBuild builds, modulo their number, from 1 on")
	only     = flag.String("only", "", "measure those whose name holds this")
	warmUp   = flag.Duration("warm-up", 20*time.Second, "of each measurement")
	duration = flag.Duration("duration", 10*time.Second, "of each measurement")
)

func read(t *testing.T) []Ablation {
	t.Helper()
	all, err := Read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAblationsFollowTheCode fails when the code that one takes away has changed, and
// when one of the wins has none.
func TestAblationsFollowTheCode(t *testing.T) {
	of := make([]int, len(Wins()))
	for _, a := range read(t) {
		of[a.Win-1]++
		if err := a.Check(root); err != nil {
			t.Error(err)
		}
	}
	for i, n := range of {
		if n == 0 {
			t.Errorf("nothing takes away that %s", Wins()[i])
		}
	}
}

// TestDocumentShowsEveryAblation holds the table of what each is worth to those that
// there are.
func TestDocumentShowsEveryAblation(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "PERFORMANCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range read(t) {
		if row := fmt.Sprintf("\n| %d | `%s`", a.Win, a.Name); !strings.Contains(string(doc), row) {
			t.Errorf("docs/PERFORMANCE.md has no row %q", row)
		}
	}
}

func TestReadRefusesWhatIsNoAblation(t *testing.T) {
	for text, want := range map[string]string{
		"win: 0\nload: signed-alone\n":  `win "0", want 1 to 8`,
		"win: 9\nload: signed-alone\n":  `win "9"`,
		"load: signed-alone\n":          `win ""`,
		"win: 1\nload: signed-by-all\n": `load "signed-by-all"`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.ablation"), []byte("It is away.\n"+text+"--- a.go\n-x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestBuild builds the command as one of them has it, if it is told which: each would take
// as long as all other tests of this package.
func TestBuild(t *testing.T) {
	all := read(t)
	if *rotate < 1 {
		return
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	one := all[(*rotate-1)%len(all)]
	if _, err := one.Build(t.Context(), base, t.TempDir(), command); err != nil {
		t.Error(err)
	}
	t.Log(one.Name)
}

// TestMeasure measures the ablations, if it is told how often, and logs the rows of the
// document's table. It fails when something cannot be measured, and not for any figure.
func TestMeasure(t *testing.T) {
	var chosen []Ablation
	for _, a := range read(t) {
		if *rounds > 0 && strings.Contains(a.Name, *only) {
			chosen = append(chosen, a)
		}
	}
	if len(chosen) == 0 {
		return
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	s := Study{Root: base, Work: t.TempDir(), Rounds: *rounds, WarmUp: *warmUp, Duration: *duration, Log: t.Logf}
	outcomes, err := s.Run(t.Context(), chosen)
	if err != nil {
		t.Error(err)
	}
	for _, o := range outcomes {
		t.Log(o.Row())
	}
}

func TestRowTellsWhatAnIntervalShows(t *testing.T) {
	o := Outcome{Ablation: Ablation{Win: 2, Load: Loads()[0]}}
	o.Ablation.Name = "x"
	if row := o.Row(); row != "| 2 | `x` | one-operation | ? | ? | ? |" {
		t.Errorf("of no figures it has the row %q", row)
	}
	o.Changes = []bench.Change{
		{Name: "throughput", A: 100, B: 150, Ratio: 1.5, Low: 1.2, High: 1.8, Verdict: bench.Better},
		{Name: "p50", A: 2e6, B: 1e6, Ratio: 0.5, Low: 0.2, High: 1.1, Verdict: bench.Open},
	}
	if row := o.Row(); row != "| 2 | `x` | one-operation | 100 → 150, × 1.50 (1.20 to 1.80) | 2.0 ms → 1.0 ms, × 0.50 (not shown) | ? |" {
		t.Errorf("of two figures it has the row %q", row)
	}
}
