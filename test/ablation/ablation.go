package ablation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/quorate/quorate/test/patch"
)

// Ablation takes one thing away.
type Ablation struct {
	patch.Patch

	// Win is which of Wins it takes away, or a part of it, from 1 on.
	Win int
	// Load is that of Loads which shows it.
	Load Load
}

// Wins returns what makes the product fast, of which every ablation takes one away.
func Wins() []string {
	return []string{
		"client requests are verified together, once, with keys that are known",
		"one signature for all replies of a batch",
		"a client signs once for all operations that wait",
		"votes are verified together, and none beyond the quorum",
		"one flush for all that waits, beside the protocol's next steps",
		"frames that wait leave in one write; batches grow with the load, and only then",
		"what is encoded is sent to all, and memory is used again",
		"votes for reserved numbers leave before their flush",
	}
}

// Load is what is put on the command.
type Load struct {
	Name  string
	Flags []string // of quorate bench
}

// Loads returns those that ablations may name.
func Loads() []Load {
	return []Load{
		{"one-operation", []string{"--clients", "1", "--outstanding", "1"}},
		{"few-operations", []string{"--clients", "8", "--outstanding", "1"}},
		{"many-clients", []string{"--clients", "256", "--outstanding", "1", "--ops-per-signature", "1"}},
		{"signed-alone", []string{"--clients", "16", "--outstanding", "256", "--ops-per-signature", "1"}},
		{"signed-together", []string{"--clients", "16", "--outstanding", "256"}},
	}
}

// Read reads the ablations of a directory, ordered by what they take away, and then by
// name.
func Read(dir string) ([]Ablation, error) {
	patches, err := patch.Load(dir, ".ablation", "win", "load")
	if err != nil {
		return nil, err
	}
	all, errs := make([]Ablation, len(patches)), []error(nil)
	loads := Loads()
	for i, p := range patches {
		win, err := strconv.Atoi(p.Settings["win"])
		if err != nil || win < 1 || win > len(Wins()) {
			errs = append(errs, fmt.Errorf("%s: win %q, want 1 to %d", p.Name, p.Settings["win"], len(Wins())))
		}
		at := slices.IndexFunc(loads, func(l Load) bool { return l.Name == p.Settings["load"] })
		if at < 0 {
			errs = append(errs, fmt.Errorf("%s: load %q, want the name of one that is known", p.Name, p.Settings["load"]))
			continue
		}
		all[i] = Ablation{p, win, loads[at]}
	}
	slices.SortStableFunc(all, func(a, b Ablation) int { return a.Win - b.Win })
	return all, errors.Join(errs...)
}
