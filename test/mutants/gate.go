package mutants

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Hunt is what the simulator made of a mutant.
type Hunt struct {
	// Schedules is how many it took to find the bug, 0 if it was not found.
	Schedules int
	// How the bug showed.
	How  string
	Time time.Duration
}

// Find builds the simulator with the bug, in directory work, and runs schedules
// from the first one until the bug shows or the budget is spent. root is the
// root of the module.
func (m Mutant) Find(ctx context.Context, root, work string, first uint64) (Hunt, error) {
	binary, err := m.BuildTest(ctx, root, work, "./test/sim")
	if err != nil {
		return Hunt{}, err
	}
	began := time.Now()
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestHunt$", "-test.timeout", "0", //nolint:gosec // our own binary
		"-hunt", strconv.Itoa(m.Budget), "-first", strconv.FormatUint(first, 10))
	run.Dir = filepath.Join(root, "test", "sim")
	out, err := run.CombinedOutput()
	h := Hunt{Time: time.Since(began)}
	var failed *exec.ExitError
	switch {
	case err == nil:
		return h, nil
	case !errors.As(err, &failed):
		return h, err
	}
	found := regexp.MustCompile(`hunted (\d+): (.*)`).FindSubmatch(out)
	if found == nil {
		return h, fmt.Errorf("mutant %s: %w\n%.2000s", m.Name, err, out)
	}
	h.Schedules, err = strconv.Atoi(string(found[1]))
	h.How = string(found[2])
	return h, err
}

// Breaks builds the tests of package golden with the bug, in directory work, and
// tells whether the scenario in a file of testdata/found fails.
func (m Mutant) Breaks(ctx context.Context, root, work, scenario string) (bool, error) {
	binary, err := m.BuildTest(ctx, root, work, "./test/golden")
	if err != nil {
		return false, err
	}
	name := strings.TrimSuffix(filepath.Base(scenario), ".txt")
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestScenarios$/^found$/^"+name+"$") //nolint:gosec // our own binary
	run.Dir = filepath.Join(root, "test", "golden")
	out, err := run.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return false, err
	}
	return strings.Contains(string(out), "VIOLATION"), nil
}
