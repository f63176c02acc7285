package network

import (
	"context"
	"runtime"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestClosingWhileDiallingEndsCleanly ends clients at the moment when they begin
// to dial: libp2p may not be made to use what is being closed.
func TestClosingWhileDiallingEndsCleanly(t *testing.T) {
	var members []Member
	for range 4 {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, Member{Key: key.Public(), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}})
	}
	for round := range 400 {
		c, err := NewClients(ClientConfig{Replicas: members})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- c.Run(ctx, func(wire.ReplicaID, []byte) {}, func(wire.ReplicaID, bool, error) {})
		}()
		for range round { // a little later in every round
			runtime.Gosched()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
