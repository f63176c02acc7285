package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/cluster"
)

// begin starts four honest replicas and a load that is answered.
func (s *Stage) begin(ctx context.Context) error {
	if err := s.start(ctx, 4, nil); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	return s.Load.Await(ctx, 150)
}

func realAmnesia(ctx context.Context, s *Stage) error {
	const lost = 2
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.Cluster.Kill(lost), s.Cluster.Wipe(lost), s.Cluster.Restart(lost)); err != nil {
		return err
	}
	s.did("R2", "loses its directory, and starts")
	select {
	case <-s.Cluster.Exited(lost):
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if s.Cluster.ExitCode(lost) == 0 || !strings.Contains(s.Cluster.Logs(lost), pbft.ErrDataMissing.Error()) {
		err = fmt.Errorf("it ended with code %d", s.Cluster.ExitCode(lost))
	}
	s.see("it refuses to start", err)
	if err := s.Cluster.Restart(lost, "--rejoin"); err != nil {
		return err
	}
	s.did("R2", "starts with --rejoin")
	highest, err := s.Cluster.Highest(ctx)
	if err != nil {
		return err
	}
	s.see("told to rejoin, it has what the others had",
		s.Cluster.Await(ctx, "R2 to catch up", s.Cluster.Executed(highest, lost)))
	s.all(ctx, []want{served()})
	return nil
}

func realPowerCut(ctx context.Context, s *Stage) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.Cluster.KillAll(); err != nil {
		return err
	}
	s.did("", "SIGKILL of all four, with operations under way")
	restarted := time.Since(s.Load.Start())
	for i := range 4 {
		if err := s.Cluster.Restart(i); err != nil {
			return err
		}
	}
	_, err := s.Load.AwaitOperation(ctx, "a write after the restart", func(o cluster.Operation) bool {
		return o.IsWrite() && o.Return > restarted
	})
	s.see("they go on from what their disks hold", err)
	s.all(ctx, []want{served()})
	return nil
}

// realClone runs a second process with R3's key and data.
func realClone(ctx context.Context, s *Stage) error {
	const original = 3
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.Cluster.Kill(original); err != nil {
		return err
	}
	dir := filepath.Join(s.options.Dir, "cluster", "clone")
	if err := copyReplica(s.Cluster.Dir(original), dir); err != nil {
		return err
	}
	if err := s.Cluster.Restart(original); err != nil {
		return err
	}
	s.liars = map[int]string{original: ""} // with two lives it may be convicted
	running, stop := context.WithCancel(ctx)
	ended := make(chan string, 1)
	go func() {
		_, text, _ := cluster.Run(running, s.options.Binary, "node", "--dir", dir) // until it is killed
		ended <- text
	}()
	s.did("R3", "runs twice, with one key and one past")
	s.all(ctx, []want{served(), served()})
	stop()
	var err error
	if text := <-ended; !strings.Contains(text, "ready replica=3") {
		err = fmt.Errorf("the clone did not run: %.200s", text)
	}
	s.see("the clone ran beside it", err)
	return nil
}

// copyReplica copies the directory of a replica that does not run, and lets the
// copy listen elsewhere.
func copyReplica(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	for _, secret := range []string{pbft.KeyFile, pbft.ConfigFile} {
		if err := os.Chmod(filepath.Join(to, secret), 0o600); err != nil {
			return err
		}
	}
	config, err := os.OpenFile(filepath.Join(to, pbft.ConfigFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(config, `listen = ["/ip4/127.0.0.1/tcp/0"]`)
	return errors.Join(err, config.Close())
}

// realPoisonedTransfer lets R3 fetch the state where R1 spoils what it serves. R3
// keeps its data: with a liar and one that forgot, two of four would be faulty.
func realPoisonedTransfer(ctx context.Context, s *Stage) error {
	const behind = 3
	if err := s.start(ctx, 4, map[int]string{1: "poisoned-transfer"}); err != nil {
		return err
	}
	if err := errors.Join(s.load(ctx), s.Load.Await(ctx, 100), s.Cluster.Kill(behind)); err != nil {
		return err
	}
	s.did("R3", "is down (SIGKILL) while the others go on for %d windows", farWindows)
	target, err := s.Cluster.Highest(ctx)
	if err != nil {
		return err
	}
	target += farWindows * 4 * s.Cluster.Interval()
	err = s.Cluster.Await(ctx, "checkpoints without R3", func(status []pbft.ReplicaStatus) bool {
		r := status[0].Report
		return r != nil && r.Stable >= target
	})
	if err := errors.Join(err, s.Cluster.Restart(behind)); err != nil {
		return err
	}
	err = s.Cluster.Await(ctx, "R3 to have the state", s.Cluster.Executed(target, behind))
	s.see("R3 has the state all the same", err)
	s.all(ctx, []want{served()})
	return nil
}

// realSplitBrain stops two of four, which is what the other two see of a network
// that splits.
func realSplitBrain(ctx context.Context, s *Stage) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.Cluster.Pause(2), s.Cluster.Pause(3)); err != nil {
		return err
	}
	s.did("", "R2 and R3 are out of reach (SIGSTOP) for 10 T")
	over := time.NewTimer(10 * realTimeout)
	defer over.Stop()
	settled := time.NewTimer(realTimeout) // what was under way arrives
	defer settled.Stop()
	<-settled.C
	before := s.Load.Acknowledged()
	select {
	case <-over.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if more := s.Load.Acknowledged() - before; more > 0 {
		err = fmt.Errorf("%d operations are acknowledged", more)
	}
	s.see("nothing is acknowledged meanwhile", err)
	if err := errors.Join(s.Cluster.Resume(2), s.Cluster.Resume(3)); err != nil {
		return err
	}
	s.all(ctx, []want{served(), everyoneFollows("everyone")})
	return nil
}
