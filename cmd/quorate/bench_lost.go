package main

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
)

// lostDisk has one backup lose its data in the middle of the measured time, and start
// again without: it fetches the whole state from the others while they serve the load.
type lostDisk struct {
	cluster *cluster.Cluster
	// voteBy is how long after the loss it may vote again; later ones are not waited for.
	voteBy time.Duration

	replica     int
	held, voted time.Duration // after the loss; voted is 0 if it was not in time
}

// strike kills the backup that would lead last, deletes its data, and has it rejoin. It
// returns when the backup holds what the others do, and votes or may not any more.
func (l *lostDisk) strike(ctx context.Context) error {
	var err error
	if l.replica, err = lastToLead(ctx, l.cluster); err != nil {
		return err
	}
	if err := l.cluster.Kill(l.replica); err != nil {
		return err
	}
	if err := l.cluster.Wipe(l.replica); err != nil {
		return err
	}
	lost := time.Now()
	if err := l.cluster.Restart(l.replica, "--rejoin"); err != nil {
		return err
	}
	before := wire.Seq(0)
	err = l.cluster.Await(ctx, fmt.Sprintf("replica %d to hold what it lost", l.replica), func(status []pbft.ReplicaStatus) bool {
		own, most, ok := executed(status, l.replica)
		held := ok && before > 0 && own >= before
		before = most
		return held
	})
	if err != nil {
		return fmt.Errorf("%w\nmeasure longer, so that it has the time", err)
	}
	l.held = time.Since(lost)

	ctx, cancel := context.WithDeadline(ctx, lost.Add(l.voteBy))
	defer cancel()
	err = l.cluster.Await(ctx, fmt.Sprintf("replica %d to vote", l.replica), func(status []pbft.ReplicaStatus) bool {
		r := status[l.replica].Report
		return r != nil && !r.Silent
	})
	if err == nil {
		l.voted = time.Since(lost)
	} else if ctx.Err() == nil {
		return err
	}
	return nil
}

// outcome is what became of the backup, nil if there is none.
func (l *lostDisk) outcome() *bench.LostDisk {
	if l == nil {
		return nil
	}
	return &bench.LostDisk{Replica: l.replica, Held: l.held, Voted: l.voted}
}

// lastToLead returns the backup that would lead last.
func lastToLead(ctx context.Context, running *cluster.Cluster) (replica int, err error) {
	_, view, err := running.Primary(ctx)
	if err != nil {
		return 0, fmt.Errorf("choose a backup: %w", err)
	}
	n := running.Genesis().Replicas()
	return int((uint64(view) + uint64(n) - 1) % uint64(n)), nil //nolint:gosec // below n
}
