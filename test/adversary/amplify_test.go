package adversary_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	floodCopies    = 1000
	broadcastsMax  = 10      // that copies of one message may bring about in one tick
	answerBytesMax = 4 << 20 // that one peer may draw from a replica in one tick
)

// Law: who repeats a lie makes a replica spread the proof of it only so often.
// Attack: R3 votes for one batch, and a thousand times for another; then it opens
// a view in two ways, a thousand times each.
func TestALieIsSpreadOnce(t *testing.T) {
	l := newLab(t, 4, 3)
	l.start()
	r1 := l.hosts[1]
	prepare := func(digest crypto.Digest) *wire.Sealed {
		return l.forge(&wire.Prepare{Vote: vote(0, 1, digest, 3)})
	}
	l.flood(r1, 3, prepare(crypto.Sum([]byte("one"))), 1)
	fx := l.flood(r1, 3, prepare(crypto.Sum([]byte("another"))), floodCopies)
	spreadOnce(t, fx, wire.KindEvidence, "a conflicting vote")

	newView := func(salt byte) *wire.Sealed {
		nv := &wire.NewView{View: 3, StableState: l.zero().State, Sender: 3}
		for id := range wire.ReplicaID(3) {
			digest := crypto.Sum([]byte{salt, byte(id)})
			nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: id, Digest: digest})
		}
		return l.forge(nv)
	}
	fx = l.flood(r1, 3, newView(1), floodCopies)
	spreadOnce(t, fx, wire.KindFetchViewChange, "a new view whose view changes nobody has")
	fx = l.flood(r1, 3, newView(2), floodCopies)
	spreadOnce(t, fx, wire.KindEvidence, "a second new view of one view")
}

// spreadOnce requires that a flood brought about broadcasts of one kind, and few.
func spreadOnce(t *testing.T, fx *core.Effects, kind wire.Kind, what string) {
	t.Helper()
	told := 0
	for _, s := range fx.Send {
		if s.Message != nil && s.Message.Kind() == kind {
			told++
		}
	}
	if told == 0 {
		t.Errorf("%d copies of %s bring about no %s, want one at least", floodCopies, what, kind)
	}
	if len(fx.Send) > broadcastsMax || len(fx.Observe) > broadcastsMax {
		t.Errorf("%d copies of %s bring about %d broadcasts and %d observations, want at most %d",
			floodCopies, what, len(fx.Send), len(fx.Observe), broadcastsMax)
	}
}

// Law: what one peer draws from a replica in one tick is bounded in bytes.
// Attack: R3 says a thousand times that it has nothing, while the primary has a
// window full of large batches to propose again.
func TestAStatusBringsBoundedBytes(t *testing.T) {
	const requests, clients = 32, 4
	l := newLab(t, 4)
	l.configure = func(c *core.Config) { c.Interval, c.Window, c.InFlight = 64, 128, 16 }
	l.start()
	r0 := l.hosts[0]
	op := strings.Repeat("x", 250_000)
	for i := range requests {
		l.submit(l.request(i%clients, wire.Number(i/clients+1), op), r0)
		l.run()
	}
	if got := r0.replica.Executed(); got != requests {
		t.Fatalf("R0 executed %d batches before the attack, want %d", got, requests)
	}
	for range statusTicks { // or what was sent counts as under way
		l.wait()
	}
	status := l.forge(&wire.Status{Sender: 3, Active: true, Asks: 1})
	got := 0
	for _, s := range l.flood(r0, 3, status, floodCopies).Send {
		if s.Sealed != nil {
			got += len(s.Sealed.Frame())
		} else {
			got += len(wire.Encode(s.Message))
		}
	}
	if got == 0 || got > answerBytesMax {
		t.Errorf("within one tick R3 gets %d bytes for %d bytes asked, want at least one and at most %d",
			got, floodCopies*len(status.Frame()), answerBytesMax)
	}
}
