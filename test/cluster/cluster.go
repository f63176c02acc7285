package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// startsMax is how often Start looks for free ports.
	startsMax = 5
	// pollInterval is the time between two looks at a condition.
	pollInterval = 25 * time.Millisecond
	// logShown is how much of a replica's output an error carries.
	logShown = 2 << 10
)

// errPortTaken says that a port was not free any more.
var errPortTaken = errors.New("a port was taken in the meantime")

// Cluster is a number of replicas, each a process. Its methods may be called
// concurrently, but what is done to one replica is one goroutine's at a time.
type Cluster struct {
	options Options
	genesis *pbft.Genesis
	quorum  core.Quorum
	monitor *pbft.Client

	mu struct {
		sync.Mutex
		replicas []replica
	}
}

// replica is one replica's process, or the last one it had.
type replica struct {
	process *process
	log     *tail // of all its processes
	paused  bool
}

// Start makes keys and a genesis, starts all replicas, and returns when each has
// reported to a client. The end of ctx ends the start, not the cluster: that is
// Close.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	for range startsMax {
		var c *Cluster
		c, err = start(ctx, o)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
		if clean := removeAll(o.Dir); clean != nil {
			return nil, errors.Join(err, clean)
		}
	}
	return nil, err
}

// removeAll removes what Start put into dir.
func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func start(ctx context.Context, o Options) (*Cluster, error) {
	genesis, err := o.write()
	if err != nil {
		return nil, err
	}
	return run(ctx, o, genesis)
}

// Open starts the replicas of the cluster that quorate init, or an earlier
// Start, made in o.Dir, and returns when each has reported to a client. Of o it
// needs Binary and Dir, and RequestTimeout if it is not a second.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	o.RequestTimeout = cmp.Or(o.RequestTimeout, requestTimeoutDefault)
	genesis, err := pbft.LoadGenesis(filepath.Join(o.Dir, pbft.GenesisFile))
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return run(ctx, o, genesis)
}

