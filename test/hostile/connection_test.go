package hostile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	libcrypto "github.com/libp2p/go-libp2p/core/crypto"
	lib "github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/wire"
)

func connectionRows() []row {
	return []row{
		{1, "silence", "a connection that says nothing", "is closed at the handshake timeout", silence, true},
		{2, "garbage", "bytes that are no handshake", "the connection is closed", garbage, true},
		{3, "unknown security", "security protocols that are not spoken", "the connection is closed", unknownSecurity, true},
		{
			4, "no member", "a valid key that is no member, on the members' protocols",
			"the stream ends before a greeting is answered, and is counted", noMember, false,
		},
		{5, "other keys", "keys of other kinds, RSA and secp256k1", "no connection; counted", otherKeys, false},
		{
			6, "half-open flood", "half-open connections, more than there is room for, from one address",
			"the oldest go; a member and a client get in", halfOpen, false,
		},
		{
			7, "one key twice", "two live connections with one member's key",
			"the newest stream of a class counts; counted", oneKeyTwice, false,
		},
		{
			8, "stream flood", "streams without end on one connection",
			"no more than a member may have are open", streamFlood, false,
		},
		{
			9, "unknown protocols", "a protocol that nobody speaks, and one with a name of 1 MiB",
			"refused, and closed", unknownProtocols, true,
		},
		{
			10, "member that never reads", "a member that takes streams and never reads them",
			"its queue is bounded, it is cut off and counted", neverReads, true,
		},
	}
}

// faults returns how often replica i counted a fault so far.
func (c *cluster) faults(i int, outsider bool, kind network.Fault) uint64 {
	for _, f := range c.replicas[i].Faults() {
		if f.Fault == kind && f.Outsider == outsider && (outsider || f.Peer == c.liar) {
			return f.Count
		}
	}
	return 0
}

// more waits until a count of faults is above what it was.
func (c *cluster) more(t *testing.T, i int, outsider bool, kind network.Fault) (wait func()) {
	t.Helper()
	before := c.faults(i, outsider, kind)
	return func() {
		t.Helper()
		await(t, fmt.Sprintf("replica %d counts one more %s", i, kind),
			func() bool { return c.faults(i, outsider, kind) > before })
	}
}

func silence(t *testing.T, s *siege) {
	t.Helper()
	for _, conn := range []net.Conn{s.tcp(t, 0), s.tcp(t, 1), s.tcp(t, 2)} {
		closed(t, conn)
	}
}

func garbage(t *testing.T, s *siege) {
	t.Helper()
	var conns []net.Conn
	for i, junk := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 11), "\x00", "\x16\x03\x01"} {
		conn := s.tcp(t, i%3)
		write(t, conn, []byte(junk))
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		closed(t, conn)
	}
}

func unknownSecurity(t *testing.T, s *siege) {
	t.Helper()
	conn := s.tcp(t, 0)
	for _, line := range []string{"/multistream/1.0.0\n", "/plaintext/2.0.0\n", "/noise\n", "/secio/1.0.0\n"} {
		write(t, conn, append([]byte{byte(len(line))}, line...))
	}
	closed(t, conn)
}

func noMember(t *testing.T, s *siege) {
	t.Helper()
	counted := s.more(t, 0, true, network.FaultStranger)
	for class, id := range memberProtocols() {
		h := stranger(t) // of one that misbehaved nothing may be left
		st, err := s.open(t, h, 0, id)
		if err != nil {
			continue // refused before it could say anything
		}
		if verdict, err := greeted(st, s.greeting(wire.Class(class))); err == nil {
			t.Errorf("%s: a stranger's greeting was answered with %d, want none", id, verdict)
		}
		closed(t, st)
	}
	counted()
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
		counted := s.more(t, 0, true, network.FaultStranger)
		if st, err := s.open(t, newRogue(t, key), 0, clientProtocol); err == nil {
			t.Errorf("a client with a key of type %v got stream %v, want an error", key.Type(), st)
		}
		counted()
	}
}

