package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/picture"
	"github.com/quorate/quorate/test/scenario"
)

// scenarioRunOptions are the flags of scenario run.
type scenarioRunOptions struct {
	all, real bool
	seed      uint64
	picture   string
}

func newScenarioRun(c *console) *cobra.Command {
	var o scenarioRunOptions
	cmd := &cobra.Command{
		Use:   "run [NAME]",
		Short: "Play one attack, or all, and judge what came of it",
		Long: `Run plays a scenario: in the simulator, where equal seeds give equal runs, or
with --real on four processes that talk over libp2p, one of which lies, or whose
network fails. It tells what the faulty party did, what the others noticed, what
each oracle found, and whether what the scenario must show was seen. The exit
code is 0 if it was, and no oracle is broken, and 1 otherwise.

Real liars need a program that can lie, which is built for tests alone:
  go run -tags adversary ./cmd/quorate scenario run NAME --real`,
		Example: `  quorate scenario run mute-primary
  quorate scenario run split-preprepare --seed 7 --picture split.html
  quorate scenario run --all
  go run -tags adversary ./cmd/quorate scenario run --all --real`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return fmt.Errorf("%d names, want one, or --all", len(args))
			case o.all == (len(args) == 1):
				return errors.New("name one scenario, or give --all")
			case o.picture != "" && (o.all || o.real):
				return errors.New("--picture is of one simulated run: drop --all and --real")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := takesFile("--picture", o.picture); err != nil {
				return usageError{err}
			}
			if o.all {
				return c.runScenarios(cmd.Context(), o)
			}
			return c.runScenario(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "play every scenario; with --real, every one that can")
	flags.BoolVar(&o.real, "real", false, "on real processes, not in the simulator")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses what a scenario leaves open")
	flags.StringVar(&o.picture, "picture", "", "also draw the simulated run, as an HTML file")
	return cmd
}

// play plays one scenario.
func (c *console) play(ctx context.Context, name string, o scenarioRunOptions) (r scenario.Report, err error) {
	play := scenario.Options{Seed: o.seed, Real: o.real, Record: o.picture != ""}
	if o.real {
		if err := mayLie(); err != nil {
			return r, err
		}
		if play.Binary, err = os.Executable(); err != nil {
			return r, err
		}
		if play.Dir, err = temporaryDir("", "quorate-scenario-"); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(play.Dir)) }()
	}
	return scenario.Run(ctx, name, play)
}

func (c *console) runScenario(ctx context.Context, name string, o scenarioRunOptions) error {
	r, err := c.play(ctx, name, o)
	if ctx.Err() != nil {
		return errors.New("interrupted") // whatever it did not come to is no failure
	}
	if err != nil {
		return scenarioError(err)
	}
	if err := c.showReport(r); err != nil {
		return err
	}
	if r.Picture != nil {
		if err := c.savePicture(r.Picture, o.picture); err != nil {
			return err
		}
	}
	if !r.Passed {
		return fmt.Errorf("scenario %s failed: %s", r.Scenario, strings.Join(r.Failures, "; "))
	}
	return nil
}

// savePicture draws a picture into a file.
func (c *console) savePicture(p *picture.Picture, path string) error {
	if err := writeFile(path, p.Write); err != nil {
		return err
	}
	c.tell("picture: %s\n", path)
	return nil
}

// runScenarios plays all. Where that is interrupted, or one cannot be played, it tells of
// those before all the same: real ones take minutes.
func (c *console) runScenarios(ctx context.Context, o scenarioRunOptions) error {
	reports, failed := []scenario.Report{}, []string{}
	out := newScenarioSheet(c)
	var ended error
	for _, s := range scenario.All() {
		if o.real && s.Real == nil {
			out.skipped(s)
			continue
		}
		r, err := c.play(ctx, s.Name, o)
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if err != nil {
			ended = scenarioError(err)
			break
		}
		reports = append(reports, r)
		if !r.Passed {
			failed = append(failed, r.Scenario)
		}
		out.row(r)
	}
	if ended != nil && len(reports) == 0 {
		return ended
	}
	if c.format == "json" {
		out.err = c.show(table{}, reports)
	}
	out.end(len(reports)-len(failed), len(reports))
	if ended != nil {
		ended = fmt.Errorf("%w, after %d scenarios", ended, len(reports))
	}
	if len(failed) > 0 {
		ended = errors.Join(ended, fmt.Errorf("%d of %d scenarios failed: %s", len(failed), len(reports),
			strings.Join(failed, ", ")))
	}
	return errors.Join(out.err, ended)
}
