package network

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mstream "github.com/multiformats/go-multistream"

	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

// patience bounds what hangs, and nothing is measured by it: a machine may be very busy.
const patience = 2 * time.Minute

// anything is a gater that lets everyone through.
type anything struct{}

func (anything) InterceptPeerDial(peer.ID) bool               { return true }
func (anything) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (anything) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (anything) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}
func (anything) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// haste are the timeouts of the victim that a test attacks; one that is zero is as long as
// the others of the tests. What the honest need stays slow, and what an attacker needs on
// the way to its attack: no test depends on how fast the machine is.
type haste struct {
	accept time.Duration // Timeouts.Handshake, for connections that come in: the honest are dialled
	frame  time.Duration // Timeouts.Frame, for the frames of streams and no keepalive
	write  time.Duration // Timeouts.Write, for streams and not for their connections
}

// hasty makes a transport that is patient in all but h.
func (c *cluster) hasty(t *testing.T, id wire.ReplicaID, h haste) *Transport {
	t.Helper()
	cfg := c.config(id)
	cfg.Timeouts.Handshake = cmp.Or(h.accept, c.timeouts.Handshake)
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr.negotiateWithin(c.timeouts.Handshake)
	tr.cfg.Timeouts = c.timeouts
	tr.cfg.Timeouts.Frame = cmp.Or(h.frame, c.timeouts.Frame)
	tr.cfg.Timeouts.Write = cmp.Or(h.write, c.timeouts.Write)
	return tr
}

// negotiateWithin sets how long streams that are opened from now on may take to agree on
// a protocol.
func (t *Transport) negotiateWithin(timeout time.Duration) {
	t.own.swarm.SetStreamHandler(t.own.negotiate(timeout))
}

// siege is a cluster under attack: replicas 0, the victim, and 1 are honest and
// run; 2 and 3 have keys that an attacker may have.
type siege struct {
	*cluster
	victim, honest *networktest.Node
	transport      *Transport // the victim's
	haste          haste
	number         uint64
	calm           int // goroutines before the attack
}

func besiege(t *testing.T, h haste) *siege {
	t.Helper()
	c := newCluster(t, 4)
	for i, tr := range c.made { // the timeouts are known only now; ports are kept
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		c.made[i] = nil
	}
	c.clients = 16
	s := &siege{cluster: c, transport: c.hasty(t, 0, h), haste: h}
	s.victim = networktest.Start(t, 0, s.transport)
	s.honest = networktest.Start(t, 1, c.Transport(t, 1))
	s.victim.AwaitLink(t, 1, true)
	s.honest.AwaitLink(t, 0, true)
	s.flows(t)
	s.calm = runtime.NumGoroutine()
	return s
}

// flows checks that the honest can talk in both directions.
func (s *siege) flows(t *testing.T) {
	t.Helper()
	s.number++
	n := s.number + 1<<40
	for _, kind := range []wire.Kind{wire.KindPrepare, wire.KindPrePrepare, wire.KindPiece} {
		s.honest.Send(0, networktest.Frame(kind, n, 100))
		s.victim.Send(1, networktest.Frame(kind, n, 100))
	}
	s.victim.AwaitNumber(t, 1, n)
	s.honest.AwaitNumber(t, 0, n)
}

// calms checks that the attack has left no goroutine behind.
func (s *siege) calms(t *testing.T) {
	t.Helper()
	await(t, "the goroutines of the attack are gone", func() bool { return runtime.NumGoroutine() <= s.calm+6 })
}

// await polls, for what cannot tell.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			buf = buf[:runtime.Stack(buf, true)]
			t.Fatalf("waited %s in vain: %s\n%.6000s", patience, what, buf)
		}
		<-tick.C
	}
}

// awaitFault waits until the victim has counted a fault.
func (s *siege) awaitFault(t *testing.T, outsider bool, id wire.ReplicaID, f Fault) FaultCount {
	t.Helper()
	return awaitFault(t, s.transport.Faults, FaultCount{Outsider: outsider, Peer: id, Fault: f})
}