// halfOpen opens twice as many connections as one address may have half-open
// (256), which is the least that pushes every one of the first out.
func halfOpen(t *testing.T, s *siege) {
	t.Helper()
	const flood = 512
	counted := s.more(t, 0, true, network.FaultCrowd)
	conns := make([]net.Conn, flood)
	for i := range conns {
		conns[i] = s.tcp(t, 0)
	}
	closed(t, conns[0])
	counted()
	_ = s.admitted(t, s.member(t), 0, wire.ClassVotes)
	_ = s.admitted(t, stranger(t), 0, wire.ClassClients)
}

func oneKeyTwice(t *testing.T, s *siege) {
	t.Helper()
	replaced := s.more(t, 0, false, network.FaultReplaced)
	first := s.admitted(t, s.member(t), 0, wire.ClassVotes)
	second := s.admitted(t, s.member(t), 0, wire.ClassVotes)
	closed(t, first)
	replaced()
	bad := s.book().bad[0]
	write(t, second, framed([]byte{1, 99})) // the second is read
	s.book().scoredAt(t, 0, int(bad), 1)    //nolint:gosec // few
	crowd := s.more(t, 0, false, network.FaultCrowd)
	for range 6 { // more than the four connections that a member may have
		_ = s.admitted(t, s.member(t), 0, wire.ClassBulk)
	}
	crowd()
}

// streamFlood opens fifty times as many streams as a member may have (12), and as
// a client may (4). Where the victim has ended the connection, it connects again.
func streamFlood(t *testing.T, s *siege) {
	t.Helper()
	const flood, triesMax = 600, 100_000
	for _, h := range []*rogue{s.member(t), stranger(t)} {
		var opened, tries atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for opened.Load() < flood && tries.Add(1) < triesMax {
					st, err := s.stream(t, h, 0)
					if err != nil {
						continue
					}
					opened.Add(1)
					_, _ = st.Write([]byte{1}) // or nobody hears of it
				}
			})
		}
		group.Wait()
		s.serves(t, 1)
		if opened.Load() < flood {
			t.Fatalf("the attacker opened %d streams in %d tries, want %d", opened.Load(), tries.Load(), flood)
		}
		await(t, "no more streams are left than a member may have", func() bool { return streamsOf(h) <= 24 })
	}
}

// streamsOf returns how many streams that h opened the other side has not ended. What the
// victim opened to a member is none of them; and h reads it: of two who read one stream only
// one learns that it has ended, and the other would read for ever.
func streamsOf(h *rogue) int {
	open := 0
	for _, conn := range h.Network().Conns() {
		for _, st := range conn.GetStreams() {
			if st.Stat().Direction == lib.DirOutbound && !ended(st) {
				open++
			}
		}
	}
	return open
}

// ended tells whether the other side has ended st, which nobody else reads.
func ended(st lib.Stream) bool {
	_ = st.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := st.Read(make([]byte, 64))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

func unknownProtocols(t *testing.T, s *siege) {
	t.Helper()
	h := stranger(t)
	if _, err := s.open(t, h, 0, "/ipfs/id/1.0.0"); err == nil {
		t.Error("identify is spoken, want an error")
	}
	long, err := s.stream(t, stranger(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = long.Write([]byte("\x13/multistream/1.0.0\n\x80\x80\x40")) // a name of 1 MiB
	_, _ = long.Write([]byte(strings.Repeat("/", 1<<20)))
	closed(t, long)
	silent, err := s.stream(t, stranger(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	write(t, silent, []byte("\x13/multistream/1.0.0\n"))
	closed(t, silent)
}

// neverReads takes the victim's streams and reads nothing, while clients have
// more ordered than a member's queue of batches (16 MiB) holds.
func neverReads(t *testing.T, s *siege) {
	t.Helper()
	counted := s.more(t, 0, false, network.FaultNotReading)
	h := s.member(t)
	for class, id := range memberProtocols() {
		h.SetStreamHandler(id, func(st lib.Stream) {
			var theirs [49]byte
			if _, err := io.ReadFull(st, theirs[:]); err != nil {
				return
			}
			g := s.greeting(wire.Class(class))
			_, _ = st.Write(append([]byte{0}, g.encode()[:verdictBytes-1]...))
		})
	}
	_ = s.admitted(t, h, 0, wire.ClassVotes) // the victim uses this connection
	s.orders(t, 96, func(int) []byte { return make([]byte, 240<<10) })
	counted()
}
