package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	libtls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// security is libp2p's TLS 1.3 with a certificate that is valid at any time. Those of
// libp2p's own transport are valid from an hour before they were made, by the clock of who
// made them: a process that began while its clock was hours ahead is refused by all others
// until theirs have come so far, also when its own has long been set right. A certificate
// serves to prove the key that is in it, and keys have no time.
type security struct {
	self     peer.ID
	identity *libtls.Identity
}

var _ sec.SecureTransport = (*security)(nil)

func newSecurity(key libcrypto.PrivKey) (*security, error) {
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	identity, err := libtls.NewIdentity(key, libtls.WithCertTemplate(&x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{SerialNumber: "1"}, // which is the issuer's name, too, and has to be there
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no end
	}))
	if err != nil {
		return nil, err
	}
	return &security{self, identity}, nil
}

// ID returns what libp2p calls TLS.
func (*security) ID() protocol.ID { return libtls.ID }

// SecureInbound secures a connection that came in, from p or, if that is empty, from anybody.
func (s *security) SecureInbound(ctx context.Context, raw net.Conn, p peer.ID) (sec.SecureConn, error) {
	return s.secure(ctx, raw, p, tls.Server)
}

// SecureOutbound secures a connection to p.
func (s *security) SecureOutbound(ctx context.Context, raw net.Conn, p peer.ID) (sec.SecureConn, error) {
	return s.secure(ctx, raw, p, tls.Client)
}

// secure does a handshake, in which yamux is agreed on as well, and closes raw if that fails.
func (s *security) secure(
	ctx context.Context, raw net.Conn, p peer.ID, side func(net.Conn, *tls.Config) *tls.Conn,
) (sec.SecureConn, error) {
	config, keys := s.identity.ConfigForPeer(p)
	config.NextProtos = append([]string{yamux.ID}, config.NextProtos...)
	conn := side(raw, config)
	key, err := shakeHands(ctx, conn, keys)
	var remote peer.ID
	if err == nil {
		remote, err = peer.IDFromPublicKey(key)
	}
	if err != nil {
		_ = raw.Close() // it is gone, whatever Close says
		return nil, err
	}
	c := &securedConn{Conn: conn, self: s.self, remote: remote, key: key}
	if conn.ConnectionState().NegotiatedProtocol == yamux.ID {
		c.state = network.ConnectionState{StreamMultiplexer: yamux.ID, UsedEarlyMuxerNegotiation: true}
	}
	return c, nil
}

// shakeHands returns the other side's key. A certificate that makes the library panic is a
// bad one.
func shakeHands(ctx context.Context, conn *tls.Conn, keys <-chan libcrypto.PubKey) (key libcrypto.PubKey, err error) {
	defer func() {
		if p := recover(); p != nil {
			key, err = nil, fmt.Errorf("handshake panicked: %v", p)
		}
	}()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	select {
	case key = <-keys: // nil once the channel is closed
	default:
	}
	if key == nil {
		return nil, errors.New("the handshake told no key")
	}
	return key, nil
}

// securedConn is a connection whose other side proved its key.
type securedConn struct {
	*tls.Conn

	self, remote peer.ID
	key          libcrypto.PubKey
	state        network.ConnectionState
}

// LocalPeer returns who we are.
func (c *securedConn) LocalPeer() peer.ID { return c.self }

// RemotePeer returns who the other side is.
func (c *securedConn) RemotePeer() peer.ID { return c.remote }

// RemotePublicKey returns its key.
func (c *securedConn) RemotePublicKey() libcrypto.PubKey { return c.key }

// ConnState tells whether yamux was agreed on.
func (c *securedConn) ConnState() network.ConnectionState { return c.state }
