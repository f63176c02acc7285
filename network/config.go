package network

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Inbound is what a Transport calls, from many goroutines at once. A function
// that blocks stops the reading of one stream only; all must return once the
// context of Run is done. Functions that are nil are not called.
type Inbound = struct {
	// Peer takes a frame of a member.
	Peer func(from wire.ReplicaID, frame []byte)
	// Client takes a frame of a client connection; numbers are never reused.
	Client func(conn uint64, frame []byte)
	// Link tells that the connection to a member came up or went down.
	Link func(peer wire.ReplicaID, up bool)
	// ClientGone tells that a client connection has ended.
	ClientGone func(conn uint64)
}

// Member is one replica of the cluster: its key, and where it listens, as
// multiaddresses (/ip4/10.0.0.1/tcp/4001) or as host:port.
type Member struct {
	Key   crypto.PublicKey
	Addrs []string
}

// Timeouts are how long peers are waited for; a zero one takes its default.
type Timeouts struct {
	// Dial bounds connecting, with its handshakes; 5 s.
	Dial time.Duration
	// Handshake bounds an incoming handshake, and opening a stream; 5 s.
	Handshake time.Duration
	// Frame bounds the time from the first byte of a frame to its last; 10 s, and as much
	// more for each 100 KiB of a longer one.
	Frame time.Duration
	// Write bounds how long a peer may not read before its stream is reset; 10 s.
	Write time.Duration
	// RedialMin and RedialMax bound the pause before the next attempt, which
	// doubles; 50 ms and 2 s.
	RedialMin, RedialMax time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&t.Dial, 5*time.Second)
	def(&t.Handshake, 5*time.Second)
	def(&t.Frame, 10*time.Second)
	def(&t.Write, 10*time.Second)
	def(&t.RedialMin, 50*time.Millisecond)
	def(&t.RedialMax, 2*time.Second)
	return t
}

// Config tells a Transport who it is and whom it may talk to.
type Config struct {
	Self    wire.ReplicaID
	Key     crypto.PrivateKey // of Self: its libp2p identity as well
	Cluster crypto.Digest     // hash of the genesis
	Epoch   uint64
	Members []Member // in the order of the genesis
	// Listen is where to listen; if empty, at the member's own Addrs. Port 0
	// takes any free port: see Transport.Addrs.
	Listen []string
	// FrameBytesMax bounds a frame; 8 MiB.
	FrameBytesMax int
	// ClientFrameBytesMax bounds a frame that a client sends; 1 MiB, and no
	// more than FrameBytesMax.
	ClientFrameBytesMax int
	// ClientsMax bounds the connections of clients, 256, and ClientsPerIPMax
	// those from one address (an IPv6 /64 is one), 64 or a quarter of
	// ClientsMax if that is more.
	ClientsMax, ClientsPerIPMax int
	Timeouts                    Timeouts
	// Host, if given, is used instead of one of our own. It stays its owner's:
	// it is not closed, it listens where it listens, and its gater and resource
	// manager are its owner's business. It must have the key of Self.
	Host host.Host
}

func (c *Config) setDefaults() {
	def := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	def(&c.FrameBytesMax, frameBytesMax)
	def(&c.ClientFrameBytesMax, min(clientFrameBytesMax, c.FrameBytesMax))
	c.ClientsMax, c.ClientsPerIPMax = ClientLimits(c.ClientsMax, c.ClientsPerIPMax)
	if len(c.Listen) == 0 && int(c.Self) < len(c.Members) {
		c.Listen = c.Members[c.Self].Addrs
	}
	c.Timeouts = c.Timeouts.withDefaults()
}

// validate reports all problems at once.
func (c *Config) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if int(c.Self) >= len(c.Members) {
		bad("self is %d, and there are %d members: give the index of this replica", c.Self, len(c.Members))
	} else if c.Key.Public() != c.Members[c.Self].Key {
		bad("the private key belongs to %s, and member %d has %s: use the key file of this replica",
			c.Key.Public().Short(), c.Self, c.Members[c.Self].Key.Short())
	}
	if c.FrameBytesMax < 1024 || c.ClientFrameBytesMax < 1024 || c.ClientFrameBytesMax > c.FrameBytesMax {
		bad("frames of up to %d bytes, of clients %d: at least 1024, and of clients no more than of replicas",
			c.FrameBytesMax, c.ClientFrameBytesMax)
	}
	if c.FrameBytesMax > frameBytesCeiling {
		bad("frames of up to %d bytes: at most %d", c.FrameBytesMax, frameBytesCeiling)
	}
	if c.ClientsMax < 0 || c.ClientsPerIPMax < 0 {
		bad("%d clients, %d per address: neither may be negative", c.ClientsMax, c.ClientsPerIPMax)
	}
	if len(c.Listen) == 0 && c.Host == nil {
		bad("no address to listen at: give Listen, or the member's own Addrs")
	}
	return errors.Join(problems...)
}

// member is a Member as libp2p sees it.
type member struct {
	id    wire.ReplicaID
	peer  peer.ID
	addrs []ma.Multiaddr
}

// roster knows the members by number and by peer id. Only SetMemberAddrs, before
// Run, changes it.
type roster struct {
	members []member
	byPeer  map[peer.ID]wire.ReplicaID
}

func newRoster(members []Member) (*roster, error) {
	r := &roster{byPeer: make(map[peer.ID]wire.ReplicaID, len(members))}
	for i, m := range members {
		id := wire.ReplicaID(i) //nolint:gosec // an index of a short list
		pid, err := peerIDOf(m.Key)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		if other, twice := r.byPeer[pid]; twice {
			return nil, fmt.Errorf("members %d and %d have one key, %s: every replica needs its own", other, i, m.Key.Short())
		}
		addrs, err := parseAddrs(m.Addrs)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		r.byPeer[pid] = id
		r.members = append(r.members, member{id: id, peer: pid, addrs: addrs})
	}
	return r, nil
}

func peerIDOf(key crypto.PublicKey) (peer.ID, error) {
	pub, err := libcrypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		return "", fmt.Errorf("key %s: %w", key.Short(), err)
	}
	return peer.IDFromPublicKey(pub)
}

func parseAddrs(addrs []string) ([]ma.Multiaddr, error) {
	out := make([]ma.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := parseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w; write /ip4/10.0.0.1/tcp/4001, /dns4/a.example/tcp/4001 or host:port", s, err)
		}
		out = append(out, a)
	}
	return out, nil
}

func parseAddr(s string) (ma.Multiaddr, error) {
	if strings.HasPrefix(s, "/") {
		return ma.NewMultiaddr(s)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip != nil {
		a, err := manet.FromIP(ip)
		if err != nil {
			return nil, err
		}
		return ma.NewMultiaddr(a.String() + "/tcp/" + port)
	}
	return ma.NewMultiaddr("/dns/" + host + "/tcp/" + port)
}

// ClientLimits returns how many clients are served at once, in all and from one
// address, where these are configured; 0 stands for the default of each.
func ClientLimits(all, perIP int) (int, int) {
	if all == 0 {
		all = clientsMax
	}
	if perIP == 0 {
		perIP = max(clientsPerIPMax, all/4)
	}
	return all, perIP
}
