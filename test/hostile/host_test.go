package hostile

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	blankhost "github.com/libp2p/go-libp2p/p2p/host/blank"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libtls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mstream "github.com/multiformats/go-multistream"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// The protocols of docs/WIRE.md.
const (
	votesProtocol   protocol.ID = "/quorate/1/votes"
	batchesProtocol protocol.ID = "/quorate/1/batches"
	bulkProtocol    protocol.ID = "/quorate/1/bulk"
	clientProtocol  protocol.ID = "/quorate/1/client"

	noReplica = ^uint32(0) // the sender of a client's hello
)

// memberProtocols returns what replicas speak among themselves, by class.
func memberProtocols() []protocol.ID {
	return []protocol.ID{votesProtocol, batchesProtocol, bulkProtocol}
}

// rogue is a libp2p host that keeps no rule.
type rogue struct{ host.Host }

func newRogue(t *testing.T, key libcrypto.PrivKey) *rogue {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		t.Fatal(err)
	}
	must(t, store.AddPrivKey(id, key), store.AddPubKey(id, key.GetPublic()))
	bus, manager := eventbus.NewBus(), &network.NullResourceManager{}
	sw, err := swarm.NewSwarm(id, store, bus, swarm.WithResourceManager(manager))
	if err != nil {
		t.Fatal(err)
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	tls, err := libtls.New(libtls.ID, key, muxers)
	if err != nil {
		t.Fatal(err)
	}
	up, err := upgrader.New([]sec.SecureTransport{tls}, muxers, nil, manager, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := tcp.NewTCPTransport(up, manager, nil, tcp.DisableReuseport())
	if err != nil {
		t.Fatal(err)
	}
	must(t, sw.AddTransport(transport))
	h := blankhost.NewBlankHost(sw, blankhost.WithEventBus(bus))
	t.Cleanup(func() { must(t, h.Close(), store.Close()) })
	return &rogue{h}
}

// member is a rogue with the key of the liar.
func (c *cluster) member(t *testing.T) *rogue {
	t.Helper()
	seed, public := c.keys[c.liar].Seed(), c.keys[c.liar].Public()
	key, err := libcrypto.UnmarshalEd25519PrivateKey(append(seed[:], public[:]...))
	if err != nil {
		t.Fatal(err)
	}
	return newRogue(t, key)
}

// stranger is a rogue with a key of its own.
func stranger(t *testing.T) *rogue {
	t.Helper()
	key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newRogue(t, key)
}

// peerOf returns how libp2p names a replica.
func (c *cluster) peerOf(t *testing.T, i int) peer.ID {
	t.Helper()
	public := c.keys[i].Public()
	key, err := libcrypto.UnmarshalEd25519PublicKey(public[:])
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (c *cluster) addr(i int) ma.Multiaddr { return ma.StringCast(c.genesis.Members[i].Addrs[0]) }

// stream opens a stream to replica i, without saying anything on it.
func (c *cluster) stream(t *testing.T, h *rogue, i int) (network.Stream, error) {
	t.Helper()
	id := c.peerOf(t, i)
	h.Peerstore().AddAddrs(id, []ma.Multiaddr{c.addr(i)}, peerstore.PermanentAddrTTL)
	h.Network().(*swarm.Swarm).Backoff().Clear(id) //nolint:errcheck,forcetypeassert // newRogue made it
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return h.Network().NewStream(ctx, id)
}

// open opens a stream to replica i and agrees on a protocol.
func (c *cluster) open(t *testing.T, h *rogue, i int, id protocol.ID) (network.Stream, error) {
	t.Helper()
	st, err := c.stream(t, h, i)
	if err != nil {
		return nil, err
	}
	_ = st.SetDeadline(time.Now().Add(patience))
	return st, mstream.SelectProtoOrFail(id, st)
}

// greeting is the first thing on a stream.
type greeting struct {
	version uint32
	cluster crypto.Digest
	epoch   uint64
	sender  uint32
	class   wire.Class
}

func (c *cluster) greeting(class wire.Class) greeting {
	g := greeting{version: 1, cluster: c.genesis.Hash(), epoch: c.genesis.Epoch, sender: uint32(c.liar), class: class}
	if class == wire.ClassClients {
		g.sender = noReplica
	}
	return g
}

func (g greeting) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, g.version)
	b = append(b, g.cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, g.epoch)
	b = binary.BigEndian.AppendUint32(b, g.sender)
	return append(b, byte(g.class))
}

// verdictBytes is the length of the answer to a greeting; its first byte is 0 for
// welcome.
const verdictBytes = 1 + 4 + crypto.DigestSize + 8

// greeted says g on a stream and returns the verdict.
func greeted(st network.Stream, g greeting) (verdict byte, err error) {
	if _, err := st.Write(g.encode()); err != nil {
		return 0, err
	}
	var answer [verdictBytes]byte
	_, err = io.ReadFull(st, answer[:])
	return answer[0], err
}

// admitted opens a stream on which replica i takes frames.
func (c *cluster) admitted(t *testing.T, h *rogue, i int, class wire.Class) network.Stream {
	t.Helper()
	id := clientProtocol
	if class != wire.ClassClients {
		id = memberProtocols()[class]
	}
	st, err := c.open(t, h, i, id)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := greeted(st, c.greeting(class))
	if err != nil || verdict != 0 {
		t.Fatalf("the greeting was answered with %d, %v, want a welcome", verdict, err)
	}
	return st
}

// dial connects to replica i with TCP alone.
func (c *cluster) tcp(t *testing.T, i int) net.Conn {
	t.Helper()
	addr, err := manet.ToNetAddr(c.addr(i))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// readable is a connection or a stream.
type readable interface {
	Read(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
}

// closed waits until the other side ends r.
func closed(t *testing.T, r readable) {
	t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		_, err := r.Read(buf)
		if err == nil {
			continue // its part of a handshake
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("still open after %s", patience)
		}
		return
	}
}

// write writes what the other side must take.
func write(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// framed returns a frame with its length before it.
func framed(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...) //nolint:gosec // short
}
