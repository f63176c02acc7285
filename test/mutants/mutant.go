package mutants

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Mutant is one bug.
type Mutant struct {
	Name string
	// Law says what the bug does, in a sentence.
	Law string
	// Budget is within how many schedules the simulator must find it.
	Budget int
	Hunks  []Hunk
}

// Hunk replaces a text that a file holds exactly once.
type Hunk struct {
	File     string // from the root of the module
	Old, New string
}

// BudgetDefault is the Budget of a mutant that does not say.
const BudgetDefault = 2000

// Load reads the mutants of a directory, in the order of their names.
func Load(dir string) ([]Mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.mutant"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []Mutant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := Parse(strings.TrimSuffix(filepath.Base(path), ".mutant"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// Parse reads a mutant. Its text says what it breaks, perhaps "budget: N", and
// then hunks as in a patch: "--- file", lines to find with a space or a minus
// before them, and those to put there with a space or a plus.
func Parse(name, text string) (Mutant, error) {
	m := Mutant{Name: name, Budget: BudgetDefault}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		file, begins := strings.CutPrefix(line, "--- ")
		budget, limits := strings.CutPrefix(line, "budget: ")
		switch {
		case begins:
			m.Hunks = append(m.Hunks, Hunk{File: file})
		case len(m.Hunks) > 0:
			if err := m.Hunks[len(m.Hunks)-1].add(line); err != nil {
				return m, fmt.Errorf("line %d: %w", i+1, err)
			}
		case limits:
			n, err := strconv.Atoi(budget)
			if err != nil || n < 1 {
				return m, fmt.Errorf("line %d: budget %q, want a number of schedules", i+1, budget)
			}
			m.Budget = n
		default:
			m.Law = strings.TrimSpace(m.Law + " " + line)
		}
	}
	if m.Law == "" || len(m.Hunks) == 0 {
		return m, errors.New("want a sentence on what it breaks, and a hunk")
	}
	return m, nil
}

func (h *Hunk) add(line string) error {
	if line == "" {
		line = " "
	}
	switch text := line[1:] + "\n"; line[0] {
	case ' ':
		h.Old, h.New = h.Old+text, h.New+text
	case '-':
		h.Old += text
	case '+':
		h.New += text
	default:
		return fmt.Errorf("%q begins with none of space, minus and plus", line)
	}
	return nil
}

// Apply returns the files that m changes, by path, with the changes. root is the
// root of the module.
func (m Mutant) Apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, h := range m.Hunks {
		text, ok := files[h.File]
		if !ok {
			data, err := os.ReadFile(filepath.Join(root, h.File))
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, h.Old); n != 1 || h.Old == "" {
			return nil, fmt.Errorf("mutant %s: %s holds this %d times, want once: follow the code that has changed\n%s",
				m.Name, h.File, n, h.Old)
		}
		files[h.File] = strings.Replace(text, h.Old, h.New, 1)
	}
	return files, nil
}
