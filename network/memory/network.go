package memory

import (
	"sync"
	"time"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// frameBytesMax bounds a frame unless SetFrameBytesMax says otherwise.
	frameBytesMax = 8 << 20
	// votesMax, batchesMax, bulkMax and clientMax bound what waits for one peer.
	votesMax, batchesMax, bulkMax, clientMax = 8192, 1024, 256, 4096
)

// Network connects n replicas, and clients, in memory. Its methods may be called
// by many goroutines at once.
type Network struct {
	replicas []*Transport
	queues   [][][wire.Classes]*outbox.Queue // from, to, class

	mu struct {
		sync.Mutex
		frameMax int
		delay    time.Duration
		running  []bool
		lives    []uint64 // how often each has begun to run
		cut      map[[2]wire.ReplicaID]bool
		breaks   map[[2]wire.ReplicaID]uint64 // how often each link was cut
		alone    map[wire.ReplicaID]bool
		changed  chan struct{} // closed at every change of the above
	}
}

// NewNetwork returns a network of n replicas, all connected.
func NewNetwork(n int) *Network {
	w := &Network{}
	w.mu.frameMax = frameBytesMax
	w.mu.running = make([]bool, n)
	w.mu.lives = make([]uint64, n)
	w.mu.cut = make(map[[2]wire.ReplicaID]bool)
	w.mu.breaks = make(map[[2]wire.ReplicaID]uint64)
	w.mu.alone = make(map[wire.ReplicaID]bool)
	w.mu.changed = make(chan struct{})
	w.queues = make([][][wire.Classes]*outbox.Queue, n)
	for from := range n {
		w.queues[from] = make([][wire.Classes]*outbox.Queue, n)
		for to := range n {
			for class := range wire.Class(wire.Classes) {
				w.queues[from][to][class] = outbox.New(queueLimits(class))
			}
		}
		w.replicas = append(w.replicas, newTransport(w, wire.ReplicaID(from))) //nolint:gosec // n is small
	}
	return w
}

func queueLimits(class wire.Class) outbox.Limits {
	switch class {
	case wire.ClassVotes:
		return outbox.Limits{Frames: votesMax, Bytes: 64 << 20, Rule: outbox.DropOldest}
	case wire.ClassBatches:
		return outbox.Limits{Frames: batchesMax, Bytes: 64 << 20}
	case wire.ClassBulk:
		return outbox.Limits{Frames: bulkMax, Bytes: 64 << 20}
	default: // ClassClients
		return outbox.Limits{Frames: clientMax, Bytes: 64 << 20}
	}
}

// SetFrameBytesMax bounds frames, to 8 MiB if it is not called.
func (w *Network) SetFrameBytesMax(n int) { w.change(func() { w.mu.frameMax = n }) }

// SetDelay has each frame take so long on its way, in both directions, also to and from
// clients; 0 if it is not called. It is for networks that nobody runs on yet.
func (w *Network) SetDelay(d time.Duration) { w.change(func() { w.mu.delay = d }) }

// Transport returns the transport of replica id, or nil if there is none. After
// its Run has returned it can be run again: that is a restart.
func (w *Network) Transport(id wire.ReplicaID) *Transport {
	if int(id) >= len(w.replicas) {
		return nil
	}
	return w.replicas[id]
}

// Clients returns a new client.
func (w *Network) Clients() *Clients { return newClients(w) }

// Cut breaks the link between two replicas, in both directions.
func (w *Network) Cut(a, b wire.ReplicaID) {
	w.change(func() {
		key := pair(a, b)
		if !w.mu.cut[key] {
			w.mu.cut[key] = true
			w.mu.breaks[key]++
		}
	})
}

// Isolate breaks all links of a replica, to clients too.
func (w *Network) Isolate(id wire.ReplicaID) {
	w.change(func() {
		if w.mu.alone[id] {
			return
		}
		w.mu.alone[id] = true
		for other := range w.replicas {
			w.mu.breaks[pair(id, wire.ReplicaID(other))]++ //nolint:gosec // an index of a short list
		}
	})
}

// Heal mends all that Cut and Isolate broke.
func (w *Network) Heal() {
	w.change(func() {
		clear(w.mu.cut)
		clear(w.mu.alone)
	})
}

func pair(a, b wire.ReplicaID) [2]wire.ReplicaID { return [2]wire.ReplicaID{min(a, b), max(a, b)} }

func (w *Network) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

func (w *Network) fits(frame []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(frame) > 0 && len(frame) <= w.mu.frameMax
}

// linkState is one moment of a link. Two moments with different generations had
// a break between them.
type linkState struct {
	up         bool
	generation uint64
	changed    <-chan struct{}
}

// peers returns the state of the link between two replicas.
func (w *Network) peers(a, b wire.ReplicaID) linkState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return linkState{
		up: w.mu.running[a] && w.mu.running[b] && !w.mu.cut[pair(a, b)] && !w.mu.alone[a] && !w.mu.alone[b],
		// Both summands only grow, so equal sums mean that nothing happened.
		generation: w.mu.lives[a] + w.mu.lives[b] + w.mu.breaks[pair(a, b)],
		changed:    w.mu.changed,
	}
}

// client returns the state of replica id as clients see it.
func (w *Network) client(id wire.ReplicaID) linkState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return linkState{
		up:         w.mu.running[id] && !w.mu.alone[id],
		generation: w.mu.lives[id] + w.mu.breaks[pair(id, id)],
		changed:    w.mu.changed,
	}
}
