package node

import (
	"sync/atomic"

	"github.com/quorate/quorate/pbft/wire"
)

// outlet is the one way out of the process. Any goroutine may call its methods;
// after shut, nothing leaves.
type outlet struct {
	transport Transport
	self      wire.ReplicaID
	replicas  wire.ReplicaID
	closed    atomic.Bool
}

// send queues frame for peer to; a frame that finds no room is lost, and the
// protocol's Status repairs that.
func (o *outlet) send(to wire.ReplicaID, frame []byte) bool {
	if o.closed.Load() || to == o.self || to >= o.replicas {
		return false
	}
	return o.transport.Send(to, frame)
}

// broadcast queues frame for every peer.
func (o *outlet) broadcast(frame []byte) {
	for id := range o.replicas {
		o.send(id, frame)
	}
}

// answer queues frame for a client connection.
func (o *outlet) answer(conn uint64, frame []byte) bool {
	return !o.closed.Load() && o.transport.Answer(conn, frame)
}

// shut makes every later call do nothing.
func (o *outlet) shut() { o.closed.Store(true) }
