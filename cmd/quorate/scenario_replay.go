package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/picture"
	"github.com/quorate/quorate/test/scenario"
	"github.com/quorate/quorate/test/sim"
)

// replayOptions are the flags of scenario replay.
type replayOptions struct {
	picture string
	trace   bool
}

// replayResult is what came of it. Its JSON names do not change.
type replayResult struct {
	Seed     uint64             `json:"seed"`
	Options  string             `json:"options"`
	Passed   bool               `json:"passed"`
	Error    string             `json:"error,omitempty"`
	Trace    string             `json:"trace"`
	Seconds  float64            `json:"virtual_s"`
	Events   int                `json:"events"`
	Views    uint64             `json:"highest_view"`
	Executed uint64             `json:"batches"`
	Oracles  []scenario.Verdict `json:"oracles"`
	Counters sim.Counters       `json:"counters"`
}

func newScenarioReplay(c *console) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay SEED",
		Short: "Run a random schedule again, event by event",
		Long: `Replay runs the schedule that a seed draws, as fuzz did, and prints what each
oracle found. With --trace it prints a line for every event, and with --picture it
draws the run. What a seed draws may change from version to version; the options
that it prints are what to keep.`,
		Example: "  quorate scenario replay 4711 --trace\n  quorate scenario replay 4711 --picture run.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			seed, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usagef("SEED is %q, want a number", args[0])
			}
			if err := takesFile("--picture", o.picture); err != nil {
				return usageError{err}
			}
			return c.replay(seed, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.picture, "picture", "", "also draw the run, as an HTML file")
	flags.BoolVar(&o.trace, "trace", false, "print every event to the error output")
	return cmd
}

func (c *console) replay(seed uint64, o replayOptions) error {
	run := sim.FromSeed(seed)
	if o.trace {
		run.Trace = func(at time.Duration, line string) { c.tell("%12s %s\n", at, line) }
	}
	recorder := &picture.Recorder{}
	if o.picture != "" {
		run.Watch = recorder.Record
	}
	res := sim.Run(run)
	out := replayResult{
		Seed: seed, Options: res.Options.String(), Passed: res.Violation == nil, Trace: res.Trace.String(),
		Seconds: res.Virtual.Seconds(), Events: res.Events, Views: uint64(res.Views), Executed: uint64(res.Executed),
		Counters: res.Counters,
	}
	if res.Violation != nil {
		out.Error = res.Violation.Error()
	}
	for _, v := range res.Oracles {
		verdict := scenario.Verdict{Name: v.Name, Checks: v.Checks, Held: v.Err == nil && v.Checks > 0}
		if v.Err != nil {
			verdict.Error = v.Err.Error()
		}
		out.Oracles = append(out.Oracles, verdict)
	}
	if err := c.showReplay(out); err != nil {
		return err
	}
	if o.picture != "" {
		if err := c.savePicture(pictureOf(out, res, recorder), o.picture); err != nil {
			return err
		}
	}
	if res.Violation != nil {
		return errors.New(out.Error)
	}
	return nil
}

func pictureOf(r replayResult, res sim.Result, recorder *picture.Recorder) *picture.Picture {
	moments, missing := recorder.Moments(!r.Passed)
	p := &picture.Picture{
		Title:    fmt.Sprintf("seed %d", r.Seed),
		Lead:     []string{r.Options},
		Replicas: res.Options.Replicas, Twins: res.Options.Twins, Clients: res.Options.Clients,
		Verdicts: res.Oracles, Moments: moments, Missing: missing,
		Facts: [][2]string{
			{"virtual time", fmt.Sprintf("%.3f s", r.Seconds)},
			{"highest view", fmt.Sprint(r.Views)},
			{"replay", fmt.Sprintf("quorate scenario replay %d", r.Seed)},
		},
	}
	if r.Error != "" {
		p.Lead = append(p.Lead, r.Error)
	}
	return p
}

func (c *console) showReplay(r replayResult) error {
	if c.format == "json" {
		return c.show(table{}, r)
	}
	s := newScenarioSheet(c)
	s.print("%s  %s", s.paint(s.plain, fmt.Sprintf("seed %d", r.Seed)),
		s.paint(s.dim, fmt.Sprintf("%.1f s of virtual time, view %d, %s events", r.Seconds, r.Views, thousands(r.Events))))
	s.fact("options", r.Options)
	s.fact("trace", r.Trace)
	s.print("")
	s.print("%s", s.paint(s.dim, "oracles"))
	for _, v := range r.Oracles {
		s.verdict(v, reportVerdict)
	}
	s.print("")
	verdict := s.paint(s.good, "HELD")
	if !r.Passed {
		verdict = s.paint(s.bad, "VIOLATED")
	}
	s.print("%s", verdict)
	return s.err
}
