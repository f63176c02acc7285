package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// Condition tells whether a cluster is where one waits for it to be. Its
// argument has an entry for every replica.
type Condition func([]pbft.ReplicaStatus) bool

// Status asks every replica where it stands.
func (c *Cluster) Status(ctx context.Context) ([]pbft.ReplicaStatus, error) {
	return c.monitor.Status(ctx)
}

// Await asks again and again until the condition holds. It fails when a live
// replica ends, and when ctx ends, with what is known then.
func (c *Cluster) Await(ctx context.Context, what string, done Condition) error {
	return c.await(ctx, what, c.Live(), done)
}

// await is Await, which fails when one of these replicas ends.
func (c *Cluster) await(ctx context.Context, what string, live []wire.ReplicaID, done Condition) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		status, err := c.Status(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if done(status) {
			return nil
		}
		if err := c.died(live); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // whoever did that knows why
				return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
			}
			return fmt.Errorf("waiting for %s: %w%s", what, ctx.Err(), c.describe(status))
		}
	}
}

// Watch waits until a replica ends that nobody killed, and returns how it did, with the
// end of its log. It returns nil when ctx is done before.
func (c *Cluster) Watch(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if err := c.died(c.all()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c.died(c.all())
		}
	}
}

// describe tells where replicas stand, and the end of their logs.
func (c *Cluster) describe(status []pbft.ReplicaStatus) string {
	var b strings.Builder
	for _, s := range status {
		if r := s.Report; r != nil {
			fmt.Fprintf(&b, "\nr%d: view %d, active %v, executed %d, stable %d, checkpoint %d %s", s.Replica, r.View,
				r.Active, r.Executed, r.Stable, r.Checkpoint, r.State.Short())
			continue
		}
		fmt.Fprintf(&b, "\nr%d: %v", s.Replica, s.Err)
	}
	for _, s := range status {
		fmt.Fprintf(&b, "\n--- log of r%d ---\n%s", s.Replica, last(c.Logs(int(s.Replica)), logShown))
	}
	return b.String()
}

// reports returns the reports of the named replicas, or false if one is missing.
func reports(status []pbft.ReplicaStatus, of []wire.ReplicaID) ([]*wire.Report, bool) {
	var all []*wire.Report
	for _, id := range of {
		if int(id) >= len(status) || status[id].Report == nil {
			return nil, false
		}
		all = append(all, status[id].Report)
	}
	return all, true
}

// Reporting holds once all these replicas report.
func (c *Cluster) Reporting(of ...wire.ReplicaID) Condition {
	return func(status []pbft.ReplicaStatus) bool {
		_, ok := reports(status, of)
		return ok
	}
}

// Executed holds once all these replicas have executed number seq.
func (c *Cluster) Executed(seq wire.Seq, of ...wire.ReplicaID) Condition {
	return func(status []pbft.ReplicaStatus) bool {
		all, ok := reports(status, of)
		return ok && !slices.ContainsFunc(all, func(r *wire.Report) bool { return r.Executed < seq })
	}
}

// InView holds once all these replicas are active in view or later.
func (c *Cluster) InView(view wire.View, of ...wire.ReplicaID) Condition {
	return func(status []pbft.ReplicaStatus) bool {
		all, ok := reports(status, of)
		return ok && !slices.ContainsFunc(all, func(r *wire.Report) bool { return r.View < view || !r.Active })
	}
}

// Primary returns the primary, and its view: the highest that f+1 replicas
// report to be active in, so a correct one is.
func (c *Cluster) Primary(ctx context.Context) (primary wire.ReplicaID, view wire.View, err error) {
	err = c.Await(ctx, "a view that f+1 replicas are in", func(status []pbft.ReplicaStatus) bool {
		v, ok := c.viewOf(status)
		view = v
		return ok
	})
	return view.Primary(c.genesis.Replicas()), view, err
}

func (c *Cluster) viewOf(status []pbft.ReplicaStatus) (wire.View, bool) {
	active := make(map[wire.View]int)
	for _, s := range status {
		if s.Report != nil && s.Report.Active {
			active[s.Report.View]++
		}
	}
	for _, v := range slices.Backward(slices.Sorted(maps.Keys(active))) {
		if active[v] >= c.quorum.Weak() {
			return v, true
		}
	}
	return 0, false
}

// Highest returns the highest number that a replica reports to have executed.
func (c *Cluster) Highest(ctx context.Context) (wire.Seq, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return 0, err
	}
	var highest wire.Seq
	for _, s := range status {
		if s.Report != nil {
			highest = max(highest, s.Report.Executed)
		}
	}
	return highest, nil
}

// names returns replicas as text: r0 r1 r3.
func names(of []wire.ReplicaID) string {
	list := make([]string, 0, len(of))
	for _, id := range of {
		list = append(list, replicaName(int(id)))
	}
	return strings.Join(list, " ")
}
