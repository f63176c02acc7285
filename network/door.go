package network

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/quorate/quorate/pbft/wire"
)

// door decides who may connect. Every incoming connection passes it as a knock:
// first half-open, then, once its key is known, a member's or a client's. It is
// the connection gater, and it wraps the listener, for only so is the end of
// every connection seen, whatever it ended of.
type door struct {
	roster *roster
	faults *ledger
	limits doorLimits
	after  func(time.Duration, func()) *time.Timer // time.AfterFunc, but in a test

	mu struct {
		sync.Mutex
		halfOpen int
		byIP     map[netip.Addr]*list.List     // of half-open knocks, the oldest first
		members  map[wire.ReplicaID]*list.List // the oldest first
		clients  map[netip.Addr]int            // how many from one address
		client   int                           // how many in all
		clocks   map[network.Conn]*time.Timer  // of clients that must open their stream
	}
}

type doorLimits struct {
	halfOpen, halfOpenPerIP int
	clients, clientsPerIP   int
	handshake               time.Duration
}

var _ interface {
	InterceptPeerDial(peer.ID) bool
	InterceptAddrDial(peer.ID, ma.Multiaddr) bool
	InterceptAccept(network.ConnMultiaddrs) bool
	InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool
	InterceptUpgraded(network.Conn) (bool, control.DisconnectReason)
} = (*door)(nil)

func newDoor(r *roster, faults *ledger, limits doorLimits) *door {
	d := &door{roster: r, faults: faults, limits: limits, after: time.AfterFunc}
	d.mu.byIP = make(map[netip.Addr]*list.List)
	d.mu.members = make(map[wire.ReplicaID]*list.List)
	d.mu.clients = make(map[netip.Addr]int)
	d.mu.clocks = make(map[network.Conn]*time.Timer)
	return d
}

type knockState byte

const (
	knockHalfOpen knockState = iota
	knockMember
	knockClient
	knockClosed
)

// knock is an incoming connection. The door's lock guards its fields.
type knock struct {
	manet.Conn
	door  *door
	ip    netip.Addr
	state knockState
	at    *list.Element // in the list of its state
	id    wire.ReplicaID
}

// Close leaves the door's books before it closes the connection.
func (k *knock) Close() error {
	k.door.leave(k)
	return k.Conn.Close()
}

// enter takes a new connection in as half-open, and pushes out the oldest of the
// address that has the most if there are too many.
func (d *door) enter(conn manet.Conn) *knock {
	k := &knock{Conn: conn, door: d, ip: chargeTo(conn.RemoteAddr())}
	crowd := d.enterLocked(k)
	if crowd != nil {
		d.faults.add(outsider, FaultCrowd, "too many unfinished handshakes; closed the oldest, of "+crowd.ip.String())
		_ = crowd.Close() // it is gone, whatever Close says
	}
	return k
}

func (d *door) enterLocked(k *knock) (crowd *knock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := d.mu.byIP[k.ip]
	switch {
	case mine != nil && mine.Len() >= d.limits.halfOpenPerIP:
		crowd = oldest(mine)
	case d.mu.halfOpen >= d.limits.halfOpen:
		crowd = oldest(d.longest())
	}
	if crowd != nil {
		d.leaveLocked(crowd) // at once: the books never exceed the limits
		mine = d.mu.byIP[k.ip]
	}
	if mine == nil {
		mine = list.New()
		d.mu.byIP[k.ip] = mine
	}
	k.at = mine.PushBack(k)
	d.mu.halfOpen++
	return crowd
}

