package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/roofline"
)

// limitsOptions are the flags of bench limits.
type limitsOptions struct {
	data              string
	replicas, payload int
	cores             int
}

// limitsInfo is what bench limits prints.
type limitsInfo struct {
	Machine    bench.Machine      `json:"machine"`
	FileSystem string             `json:"filesystem"`
	Constants  roofline.Constants `json:"constants"`
	Unloaded   roofline.Unloaded  `json:"unloaded"`
	Limits     []namedLimit       `json:"limits"`
}

// namedLimit is one cell of the table.
type namedLimit struct {
	Name string `json:"name"`
	roofline.Limit
}

func newBenchLimits(c *console) *cobra.Command {
	var o limitsOptions
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Measure what this machine could do at best",
		Long: `Limits measures in a few seconds what the parts of an operation cost on this
machine, in processor time where it can be told: signatures, digests, flushes on
the file system of --data, messages over our transport. From that it computes how
many operations per second replicas and clients that share the machine could do
at best, by batch size; docs/PERFORMANCE.md has the formula.`,
		Example: `  quorate bench limits
  quorate bench limits --replicas 7 --payload 1024 --data /var/lib/quorate -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, err := o.measure(cmd.Context())
			if err != nil {
				return err
			}
			return c.show(info.table(), info)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "existing directory where to measure flushes (default: that of temporary files)")
	f.IntVar(&o.replicas, "replicas", 4, "how many replicas")
	f.IntVar(&o.payload, "payload", 128, "length of the values written, in bytes")
	f.IntVar(&o.cores, "cores", 0, "processors that replicas and clients share (default: all of this machine)")
	return cmd
}

// sharing is one row of the table: how signatures are shared.
type sharing struct {
	name            string
	single          bool
	opsPerSignature float64
	clients         float64 // in a batch, at most; 0 means that each request has its own
}

func sharings() []sharing {
	return []sharing{
		{"each alone, standard library", true, 1, 0},
		{"together, each client once in a batch", false, 1, 0},
		{"together, 8 clients", false, 1, 8},
		{"together, 8 clients, 10 operations per signature", false, 10, 8},
	}
}

func batchSizes() []float64 { return []float64{1, 10, 100, 1000} }

func (o limitsOptions) measure(ctx context.Context) (limitsInfo, error) {
	quorum, err := core.NewQuorum(o.replicas)
	if err != nil {
		return limitsInfo{}, usageError{err}
	}
	check := bench.Options{Clients: 1, Outstanding: 1, Payload: o.payload, Duration: 1}
	if err := errors.Join(check.ValidateLoad(), isDir("--data", o.data)); err != nil {
		return limitsInfo{}, usageError{err}
	}
	shape := bench.Shape(o.payload, 0)
	shape.Replicas, shape.Faults, shape.Cores = o.replicas, quorum.Faults(), cmp.Or(o.cores, roofline.Cores())
	shape.OpsPerBatch, shape.OpsPerSignature, shape.ClientsPerBatch = 1, 1, 1
	shape.InFlight = roofline.InFlightMax()
	if err := shape.Validate(); err != nil {
		return limitsInfo{}, usageError{err}
	}
	meter, err := newMeter(ctx, o.data)
	if err != nil {
		return limitsInfo{}, err
	}
	info := limitsInfo{Machine: bench.ThisMachine(), FileSystem: bench.FileSystem(dataDir(o.data))}
	for _, row := range sharings() {
		for _, b := range batchSizes() {
			l, err := meter.Limit(row.shape(shape, b))
			if err != nil {
				return limitsInfo{}, err
			}
			info.Limits = append(info.Limits, namedLimit{row.name, l})
		}
	}
	info.Unloaded, err = meter.Unloaded(shape)
	info.Constants = meter.Constants()
	return info, err
}

// shape is base with batches of b operations.
func (r sharing) shape(base roofline.Shape, b float64) roofline.Shape {
	base.Single = r.single
	base.OpsPerBatch, base.OpsPerSignature = b, min(b, r.opsPerSignature)
	requests := b / base.OpsPerSignature
	base.ClientsPerBatch = requests
	if r.clients > 0 {
		base.ClientsPerBatch = min(requests, r.clients)
	}
	return base
}

func (l limitsInfo) table() table {
	c := l.Constants
	ns := func(x float64) string { return fmt.Sprintf("%.2f µs", x/1000) }
	t := pairs(
		"machine", fmt.Sprintf("%s, %d cores, %s", l.Machine.CPU, l.Machine.Cores, l.Machine.Kernel),
		"sign", fmt.Sprintf("%s; standard library %s", ns(c.Sign), ns(c.SignStdlib)),
		"", fmt.Sprintf("%.2f × that while all cores sign; the limits below assume 1", c.Crowding),
		"verify one", fmt.Sprintf("%s; with an unknown key %s; standard library %s", ns(c.One), ns(c.OneFresh), ns(c.OneStdlib)),
	)
	for _, b := range c.Batches {
		if b.Signatures > 1 {
			t.rows = append(t.rows, []string{"verify together", fmt.Sprintf("%s each of %d by %d keys, of %d B",
				ns(b.Each), b.Signatures, b.Keys, b.Bytes)})
		}
	}
	t.rows = append(t.rows, pairs(
		"SHA-256", fmt.Sprintf("%.0f ns for 64 B; %.2f GB/s", c.Hash, 1/c.HashByte),
		"flush", fmt.Sprintf("%s of processor, %s elapsed, on %s", ns(c.Flush), ns(c.FlushWall), l.FileSystem),
		"message", fmt.Sprintf("%s of processor in a stream of them, and %.2f ns for each byte", ns(c.Frame), c.FrameByte),
		"round trip", ns(c.RoundTrip)+" elapsed, on loopback",
		"one write", ns(l.Unloaded.Elapsed)+" elapsed, the sum of its parts",
		"", "",
		"operations/s, at best, by batch size", "",
	).rows...)
	header := []string{""}
	for _, b := range batchSizes() {
		header = append(header, fmt.Sprintf("%.0f", b))
	}
	return table{above: nil, header: nil, rows: append(t.rows, l.grid(header)...)}
}

// grid is the limits by sharing and batch size.
func (l limitsInfo) grid(header []string) [][]string {
	rows := [][]string{header}
	for i, limit := range l.Limits {
		if i%len(batchSizes()) == 0 {
			rows = append(rows, []string{limit.Name})
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], fmt.Sprintf("%.0f", limit.PerSecond))
	}
	return rows
}
