package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/cluster"
)

// play is what a scenario does on real processes.
type play func(context.Context, *Stage) error

// want is something that must be seen on real processes.
type want struct {
	what string
	see  play
}

// all looks for one thing after the other.
func (s *Stage) all(ctx context.Context, wants []want) {
	for _, w := range wants {
		if !s.see(w.what, w.see(ctx, s)) {
			return
		}
	}
}

// lie lets one of four replicas lie, under load.
func lie(id int, strategy string, wants ...want) play {
	return func(ctx context.Context, s *Stage) error {
		if err := s.start(ctx, 4, map[int]string{id: strategy}); err != nil {
			return err
		}
		if err := s.load(ctx); err != nil {
			return err
		}
		s.all(ctx, wants)
		return nil
	}
}

// lieIdle is lie, of a replica that waits until there is nothing to do.
func lieIdle(id int, strategy string, idle want, wants ...want) play {
	return func(ctx context.Context, s *Stage) error {
		if err := s.start(ctx, 4, map[int]string{id: strategy}); err != nil {
			return err
		}
		client, err := s.Cluster.Client(ctx)
		if err != nil {
			return err
		}
		for i := range 3 {
			if _, err := client.Submit(ctx, kv.Put("idle", fmt.Append(nil, i))); err != nil {
				return errors.Join(err, client.Close())
			}
		}
		if err := client.Close(); err != nil {
			return err
		}
		s.all(ctx, []want{idle})
		if err := s.load(ctx); err != nil {
			return err
		}
		s.all(ctx, wants)
		return nil
	}
}

// liePaused is lie, where the primary stops until the others have left its view:
// again and again, until the liar had reason to lie.
func liePaused(id int, strategy string, wants ...want) play {
	return func(ctx context.Context, s *Stage) error {
		if err := s.start(ctx, 4, map[int]string{id: strategy}); err != nil {
			return err
		}
		if err := s.load(ctx); err != nil {
			return err
		}
		for range pausesMax {
			if err := s.pausePrimary(ctx); err != nil {
				return err
			}
			if s.told(id) {
				break
			}
		}
		s.all(ctx, wants)
		return nil
	}
}

// pausesMax is how often a primary stops to make a liar lie.
const pausesMax = 8

// pausePrimary stops the primary, under load, until the others have left its view.
func (s *Stage) pausePrimary(ctx context.Context) error {
	if err := s.Load.Await(ctx, 50); err != nil {
		return err
	}
	primary, view, err := s.Cluster.Primary(ctx)
	if err != nil {
		return err
	}
	if err := s.Cluster.Pause(int(primary)); err != nil {
		return err
	}
	s.did(replicaName(primary), "stops (SIGSTOP), and goes on when the others have left view %d", view)
	err = s.Cluster.Await(ctx, "the others to leave the view", func(status []pbft.ReplicaStatus) bool {
		for _, id := range s.correct() {
			if r := status[id].Report; id != primary && (r == nil || r.View <= view) {
				return false
			}
		}
		return true
	})
	return errors.Join(err, s.Cluster.Resume(int(primary)))
}

// told tells whether a liar told of a lie.
func (s *Stage) told(id int) bool { return strings.Contains(s.Cluster.Logs(id), "adversary: ") }

// silentSuccessors lets two of seven replicas be silent primaries.
func silentSuccessors(ctx context.Context, s *Stage) error {
	if err := s.start(ctx, 7, map[int]string{0: "mute-primary", 1: "silent-successors"}); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	s.all(ctx, []want{newView(2), answersIn(2)})
	return nil
}

// newView waits for the correct replicas to be in view, or a later one.
func newView(view wire.View) want {
	return want{fmt.Sprintf("view %d, or a later one, opens", view), func(ctx context.Context, s *Stage) error {
		return s.Cluster.Await(ctx, "a new view", s.Cluster.InView(view, s.correct()...))
	}}
}

// answersIn waits for an acknowledged write in view, or a later one, of every
// client.
func answersIn(view wire.View) want {
	return want{"every client has an answer in it", func(ctx context.Context, s *Stage) error {
		for client := range 8 {
			_, err := s.Load.AwaitOperation(ctx, fmt.Sprintf("an answer of client %d", client), func(o cluster.Operation) bool {
				return o.Client == client && o.View >= view
			})
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// served waits for a number of answers.
func served() want {
	return want{"clients are served", func(ctx context.Context, s *Stage) error { return s.Load.Await(ctx, 300) }}
}

// sameView requires that the liar did not make the view change.
func sameView() want {
	return want{"the view is still 0", func(ctx context.Context, s *Stage) error {
		status, err := s.Cluster.Status(ctx)
		for _, id := range s.correct() {
			if r := status[id].Report; r != nil && r.View > 0 {
				return fmt.Errorf("replica %d is in view %d", id, r.View)
			}
		}
		return err
	}}
}

// exposedMax bounds the wait for a proof.
const exposedMax = 30 * time.Second

// exposed waits for a correct replica to name the liar.
func exposed(id int) want {
	return want{fmt.Sprintf("a correct replica names R%d", id), func(ctx context.Context, s *Stage) error {
		ctx, cancel := context.WithTimeout(ctx, exposedMax)
		defer cancel()
		return s.Cluster.Await(ctx, "a correct replica to name the liar", func([]pbft.ReplicaStatus) bool {
			for _, correct := range s.correct() {
				if strings.Contains(s.Cluster.Logs(int(correct)), fmt.Sprintf("MISBEHAVIOUR peer=%d", id)) {
					return true
				}
			}
			return false
		})
	}}
}

// everyoneFollows ends the load, and waits for all to have executed the same.
func everyoneFollows(who string) want {
	return want{who + " has what the others have, and no load brings it", func(ctx context.Context, s *Stage) error {
		s.stop(ctx)
		highest, err := s.Cluster.Highest(ctx)
		if err != nil {
			return err
		}
		return s.Cluster.Await(ctx, who+" to catch up", s.Cluster.Executed(highest, s.correct()...))
	}}
}

// longestGap returns the longest time that a client of the load waited for an
// answer.
func longestGap(h cluster.History) time.Duration {
	longest := time.Duration(0)
	for _, o := range h.Operations {
		if o.Finished {
			longest = max(longest, o.Return-o.Call)
		}
	}
	return longest
}
