package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// fillValue is the length of the values that the state is filled with, and fillOpen
// how many of them all clients together have open. With more of them, four replicas
// that share one disk flush so much at a time that votes wait longer than the request
// timeout, and primaries are replaced that could do no better.
const (
	fillValue = 32 << 10
	fillOpen  = 64
)

// fillPatience is how long each of those values has to be answered: a cluster that does
// not answer for so long never will.
const fillPatience = 5 * time.Minute

// A filled cluster has settled when its processes have written less than settledBytes
// for settleFor: tables are still put in order long after the last value is answered,
// and that is a cost of the filling. It has settleMax for that.
const (
	settledBytes = 4 << 20
	settleFor    = 5 * time.Second
	settleMax    = 5 * time.Minute
)

// hold has the cluster hold Options.Fill bytes of values that the load does not touch, and
// returns once they are on disk: written tells how much its processes have written.
func (l *load) hold(ctx context.Context, limits pbft.GenesisLimits, written func() (bytes int64, ok bool)) error {
	if l.o.Fill == 0 {
		return nil
	}
	if err := l.fill(ctx); err != nil {
		return err
	}
	if err := passCheckpoint(ctx, l.clients[0], limits.CheckpointInterval, limits.Window); err != nil {
		return err
	}
	return settle(ctx, written)
}

// fill has the cluster hold Options.Fill bytes of values that the load does not
// touch. They cannot be compressed.
func (l *load) fill(ctx context.Context) error {
	values := (l.o.Fill + fillValue - 1) / fillValue
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillOpen)
	for i := range values {
		if ctx.Err() != nil {
			break
		}
		client := l.clients[i%int64(len(l.clients))]
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(l.o.Seed, uint64(i))) //nolint:gosec // not for secrets
			ctx, cancel := context.WithTimeout(ctx, fillPatience)
			defer cancel()
			if _, err := client.Submit(ctx, kv.Put(fillKey(i), payload(nil, rng, fillValue))); err != nil {
				return fmt.Errorf("fill the state, %d of %d values in: %w", i, values, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// passCheckpoint has a cluster that was filled order small writes, one batch each, until a
// checkpoint that holds all of the values is stable: until it is taken replicas hold the last
// of them in memory, and they would write those beside the load, some seconds after that
// began. A number that is a whole window above a checkpoint is ordered once that is stable.
func passCheckpoint(ctx context.Context, client Client, interval, window uint64) error {
	for until := uint64(0); ; {
		seq, err := writeLittle(ctx, client)
		switch {
		case err != nil:
			return fmt.Errorf("wait for a checkpoint of the state that was filled: %w", err)
		case until == 0:
			until = (seq+interval-1)/interval*interval + window
		case seq >= until:
			return nil
		}
	}
}

// writeLittle returns the number in the order of one small write.
func writeLittle(ctx context.Context, client Client) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, fillPatience)
	defer cancel()
	result, err := client.Submit(ctx, kv.Put("bench", nil))
	return uint64(result.Seq), err
}

func fillKey(i int64) string { return fmt.Sprintf("fill/%012d", i) }

// settle waits until a cluster that was filled has nothing left to write. written tells
// how many bytes its processes have written; where it cannot, nothing is waited for.
func settle(ctx context.Context, written func() (bytes int64, ok bool)) error {
	last, ok := written()
	for began := time.Now(); ok; {
		await(ctx, time.Now().Add(settleFor))
		if err := ctx.Err(); err != nil {
			return err
		}
		var now int64
		if now, ok = written(); ok && now-last < settledBytes {
			return nil
		}
		if time.Since(began) >= settleMax {
			return fmt.Errorf("the replicas wrote %d MiB in the last %v, and are not settled %v after the state was filled",
				(now-last)>>20, settleFor, settleMax)
		}
		last = now
	}
	return nil
}
