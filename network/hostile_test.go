package network

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

// TestHostileConnections attacks one replica over real sockets, while the honest
// talk.
func TestHostileConnections(t *testing.T) {
	accept := haste{accept: 400 * time.Millisecond}
	for _, row := range []struct {
		name   string
		haste  haste
		attack func(*testing.T, *siege)
	}{
		{"SilenceIsClosedAtTheHandshakeTimeout", accept, silence},
		{"GarbageIsClosed", accept, garbage},
		{"UnknownSecurityIsClosed", accept, unknownSecurity},
		{"StrangersReachNoMembersProtocol", haste{}, strangerKey},
		{"OtherKindsOfKeysAreRefused", haste{}, otherKeys},
		{"TwoConnectionsOfOneKeyTakeTurns", haste{}, oneKeyTwice},
		{"StreamsOfOneConnectionAreBounded", haste{}, manyStreams},
		{"UnknownAndEndlessProtocolsAreRefused", haste{}, unknownProtocols},
		{"MemberThatNeverReadsHarmsOnlyItself", haste{write: time.Second}, neverReads},
		{"ClientsAreBounded", haste{}, manyClients},
		{"SilentClientIsSentAway", haste{}, silentClient},
		{"ClientsThatAreGoneAreForgotten", haste{}, passingClients},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := besiege(t, row.haste)
			t.Run("attack", func(t *testing.T) {
				row.attack(t, s)
				s.flows(t)
			})
			s.calms(t)
			s.flows(t)
		})
	}
}

func silence(t *testing.T, s *siege) {
	t.Helper()
	begin := time.Now()
	closed(t, s.dial(t))
	if took := time.Since(begin); took < s.haste.accept/2 {
		t.Errorf("closed after %s, want about %s", took, s.haste.accept)
	}
}

func garbage(t *testing.T, s *siege) {
	t.Helper()
	var conns []net.Conn
	for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 11), "\x00", "\x16\x03\x01"} {
		conn := s.dial(t)
		_, _ = conn.Write([]byte(junk)) // where it fails, the time is over already
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		closed(t, conn)
	}
}

func unknownSecurity(t *testing.T, s *siege) {
	t.Helper()
	conn := s.dial(t)
	for _, line := range []string{"/multistream/1.0.0\n", "/plaintext/2.0.0\n", "/noise\n", "/secio/1.0.0\n"} {
		_, _ = conn.Write(append([]byte{byte(len(line))}, line...)) // where it fails, the time is over already
	}
	closed(t, conn)
}

func strangerKey(t *testing.T, s *siege) {
	t.Helper()
	a := s.stranger(t)
	for class := range wire.Class(wire.Classes) {
		st, err := a.open(t, protocolOf(class))
		if err != nil {
			continue
		}
		h := hello{version: protocolVersion, cluster: s.genesis, sender: 2, class: class}
		_, _ = st.Write(append(h.encode(), framed(networktest.Frame(wire.KindCommit, 666, 0))...))
		closed(t, st)
	}
	s.awaitFault(t, true, 0, FaultStranger)
	s.flows(t)
	for _, r := range s.victim.AwaitFrames(t, 0) {
		if networktest.Number(r.Frame) == 666 {
			t.Errorf("a stranger's frame was taken as replica %d's", r.From)
		}
	}
}

func otherKeys(t *testing.T, s *siege) {
	t.Helper()
	rsa, _, err := libcrypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secp, _, err := libcrypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []libcrypto.PrivKey{rsa, secp} {
		if st, err := s.attacker(t, key).open(t, clientProtocol); err == nil {
			t.Errorf("a client with a key of type %v got stream %v, want an error", key.Type(), st)
		}
	}
	s.awaitFault(t, true, 0, FaultStranger)
}

func oneKeyTwice(t *testing.T, s *siege) {
	t.Helper()
	one, two := s.member(t, 2), s.member(t, 2)
	first := one.admitted(t, s, 2, wire.ClassVotes)
	second := two.admitted(t, s, 2, wire.ClassVotes)
	closed(t, first)
	s.awaitFault(t, false, 2, FaultReplaced)
	if _, err := second.Write(framed(networktest.Frame(wire.KindCommit, 4242, 0))); err != nil {
		t.Fatal(err)
	}
	s.victim.AwaitNumber(t, 2, 4242)
	// More connections than a member may have: the newest are taken.
	for range 2 * memberConnsMax {
		_ = s.member(t, 2).admitted(t, s, 2, wire.ClassBulk)
	}
	s.awaitFault(t, false, 2, FaultCrowd)
}

func manyStreams(t *testing.T, s *siege) {
	t.Helper()
	for _, a := range []*attacker{s.member(t, 2), s.stranger(t)} {
		var group sync.WaitGroup
		var opened atomic.Int64
		for range 50 {
			group.Go(func() {
				for range 100 { // ten thousand of both attackers
					ctx, cancel := context.WithTimeout(unhurried(t.Context()), patience)
					forgetFailures(a, a.victim)
					st, err := a.Network().NewStream(ctx, a.victim)
					cancel()
					if err == nil {
						opened.Add(1)
						_, _ = st.Write([]byte{1})
					}
				}
			})
		}
		group.Wait()
		if opened.Load() <= memberStreamsMax {
			t.Fatalf("the attacker opened %d streams of 5000, want more than its limit", opened.Load())
		}
		s.flows(t)
		open := 0
		for _, c := range s.transport.host.Network().ConnsToPeer(a.ID()) {
			open += len(c.GetStreams())
		}
		if open > 2*memberStreamsMax {
			t.Errorf("%d streams of one peer are open, want at most %d", open, 2*memberStreamsMax)
		}
	}
}

