package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// A faulty primary shows this replica other batches than the rest commit: what
// it remembers of them stays bounded.
func TestPlacesOfWhatNeverExecutesAreForgotten(t *testing.T) {
	q, _ := NewQuorum(4)
	cfg := DefaultConfig(3, q)
	cfg.Interval, cfg.Window = 4, 8
	r, err := New(cfg, Restored{})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	now := wire.Time(1_700_000_000_000_000_000)
	r.Step(Start{now}, &fx)
	signers := []wire.Signed{{Sender: 0, Signature: crypto.Signature{1}}, {Sender: 1, Signature: crypto.Signature{1}}, {Sender: 2, Signature: crypto.Signature{1}}}
	batch := func(n, k int) *wire.Batch {
		b := &wire.Batch{Time: now}
		for i := range 10 {
			b.Requests = append(b.Requests, &wire.Request{Client: wire.ClientID{byte(k)}, Session: 1, Number: wire.Number(n*10 + i + 1), Ops: [][]byte{{1}}})
		}
		return b
	}
	for n := 1; n <= 400; n++ {
		fx.Reset()
		shown, real := batch(n, 1), batch(n, 2)
		pp := &wire.PrePrepare{Vote: wire.Vote{Seq: wire.Seq(n), Digest: shown.Digest(), Signature: crypto.Signature{1}}, Batch: shown}
		r.Step(Received{From: 0, Message: wire.Reseal(pp)}, &fx)
		r.Step(Received{From: 1, Message: wire.Reseal(&wire.Committed{Cert: wire.CommitCert{Seq: wire.Seq(n), Digest: real.Digest(), Commits: signers}, Batch: real})}, &fx)
		if n%4 == 0 {
			state := crypto.Sum([]byte{byte(n), byte(n >> 8)})
			r.Step(Snapshotted{wire.Seq(n), state}, &fx)
			r.Step(Received{From: 1, Message: wire.Reseal(&wire.StableProof{Cert: wire.CheckpointCert{Seq: wire.Seq(n), State: state, Signers: signers}})}, &fx)
		}
	}
	if r.executed != 400 || r.low != 400 {
		t.Fatal(r.executed, r.low)
	}
	if len(r.placed) > 1000 {
		t.Errorf("%d places are remembered, above %d", len(r.placed), r.low)
	}
}
