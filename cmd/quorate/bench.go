package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	genesis        string
	replicas       int
	requestTimeout time.Duration
	interval       uint64
	load           bench.Options
}

// benchResult is a measurement with all that it included.
type benchResult struct {
	bench.Result
	Included benchIncluded `json:"included"`
}

// benchIncluded tells what a figure is worth.
type benchIncluded struct {
	Replicas   int     `json:"replicas"`
	Faults     int     `json:"tolerates"`
	Processes  bool    `json:"own_processes"` // replicas are processes of their own on this machine
	Signatures string  `json:"signatures"`
	Flush      string  `json:"flush"`
	Transport  string  `json:"transport"`
	Batches    uint64  `json:"batches,omitempty"`
	PerBatch   float64 `json:"operations_per_batch,omitempty"`
	View       uint64  `json:"view"`
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Version    string  `json:"version"`
}

func newBench(c *console) *cobra.Command {
	o := benchOptions{load: bench.Options{Seed: 1}}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a cluster: operations per second and latencies",
		Long: `Bench puts a load of signed writes on a cluster and measures it, in a closed loop
(each client has --outstanding operations open, and submits the next when one is
answered), or with --rate in an open loop (operations start when they are due,
and latency counts from then, whatever the cluster does).

Without --genesis it starts four replicas as processes of their own on loopback,
with everything on: every request signed and verified at every replica, the
journal flushed before every vote, libp2p with TLS. They share this machine with
the load.`,
		Example: `  quorate bench
  quorate bench --clients 1 --outstanding 1
  quorate bench --rate 2000 --duration 30s -o json
  quorate bench --genesis cluster/genesis.toml --read-share 0.9`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.genesis != "" && (cmd.Flags().Changed("replicas") || cmd.Flags().Changed("checkpoint-interval")) {
				return usagef("--replicas and --checkpoint-interval are of a cluster to start: drop them or --genesis")
			}
			return c.bench(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.genesis, "genesis", "", "measure the running cluster of this genesis (default: start one)")
	f.IntVar(&o.replicas, "replicas", 4, "how many replicas to start")
	f.Uint64Var(&o.interval, "checkpoint-interval", 64, "batches between two checkpoints of the cluster to start")
	f.DurationVar(&o.requestTimeout, "request-timeout", pbft.RequestTimeoutDefault, "that of the replicas")
	f.IntVar(&o.load.Clients, "clients", 8, "how many clients, each with a key of its own")
	f.IntVar(&o.load.Outstanding, "outstanding", 64, "operations that a client may have open at once")
	f.IntVar(&o.load.Rate, "rate", 0, "operations per second of all clients together (default: closed loop)")
	f.IntVar(&o.load.Payload, "payload", 128, "length of the values written, in bytes")
	f.Float64Var(&o.load.ReadShare, "read-share", 0, "share of ordered reads, 0 to 1")
	f.DurationVar(&o.load.WarmUp, "warm-up", 2*time.Second, "how long before measuring")
	f.DurationVar(&o.load.Duration, "duration", 10*time.Second, "how long to measure")
	return cmd
}

