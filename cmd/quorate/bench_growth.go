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

	statesMiB       []int64
	defaultStateMiB int64
	save            string
}

func newBenchGrowth(c *console) *cobra.Command {
	o := growthOptions{GrowthOptions: bench.GrowthDefaults()}
	for _, bytes := range o.States {
		o.statesMiB = append(o.statesMiB, bytes>>20)
	}
	cmd := &cobra.Command{
		Use:   "growth",
		Short: "Measure how cost grows with replicas, payloads, clients, batches and the state",
		Long: `Growth measures clusters that differ from a default one in one thing at a time, and
counts what their replicas do for each operation: signatures, verifications,
frames, bytes, flushes. Beside each stands what the formula of the limit says is
needed at the least for the batches that were reached, and the ratio of the two:
see docs/PERFORMANCE.md.

The replicas run in this process and are connected in memory. They sign, verify
and flush as any other; but there are no sockets, and no encryption. So the counts
are those of any cluster, and operations per second those of this process.

With --states-mib the state is filled with other values before the load begins, which
takes two seconds or more for every 10 MiB, and their size and half of it again on the
disk for each replica. "written" is what the process then wrote to disk for each
operation, at all replicas: journals, checkpoints, tables put in order.

With --delays each message takes so long on its way, as if every replica and client were
that far from all others: an operation takes five times as long at least. Choose a
--request-timeout of sixteen times the longest, or correct primaries are replaced.

An interruption ends it, and prints the points that it has.`,
		Example: `  quorate bench growth
  quorate bench growth --replicas 4,7,10 --payloads 128 --clients 16 --batch-limits 512
  quorate bench growth --replicas 4 --payloads 128 --clients 16 --batch-limits 512 --states-mib 0,1024,10240
  quorate bench growth --duration 5s --save growth.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.relaxCollector(memoryMax)
			return c.growth(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.Replicas, "replicas", o.Replicas, "how many replicas, each number in turn")
	f.IntSliceVar(&o.Payloads, "payloads", o.Payloads, "lengths of the values written, in bytes")
	f.IntSliceVar(&o.Clients, "clients", o.Clients, "how many clients")
	f.IntSliceVar(&o.BatchLimits, "batch-limits", o.BatchLimits, "requests that a batch may have")
	f.Int64SliceVar(&o.statesMiB, "states-mib", o.statesMiB, "MiB of other values that the state holds, on the disk of each replica")
	f.DurationSliceVar(&o.Delays, "delays", o.Delays, "how long each message takes on its way")
	f.IntVar(&o.Default.Replicas, "default-replicas", o.Default.Replicas, "replicas while something else varies")
	f.IntVar(&o.Default.Payload, "default-payload", o.Default.Payload, "length of values while something else varies")
	f.IntVar(&o.Default.Clients, "default-clients", o.Default.Clients, "clients while something else varies")
	f.IntVar(&o.Default.BatchLimit, "default-batch-limit", o.Default.BatchLimit, "batch limit while something else varies")
	f.Int64Var(&o.defaultStateMiB, "default-state-mib", 0, "MiB of other values while something else varies")
	f.DurationVar(&o.Default.Delay, "default-delay", 0, "how long each message takes on its way while something else varies")
	f.IntVar(&o.Outstanding, "outstanding", o.Outstanding, "operations that each client keeps open")
	f.DurationVar(&o.WarmUp, "warm-up", o.WarmUp, "how long before measuring, at each point")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long to measure each point")
	f.DurationVar(&o.RequestTimeout, "request-timeout", o.RequestTimeout, "that of the replicas")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "chooses the operations")
	f.StringVar(&o.Dir, "data", "", "existing directory for the data of the replicas (default: a temporary one)")
	f.StringVar(&o.save, "save", "", "also write the result to this file, as JSON")
	return cmd
}

// mebibytes sets the sizes of the state, or reports those that are too much.
func (o *growthOptions) mebibytes() error {
	o.States = make([]int64, len(o.statesMiB))
	for i, n := range append([]int64{o.defaultStateMiB}, o.statesMiB...) {
		switch {
		case n<<20>>20 != n: // what is left of it may look good
			return fmt.Errorf("the state is to hold %d MiB, which is too much", n)
		case i == 0:
			o.Default.State = n << 20
		default:
			o.States[i-1] = n << 20
		}
	}
	return nil
}

func (c *console) growth(ctx context.Context, o growthOptions) error {
	err := errors.Join(o.mebibytes(), o.Validate(), isDir("--data", o.Dir), takesFile("--save", o.save))
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
		c.tell("%d of %d: %v\n", number, of, p.Dimensions)
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
			fmt.Sprintf("default: %d replicas, values of %d B, %d clients × %d outstanding, batches of at most %d requests, %d MiB of other values, %v apart; %v after %v each",
				g.Default.Replicas, g.Default.Payload, g.Default.Clients, g.Outstanding, g.Default.BatchLimit,
				g.Default.State>>20, g.Default.Delay, g.Duration, g.WarmUp),
			"included: " + in.Signatures,
			"          " + in.Flush + "; file system: " + in.FileSystem,
			"          " + in.Transport,
			fmt.Sprintf("machine:  %s, %d cores, %s; %s %.12s %s", in.Machine.CPU, in.Machine.Cores, in.Machine.Kernel,
				in.Version, in.Commit, in.Go),
			"for each operation, at all replicas together: counted / needed at the least for such batches = ratio",
			"",
		},
		header: []string{"varied", "", "ops/s", "p50", "p99", "per batch", "signed", "verified", "frames", "bytes", "flushes", "written", "note"},
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
		case bench.VariedState:
			value = strconv.FormatInt(p.State>>20, 10) + " MiB"
		case bench.VariedDelay:
			value = p.Delay.String()
		default:
			name = "(default)"
		}
		a, b, r := p.Counted, p.Needed, p.Ratio
		t.rows = append(t.rows, []string{
			name, value, fmt.Sprintf("%.0f", p.PerSecond), milli(p.P50), milli(p.P99), fmt.Sprintf("%.1f", p.OpsPerBatch),
			beside(a.Signatures, b.Signatures, r.Signatures), beside(a.Verifications, b.Verifications, r.Verifications),
			beside(a.Frames, b.Frames, r.Frames), beside(a.Bytes, b.Bytes, r.Bytes), beside(a.Flushes, b.Flushes, r.Flushes),
			bytesWritten(p.Written), growthNote(p),
		})
	}
	return t
}

// beside shows what was counted, what is needed, and the ratio.
func beside(counted, needed, ratio float64) string {
	return fmt.Sprintf("%s / %s = %.2f", figure(counted), figure(needed), ratio)
}

// bytesWritten shows what was written to disk for an operation, where the system tells.
func bytesWritten(bytes float64) string {
	if bytes == 0 {
		return "?"
	}
	return figure(bytes/(1<<10)) + " KiB"
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
