package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/app/kv"
)

// fillValue is the length of the values that the state is filled with, and
// fillOpen how many of them each client has open: half of what a replica lets one
// client have waiting.
const (
	fillValue = 32 << 10
	fillOpen  = 64
)

// fill has the cluster hold Options.Fill bytes of values that the load does not
// touch. They cannot be compressed.
func (l *load) fill(ctx context.Context) error {
	values := (l.o.Fill + fillValue - 1) / fillValue
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillOpen * len(l.clients))
	for i := range values {
		if ctx.Err() != nil {
			break
		}
		client := l.clients[i%int64(len(l.clients))]
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(l.o.Seed, uint64(i))) //nolint:gosec // not for secrets
			if _, err := client.Submit(ctx, kv.Put(fmt.Sprintf("fill/%012d", i), payload(rng, fillValue))); err != nil {
				return fmt.Errorf("fill the state, %d of %d values in: %w", i, values, err)
			}
			return nil
		})
	}
	return group.Wait()
}
