package networktest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

func clientsAsk(t *testing.T, c Cluster) {
	t.Helper()
	a, b := pair(t, c)
	one, two := StartClients(t, c.Clients(t)), StartClients(t, c.Clients(t))
	for _, r := range []*Caller{one, two} {
		r.AwaitLink(t, 0, true)
		r.AwaitLink(t, 1, true)
	}
	const count = 50
	for i := range uint64(count) {
		one.Send(0, Frame(wire.KindRequest, i, 0))
		two.Send(0, Frame(wire.KindRequest, i, 0))
	}
	one.Send(1, Frame(wire.KindRequest, 0, 0))
	b.AwaitClients(t, 1)
	next := map[uint64]uint64{}
	for _, r := range a.AwaitClients(t, 2*count) {
		if Number(r.Frame) != next[r.Conn] {
			t.Fatalf("connection %d: got frame %d, want %d", r.Conn, Number(r.Frame), next[r.Conn])
		}
		next[r.Conn]++
		answer := bytes.Clone(r.Frame)
		answer[1] = byte(wire.KindReplies)
		if !a.Answer(r.Conn, answer) {
			t.Fatalf("Answer(%d) = false, want true", r.Conn)
		}
	}
	if len(next) != 2 {
		t.Errorf("frames came from %d connections, want 2", len(next))
	}
	for _, r := range []*Caller{one, two} {
		for i, got := range r.AwaitFrames(t, count) {
			if got.From != 0 || !bytes.Equal(got.Frame, Frame(wire.KindReplies, uint64(i), 0)) {
				t.Fatalf("answer %d: got %d from %d, want %d from 0", i, Number(got.Frame), got.From, i)
			}
		}
	}
}

func clientsEnd(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0))
	seen := map[uint64]bool{}
	for i := range 3 {
		r := StartClients(t, c.Clients(t))
		r.Send(0, Frame(wire.KindRequest, 1, 0))
		conn := a.AwaitClients(t, i+1)[i].Conn
		if seen[conn] {
			t.Fatalf("connection number %d came twice", conn)
		}
		seen[conn] = true
		r.Stop(t)
		a.AwaitGone(t, conn)
		if a.Answer(conn, Frame(wire.KindReplies, 1, 0)) {
			t.Errorf("Answer to connection %d, which has ended, = true, want false", conn)
		}
	}
}

func clientsReconnect(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0))
	r := StartClients(t, c.Clients(t))
	r.AwaitLink(t, 0, true)
	a.Stop(t)
	r.AwaitLink(t, 0, false)
	a = Start(t, 0, c.Transport(t, 0))
	r.AwaitLink(t, 0, true)
	r.Send(0, Frame(wire.KindRequest, 8, 0))
	a.Await(t, "the request", func() bool {
		for _, f := range a.mu.clients {
			if Number(f.Frame) == 8 {
				return true
			}
		}
		return false
	})
	if r.Send(1, Frame(wire.KindRequest, 8, 0)) {
		t.Error("Send to a replica that is none = true, want false")
	}
}

func rubbishEnds(t *testing.T, c Cluster) {
	t.Helper()
	nodes := []*Node{Start(t, 0, c.Transport(t, 0)), Start(t, 1, c.Transport(t, 1))}
	r := StartClients(t, c.Clients(t))
	ask := func(i int, number uint64) Received { // and nothing else is under way
		r.AwaitLink(t, wire.ReplicaID(i), true)
		r.Send(wire.ReplicaID(i), Frame(wire.KindRequest, number, 0))
		asked := func(f Received) bool { return Number(f.Frame) == number }
		nodes[i].Await(t, "the request", func() bool { return slices.ContainsFunc(nodes[i].mu.clients, asked) })
		nodes[i].mu.Lock()
		defer nodes[i].mu.Unlock()
		return nodes[i].mu.clients[slices.IndexFunc(nodes[i].mu.clients, asked)]
	}
	first, other := ask(0, 1), ask(1, 1)
	rubbish := errors.New("it says nothing but this")
	r.Refuse(rubbish)
	nodes[0].Answer(first.Conn, Frame(wire.KindReplies, 2, 0))
	_ = r.AwaitError(t, 0, func(err error) bool { return errors.Is(err, rubbish) })
	nodes[0].AwaitGone(t, first.Conn)
	r.Refuse(nil)
	again := ask(0, 3)
	if again.Conn == first.Conn {
		t.Errorf("the new connection is %d, as the one before", again.Conn)
	}
	nodes[0].Answer(again.Conn, Frame(wire.KindReplies, 4, 0))
	nodes[1].Answer(other.Conn, Frame(wire.KindReplies, 5, 0)) // which is the one that it was
	r.AwaitFrames(t, 3)
}

func endsWhileSlow(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0))
	block := newBlocker(t, func(wire.ReplicaID, []byte) bool { return true })
	b := StartHolding(t, 1, c.Transport(t, 1), block.hold)
	t.Cleanup(block.open)
	a.AwaitLink(t, 1, true)
	for i := range uint64(100) {
		a.Send(1, Frame(wire.KindPrePrepare, i, FrameBytesMax))
	}
	<-block.entered
	a.Stop(t) // while 1 holds the first frame
	b.AwaitLink(t, 0, false)
	block.open()
	b.AwaitFrames(t, 1)
}