func awaitFault(t *testing.T, faults func() []FaultCount, want FaultCount) (found FaultCount) {
	t.Helper()
	await(t, fmt.Sprintf("fault %v of %d (outsider: %t)", want.Fault, want.Peer, want.Outsider), func() bool {
		for _, c := range faults() {
			if c.Outsider == want.Outsider && c.Peer == want.Peer && c.Fault == want.Fault {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// dial connects to the victim with TCP alone.
func (s *siege) dial(t *testing.T) net.Conn {
	t.Helper()
	addr, err := manet.ToNetAddr(ma.StringCast(s.members[0].Addrs[0]))
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// attacker is a host that keeps no rule.
type attacker struct {
	*assembly
	victim peer.ID
}

func (s *siege) attacker(t *testing.T, key libcrypto.PrivKey) *attacker {
	t.Helper()
	a, err := assemble(parts{
		key: key, gater: anything{}, limits: rcmgr.InfiniteLimits, timeouts: s.timeouts,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	pid, err := peerIDOf(s.members[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	remember(a, pid, []ma.Multiaddr{ma.StringCast(s.members[0].Addrs[0])})
	return &attacker{assembly: a, victim: pid}
}

// member is an attacker with the key of a member.
func (s *siege) member(t *testing.T, id wire.ReplicaID) *attacker {
	t.Helper()
	key, err := identity(s.keys[id])
	if err != nil {
		t.Fatal(err)
	}
	return s.attacker(t, key)
}

// stranger is an attacker with a key of its own.
func (s *siege) stranger(t *testing.T) *attacker {
	t.Helper()
	key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s.attacker(t, key)
}

// stream opens a stream without saying anything on it.
func (a *attacker) stream(t *testing.T) (network.Stream, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(unhurried(t.Context()), patience)
	defer cancel()
	forgetFailures(a, a.victim)
	return a.Network().NewStream(ctx, a.victim)
}

// unhurried lets dials take as long as the attacker's timeouts; libp2p would end them
// after a minute.
func unhurried(ctx context.Context) context.Context {
	return network.WithDialPeerTimeout(ctx, patience)
}

// open opens a stream and agrees on a protocol.
func (a *attacker) open(t *testing.T, id protocol.ID) (network.Stream, error) {
	t.Helper()
	s, err := a.stream(t)
	if err != nil {
		return nil, err
	}
	_ = s.SetDeadline(time.Now().Add(patience))
	return s, mstream.SelectProtoOrFail(id, s)
}

// admitted opens a stream that the victim welcomes.
func (a *attacker) admitted(t *testing.T, s *siege, sender wire.ReplicaID, class wire.Class) network.Stream {
	t.Helper()
	st, err := a.open(t, protocolOf(class))
	if err != nil {
		t.Fatal(err)
	}
	got := a.say(t, st, hello{version: protocolVersion, cluster: s.genesis, sender: sender, class: class})
	if got.verdict != verdictWelcome {
		t.Fatalf("verdict %d, want %d: welcome", got.verdict, verdictWelcome)
	}
	return st
}

func (a *attacker) say(t *testing.T, st network.Stream, h hello) answer {
	t.Helper()
	if _, err := st.Write(h.encode()); err != nil {
		t.Fatal(err)
	}
	got, err := readAnswer(st)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// closed waits until the other side ends r.
func closed(t *testing.T, r interface {
	Read(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
},
) {
	t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		_, err := r.Read(buf)
		if err == nil {
			continue // its part of a handshake
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // a deadline is never wrapped here
			t.Errorf("the connection is still open after %s", patience)
		}
		return
	}
}

// framed returns a frame with its length before it.
func framed(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...) //nolint:gosec // short
}

func repeated(b []byte, n int) []byte { return bytes.Repeat(b, n) }
