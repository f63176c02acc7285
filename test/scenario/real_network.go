package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/faultnet"
)

// seenPoll is the time between two looks at what a network tells.
const seenPoll = 10 * time.Millisecond

// beginOrdered starts four honest replicas whose networks and clocks do as they
// are told, and a load that is answered.
func (s *Stage) beginOrdered(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.ordersPath(0)), 0o700); err != nil {
		return err
	}
	args := map[int][]string{}
	for id := range 4 {
		if err := (faultnet.Orders{}).Write(s.ordersPath(id)); err != nil {
			return err
		}
		args[id] = s.ordersArgs(id)
	}
	if err := s.launch(ctx, 4, args); err != nil {
		return err
	}
	return errors.Join(s.load(ctx), s.Load.Await(ctx, 150))
}

// ordersPath is where a replica's network finds its orders.
func (s *Stage) ordersPath(id int) string {
	return filepath.Join(s.options.Dir, "faults", replicaName(wire.ReplicaID(id))+".toml") //nolint:gosec // small
}

// ordersArgs let a replica start with them.
func (s *Stage) ordersArgs(id int) []string { return []string{"--faults", s.ordersPath(id)} }

// order gives a running replica's network new orders, in place of the ones before,
// and returns when they are in force.
func (s *Stage) order(ctx context.Context, id int, o faultnet.Orders) error {
	s.orders++
	o.Number, o.Seed = s.orders, s.options.Seed
	if err := o.Write(s.ordersPath(id)); err != nil {
		return err
	}
	return s.untilSeen(ctx, fmt.Sprintf("the network of R%d to obey", id), func() (bool, error) {
		seen, err := faultnet.ReadSeen(s.ordersPath(id))
		if err == nil && seen.Error != "" {
			err = errors.New(seen.Error)
		}
		return seen.Number == o.Number, err
	})
}

// orderAll gives all four networks the same orders.
func (s *Stage) orderAll(ctx context.Context, o faultnet.Orders) error {
	for id := range 4 {
		if err := s.order(ctx, id, o); err != nil {
			return err
		}
	}
	return nil
}

// untilSeen waits for what networks tell to be so.
func (s *Stage) untilSeen(ctx context.Context, what string, is func() (bool, error)) error {
	ticker := time.NewTicker(seenPoll)
	defer ticker.Stop()
	for {
		done, err := is()
		if done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// counts are those of the flows of a replica that fit.
func (s *Stage) counts(id int, fits func(faultnet.Flow) bool) ([]faultnet.Count, error) {
	seen, err := faultnet.ReadSeen(s.ordersPath(id))
	var counts []faultnet.Count
	for _, c := range seen.Counts {
		if fits(c.Flow) {
			counts = append(counts, c)
		}
	}
	return counts, err
}

// bit requires that what a replica's network does hit frames, and tells how many.
func (s *Stage) bit(id int, what string, of func(faultnet.Count) uint64) {
	counts, err := s.counts(id, func(faultnet.Flow) bool { return true })
	sum := uint64(0)
	for _, c := range counts {
		sum += of(c)
	}
	if err == nil && sum == 0 {
		err = errors.New("it did so to no frame")
	}
	s.did(replicaName(wire.ReplicaID(id)), "its network %s: %d frames", what, sum) //nolint:gosec // small
	s.see(fmt.Sprintf("the network of R%d really %s", id, what), err)
}

// between returns which flows are of some kinds, one way, with some peers: all
// kinds if there is none.
func between(heard bool, peers []faultnet.Peer, kinds ...wire.Kind) func(faultnet.Flow) bool {
	return func(f faultnet.Flow) bool {
		return f.Heard == heard && slices.Contains(peers, f.Peer) &&
			(len(kinds) == 0 || slices.Contains(kinds, wire.Kind(f.Kind)))
	}
}

// lost counts the frames that were lost of flows that fit.
func lost(fits func(faultnet.Flow) bool) func(faultnet.Count) uint64 {
	return func(c faultnet.Count) uint64 {
		if !fits(c.Flow) {
			return 0
		}
		return c.Dropped
	}
}

// lose is the rule that loses everything to or from some peers.
func lose(peers []faultnet.Peer) []faultnet.Rule { return []faultnet.Rule{{Peers: peers, Drop: 1}} }

// peers names replicas.
func peers(ids ...faultnet.Peer) []faultnet.Peer { return ids }
