package network

import (
	"context"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

// lonely returns a host that has no transport.
func lonely(t *testing.T) *assembly {
	t.Helper()
	key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	door := newDoor(&roster{}, newLedger(), doorLimits{halfOpen: 8, halfOpenPerIP: 8, clients: 8, clientsPerIP: 8})
	door.after = func(time.Duration, func()) *time.Timer { return nil } // nobody must open a stream
	a, err := assemble(parts{
		key: key, gater: anything{}, door: door, limits: rcmgr.InfiniteLimits, timeouts: testTimeouts(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// TestPausesAreShortOnceThePeerShows has a peer that was away for long show that it is
// there: this ends the pause, and the next one is short again, without another sign. But
// no sign makes a pause shorter than the least.
func TestPausesAreShortOnceThePeerShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, wake := backoff{min: 50 * time.Millisecond, max: 2 * time.Second}, make(chan struct{}, 1)
		wait := func() time.Duration {
			began := time.Now()
			b.wait(t.Context(), wake)
			return time.Since(began)
		}
		if first := wait(); first != 0 {
			t.Errorf("the first attempt waits for %v", first)
		}
		for range 10 {
			wait()
		}
		if long := wait(); long < b.max/2 || long > b.max {
			t.Errorf("after many attempts a pause takes %v, want %v to %v", long, b.max/2, b.max)
		}
		for range 20 {
			wake <- struct{}{}
			if pause := wait(); pause != b.min {
				t.Errorf("a pause takes %v though the peer is there, want %v", pause, b.min)
			}
		}
		if next := wait(); next < b.min || next > 2*b.min {
			t.Errorf("the next attempt waits for %v, want %v to %v", next, b.min, 2*b.min)
		}
		if later := wait(); later < 2*b.min || later > 4*b.min {
			t.Errorf("the one after it waits for %v, want twice as long", later)
		}
	})
}

// TestAStreamThatIsNotAnsweredLeavesTheOthersAlone has a peer that is slow to answer in
// one class: what goes on in the other one over the same connection goes on. When nothing
// does, the connection may be dead, and the next attempt makes a new one.
func TestAStreamThatIsNotAnsweredLeavesTheOthersAlone(t *testing.T) {
	here, there := lonely(t), lonely(t)
	if err := there.listen([]string{"/ip4/127.0.0.1/tcp/0"}); err != nil {
		t.Fatal(err)
	}
	remember(here, there.ID(), there.Network().ListenAddresses())
	frames := make(chan []byte)
	there.SetStreamHandler(protocolOf(wire.ClassVotes), func(s network.Stream) {
		if _, err := readHello(s); err != nil {
			return
		}
		_, _ = s.Write(answer{verdict: verdictWelcome, version: protocolVersion}.encode())
		_ = s.SetDeadline(time.Time{})
		r := newFrameReader(s, 1024, patience)
		for {
			frame, err := r.next()
			if err != nil {
				return
			}
			frames <- frame
		}
	})
	there.SetStreamHandler(protocolOf(wire.ClassBulk), func(network.Stream) {}) // and says nothing
	var kin kin
	up := make(chan bool, 2)
	courier := func(class wire.Class) *courier {
		return &courier{
			host: here, peer: there.ID(), hello: hello{version: protocolVersion, class: class}, timeouts: testTimeouts(),
			queue: outbox.New(queueLimits(class, 1024)), faults: newLedger(), read: watch, kin: &kin,
			state: func(is bool, _ error) { up <- is },
		}
	}
	votes, bulk := courier(wire.ClassVotes), courier(wire.ClassBulk)
	bulk.timeouts.Handshake = 20 * time.Millisecond
	bulk.state = func(is bool, err error) {
		if is || !timedOut(err) {
			t.Errorf("the stream that is not answered: up %t, %v, want a timeout", is, err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = votes.once(ctx)
	}()
	if !<-up {
		t.Fatal("the first stream did not come up")
	}
	conn := here.Network().ConnsToPeer(there.ID())[0]
	for i := range byte(3) {
		_, _ = bulk.once(t.Context())
		votes.queue.Push([]byte{1, i})
		select {
		case frame := <-frames:
			if frame[1] != i {
				t.Errorf("got frame %d, want %d", frame[1], i)
			}
		case <-up:
			t.Fatalf("the other stream of the connection was cut at attempt %d", i)
		}
	}
	cancel()
	<-ended
	_, _ = bulk.once(t.Context())
	if !conn.IsClosed() {
		t.Error("the connection is kept where nobody answers, want it closed")
	}
}
