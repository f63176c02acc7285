package adversary_test

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: nobody but a replica itself fills the room for what it says early.
// Attack: R2 relays one early vote of R1 until that room would be full; then R3,
// one window behind, needs what R1 says early.
func TestRelayedVotesDoNotFillTheRoomOfTheirSigner(t *testing.T) {
	const roomMessages, window = 1024, 8
	l := newLab(t, 4, 2)
	l.start()
	r0, r1, r3 := l.hosts[0], l.hosts[1], l.hosts[3]
	far := l.forge(&wire.Commit{Vote: vote(0, 100, crypto.Sum([]byte("far")), 1)})
	l.flood(r3, 2, far, roomMessages)

	// The others move their window on, and R3 does not hear of it.
	l.passes = func(p packet) bool { return p.to != 3 || p.sealed.Message().Kind() != wire.KindCheckpoint }
	for i := range wire.Number(window) {
		l.submit(l.request(0, i+1, fmt.Sprint(i)), r0)
		l.run()
	}
	got := [3]wire.Seq{r3.replica.Executed(), r3.replica.Stable().Seq, r1.replica.Stable().Seq}
	if want := [3]wire.Seq{window, 0, window}; got != want {
		t.Fatalf("R3 executed, R3's and R1's stable checkpoint are %d, want %d", got, want)
	}
	l.submit(l.request(0, window+1, "early"), r0)
	l.run()
	l.passes = nil
	l.step(r3, core.Received{From: 1, Message: wire.Reseal(&wire.StableProof{Cert: r1.replica.Stable()})})
	l.run()
	if got := r3.replica.Executed(); got != window+1 {
		t.Errorf("R3 executed %d, want %d: what R1 said early was dropped", got, window+1)
	}
}
