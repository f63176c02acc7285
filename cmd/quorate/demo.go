package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/cluster"
)

const (
	// demoTimeMax bounds the script. It takes about ten seconds; a machine that
	// needs this long has another trouble.
	demoTimeMax = 2 * time.Minute
	// demoRequestTimeout is short, so that a dead primary is soon replaced.
	demoRequestTimeout = time.Second
	// demoPause is how many operations are acknowledged between two scenes.
	demoPause = 500
)

// errDemoInterrupted says that the user ended the demo.
var errDemoInterrupted = errors.New("interrupted")

// demoOptions are the flags of demo.
type demoOptions struct {
	stay     bool
	replicas int
}

func newDemo(c *console) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a cluster survive kills, and prove that it kept its promises",
		Long: `Demo starts a cluster of real replicas, each a process of its own, on free
loopback ports and in a temporary directory, and puts it under load. Then it
kills the primary, brings it back, kills all replicas at once, and brings them
back. It ends with the proof: equal states everywhere, every acknowledged
operation there, none done twice, and a linearizable history.

It leaves nothing behind, unless it is interrupted twice: processes and files end
with it. The exit code is 0 if every promise held, and 1 otherwise; where one is
broken, the evidence is kept.`,
		Example: "  quorate demo\n  quorate demo --stay\n  quorate demo -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), c, o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.stay, "stay", false, "keep the cluster running after the proof, until Ctrl-C")
	flags.IntVar(&o.replicas, "replicas", replicasMin, "number of replicas; f faults take 3f+1")
	return cmd
}

// demo is one run.
type demo struct {
	options demoOptions
	story   *story
	dir     string
	cluster *cluster.Cluster
	load    *cluster.Load
}

func runDemo(ctx context.Context, c *console, o demoOptions) (err error) {
	if o.replicas < replicasMin || o.replicas > replicasMax {
		return usagef("--replicas is %d, want %d to %d", o.replicas, replicasMin, replicasMax)
	}
	dir, err := temporaryDir("", "quorate-demo-")
	if err != nil {
		return err
	}
	d := &demo{options: o, story: newStory(c), dir: dir}
	defer func() { err = errors.Join(err, d.end(ctx)) }()
	if err := d.play(ctx); err != nil {
		return d.failure(ctx, err)
	}
	if o.stay {
		err = d.stay(ctx)
	}
	return errors.Join(err, d.story.err)
}

// play plays all scenes.
func (d *demo) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeMax)
	defer cancel()
	for _, scene := range []func(context.Context) error{
		d.start, d.startLoad, d.killPrimary, d.killAll, d.prove,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// failure is what play's error means for the exit code: whatever kept the demo
// from its proof is a failure, never a matter of patience.
func (d *demo) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errDemoInterrupted
	}
	var v *cluster.Violation
	if errors.As(err, &v) {
		d.story.tell("VIOLATION", d.story.bad, v.What, "the evidence is in "+v.Dir)
	}
	return errors.New("demo: " + err.Error())
}

// end ends the load and the processes, and removes the files.
func (d *demo) end(ctx context.Context) error {
	var errs []error
	if d.load != nil {
		done, cancel := context.WithCancel(ctx)
		cancel()
		d.load.Stop(done)
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// start starts the replicas.
func (d *demo) start(ctx context.Context) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	d.story.tell("start", d.story.plain, fmt.Sprintf("%d replicas, a process each, in %s",
		d.options.replicas, d.dir))
	d.cluster, err = cluster.Start(ctx, cluster.Options{
		Binary: binary, Dir: filepath.Join(d.dir, "cluster"), Name: "demo", Replicas: d.options.replicas,
		RequestTimeout: demoRequestTimeout,
	})
	if err != nil {
		return err
	}
	d.story.tell("genesis", d.story.plain, fmt.Sprintf("cluster %s tolerates f = %d of %d that crash or lie",
		d.cluster.Genesis().Hash().Short(), d.cluster.Quorum().Faults(), d.options.replicas))
	d.story.tell("replicas", d.story.good, d.replicas()...)
	return nil
}

// replicas returns a line for every replica.
func (d *demo) replicas() []string {
	var lines []string
	for i, r := range d.cluster.Genesis().Members {
		lines = append(lines, fmt.Sprintf("r%d  %-21s pid %d", i, hostPort(r), d.cluster.PID(i)))
	}
	return lines
}

// hostPort returns a replica's address as people write it.
func hostPort(r pbft.GenesisReplica) string {
	parts := strings.Split(r.Addrs[0], "/")
	if len(parts) != 5 { // /ip4/HOST/tcp/PORT
		return r.Addrs[0]
	}
	return parts[2] + ":" + parts[4]
}

func (d *demo) startLoad(ctx context.Context) error {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
	load, err := d.cluster.Load(ctx, cluster.LoadOptions{Seed: seed})
	if err != nil {
		return err
	}
	d.load = load
	d.story.tell("load", d.story.plain, "8 clients on shared keys; every result takes f+1 signatures")
	return d.pause(ctx)
}

// pause lets the load run for a while.
func (d *demo) pause(ctx context.Context) error {
	if err := d.load.Await(ctx, demoPause); err != nil {
		return err
	}
	d.story.tell("load", d.story.plain, fmt.Sprintf("%d operations acknowledged", d.load.Acknowledged()))
	return nil
}

// all returns the numbers of all replicas.
func (d *demo) all() []wire.ReplicaID {
	var ids []wire.ReplicaID
	for _, r := range d.cluster.Genesis().Members {
		ids = append(ids, r.ID)
	}
	return ids
}