func unknownProtocols(t *testing.T, s *siege) {
	t.Helper()
	a := s.stranger(t)
	if _, err := a.open(t, "/ipfs/id/1.0.0"); err == nil {
		t.Error("identify is spoken, want an error")
	}
	st, err := a.stream(t)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = st.Write([]byte("\x13/multistream/1.0.0\n\x80\x80\x40")) // a name of 1 MiB
	_, _ = st.Write(repeated([]byte{'/'}, 1<<20))
	closed(t, st)
	s.transport.negotiateWithin(400 * time.Millisecond)
	silent, err := a.stream(t)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = silent.Write([]byte("\x13/multistream/1.0.0\n"))
	closed(t, silent)
}

// neverReads is a member that accepts the victim's streams and never reads them.
func neverReads(t *testing.T, s *siege) {
	t.Helper()
	a := s.member(t, 2)
	accepted := make(chan network.Stream, 64)
	for class := range wire.Class(wire.Classes) {
		a.SetStreamHandler(protocolOf(class), func(st network.Stream) {
			if _, err := readHello(st); err != nil {
				return
			}
			_, _ = st.Write(answer{verdictWelcome, protocolVersion, s.genesis, 0}.encode())
			select {
			case accepted <- st:
			default:
			}
		})
	}
	_ = a.admitted(t, s, 2, wire.ClassVotes) // the victim uses this connection
	s.victim.AwaitLink(t, 2, true)
	frame := networktest.Frame(wire.KindPrePrepare, 1, networktest.FrameBytesMax)
	refused := 0
	for range 4000 {
		if !s.victim.Send(2, frame) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("4000 frames of 64 KiB for a member that never reads were all queued, want a bound")
	}
	s.flows(t)
	s.awaitFault(t, false, 2, FaultNotReading)
	s.victim.AwaitLinks(t, 2, 2) // it was reset, and tried again
}

func manyClients(t *testing.T, s *siege) {
	t.Helper()
	var admitted, refused int
	for range 2 * s.clients {
		st, err := s.stranger(t).open(t, clientProtocol)
		if err != nil {
			refused++
			continue
		}
		h := hello{version: protocolVersion, cluster: s.genesis, sender: outsider, class: wire.ClassClients}
		if _, err := st.Write(h.encode()); err != nil {
			refused++
			continue
		}
		if got, err := readAnswer(st); err != nil || got.verdict != verdictWelcome {
			refused++
			continue
		}
		admitted++
	}
	if admitted != s.clients {
		t.Errorf("%d clients admitted and %d refused, want %d admitted", admitted, refused, s.clients)
	}
	s.awaitFault(t, true, 0, FaultCrowd)
	_ = s.member(t, 2).admitted(t, s, 2, wire.ClassVotes) // members have room still
}

func silentClient(t *testing.T, s *siege) {
	t.Helper()
	d := s.transport.door
	d.mu.Lock() // which connected holds
	d.limits.handshake = 200 * time.Millisecond
	d.mu.Unlock()
	a := s.stranger(t)
	conn, err := a.Network().DialPeer(unhurried(t.Context()), a.victim) // connected, and no more
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the victim closes the connection", conn.IsClosed)
}

// passingClients are clients with a new key each, as every run of a command has one.
func passingClients(t *testing.T, s *siege) {
	t.Helper()
	keys := s.transport.host.Peerstore().PeersWithKeys
	known := len(keys())
	for range 2 * s.clients {
		a := s.stranger(t)
		_ = a.admitted(t, s, outsider, wire.ClassClients)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		await(t, "the client's key is forgotten", func() bool { return len(keys()) <= known })
	}
}

// TestMembersConnectThroughAFloodOfHalfOpenConnections opens ten thousand
// connections that say nothing, all from one address, which is also that of a
// member whom the victim cannot dial.
func TestMembersConnectThroughAFloodOfHalfOpenConnections(t *testing.T) {
	s := besiege(t, haste{accept: time.Hour}) // the flood stays for so long, unless the door helps
	const flood = 10000
	var group sync.WaitGroup
	conns := make([]net.Conn, flood)
	addr := s.dial(t).RemoteAddr().String()
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < flood; i += 8 {
				conns[i], _ = net.Dial("tcp", addr) //nolint:noctx // loopback; the victim may reset it at once
			}
		})
	}
	group.Wait()
	a := s.member(t, 2)
	_ = a.admitted(t, s, 2, wire.ClassVotes)
	if halfOpen, _, _ := s.transport.door.counts(); halfOpen < halfOpenPerIPMax-1 {
		t.Errorf("the member connected when %d of the flood were left, want %d: all that may be, but for its own",
			halfOpen, halfOpenPerIPMax-1)
	}
	s.flows(t)
	s.awaitFault(t, true, 0, FaultCrowd)
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
	_ = a.Close()
	s.calms(t)
	s.flows(t)
}

func TestProtocolNamesDiffer(t *testing.T) {
	seen := map[protocol.ID]bool{}
	for class := range wire.Class(wire.Classes + 1) {
		id := protocolOf(class)
		if seen[id] {
			t.Errorf("two classes share %s", id)
		}
		seen[id] = true
	}
	if want := fmt.Sprintf("/quorate/%d/client", protocolVersion); string(protocolOf(wire.ClassClients)) != want {
		t.Errorf("clients speak %s, want %s", protocolOf(wire.ClassClients), want)
	}
}
