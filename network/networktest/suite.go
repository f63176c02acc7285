package networktest

import (
	"bytes"
	"sync"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// Run runs all tests of the contract, each with a cluster of its own that
// newCluster makes.
func Run(t *testing.T, newCluster func(t *testing.T, n int) Cluster) {
	t.Helper()
	for _, test := range []struct {
		law string
		n   int
		run func(*testing.T, Cluster)
	}{
		{"LinksComeUpBetweenAll", 4, linksComeUp},
		{"FramesArriveUnchangedAndInOrder", 2, framesInOrder},
		{"ClassesDoNotHoldEachOtherUp", 2, classesApart},
		{"SlowReaderHarmsOnlyItself", 3, slowReader},
		{"SendToTheDeadNeverBlocksAndIsBounded", 2, sendToTheDead},
		{"RestartIsNoticedAndRepaired", 2, restart},
		{"UnknownReplicasAndFramesAreRefused", 2, refuses},
		{"ClientsAskAndAreAnswered", 2, clientsAsk},
		{"ClientsEndIsTold", 1, clientsEnd},
		{"ClientsReconnect", 1, clientsReconnect},
		{"RubbishEndsAClientsConnection", 2, rubbishEnds},
		{"RunEndsWhileAReceiverIsSlow", 2, endsWhileSlow},
	} {
		t.Run(test.law, func(t *testing.T) { test.run(t, newCluster(t, test.n)) })
	}
}

func pair(t *testing.T, c Cluster) (a, b *Node) {
	t.Helper()
	a, b = Start(t, 0, c.Transport(t, 0)), Start(t, 1, c.Transport(t, 1))
	a.AwaitLink(t, 1, true)
	b.AwaitLink(t, 0, true)
	return a, b
}

func linksComeUp(t *testing.T, c Cluster) {
	t.Helper()
	const n = 4
	nodes := make([]*Node, n)
	for i := range nodes {
		nodes[i] = Start(t, wire.ReplicaID(i), c.Transport(t, wire.ReplicaID(i)))
	}
	for i, a := range nodes {
		for j := range nodes {
			if i != j {
				a.AwaitLink(t, wire.ReplicaID(j), true)
			}
		}
	}
	nodes[3].Stop(t)
	for _, a := range nodes[:3] {
		a.AwaitLink(t, 3, false)
	}
}

func framesInOrder(t *testing.T, c Cluster) {
	t.Helper()
	a, b := pair(t, c)
	sizes := []int{10, 11, 4096, FrameBytesMax, 127, FrameBytesMax - 1, 100}
	for _, kind := range []wire.Kind{wire.KindPrepare, wire.KindPrePrepare, wire.KindPiece} {
		for i := range 140 {
			if !a.Send(1, Frame(kind, uint64(i), sizes[i%len(sizes)])) {
				t.Fatalf("%v %d: Send = false, want true", kind, i)
			}
		}
	}
	next := map[wire.Kind]uint64{}
	for _, r := range b.AwaitFrames(t, 3*140) {
		kind := wire.Kind(r.Frame[1])
		want := Frame(kind, next[kind], sizes[next[kind]%uint64(len(sizes))])
		if r.From != 0 || !bytes.Equal(r.Frame, want) {
			t.Fatalf("got frame %d of %v (%d bytes) from %d, want %d (%d bytes) from 0",
				Number(r.Frame), kind, len(r.Frame), r.From, next[kind], len(want))
		}
		next[kind]++
	}
}

// blocker holds up chosen frames until it is released.
type blocker struct {
	entered chan struct{} // closed once it holds one
	release chan struct{}
	first   sync.Once
	once    sync.Once
	holds   func(from wire.ReplicaID, frame []byte) bool
}

func newBlocker(t *testing.T, holds func(wire.ReplicaID, []byte) bool) *blocker {
	t.Helper()
	b := &blocker{entered: make(chan struct{}), release: make(chan struct{}), holds: holds}
	t.Cleanup(b.open)
	return b
}

func (b *blocker) open() { b.once.Do(func() { close(b.release) }) }

func (b *blocker) hold(from wire.ReplicaID, frame []byte) {
	if b.holds(from, frame) {
		b.first.Do(func() { close(b.entered) })
		<-b.release
	}
}

func classesApart(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0))
	tr := c.Transport(t, 1)
	block := newBlocker(t, func(_ wire.ReplicaID, f []byte) bool { return wire.Kind(f[1]) == wire.KindPiece })
	b := StartHolding(t, 1, tr, block.hold)
	t.Cleanup(block.open)
	a.AwaitLink(t, 1, true)
	for i := range 8 {
		a.Send(1, Frame(wire.KindPiece, uint64(i), FrameBytesMax))
	}
	a.Send(1, Frame(wire.KindPrepare, 77, 0))
	b.AwaitNumber(t, 0, 77)
	block.open()
	b.AwaitNumber(t, 0, 7)
}

