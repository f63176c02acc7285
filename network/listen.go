package network

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// gatedTCP is libp2p's TCP transport with a listener of our own: one that goes
// through the door, and does not share its port, so that a second process with
// the same address fails and says so.
type gatedTCP struct {
	*tcp.TcpTransport
	upgrader transport.Upgrader
	door     *door
}

// Listen binds addr.
func (t *gatedTCP) Listen(addr ma.Multiaddr) (transport.Listener, error) {
	l, err := manet.Listen(addr)
	if err != nil {
		return nil, err
	}
	gated := t.upgrader.GateMaListener(&gatedListener{Listener: l, door: t.door})
	return &quietListener{Listener: t.upgrader.UpgradeGatedMaListener(t, gated)}, nil
}

type gatedListener struct {
	manet.Listener
	door *door
}

// Accept takes the next connection through the door. Its linger time is zero:
// closing leaves nothing behind, which a flood would use.
func (l *gatedListener) Accept() (manet.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = c.SetLinger(0) // only a refinement
	}
	return l.door.enter(conn), nil
}

// quietListener says that it is closed in the words that the swarm expects;
// libp2p's own says so only sometimes, and then the swarm prints an error (N6).
type quietListener struct {
	transport.Listener
	closed atomic.Bool
}

// Accept returns transport.ErrListenerClosed after Close.
func (l *quietListener) Accept() (transport.CapableConn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && l.closed.Load() {
		return nil, transport.ErrListenerClosed
	}
	return conn, err
}

// Close closes the listener.
func (l *quietListener) Close() error {
	l.closed.Store(true)
	return l.Listener.Close()
}
