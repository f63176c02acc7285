package network

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/networktest"
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
			ended <- c.Run(ctx, func(wire.ReplicaID, []byte) error { return nil }, func(wire.ReplicaID, bool, error) {})
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

// tardyDoor holds a client that got in until nobody listens any more.
type tardyDoor struct {
	*door
	addr    string
	entered chan struct{}
}

func (d *tardyDoor) InterceptUpgraded(conn network.Conn) (bool, control.DisconnectReason) {
	ok, reason := d.door.InterceptUpgraded(conn)
	close(d.entered)
	for dialer := (net.Dialer{}); ; {
		probe, err := dialer.DialContext(context.Background(), "tcp", d.addr)
		if err != nil {
			return ok, reason
		}
		_ = probe.Close()
	}
}

// TestClosingWhileClientEntersEndsCleanly ends a replica's transport when a client's
// handshake is done and the swarm has not taken the connection over: it never will,
// and the clock of clients that ask for nothing may not close what it does not have.
func TestClosingWhileClientEntersEndsCleanly(t *testing.T) {
	keys := make([]libcrypto.PrivKey, 2)
	for i := range keys {
		key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key
	}
	timeouts := testTimeouts()
	limits := doorLimits{halfOpen: 64, halfOpenPerIP: 64, clients: 4, clientsPerIP: 4, handshake: timeouts.Handshake}
	door := &tardyDoor{door: newDoor(&roster{}, newLedger(), limits), entered: make(chan struct{})}
	var clocks atomic.Int32
	door.after = func(time.Duration, func()) *time.Timer {
		clocks.Add(1)
		return nil
	}
	replica, err := assemble(parts{key: keys[0], gater: door, door: door.door, limits: rcmgr.InfiniteLimits, timeouts: timeouts})
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.listen([]string{"/ip4/127.0.0.1/tcp/0"}); err != nil {
		t.Fatal(err)
	}
	addrs := replica.Network().ListenAddresses()
	addr, err := manet.ToNetAddr(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	door.addr = addr.String()
	client, err := assemble(parts{key: keys[1], gater: anything{}, limits: rcmgr.InfiniteLimits, timeouts: timeouts})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	remember(client, replica.ID(), addrs)
	if _, err := client.Network().DialPeer(t.Context(), replica.ID()); err != nil {
		t.Fatal(err)
	}
	<-door.entered
	if err := replica.Close(); err != nil {
		t.Error(err)
	}
	if n := clocks.Load(); n > 0 {
		t.Errorf("got %d clocks started for a connection that the swarm never took over, want none", n)
	}
}

// TestRubbishIsAFaultAndNoSteadyLink has a client refuse what a replica sends.
func TestRubbishIsAFaultAndNoSteadyLink(t *testing.T) {
	c := newCluster(t, 1)
	a := networktest.Start(t, 0, c.Transport(t, 0))
	clients, err := NewClients(c.clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := networktest.StartClients(t, clients)
	r.AwaitLink(t, 0, true)
	r.Send(0, networktest.Frame(wire.KindRequest, 1, 0))
	conn := a.AwaitClients(t, 1)[0].Conn
	why := errors.New("a lie")
	r.Refuse(why)
	a.Answer(conn, networktest.Frame(wire.KindReplies, 1, 0))
	err = r.AwaitError(t, 0, func(err error) bool { return errors.Is(err, why) })
	if steady(time.Hour, err) || !steady(time.Hour, errStreamEnded) || steady(0, errStreamEnded) {
		t.Errorf("a link that ended with %v is as good as another one", err)
	}
	r.AwaitLink(t, 0, true)
	want := FaultCount{Fault: FaultRubbish, Count: 1, Detail: err.Error()}
	if got := clients.Faults(); len(got) != 1 || got[0] != want {
		t.Errorf("faults are %+v, want %+v", got, want)
	}
}