// longest is linear in the number of addresses that have half-open connections,
// so in halfOpenMax at most.
func (d *door) longest() *list.List {
	var most *list.List
	for _, l := range d.mu.byIP {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

func oldest(l *list.List) *knock {
	if l == nil || l.Len() == 0 {
		return nil
	}
	k, _ := l.Front().Value.(*knock)
	return k
}

func (d *door) leave(k *knock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveLocked(k)
}

func (d *door) leaveLocked(k *knock) {
	switch k.state {
	case knockHalfOpen:
		d.leaveHalfOpen(k)
	case knockMember:
		d.mu.members[k.id].Remove(k.at)
	case knockClient:
		d.mu.client--
		d.mu.clients[k.ip]--
		if d.mu.clients[k.ip] == 0 {
			delete(d.mu.clients, k.ip)
		}
	case knockClosed:
	}
	k.state = knockClosed
}

func (d *door) leaveHalfOpen(k *knock) {
	l := d.mu.byIP[k.ip]
	l.Remove(k.at)
	if l.Len() == 0 {
		delete(d.mu.byIP, k.ip)
	}
	d.mu.halfOpen--
}

// admit decides about a connection whose key is known now.
func (d *door) admit(k *knock, p peer.ID) bool {
	if id, ok := d.roster.byPeer[p]; ok {
		return d.admitMember(k, id)
	}
	if !isEd25519(p) {
		d.faults.add(outsider, FaultStranger, "its key is no ed25519 key")
		return false
	}
	if !d.admitClient(k) {
		d.faults.add(outsider, FaultCrowd, "too many clients; refused one from "+k.ip.String())
		return false
	}
	return true
}

// admitMember lets a member in always: if it has too many connections, the
// oldest goes, for it is the one more likely dead.
func (d *door) admitMember(k *knock, id wire.ReplicaID) bool {
	crowd, ok := d.admitMemberLocked(k, id)
	if crowd != nil {
		d.faults.add(id, FaultCrowd, "too many connections; closed the oldest")
		_ = crowd.Close() // it is gone, whatever Close says
	}
	return ok
}

func (d *door) admitMemberLocked(k *knock, id wire.ReplicaID) (crowd *knock, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k.state != knockHalfOpen {
		return nil, false
	}
	d.leaveHalfOpen(k)
	l := d.mu.members[id]
	if l == nil {
		l = list.New()
		d.mu.members[id] = l
	}
	if l.Len() >= memberConnsMax {
		crowd = oldest(l)
		d.leaveLocked(crowd)
	}
	k.state, k.id, k.at = knockMember, id, l.PushBack(k)
	return crowd, true
}

func (d *door) admitClient(k *knock) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.mu.client >= d.limits.clients || d.mu.clients[k.ip] >= d.limits.clientsPerIP
	if k.state != knockHalfOpen || full {
		return false
	}
	d.leaveHalfOpen(k)
	k.state, k.at = knockClient, nil
	d.mu.client++
	d.mu.clients[k.ip]++
	return true
}

// InterceptPeerDial lets us dial members.
func (d *door) InterceptPeerDial(p peer.ID) bool {
	_, ok := d.roster.byPeer[p]
	return ok
}

// InterceptAddrDial allows every address of a member.
func (d *door) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

// InterceptAccept allows what enter took in.
func (d *door) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is where the key of an incoming connection is first known.
func (d *door) InterceptSecured(dir network.Direction, p peer.ID, addrs network.ConnMultiaddrs) bool {
	if dir == network.DirOutbound {
		return d.InterceptPeerDial(p)
	}
	k, ok := addrs.(*knock)
	return ok && d.admit(k, p)
}

// InterceptUpgraded allows what InterceptSecured let in. It keeps no connection: a
// swarm that is closing does not take it over any more, and panics when it is closed.
func (d *door) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// connected starts the clock of a client that the swarm has taken over: it must open
// its stream, or it would occupy a place for nothing.
func (d *door) connected(_ network.Network, conn network.Conn) {
	if _, ok := d.roster.byPeer[conn.RemotePeer()]; ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.clocks[conn] = d.after(2*d.limits.handshake, func() {
		d.stopClock(conn)
		for _, s := range conn.GetStreams() {
			if s.Protocol() == clientProtocol {
				return
			}
		}
		_ = conn.Close() // it is gone, whatever Close says
	})
}

// disconnected forgets a connection, and the key of a client, which the swarm would keep
// for ever: anyone can come with a new key each time. The swarm calls it when it has told
// of the connection.
func (d *door) disconnected(n network.Network, conn network.Conn) {
	d.stopClock(conn)
	if _, member := d.roster.byPeer[conn.RemotePeer()]; !member {
		n.Peerstore().RemovePeer(conn.RemotePeer())
	}
}

// stopClock stops the clock of a client, which would hold on to the connection.
func (d *door) stopClock(conn network.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if clock := d.mu.clocks[conn]; clock != nil {
		clock.Stop()
		delete(d.mu.clocks, conn)
	}
}

func isEd25519(p peer.ID) bool {
	key, err := p.ExtractPublicKey()
	return err == nil && key.Type() == libcrypto.Ed25519
}

// chargeTo returns whom to charge a connection to: an IPv4 address, or the /64
// of an IPv6 one, all of which one machine usually has.
func chargeTo(addr net.Addr) netip.Addr {
	addrPort, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	ip := addrPort.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}

// remoteIP is chargeTo for a connection that libp2p made.
func remoteIP(conn network.Conn) netip.Addr {
	addr, err := manet.ToNetAddr(conn.RemoteMultiaddr())
	if err != nil {
		return netip.Addr{}
	}
	return chargeTo(addr)
}
