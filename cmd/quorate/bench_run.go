package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
	"github.com/quorate/quorate/test/roofline"
)

// spareClients are those that the replicas must serve beside the load's: what
// looks at them, and connections that are not yet noticed dead.
const spareClients = 64

// measure runs the load as often as it shall, and holds the runs to what the machine can
// do. Where a run fails, the report has those before.
func (o benchOptions) measure(ctx context.Context, c *console) (bench.Report, error) {
	report, err := o.measureRuns(ctx, c, benchOptions.once)
	if !report.Included.Processes || ctx.Err() != nil {
		return report, err
	}
	meter, failed := newMeter(ctx, o.data)
	if failed == nil {
		failed = report.Hold(meter)
	}
	return report, errors.Join(err, failed)
}

// oneRun is benchOptions.once.
type oneRun func(o benchOptions, ctx context.Context) (bench.Run, bench.Included, error)

// measureRuns runs the load, each time on a new cluster if it starts its own, until it ran
// as often as it shall or a run fails.
func (o benchOptions) measureRuns(ctx context.Context, c *console, once oneRun) (report bench.Report, err error) {
	o.load.RequestTimeout = o.requestTimeout
	profiles := o.cpuProfile
	for i := range o.runs {
		if o.runs > 1 {
			c.tell("run %d of %d\n", i+1, o.runs)
		}
		if o.runs > 1 && profiles != "" {
			o.cpuProfile = filepath.Join(profiles, fmt.Sprintf("run-%d", i+1))
		}
		run, in, err := once(o, ctx)
		if err != nil && o.runs > 1 {
			err = fmt.Errorf("run %d of %d: %w", i+1, o.runs, err)
		}
		if err != nil {
			return report, err
		}
		if i == 0 {
			report = bench.NewReport(o.load, in)
			report.Planned = o.runs
		}
		report.Runs = append(report.Runs, run)
	}
	return report, nil
}

// newMeter measures the machine, with flushes in dir or, if that is empty, where
// a cluster's data would be.
func newMeter(ctx context.Context, dir string) (*roofline.Meter, error) {
	meter, err := roofline.NewMeter(ctx, dataDir(dir))
	if dir == "" {
		err = adviseTemporary(err)
	}
	return meter, err
}

// dataDir is where data goes that was told no place.
func dataDir(dir string) string { return cmp.Or(dir, os.TempDir()) }

// once is one run, and what it included.
func (o benchOptions) once(ctx context.Context) (run bench.Run, in bench.Included, err error) {
	if o.genesis != "" {
		o.load.Genesis, err = loadGenesis(o.genesis)
		o.observe(nil)
	} else {
		var stop func() error
		stop, err = o.start(ctx)
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err != nil {
		return run, in, err
	}
	if run.Result, err = o.put(ctx); err != nil {
		return run, in, err
	}
	health, err := healthOf(ctx, o.load.Genesis)
	if err != nil {
		return run, in, err
	}
	run.View, run.NotVoting = uint64(health.view), health.used()
	run.Slow, run.Lost = o.slow.outcome(), o.lost.outcome()
	in, err = o.included()
	return run, in, err
}

// put puts the load on. It ends when a replica ends that was not to: what the others do
// then are no figures of the cluster that was asked for, and where too few are left, as
// on a full disk, nobody would ever be answered. What was open then, or when ctx ended,
// fails for that, and is not worth telling.
func (o benchOptions) put(ctx context.Context) (bench.Result, error) {
	watched, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		watching sync.WaitGroup
		died     error
	)
	if o.running != nil {
		watching.Go(func() {
			if died = o.running.Watch(watched); died != nil {
				cancel()
			}
		})
	}
	result, err := bench.Measure(watched, o.load)
	cancel()
	watching.Wait()
	return result, cmp.Or(died, ctx.Err(), adviseLoad(err, o.load.Genesis))
}

