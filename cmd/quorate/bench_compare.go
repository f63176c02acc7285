package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/bench"
)

func newBenchCompare(c *console) *cobra.Command {
	var notWorse bool
	cmd := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Tell whether one result differs from another, and how surely",
		Long: `Compare tells how the second of two results, written by 'quorate bench --save',
differs from the first: the ratio of each figure, and an interval that holds the
true ratio with 95 % confidence. It is Welch's interval of the logarithms, with
each run as one sample, so both need several --runs. Where it holds 1, no
difference is shown. The interval of the share of the limit is 5 % wider on each
side, for the limit is measured once for all runs. Of errors it compares the shares of
operations, by their difference; where the first has none, any is worse.

With --not-worse it ends with exit code 5 where the second is shown to be worse: by the
interval of a figure, by that of the errors, by any error where the first has none, or by
a run that failed where none of the first did. More errors that chance may explain are
not enough.

Results of different loads, clusters or machines are refused.`,
		Example: `  quorate bench --runs 5 --save before.json
  quorate bench --runs 5 --save after.json
  quorate bench compare before.json after.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.compare(cmd.Context(), args[0], args[1], notWorse)
		},
	}
	cmd.Flags().BoolVar(&notWorse, "not-worse", false,
		"exit code 5 if a figure of the second is shown to be worse, or its share of errors, or if one of its runs failed")
	return cmd
}

func (c *console) compare(ctx context.Context, pathA, pathB string, notWorse bool) error {
	a, errA := awaited(ctx, func() (bench.Report, error) { return bench.ReadReport(pathA) })
	b, errB := awaited(ctx, func() (bench.Report, error) { return bench.ReadReport(pathB) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := errors.Join(errA, errB); err != nil {
		return usageError{err}
	}
	comparison, err := bench.Compare(a, b)
	if err != nil {
		return usageError{err}
	}
	if err := c.show(compareTable(comparison), comparison); err != nil {
		return err
	}
	if worse := comparison.Worse(); notWorse && len(worse) > 0 {
		return &bench.MissedError{Missed: []string{"worse in the second: " + strings.Join(worse, ", ")}}
	}
	return nil
}

func compareTable(c bench.Comparison) table {
	t := table{header: []string{
		"", fmt.Sprintf("first, %d runs", c.RunsA), fmt.Sprintf("second, %d runs", c.RunsB), "ratio",
		fmt.Sprintf("%.0f %% interval", 100*c.Confidence), "second is",
	}}
	for _, change := range c.Changes {
		t.rows = append(t.rows, []string{
			change.Name, quantity(change.A, change.Unit), quantity(change.B, change.Unit), fmt.Sprintf("%.3f", change.Ratio),
			fmt.Sprintf("%.3f to %.3f", change.Low, change.High), string(change.Verdict),
		})
	}
	t.rows = append(t.rows, []string{
		"errors", fmt.Sprintf("%.3f %%", 100*c.Failed.A), fmt.Sprintf("%.3f %%", 100*c.Failed.B), "",
		fmt.Sprintf("%+.3f %% to %+.3f %%", 100*c.Failed.Low, 100*c.Failed.High), string(c.Failed.Verdict),
	})
	for _, note := range c.Notes {
		t.above = append(t.above, "note: "+printable(note))
	}
	return t
}

// quantity is a figure of a comparison, for people.
func quantity(x float64, unit string) string {
	switch unit {
	case "ns":
		if d := time.Duration(x); d < time.Millisecond {
			return micro(d)
		}
		return milli(time.Duration(x))
	case "":
		return fmt.Sprintf("%.1f %%", 100*x)
	default:
		return fmt.Sprintf("%.0f %s", x, unit)
	}
}
