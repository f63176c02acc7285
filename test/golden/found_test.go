package golden

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/quorate/quorate/test/sim"
)

// Flags of TestSeedsBecomeScenarios.
var (
	first = flag.Uint64("seed", 1, "the first seed that TestSeedsBecomeScenarios runs")
	count = flag.Uint64("seeds", 1, "how many")
	write = flag.String("write", "", "the file that gets the scenario, which goes to testdata/found once it holds")
)

// runsToShrink bounds how many runs it takes to make a failing one small.
const runsToShrink = 300

// TestSeedsBecomeScenarios runs a seed of the simulator, or many without liars, and
// writes the first that breaks a law out as a scenario:
//
//	go test ./test/golden -run SeedsBecomeScenarios -v -seed 42 -write found.txt
func TestSeedsBecomeScenarios(t *testing.T) {
	for seed := *first; seed < *first+*count; seed++ {
		o := sim.FromSeed(seed)
		if *count > 1 {
			o.Liars, o.RealStorage = 0, false // what can be written out
		}
		how := broken(o)
		if how == "" {
			continue
		}
		if strings.HasPrefix(how, "O6") {
			t.Errorf("seed %d: %s\n\tno script shows what does not happen", seed, how)
			continue
		}
		if shrunk, runs := sim.Shrink(o, runsToShrink); shrunk.Violation != nil {
			t.Logf("shrunk in %d runs to %v", runs, shrunk.Violation)
			o = shrunk.Options
		}
		script, reproduced, err := Record(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("seed %d: %s\n\treproduced by the scenario: %v", seed, how, reproduced)
		text := Scenario(fmt.Sprintf("Found as seed %d: say here what must hold.", seed), script)
		if *write == "" {
			t.Logf("the scenario:\n%s", text)
			return
		}
		if err := os.WriteFile(*write, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// broken returns how a run breaks a law, or nothing. A core that panics does.
func broken(o sim.Options) (how string) {
	defer func() {
		if v := recover(); v != nil {
			how = fmt.Sprint("panic: ", v)
		}
	}()
	if res := sim.Run(o); res.Violation != nil {
		return fmt.Sprintf("%s: %.300s", res.Broken(), res.Violation)
	}
	return ""
}
