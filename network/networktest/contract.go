// Package networktest is the contract of a transport as tests: whatever carries
// frames between replicas and clients must pass them.
package networktest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// Inbound is what a transport calls.
type Inbound = struct {
	Peer       func(from wire.ReplicaID, frame []byte)
	Client     func(conn uint64, frame []byte)
	Link       func(peer wire.ReplicaID, up bool)
	ClientGone func(conn uint64)
}

// Transport is the contract.
type Transport interface {
	Run(ctx context.Context, in Inbound) error
	Send(to wire.ReplicaID, frame []byte) bool
	Answer(conn uint64, frame []byte) bool
}

// Clients is the contract of the client's end.
type Clients interface {
	Run(
		ctx context.Context, in func(from wire.ReplicaID, frame []byte) error,
		link func(peer wire.ReplicaID, up bool, err error),
	) error
	Send(to wire.ReplicaID, frame []byte) bool
}

// Cluster makes the transports of one cluster, whose frames are at most
// FrameBytesMax long.
type Cluster interface {
	// Transport returns the transport of replica id; after a Run of it has ended,
	// one that can be run again, at the same address.
	Transport(t *testing.T, id wire.ReplicaID) Transport
	// Clients returns a new client.
	Clients(t *testing.T) Clients
}

// FrameBytesMax is what the clusters under test allow.
const FrameBytesMax = 64 << 10

// patience is how long a condition may take before a test fails; nothing waits
// for it otherwise, and nothing is measured by it: a machine may be very busy.
const patience = 2 * time.Minute

// Frame returns a frame of a kind with a number in it, size bytes long, at least
// ten.
func Frame(kind wire.Kind, number uint64, size int) []byte {
	f := make([]byte, max(size, 10))
	f[0], f[1] = 1, byte(kind)
	binary.BigEndian.PutUint64(f[2:], number)
	return f
}

// Number returns the number that Frame put in.
func Number(frame []byte) uint64 {
	if len(frame) < 10 {
		return 0
	}
	return binary.BigEndian.Uint64(frame[2:])
}

// Received is one call of Inbound's.
type Received struct {
	From  wire.ReplicaID
	Conn  uint64
	Frame []byte
}

// Node is a running transport that remembers what it is called with.
type Node struct {
	Transport
	ID   wire.ReplicaID
	stop context.CancelFunc
	done chan error

	mu struct {
		sync.Mutex
		changed  chan struct{} // closed at the next change; nil if nobody waits for it
		frames   []Received
		clients  []Received
		up       map[wire.ReplicaID]bool
		links    map[wire.ReplicaID]int // how often one came up
		gone     []uint64
		hold     func(from wire.ReplicaID, frame []byte)
		bad      []string
		sessions map[uint64]bool
	}
}

// Start runs tr; it ends with the test, if Stop does not end it before.
func Start(t *testing.T, id wire.ReplicaID, tr Transport) *Node {
	t.Helper()
	return StartHolding(t, id, tr, nil)
}

// StartHolding is Start with a function that is called in the place where a
// frame of a peer is received, and may block.
func StartHolding(
	t *testing.T, id wire.ReplicaID, tr Transport, hold func(from wire.ReplicaID, frame []byte),
) *Node {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n := &Node{Transport: tr, ID: id, stop: cancel, done: make(chan error, 1)}
	n.mu.up = make(map[wire.ReplicaID]bool)
	n.mu.links = make(map[wire.ReplicaID]int)
	n.mu.hold = hold
	n.mu.sessions = make(map[uint64]bool)
	go func() { n.done <- tr.Run(ctx, n.inbound()) }()
	t.Cleanup(func() { n.Stop(t) })
	return n
}

