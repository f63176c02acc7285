package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
)

// runsMax bounds the runs of one bench, archiveMiBMax what its replicas keep for audits.
const (
	runsMax       = 50
	archiveMiBMax = 1 << 20
)

// benchOptions are the flags of bench.
type benchOptions struct {
	genesis        string
	data           string
	replicas       int
	requestTimeout time.Duration
	interval       uint64
	runs           int
	stateMiB       int64
	killPrimary    time.Duration
	loseDisk       time.Duration
	archiveMiB     int64
	running        *cluster.Cluster // nil where the replicas are others' processes
	slow           *slowBackup      // nil if there is none
	lost           *lostDisk        // nil if there is none
	save, html     string
	cpuProfile     string // directory
	load           bench.Options
	want           bench.Thresholds
}

const benchExamples = `  quorate bench
  quorate bench --clients 1 --outstanding 1
  quorate bench --rate 2000 --duration 30s -o json
  quorate bench --rate 20000 --no-wait
  quorate bench --rate 20000 --no-wait --greedy-share 0.5
  quorate bench --rate 2000 --kill-primary 3s
  quorate bench --rate 2000 --slow-backup 0.9
  quorate bench --rate 2000 --state-mib 1024 --duration 1m
  quorate bench --rate 2000 --state-mib 1024 --duration 1m --lose-disk 5s
  quorate bench --ops-per-signature 1 --runs 5 --save before.json
  quorate bench --html bench.html
  quorate bench --cpu-profile . && go tool pprof -top r0.pprof
  quorate bench --min-throughput 5000 --max-p99 200ms
  quorate bench --read-share 0.9 --fast-reads
  quorate bench --genesis cluster/genesis.toml --read-share 0.9`

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
journal flushed before what a replica must not forget, libp2p with TLS. They share this machine with
the load, and each of --runs gets a new cluster.

What was reached is counted, not assumed: operations per batch by the numbers of
the order in the results, operations per signature by the clients. The throughput
is also printed as a share of what this machine can do at best with that: see
'quorate bench limits'.

With --fast-reads replicas answer reads from what they have executed, and the client
takes what q of them say alike. Such operations are in no batch, and the limit counts
ordered ones, so there is no share of it then.

With --state-mib the state is filled before, some values at a time, and replicas
that it started have until they write no more: what is measured is a load on a
large state, not what loading it leaves behind.

With --slow-backup the process of one backup is stopped for that share of each tenth
of a second: what a slow replica costs the others, and how long it takes to catch
up.

With --lose-disk the process of one backup is killed in the measured time, its data
deleted, and it is started again: what it costs that a replica fetches the whole
state from the others, and how long it takes.