func (c *console) bench(ctx context.Context, o benchOptions) (err error) {
	o.load.RequestTimeout = o.requestTimeout
	if o.genesis != "" {
		o.load.Genesis, err = pbft.LoadGenesis(o.genesis)
	} else {
		var stop func() error
		stop, err = o.start(ctx)
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err != nil {
		return err
	}
	if err := o.load.Validate(); err != nil {
		return usageError{err}
	}
	before, err := standing(ctx, o.load.Genesis)
	if err != nil {
		return err
	}
	result, err := bench.Run(ctx, o.load)
	if err != nil {
		return err
	}
	after, err := standing(ctx, o.load.Genesis)
	if err != nil {
		return err
	}
	out := benchResult{result, o.included(before, after, result)}
	if err := c.show(out.table(), out); err != nil {
		return err
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d operations failed, the first: %s", result.Errors, result.FirstError)
	}
	return nil
}

// start starts replicas as processes of this program. stop ends them and
// removes their data; it is never nil.
func (o *benchOptions) start(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	binary, err := os.Executable()
	if err != nil {
		return stop, err
	}
	dir, err := os.MkdirTemp("", "quorate-bench-")
	if err != nil {
		return stop, err
	}
	stop = func() error { return os.RemoveAll(dir) }
	running, err := cluster.Start(ctx, cluster.Options{
		Binary: binary, Dir: filepath.Join(dir, "cluster"), Name: "bench", Replicas: o.replicas,
		RequestTimeout: o.requestTimeout, CheckpointInterval: o.interval, LogLevel: "warn",
	})
	if err != nil {
		return stop, err
	}
	o.load.Genesis = running.Genesis()
	return func() error { return errors.Join(running.Close(), os.RemoveAll(dir)) }, nil
}

// place is how far a cluster is.
type place struct{ executed, view uint64 }

func standing(ctx context.Context, genesis *pbft.Genesis) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutDefault)
	defer cancel()
	client, err := pbft.Dial(ctx, pbft.DialConfig{Genesis: genesis})
	if err != nil {
		return place{}, err
	}
	status, err := client.Status(ctx)
	var p place
	for _, s := range status {
		if s.Report != nil {
			p.executed = max(p.executed, uint64(s.Report.Executed))
			p.view = max(p.view, uint64(s.Report.View))
		}
	}
	return p, errors.Join(err, client.Close())
}

func (o *benchOptions) included(before, after place, r bench.Result) benchIncluded {
	in := benchIncluded{
		Replicas: o.load.Genesis.Replicas(), Processes: o.genesis == "",
		Signatures: "ed25519: every request by its client, verified by every replica; every vote; replies once a batch",
		Flush:      "journal flushed before every vote (fdatasync)",
		Transport:  "libp2p, TCP, TLS 1.3, yamux",
		View:       after.view, CPU: cpuName(), Cores: runtime.NumCPU(), Version: built(),
	}
	if q, err := o.load.Genesis.Quorum(); err == nil {
		in.Faults = q.Faults()
	}
	if batches := after.executed - before.executed; batches > 0 && after.executed > before.executed {
		in.Batches = batches
		share := r.Duration.Seconds() / (r.Duration + o.load.WarmUp).Seconds()
		in.PerBatch = float64(r.Operations) / (float64(batches) * share)
	}
	return in
}

func (r benchResult) table() table {
	loop := fmt.Sprintf("closed loop, %d clients × %d outstanding", r.Clients, r.Open)
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop, %d operations/s offered, %d clients", r.Rate, r.Clients)
	}
	rows := []string{
		"load", fmt.Sprintf("%s, values of %d B, %.0f %% reads, %v", loop, r.Payload, 100*r.ReadShare, r.Duration),
		"throughput", fmt.Sprintf("%.0f operations/s", r.PerSecond),
		"latency", fmt.Sprintf("p50 %v  p90 %v  p99 %v  p99.9 %v  max %v",
			milli(r.P50), milli(r.P90), milli(r.P99), milli(r.P999), milli(r.Max)),
		"errors", strconv.FormatInt(r.Errors, 10),
		"replicas", fmt.Sprintf("%d, tolerate f = %d; view %d at the end", r.Included.Replicas, r.Included.Faults, r.Included.View),
		"batches", fmt.Sprintf("%d, about %.1f operations each", r.Included.Batches, r.Included.PerBatch),
		"included", r.Included.Signatures,
		"", r.Included.Flush,
		"", r.Included.Transport,
		"machine", fmt.Sprintf("%s, %d cores, shared by replicas and load", r.Included.CPU, r.Included.Cores),
		"version", r.Included.Version,
	}
	return pairs(rows...)
}

func milli(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// cpuName returns what the processor calls itself, where that can be read.
func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// built tells which version and commit this program is.
func built() string {
	v := readVersion()
	return fmt.Sprintf("%s %.12s %s", v.Version, v.Commit, v.Go)
}
