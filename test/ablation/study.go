package ablation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/patch"
)

// Study measures ablations.
type Study struct {
	Root string // of the module
	Work string // an empty directory, for what is built and measured
	// Rounds is how often each is measured, two times or more.
	Rounds int
	// WarmUp and Duration are those of each measurement.
	WarmUp, Duration time.Duration
	// Log tells how it goes on.
	Log func(format string, args ...any)
}

// Outcome is how the command without something differs from the command as it is.
type Outcome struct {
	Ablation Ablation
	bench.Comparison
}

// Change returns the change of a figure.
func (o Outcome) Change(name string) (bench.Change, bool) {
	for _, c := range o.Changes {
		if c.Name == name {
			return c, true
		}
	}
	return bench.Change{}, false
}

// subject is a build of the command, and what was measured of it.
type subject struct {
	ablation Ablation // or its name says that it is whole
	binary   string
	report   bench.Report
}

// command is what is measured.
const command = "./cmd/quorate"

// Run measures all, those of one load together with the command as it is: a round
// measures each once, and the next one in the opposite order. After an error it returns
// what it has.
func (s Study) Run(ctx context.Context, all []Ablation) ([]Outcome, error) {
	binaries := make([]string, len(all)) // of one state of the source
	whole, err := (patch.Patch{Name: "whole"}).Build(ctx, s.Root, s.Work, command)
	if err != nil {
		return nil, err
	}
	for i, a := range all {
		if binaries[i], err = a.Build(ctx, s.Root, s.Work, command); err != nil {
			return nil, err
		}
	}
	var outcomes []Outcome
	for _, load := range Loads() {
		subjects := []*subject{{binary: whole, ablation: Ablation{Patch: patch.Patch{Name: "whole"}}}}
		for i, a := range all {
			if a.Load.Name == load.Name {
				subjects = append(subjects, &subject{binary: binaries[i], ablation: a})
			}
		}
		some, err := s.compare(ctx, load, subjects)
		if outcomes = append(outcomes, some...); err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// compare measures subjects under one load, and compares the others with the first.
func (s Study) compare(ctx context.Context, load Load, subjects []*subject) ([]Outcome, error) {
	if len(subjects) == 1 {
		return nil, nil
	}
	if err := s.measure(ctx, load, subjects); err != nil {
		return nil, err
	}
	var outcomes []Outcome
	for _, one := range subjects[1:] {
		c, err := bench.Compare(one.report, subjects[0].report)
		if err != nil {
			return outcomes, fmt.Errorf("%s: %w", one.ablation.Name, err)
		}
		outcomes = append(outcomes, Outcome{one.ablation, c})
	}
	return outcomes, nil
}

// measure fills in the reports of subjects.
func (s Study) measure(ctx context.Context, load Load, subjects []*subject) error {
	for round := range s.Rounds {
		for i := range subjects {
			one := subjects[i]
			if round%2 == 1 {
				one = subjects[len(subjects)-1-i]
			}
			r, err := s.once(ctx, load, one)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", load.Name, one.ablation.Name, err)
			}
			s.Log("round %d, %s, %s: %.0f operations/s, p50 %s, other programs %.0f %%",
				round+1, load.Name, one.ablation.Name, r.PerSecond, r.P50, 100*r.Usage.Others)
		}
	}
	return nil
}

// once measures one more run of a subject.
func (s Study) once(ctx context.Context, load Load, one *subject) (bench.Run, error) {
	path := filepath.Join(s.Work, "result.json")
	args := append([]string{
		"bench", "--save", path, "--warm-up", s.WarmUp.String(), "--duration", s.Duration.String(), "--seed", strconv.Itoa(len(one.report.Runs) + 1),
	}, load.Flags...)
	cmd := exec.CommandContext(ctx, one.binary, args...) //nolint:gosec // our own
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute // it ends its replicas
	if out, err := cmd.CombinedOutput(); err != nil {
		return bench.Run{}, fmt.Errorf("%w\n%s", err, out)
	}
	r, err := bench.ReadReport(path)
	if err != nil {
		return bench.Run{}, err
	}
	if len(r.Runs) != 1 {
		return bench.Run{}, errors.New("it has not one run")
	}
	run := r.Runs[0]
	r.Runs, r.Planned = append(one.report.Runs, run), 0
	one.report = r
	return run, nil
}
