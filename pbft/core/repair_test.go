package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestRepairDoesNotGoBack repeats an older certificate to a replica whose state is wrong
// and that fetches the one of a newer certificate: it goes on with that.
func TestRepairDoesNotGoBack(t *testing.T) {
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(3, q)
	cfg.Interval, cfg.Window = 2, 8
	r, err := New(cfg, Restored{})
	if err != nil {
		t.Fatal(err)
	}
	r.executed, r.taken = 4, 4
	proof := func(seq wire.Seq) *Effects {
		cert := wire.CheckpointCert{Seq: seq, State: crypto.Sum([]byte{byte(seq)}), Signers: make([]wire.Signed, q.Strong())}
		for i := range cert.Signers {
			cert.Signers[i].Sender = wire.ReplicaID(i) //nolint:gosec // small
		}
		r.snapshots[seq] = crypto.Sum([]byte("wrong"))
		var fx Effects
		r.Step(Received{From: 1, Message: wire.Reseal(&wire.StableProof{Cert: cert})}, &fx)
		return &fx
	}
	for _, one := range []struct {
		seq  wire.Seq
		want int
	}{{4, 1}, {2, 0}, {4, 0}, {2, 0}} {
		if got := proof(one.seq).Fetch; len(got) != one.want {
			t.Errorf("after the proof of %d it fetches %v, want %d", one.seq, got, one.want)
		}
	}
	if !r.wrong || r.transfer == nil || r.transfer.Seq != 4 {
		t.Errorf("it fetches %v, want the state of 4", r.transfer)
	}
}
