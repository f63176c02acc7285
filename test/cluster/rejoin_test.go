package cluster

import (
	"context"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

func TestLostDataIsNoticedAndFetchedFromOthers(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	load := startLoad(ctx, t, c)
	// Two windows and more behind, a replica fetches the state, not the batches.
	awaitCheckpoint(ctx, t, c, 2*wire.Seq(c.Genesis().Limits.Window)+c.Interval())
	const lost = 3
	must(t, c.Kill(lost), c.Wipe(lost))

	must(t, c.Restart(lost))
	<-c.Exited(lost)
	text := c.Logs(lost)
	if code := c.ExitCode(lost); code == 0 || !strings.Contains(text, pbft.ErrDataMissing.Error()) || !strings.Contains(text, "rejoin") {
		t.Fatalf("without its data the replica ended with code %d, want a refusal that names rejoin:\n%s", code, text)
	}

	must(t, load.Await(ctx, 100), c.Restart(lost, "--rejoin"))
	highest, err := c.Highest(ctx)
	must(t, err)
	must(t, c.Await(ctx, "the replica to have what the others had", c.Executed(highest, lost)))
	must(t, c.Await(ctx, "the replica to tell of a state transfer", func([]pbft.ReplicaStatus) bool {
		log := c.Logs(lost) // which may come later than the status does
		return strings.Contains(log, "fetches the state") && strings.Contains(log, "caught up seq=")
	}))
	must(t, load.Await(ctx, 100))
	if proof := prove(ctx, t, c, load); len(proof.Replicas) != 4 {
		t.Errorf("%d replicas hold the same state, want 4", len(proof.Replicas))
	}
}

// awaitCheckpoint waits until a checkpoint of seq or later is stable somewhere.
func awaitCheckpoint(ctx context.Context, t *testing.T, c *Cluster, seq wire.Seq) {
	t.Helper()
	must(t, c.Await(ctx, "a stable checkpoint", func(status []pbft.ReplicaStatus) bool {
		for _, s := range status {
			if s.Report != nil && s.Report.Stable >= seq {
				return true
			}
		}
		return false
	}))
}

// TestReplicaRejoinsAfterCheckpointsAndViewsWithoutTraffic needs f = 2: one
// replica is away while a primary is dead.
func TestReplicaRejoinsAfterCheckpointsAndViewsWithoutTraffic(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{Replicas: 7})
	load := startLoad(ctx, t, c)
	const away = 6
	must(t, c.Kill(away))
	missed, err := c.Highest(ctx)
	must(t, err)
	for range 2 {
		primary, view, err := c.Primary(ctx)
		must(t, err)
		must(t, c.Kill(int(primary)))
		must(t, c.Await(ctx, "the next view", c.InView(view+1, c.Live()...)))
		must(t, load.Await(ctx, 50), c.Restart(int(primary)))
		must(t, c.Await(ctx, "the old primary to be back", c.InView(view+1, primary)))
	}
	awaitCheckpoint(ctx, t, c, missed+3*c.Interval())
	history := load.Stop(ctx)
	highest, err := c.Highest(ctx)
	must(t, err, c.Restart(away))
	must(t, c.Await(ctx, "the replica to catch up without traffic", c.Executed(highest, c.Live()...)))
	proof, err := Prove(ctx, c, history)
	must(t, err)
	t.Logf("\n%s", proof)
	if len(proof.Replicas) != 7 {
		t.Errorf("%d replicas hold the same state, want 7", len(proof.Replicas))
	}
}

func TestClustersOfOtherSizesTolerateTheirFaults(t *testing.T) {
	for name, test := range map[string]struct{ replicas, killed int }{
		"n=5": {5, 1}, "n=6": {6, 1}, "n=7": {7, 2},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := bounded(t)
			c := startCluster(ctx, t, Options{Replicas: test.replicas})
			if f := c.Quorum().Faults(); f != test.killed {
				t.Fatalf("f is %d, want %d", f, test.killed)
			}
			load := startLoad(ctx, t, c)
			for i := range test.killed {
				must(t, c.Kill(i))
			}
			must(t, load.Await(ctx, 200))
			if proof := prove(ctx, t, c, load); len(proof.Replicas) != test.replicas-test.killed {
				t.Errorf("%d replicas hold the same state, want %d", len(proof.Replicas), test.replicas-test.killed)
			}
		})
	}
}
