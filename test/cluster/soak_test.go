package cluster

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// rounds is how many faults TestRandomFaults injects: more for a soak.
var rounds = flag.Int("rounds", 4, "faults that TestRandomFaults injects")

// TestRandomFaults kills and pauses replicas at random, also more than f at once:
// then the cluster may stand still, and must go on when they are back.
func TestRandomFaults(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Duration(1+*rounds/10))
	defer cancel()
	random := rand.New(rand.NewPCG(*seed, 0))
	c := startCluster(ctx, t, Options{})
	load := startLoad(ctx, t, c)
	for round := range *rounds {
		what := strike(ctx, t, c, load, random)
		if err := load.Await(ctx, 50+random.IntN(100)); err != nil {
			status, statusErr := c.Status(ctx)
			t.Fatalf("round %d, after the test %s: %v, %v%s", round, what, err, statusErr, c.describe(status))
		}
	}
	if proof := prove(ctx, t, c, load); len(proof.Replicas) != 4 {
		t.Errorf("%d replicas hold the same state, want 4", len(proof.Replicas))
	}
}

// strike does something to some replicas and undoes it.
func strike(ctx context.Context, t *testing.T, c *Cluster, load *Load, random *rand.Rand) string {
	t.Helper()
	victims := random.Perm(4)[:1+random.IntN(2)]
	if random.IntN(5) == 0 {
		victims = random.Perm(4)
	}
	pause := random.IntN(3) == 0
	for _, i := range victims {
		if pause {
			must(t, c.Pause(i))
			continue
		}
		must(t, c.Kill(i))
	}
	if len(victims) <= c.Quorum().Faults() {
		must(t, load.Await(ctx, 20+random.IntN(100)))
	}
	for _, i := range victims {
		if pause {
			must(t, c.Resume(i))
			continue
		}
		must(t, c.Restart(i))
	}
	what := fmt.Sprintf("killed %v", victims)
	if pause {
		what = fmt.Sprintf("paused %v", victims)
	}
	t.Log(what)
	return what
}
