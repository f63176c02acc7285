package network

import (
	"net"
	"testing"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/quorate/quorate/pbft/wire"
)

// knocker is a connection from an address that remembers whether it was closed.
type knocker struct {
	manet.Conn
	from   net.Addr
	closed bool
}

func (k *knocker) RemoteAddr() net.Addr { return k.from }

func (k *knocker) Close() error {
	k.closed = true
	return nil
}

func from(ip string) *knocker { return &knocker{from: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}} }

func testDoor() *door {
	return newDoor(&roster{}, newLedger(), doorLimits{halfOpen: 8, halfOpenPerIP: 6, clients: 5, clientsPerIP: 3})
}

// counts returns what the door's books hold.
func (d *door) counts() (halfOpen, addresses, clients int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.halfOpen, len(d.mu.byIP), d.mu.client
}

func TestFloodOfOneAddressPushesOutItself(t *testing.T) {
	d := testDoor()
	honest := []*knocker{from("10.0.0.1"), from("10.0.0.2"), from("10.0.0.3")}
	for _, h := range honest {
		d.enter(h)
	}
	flood := make([]*knocker, 100)
	for i := range flood {
		flood[i] = from("10.9.9.9")
		d.enter(flood[i])
	}
	for i, h := range honest {
		if h.closed {
			t.Errorf("connection %d, the only one of its address, was closed for the flood", i)
		}
	}
	for i, f := range flood {
		if want := i < len(flood)-5; f.closed != want {
			t.Errorf("connection %d of the flood closed: %t, want %t: the oldest go", i, f.closed, want)
		}
	}
	if halfOpen, _, _ := d.counts(); halfOpen != 8 {
		t.Errorf("%d half-open connections, want 8", halfOpen)
	}
}

func TestClientsHaveLimitsInAllAndByAddress(t *testing.T) {
	d := testDoor()
	var in []*knock
	admit := func(ip string) bool {
		k := d.enter(from(ip))
		if !d.admitClient(k) {
			_ = k.Close()
			return false
		}
		in = append(in, k)
		return true
	}
	for i, want := range []bool{true, true, true, false} {
		if got := admit("10.0.0.1"); got != want {
			t.Errorf("client %d of one address admitted: %t, want %t", i, got, want)
		}
	}
	for i, want := range []bool{true, true, false} {
		if got := admit("10.0.0.2"); got != want {
			t.Errorf("client %d of the second address admitted: %t, want %t", i, got, want)
		}
	}
	_ = in[0].Close()
	_ = in[0].Close() // twice counts once
	if !admit("10.0.0.2") {
		t.Error("no client admitted after one left, want one")
	}
	for _, k := range in {
		_ = k.Close()
	}
	if halfOpen, addresses, clients := d.counts(); halfOpen+addresses+clients != 0 {
		t.Errorf("books hold %d half-open, %d addresses, %d clients after all left, want none", halfOpen, addresses, clients)
	}
}

func TestMembersNewestConnectionsStay(t *testing.T) {
	d := testDoor()
	all := make([]*knocker, 3*memberConnsMax)
	for i := range all {
		all[i] = from("10.0.0.1")
		if !d.admitMember(d.enter(all[i]), wire.ReplicaID(2)) {
			t.Fatalf("connection %d of a member refused", i)
		}
	}
	for i, k := range all {
		if want := i < len(all)-memberConnsMax; k.closed != want {
			t.Errorf("connection %d closed: %t, want %t: the oldest go", i, k.closed, want)
		}
	}
}

func TestClosedKnockIsNotAdmitted(t *testing.T) {
	d := testDoor()
	k := d.enter(from("10.0.0.1"))
	_ = k.Close()
	if d.admitClient(k) || d.admitMember(k, 1) {
		t.Error("a connection that was pushed out was admitted")
	}
}
