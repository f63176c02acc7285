package node

import (
	"slices"
	"sync"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// own is the queue of events that this process makes itself: own messages that
// come back, snapshots, transfers, links. Putting never blocks, so settle and
// apply can never wait for step while step waits for them. It is bounded by
// construction:
//
//   - own messages: settle holds turnsMax turns of at most turnEventsMax events
//     each, and step empties this queue before it fills another turn;
//   - Snapshotted: one for each checkpoint that apply was told to take, and apply
//     is at most a window ahead of the last one;
//   - Transferred and TransferFailed: one for each Fetch effect;
//   - Linked and Unlinked: the last one of each peer.
type own struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		events []core.Event
		links  map[wire.ReplicaID]bool // of which an event waits
	}
}

func newOwn() *own {
	q := &own{wake: make(chan struct{}, 1)}
	q.mu.links = make(map[wire.ReplicaID]bool)
	return q
}

// put queues events.
func (q *own) put(events ...core.Event) {
	if len(events) == 0 {
		return
	}
	q.mu.Lock()
	q.mu.events = append(q.mu.events, events...)
	q.mu.Unlock()
	token(q.wake)
}

// link queues Linked or Unlinked of peer, in place of what waits of it: the state of the
// link counts, not what it has been meanwhile.
func (q *own) link(peer wire.ReplicaID, up bool) {
	var ev core.Event = core.Unlinked{Peer: peer}
	if up {
		ev = core.Linked{Peer: peer}
	}
	q.mu.Lock()
	if q.mu.links[peer] {
		q.mu.events = slices.DeleteFunc(q.mu.events, func(old core.Event) bool {
			return old == core.Event(core.Linked{Peer: peer}) || old == core.Event(core.Unlinked{Peer: peer})
		})
	}
	q.mu.links[peer] = true
	q.mu.events = append(q.mu.events, ev)
	q.mu.Unlock()
	token(q.wake)
}

// take returns what waits and makes spare, emptied, the new queue.
func (q *own) take(spare []core.Event) []core.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.mu.events
	clear(spare)
	q.mu.events = spare[:0]
	clear(q.mu.links)
	return events
}