With a threshold, the exit code is 5 if it is missed: of several runs by the
median. So it is, in any case, if operations failed, unless --max-errors lets them,
or if none was answered. Where a run fails, those before are shown and written all
the same.`,
		Example: benchExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, own := range []string{
				"replicas", "checkpoint-interval", "archive-mib", "data", "kill-primary", "slow-backup", "lose-disk", "min-share",
			} {
				if o.genesis != "" && cmd.Flags().Changed(own) {
					return usagef("--%s is of a cluster to start: drop it or --genesis", own)
				}
			}
			o.load.Fill, o.load.StrikeAfter, o.load.StrikeLosesDisk = o.stateMiB<<20, o.killPrimary+o.loseDisk, o.loseDisk > 0
			c.relaxCollector(loadMemoryMax(o.load.Clients))
			return c.bench(cmd.Context(), o)
		},
	}
	o.flags(cmd)
	cmd.AddCommand(newBenchLimits(c), newBenchCompare(c), newBenchGrowth(c))
	return cmd
}

func (o *benchOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.genesis, "genesis", "", "measure the running cluster of this genesis (default: start one)")
	f.StringVar(&o.data, "data", "", "existing directory for the data of the cluster to start (default: a temporary one)")
	f.IntVar(&o.replicas, "replicas", 4, "how many replicas to start")
	f.Uint64Var(&o.interval, "checkpoint-interval", pbft.DefaultGenesisLimits().CheckpointInterval,
		"batches between two checkpoints of the cluster to start")
	f.Int64Var(&o.archiveMiB, "archive-mib", forensics.ArchiveBytesDefault>>20,
		"MiB that each replica of the cluster to start keeps for audits, at most")
	f.DurationVar(&o.requestTimeout, "request-timeout", pbft.RequestTimeoutDefault, "that of the replicas")

	l := &o.load
	f.IntVar(&l.Clients, "clients", 8, "how many clients, each with a key of its own")
	f.IntVar(&l.Outstanding, "outstanding", 64, "operations that a client may have open at once")
	f.IntVar(&l.Rate, "rate", 0, "operations per second of all clients together (default: closed loop)")
	f.BoolVar(&l.NoWait, "no-wait", false, "with --rate: have refused at once what finds no room")
	f.Float64Var(&l.GreedyShare, "greedy-share", 0,
		"with --no-wait: share of all operations that one client submits alone, 0 to 1 (default: each has as many)")
	f.IntVar(&l.Payload, "payload", 128, "length of the values written, in bytes")
	f.Float64Var(&l.ReadShare, "read-share", 0, "share of reads, 0 to 1")
	f.BoolVar(&l.FastReads, "fast-reads", false, "have reads answered outside of the order")
	f.IntVar(&l.OpsPerSignature, "ops-per-signature", 0, "operations that a client signs together, at most (default: all that wait)")
	f.DurationVar(&l.WarmUp, "warm-up", 2*time.Second, "how long before measuring")
	f.DurationVar(&l.Duration, "duration", 10*time.Second, "how long to measure")
	f.Uint64Var(&l.Seed, "seed", 1, "chooses the operations")
	f.Int64Var(&o.stateMiB, "state-mib", 0, "MiB of other values that the state holds before the load begins")
	f.DurationVar(&o.killPrimary, "kill-primary", 0, "kill the primary's process so long after the measuring began (default: never)")
	f.Float64Var(&l.SlowShare, "slow-backup", 0, "share of the measured time that one backup's process is stopped for, 0 to 1")
	f.DurationVar(&o.loseDisk, "lose-disk", 0, "have one backup lose its data so long after the measuring began (default: never)")
	f.IntVar(&o.runs, "runs", 1, "how often to measure")

	f.StringVar(&o.save, "save", "", "also write the result to this file, as JSON")
	f.StringVar(&o.html, "html", "", "also write the result to this file, as a page with plots for a browser")

	f.StringVar(&o.cpuProfile, "cpu-profile", "",
		"existing directory for processor profiles of the measured time: load.pprof, and r0.pprof and so on of replicas that it "+
			"starts; of several --runs in directories run-1 and so on in it")

	f.Float64Var(&o.want.Throughput, "min-throughput", 0, "operations per second, at least")
	f.DurationVar(&o.want.P50, "max-p50", 0, "median latency, at most")
	f.DurationVar(&o.want.P99, "max-p99", 0, "99th percentile, at most")
	f.DurationVar(&o.want.P999, "max-p999", 0, "99.9th percentile, at most")
	f.DurationVar(&o.want.Gap, "max-gap", 0, "longest time without an answer, at most")
	f.Float64Var(&o.want.Share, "min-share", 0, "share of the machine's limit, 0 to 1, at least")
	f.Int64Var(&o.want.Errors, "max-errors", 0, "operations that may fail, in all runs (default: none)")
}

// validate reports what is wrong with the command line, before anything starts.
func (o benchOptions) validate() error {
	errs := []error{o.load.ValidateLoad(), o.want.Validate()}
	if o.runs < 1 || o.runs > runsMax {
		errs = append(errs, fmt.Errorf("runs are %d, want 1 to %d", o.runs, runsMax))
	}
	if o.archiveMiB < forensics.ArchiveBytesMin>>20 || o.archiveMiB > archiveMiBMax {
		errs = append(errs, fmt.Errorf("the archive is to hold %d MiB, want %d to %d", o.archiveMiB,
			forensics.ArchiveBytesMin>>20, archiveMiBMax))
	}
	errs = append(errs, o.validateCluster()...)
	errs = append(errs, o.validateFaults()...)
	errs = append(errs, isDir("--data", o.data), takesFile("--save", o.save), takesFile("--html", o.html),
		takesFiles("--cpu-profile", o.cpuProfile))
	if o.save != "" && filepath.Clean(o.save) == filepath.Clean(o.html) {
		errs = append(errs, fmt.Errorf("--save and --html name the same file, %s", o.save))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// validateCluster reports what is wrong with the replicas to start, where zero would be
// taken for a default that the result does not name.
func (o benchOptions) validateCluster() (errs []error) {
	if o.replicas < replicasMin || o.replicas > replicasMax {
		errs = append(errs, fmt.Errorf("replicas are %d, want %d to %d", o.replicas, replicasMin, replicasMax))
	}
	if o.interval < 1 {
		errs = append(errs, fmt.Errorf("the checkpoint interval is %d, want 1 or more", o.interval))
	}
	if o.requestTimeout < pbft.RequestTimeoutMin || o.requestTimeout > pbft.RequestTimeoutMax {
		errs = append(errs, fmt.Errorf("the request timeout is %v, want %v to %v", o.requestTimeout, pbft.RequestTimeoutMin,
			pbft.RequestTimeoutMax))
	}
	if o.stateMiB<<20>>20 != o.stateMiB { // what is left of it may look good
		errs = append(errs, fmt.Errorf("the state is to hold %d MiB, which is too much", o.stateMiB))
	}
	return errs
}

// validateFaults reports what is wrong with what is to happen to the replicas.
func (o benchOptions) validateFaults() (errs []error) {
	var given []string
	for _, f := range []struct {
		flag, one string
		given     bool
	}{
		{"--kill-primary", "dead", o.killPrimary != 0},
		{"--slow-backup", "slow", o.load.SlowShare != 0},
		{"--lose-disk", "rejoining", o.loseDisk != 0},
	} {
		if !f.given {
			continue
		}
		given = append(given, f.flag)
		if o.replicas < replicasMin {
			errs = append(errs, fmt.Errorf("%d replicas tolerate no %s one, want %d or more", o.replicas, f.one, replicasMin))
		}
	}
	if len(given) > 1 {
		errs = append(errs, fmt.Errorf("one replica at a time: keep one of %s", strings.Join(given, ", ")))
	}
	return errs
}

// isDir reports that the directory of a flag is none. An empty one is not asked
// for.
func isDir(flag, dir string) error {
	if dir == "" {
		return nil
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%s: %w: make that directory, or name another", flag, err)
	}
	return noFile(flag, dir)
}

// temporaryDir makes a directory in that of a flag or, if there is none, in that of temporary
// files.
func temporaryDir(in, pattern string) (string, error) {
	dir, err := os.MkdirTemp(in, pattern)
	if in == "" {
		err = adviseTemporary(err)
	}
	return dir, err
}

// adviseTemporary tells whose directory is missing, which nobody named.
func adviseTemporary(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("the directory of temporary files: %w: make it, or name another (TMPDIR)", err)
	}
	return err
}

// noFile reports that a flag that is to name a directory names a file.
func noFile(flag, dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return usagef("%s: %s is a file, want a directory: name the one that it is in, or another", flag, dir)
	}
	return nil
}

// takesFiles reports that in the directory of a flag no file can be made. It leaves none
// there.
func takesFiles(flag, dir string) error {
	if err := isDir(flag, dir); err != nil || dir == "" {
		return err
	}
	f, err := os.CreateTemp(dir, ".quorate-")
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // nobody knows the name
	}
	if err != nil {
		return fmt.Errorf("%s: no file can be made in %s: %w", flag, dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// takesFile reports that the file of a flag could not be written, before there is
// anything to lose. It leaves none.
func takesFile(flag, path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return takesFiles(flag, filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("%s: %w", flag, err)
	case info.IsDir():
		return fmt.Errorf("%s: %s is a directory, want the name of a file", flag, path)
	case !info.Mode().IsRegular():
		return nil // to open a pipe could wait for its reader
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return f.Close()
}

func (c *console) bench(ctx context.Context, o benchOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	report, err := o.measure(ctx, c)
	return o.publish(c, report, err)
}

// publish shows and keeps a report, also where one of its runs failed, or the limit beside
// them could not be measured: those before may have taken hours. Thresholds are for all
// runs.
func (o benchOptions) publish(c *console, report bench.Report, err error) error {
	if len(report.Runs) == 0 {
		return err
	}
	var missed error
	if len(report.Runs) == o.runs {
		missed = o.want.Check(report)
	}
	return errors.Join(err, c.show(benchTable(report), report), writeFile(o.save, report.WriteJSON),
		writeFile(o.html, report.WriteHTML), missed)
}
