package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/cluster"
)

// killPrimary kills the primary, waits for the service, and brings it back.
func (d *demo) killPrimary(ctx context.Context) error {
	primary, view, err := d.cluster.Primary(ctx)
	if err != nil {
		return err
	}
	killed := time.Now()
	if err := d.cluster.Kill(int(primary)); err != nil {
		return err
	}
	d.story.tell("SIGKILL", d.story.bad, fmt.Sprintf("r%d, the primary of view %d", primary, view))
	first, err := d.firstWrite(ctx, killed, func(o cluster.Operation) bool { return o.View > view })
	if err != nil {
		return err
	}
	d.story.tell(fmt.Sprintf("view %d", first.View), d.story.good, fmt.Sprintf(
		"r%d leads; first acknowledged write %s after the kill", first.View.Primary(d.options.replicas), d.after(first, killed)))
	if err := d.pause(ctx); err != nil {
		return err
	}
	return d.bringBack(ctx, primary)
}

// firstWrite waits for the first write that is acknowledged after a time, and
// that fits.
func (d *demo) firstWrite(ctx context.Context, at time.Time, fits func(cluster.Operation) bool) (cluster.Operation, error) {
	since := at.Sub(d.load.Start())
	return d.load.AwaitOperation(ctx, "an acknowledged write", func(o cluster.Operation) bool {
		return o.IsWrite() && o.Return > since && fits(o)
	})
}

// after returns how long after a time an operation was acknowledged.
func (d *demo) after(o cluster.Operation, at time.Time) string {
	return fmt.Sprintf("%.2f s", (o.Return - at.Sub(d.load.Start())).Seconds())
}

// bringBack restarts one replica and waits until it has what the others had.
func (d *demo) bringBack(ctx context.Context, id wire.ReplicaID) error {
	highest, err := d.cluster.Highest(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := d.cluster.Restart(int(id)); err != nil {
		return err
	}
	d.story.tell("restart", d.story.plain, fmt.Sprintf("r%d, as pid %d; the others are at batch %d", id, d.cluster.PID(int(id)),
		highest))
	if err := d.cluster.Await(ctx, "the replica to catch up", d.cluster.Executed(highest, id)); err != nil {
		return err
	}
	d.story.tell("caught up", d.story.good, fmt.Sprintf("r%d has executed batch %d too, %.2f s after its start",
		id, highest, time.Since(started).Seconds()))
	return d.pause(ctx)
}

// killAll kills all replicas at once and starts them again.
func (d *demo) killAll(ctx context.Context) error {
	if err := d.cluster.KillAll(); err != nil {
		return err
	}
	d.story.tell("SIGKILL", d.story.bad, fmt.Sprintf("all %d replicas at once, with operations under way", d.options.replicas))
	started := time.Now()
	for i := range d.options.replicas {
		if err := d.cluster.Restart(i); err != nil {
			return err
		}
	}
	d.story.tell("restart", d.story.plain, "all, from what their disks hold")
	first, err := d.firstWrite(ctx, started, func(cluster.Operation) bool { return true })
	if err != nil {
		return err
	}
	d.story.tell(fmt.Sprintf("view %d", first.View), d.story.good,
		fmt.Sprintf("first acknowledged write %s after the restart", d.after(first, started)))
	return d.pause(ctx)
}

// demoStopTime bounds the wait for operations that are under way at the end.
const demoStopTime = 10 * time.Second

// prove ends the load and proves what it saw.
func (d *demo) prove(ctx context.Context) error {
	stop, cancel := context.WithTimeout(ctx, demoStopTime)
	history := d.load.Stop(stop)
	cancel()
	d.load = nil
	d.story.tell("stop", d.story.plain, fmt.Sprintf("load ended: %d operations acknowledged, %d without a result",
		history.Acknowledged(), history.Pending()))
	if err := d.cluster.Await(ctx, "all replicas to be back", d.cluster.Reporting(d.all()...)); err != nil {
		return err
	}
	proof, err := cluster.Prove(ctx, d.cluster, history)
	if err != nil {
		return err
	}
	var lines []string
	for _, l := range proof.Lines() {
		lines = append(lines, fmt.Sprintf("%-14s %s", l[0], l[1]))
	}
	d.story.tell("PROOF", d.story.good, append(lines, "every promise held")...)
	return nil
}

// stay keeps the cluster until the user ends it.
func (d *demo) stay(ctx context.Context) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	genesis := commandLine("--genesis", d.cluster.GenesisPath())
	lines := []string{"the cluster runs until Ctrl-C; in another terminal:"}
	for _, command := range []string{"kv put greeting hello", "kv get greeting", "status"} {
		lines = append(lines, "  "+shellWord(binary)+" "+command+" "+genesis)
	}
	d.story.tell("stay", d.story.plain, append(lines, d.replicas()...)...)
	ended := make(chan int)
	for i := range d.options.replicas {
		go func() {
			select {
			case <-d.cluster.Exited(i):
				select {
				case ended <- i:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		}()
	}
	for {
		select {
		case i := <-ended:
			d.story.tell("ended", d.story.bad, fmt.Sprintf("r%d; this brings it back:", i),
				"  "+commandLine(binary, "node", "--dir", d.cluster.Dir(i)))
		case <-ctx.Done():
			d.story.tell("end", d.story.plain, "replicas are killed, and their files removed")
			return nil
		}
	}
}