func slowReader(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0))
	block := newBlocker(t, func(wire.ReplicaID, []byte) bool { return true })
	slow := StartHolding(t, 1, c.Transport(t, 1), block.hold)
	t.Cleanup(block.open)
	b := Start(t, 2, c.Transport(t, 2))
	a.AwaitLink(t, 1, true)
	a.AwaitLink(t, 2, true)
	refused := 0
	for i := range 2000 {
		if !a.Send(1, Frame(wire.KindPrePrepare, uint64(i), FrameBytesMax)) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("2000 frames of 64 KiB for a replica that does not read were all queued, want a bound")
	}
	a.Send(2, Frame(wire.KindPrePrepare, 5, FrameBytesMax))
	b.AwaitNumber(t, 0, 5)
	block.open()
	slow.AwaitNumber(t, 0, 0)
}

func sendToTheDead(t *testing.T, c Cluster) {
	t.Helper()
	a := Start(t, 0, c.Transport(t, 0)) // 1 is never started
	frame := Frame(wire.KindPrePrepare, 1, FrameBytesMax)
	accepted := 0
	for range 2000 {
		if a.Send(1, frame) {
			accepted++
		}
	}
	if accepted == 0 || accepted == 2000 {
		t.Errorf("%d of 2000 frames of 64 KiB queued for a dead replica, want some and not all", accepted)
	}
	for i := range uint64(20000) {
		if !a.Send(1, Frame(wire.KindPrepare, i, 0)) {
			t.Fatalf("vote %d: Send = false, want true: the oldest votes go", i)
		}
	}
	b := Start(t, 1, c.Transport(t, 1))
	b.AwaitNumber(t, 0, 19999)
}

func restart(t *testing.T, c Cluster) {
	t.Helper()
	a, b := pair(t, c)
	for life := range 3 {
		b.Stop(t)
		a.AwaitLink(t, 1, false)
		b = Start(t, 1, c.Transport(t, 1))
		a.AwaitLinks(t, 1, life+2)
		b.AwaitLink(t, 0, true)
		a.Send(1, Frame(wire.KindCommit, uint64(life)+100, 0))
		b.AwaitNumber(t, 0, uint64(life)+100)
		b.Send(0, Frame(wire.KindCommit, uint64(life)+200, 0))
		a.AwaitNumber(t, 1, uint64(life)+200)
	}
}

func refuses(t *testing.T, c Cluster) {
	t.Helper()
	a, b := pair(t, c)
	for _, test := range []struct {
		what  string
		to    wire.ReplicaID
		frame []byte
	}{
		{"an unknown replica", 2, Frame(wire.KindPrepare, 1, 0)},
		{"itself", 0, Frame(wire.KindPrepare, 1, 0)},
		{"an empty frame", 1, nil},
		{"a frame over the limit", 1, Frame(wire.KindPiece, 1, FrameBytesMax+1)},
	} {
		if a.Send(test.to, test.frame) {
			t.Errorf("Send to %s = true, want false", test.what)
		}
	}
	if a.Answer(12345, Frame(wire.KindReplies, 1, 0)) {
		t.Error("Answer to an unknown connection = true, want false")
	}
	a.Send(1, Frame(wire.KindPrepare, 9, 0))
	b.AwaitNumber(t, 0, 9)
}
