package mutants

import (
	"fmt"
	"strconv"

	"github.com/quorate/quorate/test/patch"
)

// Mutant is one bug.
type Mutant struct {
	patch.Patch

	// Budget is within how many schedules the simulator must find it.
	Budget int
}

// BudgetDefault is the Budget of a mutant that does not say.
const BudgetDefault = 2000

// Load reads the mutants of a directory, in the order of their names. They may say
// "budget: N".
func Load(dir string) ([]Mutant, error) {
	patches, err := patch.Load(dir, ".mutant", "budget")
	if err != nil {
		return nil, err
	}
	all := make([]Mutant, len(patches))
	for i, p := range patches {
		all[i] = Mutant{Patch: p, Budget: BudgetDefault}
		if text, says := p.Settings["budget"]; says {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("mutant %s: budget %q, want a number of schedules", p.Name, text)
			}
			all[i].Budget = n
		}
	}
	return all, nil
}
