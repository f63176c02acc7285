package cluster

import (
	"strings"
	"testing"
	"time"
)

// awaitGap waits for a write that is acknowledged after a fault and that fits,
// and logs how long clients went without.
func awaitGap(t *testing.T, load *Load, at time.Time, fits func(Operation) bool) Operation {
	t.Helper()
	since := at.Sub(load.Start())
	o, err := load.AwaitOperation(bounded(t), "a write after the fault", func(o Operation) bool {
		return o.IsWrite() && o.Return > since && fits(o)
	})
	must(t, err)
	t.Logf("first acknowledged write %v after the fault, in view %d", (o.Return - since).Round(time.Millisecond), o.View)
	return o
}

func TestServiceResumesWhenThePrimaryIsKilled(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{RequestTimeout: 5 * time.Second}) // so that none expires on a busy machine
	load := startLoad(ctx, t, c)
	primary, view, err := c.Primary(ctx)
	must(t, err)
	killed := time.Now()
	must(t, c.Kill(int(primary)))
	awaitGap(t, load, killed, func(o Operation) bool { return o.View > view })
	atOnce := false
	for id := range 4 {
		atOnce = atOnce || strings.Contains(c.Logs(id), "no quorum reaches its primary")
	}
	if !atOnce {
		t.Error("nobody left the view because connections to the primary broke: all waited for a timeout")
	}
	must(t, load.Await(ctx, 200), c.Restart(int(primary)))
	must(t, load.Await(ctx, 200))
	if proof := prove(ctx, t, c, load); len(proof.Replicas) != 4 {
		t.Errorf("%d replicas hold the same state, want 4", len(proof.Replicas))
	}
}

func TestAcknowledgedWritesSurviveTheDeathOfAll(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	load := startLoad(ctx, t, c)
	must(t, load.Await(ctx, 200), c.KillAll())
	restarted := time.Now()
	for i := range 4 {
		must(t, c.Restart(i))
	}
	awaitGap(t, load, restarted, func(Operation) bool { return true })
	must(t, load.Await(ctx, 200))
	if proof := prove(ctx, t, c, load); len(proof.Replicas) != 4 {
		t.Errorf("%d replicas hold the same state, want 4", len(proof.Replicas))
	}
}

func TestPausedPrimaryIsReplacedAndComesBack(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	load := startLoad(ctx, t, c)
	primary, view, err := c.Primary(ctx)
	must(t, err)
	paused := time.Now()
	must(t, c.Pause(int(primary)))
	awaitGap(t, load, paused, func(o Operation) bool { return o.View > view })
	must(t, load.Await(ctx, 200), c.Resume(int(primary)), load.Await(ctx, 200))
	if proof := prove(ctx, t, c, load); len(proof.Replicas) != 4 {
		t.Errorf("%d replicas hold the same state, want 4", len(proof.Replicas))
	}
}
