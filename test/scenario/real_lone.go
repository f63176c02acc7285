package scenario

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/faultnet"
)

// loneAhead is how far above what is executed the cut is: all networks know of it
// before the cluster is there.
const loneAhead = 200

// realLonePreparer lets R1 alone learn that a batch prepared: from a number on, R0,
// R2 and R3 hear no prepares. R1 is mute by then, so that nobody learns of it, and
// those three execute everything up to that number.
func realLonePreparer(ctx context.Context, s *Stage) error {
	if err := s.beginOrdered(ctx); err != nil {
		return err
	}
	others := peers(0, 2, 3)
	if err := s.order(ctx, 1, faultnet.Orders{Send: lose(others)}); err != nil {
		return err
	}
	s.did("R1", "is mute")
	above, err := s.Cluster.Highest(ctx)
	if err != nil {
		return err
	}
	above += loneAhead
	deaf := faultnet.Rule{Kinds: []faultnet.Kind{faultnet.Kind(wire.KindPrepare)}, Above: above, Drop: 1}
	for _, id := range []int{0, 2, 3} {
		if err := s.order(ctx, id, faultnet.Orders{Hear: []faultnet.Rule{deaf}}); err != nil {
			return err
		}
	}
	s.did("", "prepares for numbers above %d reach R1 alone", above)
	at, err := s.lonePrepared(ctx, above)
	if !s.see("R1 alone has prepared", err) {
		return s.orderAll(ctx, faultnet.Orders{})
	}
	if err := s.changeViewAlone(ctx, at); err != nil {
		return err
	}
	s.see("R0, R2 and R3 decide on that number without R1", errors.Join(
		s.Cluster.Await(ctx, "a decision without R1", s.Cluster.Executed(at, 0, 2, 3)),
		s.Cluster.Await(ctx, "a later view", s.Cluster.InView(1, 0, 2, 3)),
	))
	if err := s.order(ctx, 1, faultnet.Orders{}); err != nil {
		return err
	}
	s.see("R1 follows", s.Cluster.Await(ctx, "R1 to follow", s.Cluster.Executed(at, 1)))
	for _, id := range []int{2, 3} {
		s.bit(id, "loses prepares", lost(between(true, peers(0, 1, 2, 3), wire.KindPrepare)))
	}
	s.bit(1, "loses its commits", lost(between(false, others, wire.KindCommit)))
	s.all(ctx, []want{served(), everyoneFollows("everyone")})
	return nil
}

// lonePrepared waits for R1 to send a commit, which says that it has prepared, for
// a number for which nobody else hears prepares. So nobody else may have sent one.
func (s *Stage) lonePrepared(ctx context.Context, above wire.Seq) (at wire.Seq, err error) {
	err = s.untilSeen(ctx, "a commit of R1 alone", func() (bool, error) {
		at, err = s.highestCommit(1)
		return at > above, err
	})
	for _, id := range []int{0, 2, 3} {
		other, wrong := s.highestCommit(id)
		if other > above && wrong == nil {
			wrong = fmt.Errorf("replica %d has sent a commit for %d, too", id, other)
		}
		err = errors.Join(err, wrong)
	}
	return at, err
}

// highestCommit returns the highest number for which a replica has sent a commit,
// lost or not.
func (s *Stage) highestCommit(id int) (wire.Seq, error) {
	counts, err := s.counts(id, between(false, peers(0, 1, 2, 3), wire.KindCommit))
	var highest wire.Seq
	for _, c := range counts {
		highest = max(highest, c.Highest)
	}
	return highest, err
}

// changeViewAlone isolates R1, crashes R0, and lets it come back. R0, R2 and R3
// hear no prepares until they have left view 0: so they change views, and without
// what R1 knows.
func (s *Stage) changeViewAlone(ctx context.Context, at wire.Seq) error {
	others := lose(peers(0, 2, 3))
	err := errors.Join(
		s.order(ctx, 1, faultnet.Orders{Send: others, Hear: others}),
		s.Cluster.Kill(0), s.Cluster.Restart(0, s.ordersArgs(0)...),
	)
	if err != nil {
		return err
	}
	s.did("R0", "crashes (SIGKILL) and restarts, and R1 is isolated: %d is prepared by it alone", at)
	err = s.Cluster.Await(ctx, "R0, R2 and R3 to leave view 0", func(status []pbft.ReplicaStatus) bool {
		for _, id := range []int{0, 2, 3} {
			if r := status[id].Report; r == nil || r.View == 0 {
				return false
			}
		}
		return true
	})
	for _, id := range []int{0, 2, 3} {
		err = errors.Join(err, s.order(ctx, id, faultnet.Orders{}))
	}
	s.did("", "R0, R2 and R3 hear prepares again, when they have left view 0")
	return err
}
