package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestFetchingFollowsBeforeItsTargetIsCollected has the others go on, by less than a
// window, while a replica fetches: they keep the newest two snapshots.
func TestFetchingFollowsBeforeItsTargetIsCollected(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Window = 8 * c.Interval })
	r, interval := k.runners[3].r, k.cfg.Interval
	begun := 5 * interval
	for ahead, want := range map[wire.Seq]wire.Seq{
		begun: begun, begun + interval: begun, begun + 2*interval: begun + 2*interval, begun + 3*interval: begun + 3*interval,
	} {
		var fx Effects
		r.transfer = nil
		r.fetch(&wire.CheckpointCert{Seq: begun}, &fx)
		r.ahead = &wire.CheckpointCert{Seq: ahead}
		r.Step(Tick{k.now()}, &fx)
		if got := fx.Fetch[len(fx.Fetch)-1].Cert.Seq; got != want {
			t.Errorf("fetches %d when %d is known, want %d", got, ahead, want)
		}
	}
}
