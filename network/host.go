package network

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	blankhost "github.com/libp2p/go-libp2p/p2p/host/blank"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/quorate/quorate/crypto"
)

// assembly is a host of our own: swarm, TCP, TLS 1.3 and yamux, and nothing that
// would talk to others by itself.
type assembly struct {
	host.Host
	swarm     *swarm.Swarm
	resources network.ResourceManager
	store     io.Closer
}

// parts is what an assembly is made of.
type parts struct {
	key      libcrypto.PrivKey
	gater    connmgr.ConnectionGater
	door     *door // nil if nobody may connect
	limits   rcmgr.ConcreteLimitConfig
	timeouts Timeouts
}

func assemble(p parts) (*assembly, error) {
	id, err := peer.IDFromPrivateKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(p.limits), rcmgr.WithMetricsDisabled(),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}), // the door has better rules
		rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{}, []rcmgr.ConnLimitPerSubnet{}))
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("peer store: %w", err), resources.Close())
	}
	a := &assembly{resources: resources, store: store}
	if err := errors.Join(store.AddPrivKey(id, p.key), store.AddPubKey(id, p.key.GetPublic())); err != nil {
		return nil, errors.Join(fmt.Errorf("peer store: %w", err), a.Close())
	}
	bus := eventbus.NewBus()
	sw, err := swarm.NewSwarm(id, store, bus, swarm.WithConnectionGater(p.gater), swarm.WithResourceManager(resources),
		swarm.WithDialTimeout(p.timeouts.Dial), swarm.WithDialTimeoutLocal(p.timeouts.Dial),
		swarm.WithDialRanker(swarm.NoDelayDialRanker),
		swarm.WithUDPBlackHoleSuccessCounter(nil), swarm.WithIPv6BlackHoleSuccessCounter(nil))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("swarm: %w", err), a.Close())
	}
	a.swarm = sw
	if p.door != nil {
		sw.Notify(&network.NotifyBundle{ConnectedF: p.door.connected, DisconnectedF: p.door.disconnected})
	}
	a.Host = blankhost.NewBlankHost(sw, blankhost.WithEventBus(bus))
	if err := addTransport(sw, resources, p); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	sw.SetStreamHandler(a.negotiate(p.timeouts.Handshake))
	return a, nil
}

// identity returns the libp2p form of a replica's or client's key.
func identity(key crypto.PrivateKey) (libcrypto.PrivKey, error) {
	seed, public := key.Seed(), key.Public()
	priv, err := libcrypto.UnmarshalEd25519PrivateKey(append(seed[:], public[:]...))
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return priv, nil
}

func addTransport(sw *swarm.Swarm, resources network.ResourceManager, p parts) error {
	config := *yamux.DefaultTransport.Config()
	config.MaxIncomingStreams = 2 * memberStreamsMax
	config.MaxStreamWindowSize = streamWindowMax
	config.AcceptBacklog = 2 * memberStreamsMax
	config.KeepAliveInterval = p.timeouts.Frame // a peer that is cut off is noticed so
	config.ConnectionWriteTimeout = p.timeouts.Write
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: (*yamux.Transport)(&config)}}
	tls, err := newSecurity(p.key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	up, err := upgrader.New([]sec.SecureTransport{tls}, muxers, nil, resources, p.gater,
		upgrader.WithAcceptTimeout(p.timeouts.Handshake))
	if err != nil {
		return fmt.Errorf("upgrader: %w", err)
	}
	t, err := tcp.NewTCPTransport(up, resources, nil, tcp.DisableReuseport(), tcp.WithConnectionTimeout(p.timeouts.Dial))
	if err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	if err := sw.AddTransport(&gatedTCP{TcpTransport: t, upgrader: up, door: p.door}); err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	return nil
}

// negotiate agrees with whoever opened a stream on its protocol, in limited
// time, for libp2p's smallest host waits for ever.
func (a *assembly) negotiate(timeout time.Duration) network.StreamHandler {
	return func(s network.Stream) {
		_ = s.SetDeadline(time.Now().Add(timeout)) // if it fails, so does Negotiate
		id, handle, err := a.Mux().Negotiate(s)
		if err != nil {
			_ = s.Reset()
			return
		}
		_ = handle(id, s) // our handlers return no error
	}
}

// Close ends the host and all that it started.
func (a *assembly) Close() error {
	var errs []error
	if a.Host != nil {
		errs = append(errs, a.Host.Close())
	}
	return errors.Join(append(errs, a.resources.Close(), a.store.Close())...)
}

// listen binds addrs, all of them or none.
func (a *assembly) listen(addrs []string) error {
	parsed, err := parseAddrs(addrs)
	if err != nil {
		return err
	}
	for i, addr := range parsed {
		if err := a.swarm.AddListenAddr(addr); err != nil {
			return listenError(addrs[i], err)
		}
	}
	return nil
}

func listenError(addr string, err error) error {
	advice := "listen at an address of this machine, and a free port"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another process has this port, perhaps this replica runs already: stop it, or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine has no such address: listen at one it has, or at 0.0.0.0"
	case errors.Is(err, syscall.EACCES):
		advice = "this user may not use that port: choose one above 1023"
	}
	return fmt.Errorf("listen at %s: %w (%s)", addr, err, advice)
}

// remember stores where a peer listens, for as long as the host lives.
func remember(h host.Host, p peer.ID, addrs []ma.Multiaddr) {
	h.Peerstore().AddAddrs(p, addrs, peerstore.PermanentAddrTTL)
}

// forgetFailures makes libp2p dial p at once where it would still back off: we
// have a back-off of our own. (Its "force direct dial" would do the same, but a
// dial that begins so while the swarm closes dereferences nil, in v0.51.)
func forgetFailures(h host.Host, p peer.ID) {
	if s, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(p)
	}
}
