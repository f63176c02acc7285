package network

import (
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

// testTimeouts wait for whoever is slow as long as the tests do, for on a busy machine all
// are, and try again soon. A test that attacks a timeout shortens that one alone.
func testTimeouts() Timeouts {
	return Timeouts{
		Dial: patience, Handshake: patience, Frame: patience, Write: patience,
		RedialMin: 10 * time.Millisecond, RedialMax: 200 * time.Millisecond,
	}
}

// cluster makes transports on loopback, at ports that were free.
type cluster struct {
	keys     []crypto.PrivateKey
	members  []Member
	genesis  crypto.Digest
	timeouts Timeouts
	clients  int
	made     []*Transport // by replica; nil where the first was taken
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{genesis: crypto.Sum([]byte("genesis of the test")), timeouts: testTimeouts()}
	for range n {
		key := newKey(t)
		c.keys = append(c.keys, key)
		c.members = append(c.members, Member{Key: key.Public(), Addrs: []string{"/ip4/127.0.0.1/tcp/0"}})
	}
	for i := range n {
		tr, err := New(c.config(wire.ReplicaID(i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
		c.made = append(c.made, tr)
	}
	for i := range n {
		c.members[i].Addrs = c.made[i].Addrs()
	}
	for _, tr := range c.made {
		for i := range n {
			if err := tr.SetMemberAddrs(wire.ReplicaID(i), c.members[i].Addrs); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func newKey(tb testing.TB) crypto.PrivateKey {
	tb.Helper()
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (c *cluster) config(id wire.ReplicaID) Config {
	return Config{
		Self: id, Key: c.keys[id], Cluster: c.genesis, Members: c.members,
		FrameBytesMax: networktest.FrameBytesMax, ClientsMax: c.clients, Timeouts: c.timeouts,
	}
}

// Transport returns the transport of a replica, a new one the second time.
func (c *cluster) Transport(t *testing.T, id wire.ReplicaID) networktest.Transport {
	t.Helper()
	if tr := c.made[id]; tr != nil {
		c.made[id] = nil
		return tr
	}
	tr, err := New(c.config(id))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Clients returns a new client.
func (c *cluster) Clients(t *testing.T) networktest.Clients {
	t.Helper()
	cl, err := NewClients(c.clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func (c *cluster) clientConfig() ClientConfig {
	return ClientConfig{
		Cluster: c.genesis, Replicas: c.members, FrameBytesMax: networktest.FrameBytesMax, Timeouts: c.timeouts,
	}
}

func TestTransportKeepsItsContract(t *testing.T) {
	networktest.Run(t, func(t *testing.T, n int) networktest.Cluster {
		t.Helper()
		return newCluster(t, n)
	})
}
