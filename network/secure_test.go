package network

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/sec"
	libtls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mstream "github.com/multiformats/go-multistream"
)

func testSecurity(t *testing.T) *security {
	t.Helper()
	key, _, err := libcrypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSecurity(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// secured does a handshake, sends a byte over what it made, and returns both ends.
func secured(t *testing.T, dialler, listener *security) (out, in sec.SecureConn) {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	var inErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if in, inErr = listener.SecureInbound(t.Context(), far, ""); inErr == nil {
			_, inErr = in.Write([]byte{1})
		}
	}()
	out, err := dialler.SecureOutbound(t.Context(), near, listener.self)
	if err == nil { // or rather, as far as this side can know
		_, err = out.Read(make([]byte, 1))
	}
	<-done
	if err != nil || inErr != nil {
		t.Fatalf("who dials got error %v, and who is dialled %v, want a connection", err, inErr)
	}
	return out, in
}

// TestPeersConnectWhateverTheirClocksShow has one begin by the real clock, and another one by that
// of a bubble, which is decades behind, and which both have afterwards.
func TestPeersConnectWhateverTheirClocksShow(t *testing.T) {
	ahead := testSecurity(t)
	synctest.Test(t, func(t *testing.T) {
		behind := testSecurity(t)
		for _, ends := range [][2]*security{{ahead, behind}, {behind, ahead}} {
			out, in := secured(t, ends[0], ends[1])
			if out.RemotePeer() != ends[1].self || in.RemotePeer() != ends[0].self {
				t.Errorf("they took each other for %s and %s, want %s and %s",
					out.RemotePeer(), in.RemotePeer(), ends[1].self, ends[0].self)
			}
		}
	})
}

// TestReplicasShowACertificateForAllTimes looks at the certificate of a transport.
func TestReplicasShowACertificateForAllTimes(t *testing.T) {
	conn, err := manet.Dial(ma.StringCast(newCluster(t, 1).members[0].Addrs[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := mstream.SelectProtoOrFail(libtls.ID, conn); err != nil {
		t.Fatal(err)
	}
	seen := errors.New("seen")
	var cert *x509.Certificate
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // nothing is sent
	config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) (err error) {
		if cert, err = x509.ParseCertificate(raw[0]); err != nil {
			return err
		}
		return seen
	}
	if err := tls.Client(conn, config).HandshakeContext(t.Context()); !errors.Is(err, seen) {
		t.Fatal(err)
	}
	if cert.NotBefore.After(time.Unix(0, 0)) || cert.NotAfter.Year() < 9999 {
		t.Errorf("it is valid from %s to %s, want from 1970 to 9999", cert.NotBefore, cert.NotAfter)
	}
}
