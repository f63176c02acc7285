package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/test/bench"
)

// growthOptions are the flags of bench growth.
type growthOptions struct {
	bench.GrowthOptions

	save string
}

func newBenchGrowth(c *console) *cobra.Command {
	o := growthOptions{GrowthOptions: bench.GrowthDefaults()}
	cmd := &cobra.Command{
		Use:   "growth",
		Short: "Measure how cost grows with replicas, payloads, clients and batches",
		Long: `Growth measures clusters that differ from a default one in one thing at a time, and
counts what their replicas do for each operation: signatures, verifications,
frames, bytes, flushes. Beside each stands what the formula of the limit says is
needed at the least for the batches that were reached, and the ratio of the two:
see docs/PERFORMANCE.md.

The replicas run in this process and are connected in memory. They sign, verify
and flush as any other; but there are no sockets, and no encryption. So the counts
are those of any cluster, and operations per second those of this process.

An interruption ends it, and prints the points that it has.`,
		Example: `  quorate bench growth
  quorate bench growth --replicas 4,7,10 --payloads 128 --clients 16 --batch-limits 512
  quorate bench growth --duration 5s --save growth.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.relaxCollector()
			return c.growth(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.Replicas, "replicas", o.Replicas, "how many replicas, each number in turn")
	f.IntSliceVar(&o.Payloads, "payloads", o.Payloads, "lengths of the values written, in bytes")
	f.IntSliceVar(&o.Clients, "clients", o.Clients, "how many clients")
	f.IntSliceVar(&o.BatchLimits, "batch-limits", o.BatchLimits, "requests that a batch may have")
	f.IntVar(&o.Default.Replicas, "default-replicas", o.Default.Replicas, "replicas while something else varies")
	f.IntVar(&o.Default.Payload, "default-payload", o.Default.Payload, "length of values while something else varies")
	f.IntVar(&o.Default.Clients, "default-clients", o.Default.Clients, "clients while something else varies")
	f.IntVar(&o.Default.BatchLimit, "default-batch-limit", o.Default.BatchLimit, "batch limit while something else varies")
	f.IntVar(&o.Outstanding, "outstanding", o.Outstanding, "operations that each client keeps open")
	f.DurationVar(&o.WarmUp, "warm-up", o.WarmUp, "how long before measuring, at each point")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long to measure each point")
	f.DurationVar(&o.RequestTimeout, "request-timeout", o.RequestTimeout, "that of the replicas")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "chooses the operations")
	f.StringVar(&o.Dir, "data", "", "existing directory for the data of the replicas (default: a temporary one)")
	f.StringVar(&o.save, "save", "", "also write the result to this file, as JSON")
	return cmd
}

func (c *console) growth(ctx context.Context, o growthOptions) error {
	err := errors.Join(o.Validate(), isDir("--data", o.Dir), takesFile("--save", o.save))
	if err == nil && o.Dir == "" {
		_, err = os.Stat(os.TempDir())
		err = adviseTemporary(err)
	}
	if err != nil {
		return usageError{err}
	}
	o.Dir = dataDir(o.Dir)
	c.tell("%d points, about %v all together\n", len(o.Plan()), o.Takes().Round(time.Second))
	g, err := bench.MeasureGrowth(ctx, o.GrowthOptions, func(number, of int, p bench.Planned) {
		c.tell("%d of %d: %d replicas, %d B, %d clients, batches of at most %d\n",
			number, of, p.Replicas, p.Payload, p.Clients, p.BatchLimit)
	})
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted after %d of %d points", len(g.Points), g.Planned)
	}
	if len(g.Points) == 0 {
		return err
	}
	version := readVersion()
	g.Included.Version, g.Included.Commit = version.Version, version.Commit
	if version.Modified {
		g.Included.Commit += " (modified)"
	}
	return errors.Join(c.show(growthTable(g), g), writeFile(o.save, g.WriteJSON), err)
}

// growthTable is a Growth for people.
func growthTable(g bench.Growth) table {
	in := g.Included
	t := table{
		above: []string{
			fmt.Sprintf("default: %d replicas, values of %d B, %d clients × %d outstanding, batches of at most %d requests; %v after %v each",
				g.Default.Replicas, g.Default.Payload, g.Default.Clients, g.Outstanding, g.Default.BatchLimit, g.Duration, g.WarmUp),
			"included: " + in.Signatures,
			"          " + in.Flush + "; file system: " + in.FileSystem,
			"          " + in.Transport,
			fmt.Sprintf("machine:  %s, %d cores, %s; %s %.12s %s", in.Machine.CPU, in.Machine.Cores, in.Machine.Kernel,
				in.Version, in.Commit, in.Go),
			"for each operation, at all replicas together: counted / needed at the least for such batches = ratio",
			"",
		},
		header: []string{"varied", "", "ops/s", "p50", "p99", "per batch", "signed", "verified", "frames", "bytes", "flushes", "note"},
	}
	for _, p := range g.Points {
		name, value := p.Varied, ""
		switch p.Varied {
		case bench.VariedReplicas:
			value = strconv.Itoa(p.Replicas)
		case bench.VariedPayload:
			value = strconv.Itoa(p.Payload) + " B"
		case bench.VariedClients:
			value = strconv.Itoa(p.Clients)
		case bench.VariedBatchLimit:
			value = strconv.Itoa(p.BatchLimit)
		default:
			name = "(default)"
		}
		a, b, r := p.Counted, p.Needed, p.Ratio
		t.rows = append(t.rows, []string{
			name, value, fmt.Sprintf("%.0f", p.PerSecond), milli(p.P50), milli(p.P99), fmt.Sprintf("%.1f", p.OpsPerBatch),
			beside(a.Signatures, b.Signatures, r.Signatures), beside(a.Verifications, b.Verifications, r.Verifications),
			beside(a.Frames, b.Frames, r.Frames), beside(a.Bytes, b.Bytes, r.Bytes), beside(a.Flushes, b.Flushes, r.Flushes),
			growthNote(p),
		})
	}
	return t
}

// beside shows what was counted, what is needed, and the ratio.
func beside(counted, needed, ratio float64) string {
	return fmt.Sprintf("%s / %s = %.2f", figure(counted), figure(needed), ratio)
}

// figure shows a number with three digits or so.
func figure(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// growthNote tells what makes a point say less.
func growthNote(p bench.GrowthPoint) string {
	switch {
	case p.Errors > 0:
		return fmt.Sprintf("%d errors: %s", p.Errors, printable(p.FirstError))
	case p.View > 0:
		return fmt.Sprintf("view %d: a primary was replaced", p.View)
	case p.Unsettled:
		return "replicas were behind when they were counted"
	default:
		return ""
	}
}