// run starts the replicas whose files are there.
func run(ctx context.Context, o Options, genesis *pbft.Genesis) (c *Cluster, err error) {
	c = &Cluster{options: o, genesis: genesis}
	if c.quorum, err = genesis.Quorum(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	for range genesis.Replicas() {
		c.mu.replicas = append(c.mu.replicas, replica{log: &tail{}})
	}
	for i := range genesis.Replicas() {
		if err := c.Restart(i, o.Args[i]...); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if c.monitor, err = c.Client(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.await(ctx, "every replica to report", c.all(), c.Reporting(c.all()...)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Client returns a new client with a key of its own.
func (c *Cluster) Client(ctx context.Context) (*pbft.Client, error) {
	return pbft.Dial(ctx, pbft.DialConfig{Genesis: c.genesis, RequestTimeout: c.options.RequestTimeout})
}

// Load starts a load on the cluster. A cluster bears one load in its life, for
// the load's keys must be new.
func (c *Cluster) Load(ctx context.Context, o LoadOptions) (*Load, error) {
	dial := func(ctx context.Context) (Submitter, error) { return c.Client(ctx) }
	return StartLoad(ctx, dial, o)
}

// Genesis returns the cluster's genesis.
func (c *Cluster) Genesis() *pbft.Genesis { return c.genesis }

// GenesisPath returns where the genesis is.
func (c *Cluster) GenesisPath() string { return filepath.Join(c.options.Dir, pbft.GenesisFile) }

// Quorum returns the cluster's quorums.
func (c *Cluster) Quorum() core.Quorum { return c.quorum }

// Interval returns the numbers between two checkpoints.
func (c *Cluster) Interval() wire.Seq { return wire.Seq(c.genesis.Limits.CheckpointInterval) }

// Dir returns the directory of replica i.
func (c *Cluster) Dir(i int) string { return filepath.Join(c.options.Dir, replicaName(i)) }

// Restart starts the process of replica i, which has none, with further
// arguments for quorate node. It does not wait until the replica is ready.
func (c *Cluster) Restart(i int, args ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.mu.replicas[i]
	if r.process != nil && !r.process.ended() {
		return fmt.Errorf("replica %d is running", i)
	}
	args = append([]string{"node", "--dir", c.Dir(i)}, args...)
	if c.options.Orders {
		args = append(args, "--orders")
	}
	p, err := startProcess(launch{c.options.Binary, args, ProcessorsEach(len(c.genesis.Members)), c.options.Orders}, r.log)
	if err != nil {
		return fmt.Errorf("replica %d: %w", i, err)
	}
	r.process, r.paused = p, false
	return nil
}

// Kill kills replica i (SIGKILL) and returns when its process is gone.
func (c *Cluster) Kill(i int) error { return c.do(i, (*process).kill) }

// KillAll kills all replicas at once.
func (c *Cluster) KillAll() error {
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(c.genesis.Members))
	)
	for i := range errs {
		wg.Go(func() { errs[i] = c.Kill(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Pause stops replica i (SIGSTOP): its connections stay, and it says nothing.
func (c *Cluster) Pause(i int) error {
	if err := c.do(i, (*process).pause); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.replicas[i].paused = true
	return nil
}

// Resume lets a paused replica go on (SIGCONT).
func (c *Cluster) Resume(i int) error {
	if err := c.do(i, (*process).resume); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.replicas[i].paused = false
	return nil
}

func (c *Cluster) do(i int, what func(*process) error) error {
	p := c.process(i)
	if p == nil {
		return nil
	}
	if err := what(p); err != nil {
		return fmt.Errorf("replica %d, process %d: %w", i, p.pid(), err)
	}
	return nil
}

func (c *Cluster) process(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.replicas[i].process
}

// Wipe deletes the data of replica i, which must not be running.
func (c *Cluster) Wipe(i int) error {
	if p := c.process(i); p != nil && !p.ended() {
		return fmt.Errorf("replica %d is running", i)
	}
	return os.RemoveAll(filepath.Join(c.Dir(i), pbft.DataDir))
}

// Exited returns a channel that is closed when the process of replica i ends.
func (c *Cluster) Exited(i int) <-chan struct{} { return c.process(i).done }

// ExitCode returns the exit code of the last process of replica i: -1 if it runs
// or was killed.
func (c *Cluster) ExitCode(i int) int {
	p := c.process(i)
	if !p.ended() || p.cmd.ProcessState == nil {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// PID returns the process of replica i, or the last it had.
func (c *Cluster) PID(i int) int { return c.process(i).pid() }

// all returns every replica, also one that has ended before anyone looked.
func (c *Cluster) all() []wire.ReplicaID {
	var all []wire.ReplicaID
	for i := range c.genesis.Replicas() {
		all = append(all, wire.ReplicaID(i)) //nolint:gosec // i < n
	}
	return all
}

// Live returns the replicas that run and are not paused.
func (c *Cluster) Live() []wire.ReplicaID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var live []wire.ReplicaID
	for i, r := range c.mu.replicas {
		if r.process != nil && !r.process.ended() && !r.paused {
			live = append(live, wire.ReplicaID(i)) //nolint:gosec // i is the index of a replica
		}
	}
	return live
}

// Logs returns the end of what the processes of replica i have printed.
func (c *Cluster) Logs(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.replicas[i].log.String()
}

// Close kills all replicas. It leaves the files.
func (c *Cluster) Close() error {
	var errs []error
	if c.monitor != nil {
		errs = append(errs, c.monitor.Close())
	}
	return errors.Join(append(errs, c.KillAll())...)
}

// died returns an error that tells how one of these replicas ended, if one has
// and nobody killed it.
func (c *Cluster) died(live []wire.ReplicaID) error {
	for _, id := range live {
		p := c.process(int(id))
		if p == nil || !p.ended() || p.killed.Load() {
			continue
		}
		text := c.Logs(int(id))
		err := fmt.Errorf("replica %d has ended (%w):\n%s", id, p.err, last(text, logShown))
		if strings.Contains(text, "address already in use") {
			return fmt.Errorf("%w: %w", errPortTaken, err)
		}
		return err
	}
	return nil
}

// last returns the end of a text.
func last(text string, bytes int) string {
	if len(text) > bytes {
		return "…" + text[len(text)-bytes:]
	}
	return text
}
