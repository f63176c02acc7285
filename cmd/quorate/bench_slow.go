package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/bench"
	"github.com/quorate/quorate/test/cluster"
)

// slowTurn is how often a slow backup is stopped, and caughtUpPoll how often it is asked
// afterwards whether it has executed what the others had.
const (
	slowTurn     = 100 * time.Millisecond
	caughtUpPoll = 20 * time.Millisecond
)

// slowBackup stops the process of one backup for a share of each turn. Nothing that
// others send it is lost: it waits in their queues and the kernel's.
type slowBackup struct {
	cluster *cluster.Cluster
	share   float64

	replica int
	stop    context.CancelFunc
	wg      sync.WaitGroup
	failed  error     // of the turns; read after wg
	resumed time.Time // for good

	behind uint64
	caught time.Duration
}

// begin chooses the backup that would lead last, and begins to stop it. end must follow.
func (s *slowBackup) begin(ctx context.Context) error {
	var err error
	if s.replica, err = lastToLead(ctx, s.cluster); err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.wg.Go(func() { s.failed = s.turns(ctx) })
	return nil
}

// turns stops and resumes until ctx is done. It may leave the process stopped.
func (s *slowBackup) turns(ctx context.Context) error {
	turn := time.NewTicker(slowTurn)
	defer turn.Stop()
	for ctx.Err() == nil {
		if err := s.cluster.Pause(s.replica); err != nil {
			return err
		}
		if s.share < 1 {
			if rest(ctx, time.Duration(s.share*float64(slowTurn))) != nil {
				break
			}
			if err := s.cluster.Resume(s.replica); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-turn.C:
		}
	}
	return nil
}

// end lets the backup go on.
func (s *slowBackup) end() error {
	s.stop()
	s.wg.Wait()
	s.resumed = time.Now()
	return errors.Join(s.failed, s.cluster.Resume(s.replica))
}

// catchUp waits until the backup has executed what the others have executed now.
func (s *slowBackup) catchUp(ctx context.Context) error {
	target := wire.Seq(0)
	for {
		status, err := s.cluster.Status(ctx)
		if err != nil {
			return err
		}
		own, most, ok := executed(status, s.replica)
		if ok && target == 0 {
			target, s.behind = most, uint64(most-own)
		}
		if ok && own >= target {
			s.caught = time.Since(s.resumed)
			return nil
		}
		if err := rest(ctx, caughtUpPoll); err != nil {
			return fmt.Errorf("replica %d, %d numbers behind, did not catch up: %w", s.replica, target-own, err)
		}
	}
}

// executed returns what a replica has executed, and the most that any has; !ok if it does
// not tell.
func executed(status []pbft.ReplicaStatus, replica int) (own, most wire.Seq, ok bool) {
	for i, st := range status {
		if st.Report == nil {
			continue
		}
		most = max(most, st.Report.Executed)
		if i == replica {
			own, ok = st.Report.Executed, true
		}
	}
	return own, most, ok
}

// rest waits; the end of ctx is its error.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// outcome is what became of the backup, nil if there is none.
func (s *slowBackup) outcome() *bench.SlowBackup {
	if s == nil {
		return nil
	}
	return &bench.SlowBackup{Replica: s.replica, Behind: s.behind, CaughtUp: s.caught}
}