// Stop ends the transport and waits until it has ended.
func (n *Node) Stop(t *testing.T) {
	t.Helper()
	n.stop()
	select {
	case err, ok := <-n.done:
		if ok && err != nil {
			t.Errorf("replica %d: Run: %v", n.ID, err)
		}
		if ok {
			close(n.done)
		}
	case <-time.After(patience):
		t.Errorf("replica %d: Run has not returned %s after its context ended", n.ID, patience)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.mu.bad {
		t.Errorf("replica %d: %s", n.ID, b)
	}
	n.mu.bad = nil
}

func (n *Node) inbound() Inbound {
	return Inbound{Peer: n.onPeer, Client: n.onClient, Link: n.onLink, ClientGone: n.onGone}
}

func (n *Node) onPeer(from wire.ReplicaID, frame []byte) {
	if n.mu.hold != nil {
		n.mu.hold(from, frame)
	}
	n.change(func() { n.mu.frames = append(n.mu.frames, Received{From: from, Frame: frame}) })
}

func (n *Node) onClient(conn uint64, frame []byte) {
	n.change(func() {
		if gone, known := n.mu.sessions[conn]; known && gone {
			n.mu.bad = append(n.mu.bad, fmt.Sprintf("a frame of client connection %d after its end", conn))
		}
		n.mu.sessions[conn] = false
		n.mu.clients = append(n.mu.clients, Received{Conn: conn, Frame: frame})
	})
}

func (n *Node) onLink(peer wire.ReplicaID, up bool) {
	n.change(func() {
		if n.mu.up[peer] == up {
			n.mu.bad = append(n.mu.bad, fmt.Sprintf("Link(%d, %t) twice", peer, up))
		}
		n.mu.up[peer] = up
		if up {
			n.mu.links[peer]++
		}
	})
}

func (n *Node) onGone(conn uint64) {
	n.change(func() {
		if n.mu.sessions[conn] {
			n.mu.bad = append(n.mu.bad, fmt.Sprintf("client connection %d ended twice", conn))
		}
		n.mu.sessions[conn] = true
		n.mu.gone = append(n.mu.gone, conn)
	})
}

func (n *Node) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	if n.mu.changed != nil {
		close(n.mu.changed)
		n.mu.changed = nil
	}
}

// Await waits until ok, which is called with n locked, holds.
func (n *Node) Await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		holds, changed := n.look(ok)
		if holds {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("replica %d: waited %s in vain: %s", n.ID, patience, what)
		}
	}
}

// look tells whether ok holds, and where it does not, what the next change closes.
func (n *Node) look(ok func() bool) (holds bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ok() {
		return true, nil
	}
	if n.mu.changed == nil {
		n.mu.changed = make(chan struct{})
	}
	return false, n.mu.changed
}

// AwaitLink waits until the link to peer is up, or down.
func (n *Node) AwaitLink(t *testing.T, peer wire.ReplicaID, up bool) {
	t.Helper()
	n.Await(t, fmt.Sprintf("link to %d up=%t", peer, up), func() bool { return n.mu.up[peer] == up })
}

// AwaitLinks waits until the link to peer has come up so many times.
func (n *Node) AwaitLinks(t *testing.T, peer wire.ReplicaID, times int) {
	t.Helper()
	n.Await(t, fmt.Sprintf("link to %d up %d times", peer, times), func() bool { return n.mu.links[peer] >= times })
}

// AwaitFrames waits for so many frames of peers, and returns all there are.
func (n *Node) AwaitFrames(t *testing.T, count int) []Received {
	t.Helper()
	n.Await(t, fmt.Sprintf("%d frames", count), func() bool { return len(n.mu.frames) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Received(nil), n.mu.frames...)
}

// AwaitNumber waits for the frame with this number from a peer. It looks at every frame
// once, for there may be a million, and each one wakes it.
func (n *Node) AwaitNumber(t *testing.T, from wire.ReplicaID, number uint64) {
	t.Helper()
	looked := 0
	n.Await(t, fmt.Sprintf("frame %d of replica %d", number, from), func() bool {
		fresh := n.mu.frames[looked:]
		looked = len(n.mu.frames)
		return slices.ContainsFunc(fresh, func(r Received) bool { return r.From == from && Number(r.Frame) == number })
	})
}

// AwaitClients waits for so many frames of clients, and returns all there are.
func (n *Node) AwaitClients(t *testing.T, count int) []Received {
	t.Helper()
	n.Await(t, fmt.Sprintf("%d frames of clients", count), func() bool { return len(n.mu.clients) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Received(nil), n.mu.clients...)
}

// AwaitGone waits until a client connection has ended.
func (n *Node) AwaitGone(t *testing.T, conn uint64) {
	t.Helper()
	n.Await(t, fmt.Sprintf("the end of client connection %d", conn), func() bool { return n.mu.sessions[conn] })
}
