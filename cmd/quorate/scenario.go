package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/scenario"
)

func newScenario(c *console) *cobra.Command {
	return group("scenario", "Attack a cluster, simulated or real, and see that it withstands", `  quorate scenario list
  quorate scenario run split-preprepare --picture split.html
  quorate scenario run --all
  quorate scenario fuzz --for 60s
  quorate scenario replay 4711 --trace`,
		newScenarioList(c), newScenarioRun(c), newScenarioFuzz(c), newScenarioReplay(c),
	)
}

// scenarioRow is a scenario in JSON.
type scenarioRow struct {
	Name       string `json:"name"`
	Faulty     string `json:"faulty"`
	Stake      string `json:"stake"`
	Seen       string `json:"seen"`
	Real       bool   `json:"real"`
	WhyNotReal string `json:"why_not_real,omitempty"`
}

func newScenarioList(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the attacks by name",
		Long: `List prints every scenario: its name, what is at stake, whether it also runs on
real processes, and who is faulty.

At stake: AG agreement, TO total order, VA validity, IN integrity, EO exactly
once, LIN linearizability, LV liveness, MEM bounded memory, SLO bounded
slowdown, ACC accountability.`,
		Example: "  quorate scenario list\n  quorate scenario list -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.listScenarios() },
	}
}

// faultyWidth is how much of who is faulty the list shows: it fits 80 columns.
const faultyWidth = 34

func (c *console) listScenarios() error {
	var rows []scenarioRow
	t := table{header: []string{"NAME", "STAKE", "REAL", "FAULTY"}}
	for _, s := range scenario.All() {
		rows = append(rows, scenarioRow{s.Name, s.Faulty, s.Stake, s.Seen, s.Real != nil, s.WhyNotReal})
		real := "–"
		if s.Real != nil {
			real = "yes"
		}
		t.rows = append(t.rows, []string{s.Name, s.Stake, real, shortened(s.Faulty, faultyWidth)})
	}
	return c.show(t, rows)
}

// shortened returns text in at most width characters.
func shortened(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// scenarioError tells what a scenario's error means for the exit code.
func scenarioError(err error) error {
	if errors.Is(err, scenario.ErrUnknown) {
		return usageError{fmt.Errorf("%w\nsee quorate scenario list", err)}
	}
	if errors.Is(err, scenario.ErrNotReal) {
		return usageError{fmt.Errorf("%w\nrun it without --real", err)}
	}
	return err
}