// start starts replicas as processes of this program. stop ends them and
// removes their data; it is never nil.
func (o *benchOptions) start(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	binary, err := os.Executable()
	if err != nil {
		return stop, err
	}
	dir, err := temporaryDir(o.data, "quorate-bench-")
	if err != nil {
		return stop, err
	}
	stop = func() error { return os.RemoveAll(dir) }
	running, err := cluster.Start(ctx, cluster.Options{
		Binary: binary, Dir: filepath.Join(dir, "cluster"), Name: "bench", Replicas: o.replicas,
		RequestTimeout: o.requestTimeout, CheckpointInterval: o.interval, LogLevel: "warn",
		Clients: o.load.Clients + spareClients, ArchiveBytes: o.archiveMiB << 20, Orders: true,
	})
	if err != nil {
		return stop, err
	}
	o.data, o.running = dir, running
	o.load.Genesis, o.load.Dir = running.Genesis(), dir
	if o.load.SlowShare > 0 {
		o.slow = &slowBackup{cluster: running, share: o.load.SlowShare}
	} else { // a replica that is stopped does not tell
		o.load.Goroutines = func(ctx context.Context) int64 { return goroutinesOf(ctx, running) }
	}
	o.observe(running)
	switch {
	case o.killPrimary > 0:
		o.load.Strike = func(ctx context.Context) error { return killPrimary(ctx, running) }
	case o.loseDisk > 0:
		o.lost = &lostDisk{cluster: running, voteBy: o.load.Duration - o.loseDisk}
		o.load.Strike = o.lost.strike
	}
	o.load.Processes = func() (pids []int) {
		for i := range o.replicas {
			pids = append(pids, running.PID(i))
		}
		return pids
	}
	return func() error { return errors.Join(running.Close(), os.RemoveAll(dir)) }, nil
}

// observe has profiles written of the measured time, and a backup stopped in it, as far as
// they are asked for.
func (o *benchOptions) observe(running *cluster.Cluster) {
	dir, slow := o.cpuProfile, o.slow
	o.load.Measuring = func(ctx context.Context) (end func() error, err error) {
		endProfiles := func() error { return nil }
		if dir != "" {
			if endProfiles, err = profileAll(ctx, running, dir); err != nil {
				return nil, err
			}
		}
		if slow == nil {
			return endProfiles, nil
		}
		if err := slow.begin(ctx); err != nil {
			return endProfiles, err
		}
		return func() error { return errors.Join(slow.end(), endProfiles(), slow.catchUp(ctx)) }, nil
	}
}

// killPrimary kills the process of the replica that leads.
func killPrimary(ctx context.Context, running *cluster.Cluster) error {
	primary, _, err := running.Primary(ctx)
	if err != nil {
		return fmt.Errorf("find the primary: %w", err)
	}
	return running.Kill(int(primary))
}

// healthOf returns what the replicas say of themselves.
func healthOf(ctx context.Context, genesis *pbft.Genesis) (health, error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutDefault)
	defer cancel()
	quorum, err := genesis.Quorum()
	if err != nil {
		return health{}, err
	}
	client, err := pbft.Dial(ctx, pbft.DialConfig{Genesis: genesis})
	if err != nil {
		return health{}, err
	}
	status, err := client.Status(ctx)
	return judge(status, quorum), errors.Join(err, client.Close())
}

// included tells what the figures include.
func (o benchOptions) included() (bench.Included, error) {
	genesis, version := o.load.Genesis, readVersion()
	quorum, err := genesis.Quorum()
	if err != nil {
		return bench.Included{}, err
	}
	in := bench.Included{
		Replicas: genesis.Replicas(), Faults: quorum.Faults(), Processes: o.genesis == "",
		Signatures: "ed25519: every request by its client, verified by every replica; every vote; replies once a batch",
		Flush:      "journal flushed before every commit (fdatasync), one flush for all that waits; proposals and prepares are reserved ahead",
		Transport:  "libp2p, TCP, TLS 1.3, yamux",

		RequestTimeout: o.requestTimeout, CheckpointInterval: genesis.Limits.CheckpointInterval,
		BatchRequests: genesis.Limits.BatchRequests,
		Machine:       bench.ThisMachine(), FileSystem: "that of the replicas, elsewhere",
		Version: version.Version, Commit: version.Commit, Go: version.Go,
	}
	if version.Modified {
		in.Commit += " (modified)"
	}
	if in.Processes {
		in.FileSystem, in.ArchiveBytes = bench.FileSystem(o.data), o.archiveMiB<<20
	} else {
		in.Transport += fmt.Sprintf("; replica 0 is at %s", genesis.Members[0].Addrs[0])
	}
	return in, nil
}
