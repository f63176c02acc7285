package node

import (
	"context"
	"slices"
	"sync"

	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of the lanes, the queues between the transport and the verifiers.
const (
	// laneFramesMax bounds the frames of one stream of a peer that wait: some
	// rounds of votes for a whole window.
	laneFramesMax = 1024
	// laneBytesMax bounds their bytes: a few of the largest proposals. One frame
	// is let in whatever its size.
	laneBytesMax = 4 << 20
	// clientFramesMax and clientBytesMax bound what one client connection has
	// waiting: as much as its window of operations needs.
	clientFramesMax = 256
	clientBytesMax  = 1 << 20
	// clientsBytesMax bounds what all client connections together have waiting. Where more
	// comes, each has an equal share of it, and what exceeds that is dropped; clients send
	// again.
	clientsBytesMax = 64 << 20
	// batchFramesMax and batchBytesMax bound what one worker verifies at once, but for
	// one frame of any size: larger batches of signatures gain little, and delay the
	// first of them. In so many bytes there may be some thousand signatures.
	batchFramesMax = 128
	batchBytesMax  = 512 << 10
	// shareFramesMax and shareBytesMax are what a lane may take of a batch while others
	// wait, and one frame of any size: votes come out with the batch in which they are, and
	// shall not wait for all that somebody sends.
	shareFramesMax = 32
	shareBytesMax  = 64 << 10
	// suspectFramesMax is what a suspect may: its frames may be bad, and dear.
	suspectFramesMax = 8
)

// source is where a frame came from: a peer's number or a client connection's.
type source struct {
	client bool
	id     uint64
}

func peerSource(id wire.ReplicaID) source { return source{id: uint64(id)} }

// peer returns the number of the peer that the source is.
func (s source) peer() wire.ReplicaID { return wire.ReplicaID(s.id) } //nolint:gosec // peerSource made it from one

// lane is the queue of one stream: of a peer and class, or of a client
// connection. While a worker holds frames of it, no other takes any: so the
// order within a stream is kept, and one stream costs at most one worker.
type lane struct {
	from    source
	class   wire.Class
	frames  [][]byte
	bytes   int
	held    bool          // by a worker
	waiting int           // readers blocked in put
	room    chan struct{} // a token for one of them
}

type laneKey struct {
	from  source
	class wire.Class
}

func (l *lane) full() bool {
	if len(l.frames) == 0 {
		return false
	}
	if l.from.client {
		return len(l.frames) >= clientFramesMax || l.bytes >= clientBytesMax
	}
	return len(l.frames) >= laneFramesMax || l.bytes >= laneBytesMax
}

// lanes hold the frames that wait to be verified. A full lane blocks the reader
// of its stream and nobody else.
type lanes struct {
	suspect func(source) bool // its frames share no batch with others'
	wake    chan struct{}     // tokens for workers that wait
	mu      struct {
		sync.Mutex
		lanes       map[laneKey]*lane
		peers       []*lane // with frames and not held, the longest waiting first
		clients     []*lane
		clientBytes int
		clientLanes int  // how many there are
		clientsNext bool // whose turn it is
	}
}

func newLanes(workers int, suspect func(source) bool) *lanes {
	q := &lanes{suspect: suspect, wake: make(chan struct{}, workers)}
	q.mu.lanes = make(map[laneKey]*lane)
	return q
}

// put queues a frame, and waits while its lane is full. It returns false if the
// frame was dropped: ctx is done, or all clients together have too much, and this one
// its share of it.
func (q *lanes) put(ctx context.Context, key laneKey, frame []byte) bool {
	q.mu.Lock()
	l := q.mu.lanes[key]
	if l == nil {
		l = &lane{from: key.from, class: key.class, room: make(chan struct{}, 1)}
		q.mu.lanes[key] = l
		if key.from.client {
			q.mu.clientLanes++
		}
	}
	for l.full() {
		l.waiting++
		q.mu.Unlock()
		done := false
		select {
		case <-l.room:
		case <-ctx.Done():
			done = true
		}
		q.mu.Lock()
		l.waiting--
		if done {
			q.drop(l)
			q.mu.Unlock()
			return false
		}
	}
	ok := q.add(l, frame)
	if l.waiting > 0 && !l.full() {
		token(l.room)
	}
	q.drop(l)
	q.mu.Unlock()
	token(q.wake)
	return ok
}

// add appends frame to l. It needs the lock.
func (q *lanes) add(l *lane, frame []byte) bool {
	if l.from.client {
		if !q.makeRoom(l, len(frame)) {
			return false
		}
		q.mu.clientBytes += len(frame)
	}
	l.frames = append(l.frames, frame)
	l.bytes += len(frame)
	if len(l.frames) == 1 && !l.held {
		q.list(l)
	}
	return true
}

// makeRoom has clients that have more than their share of the room for all give way to a
// frame of l, unless l would have more than that, too. It needs the lock.
func (q *lanes) makeRoom(l *lane, bytes int) bool {
	if q.mu.clientBytes+bytes <= clientsBytesMax {
		return true
	}
	share := clientsBytesMax / q.mu.clientLanes
	if l.bytes+bytes > share {
		return false
	}
	for q.mu.clientBytes+bytes > clientsBytesMax {
		for other := q.longest(); other.bytes > share && q.mu.clientBytes+bytes > clientsBytesMax; {
			q.cut(other)
		}
	}
	return true // for now each has its share at most, or there is room
}

// longest returns the lane of a client with the most bytes. It needs the lock.
func (q *lanes) longest() (most *lane) {
	for _, l := range q.mu.lanes {
		if l.from.client && (most == nil || l.bytes > most.bytes) {
			most = l
		}
	}
	return most
}

// cut drops the newest frame of a client's lane. It needs the lock.
func (q *lanes) cut(l *lane) {
	last := len(l.frames) - 1
	bytes := len(l.frames[last])
	l.frames[last] = nil
	l.frames, l.bytes, q.mu.clientBytes = l.frames[:last], l.bytes-bytes, q.mu.clientBytes-bytes
	if last == 0 && !l.held {
		q.mu.clients = slices.DeleteFunc(q.mu.clients, func(other *lane) bool { return other == l })
	}
	if l.waiting > 0 {
		token(l.room)
	}
	q.drop(l)
}

// list queues l for the workers. It needs the lock.
func (q *lanes) list(l *lane) {
	if l.from.client {
		q.mu.clients = append(q.mu.clients, l)
	} else {
		q.mu.peers = append(q.mu.peers, l)
	}
}

// drop forgets an idle lane, so that those of clients that left cost nothing.
// It needs the lock.
func (q *lanes) drop(l *lane) {
	if len(l.frames) > 0 || l.held || l.waiting > 0 {
		return
	}
	delete(q.mu.lanes, laneKey{l.from, l.class})
	if l.from.client {
		q.mu.clientLanes--
	}
}

// frames is what a worker verifies at once.
type frames struct {
	frames [][]byte
	from   []source // of each frame
	lanes  []*lane  // to release
	bytes  int
}

func (b *frames) full() bool { return len(b.frames) >= batchFramesMax || b.bytes >= batchBytesMax }

// keep takes out of b the frames that are not wanted.
func (b *frames) keep(wanted func(frame []byte, from source) bool) {
	kept := 0
	for i, frame := range b.frames {
		if wanted(frame, b.from[i]) {
			b.frames[kept], b.from[kept] = frame, b.from[i]
			kept++
		}
	}
	clear(b.frames[kept:])
	b.frames, b.from = b.frames[:kept], b.from[:kept]
}

// put appends votes that were set aside.
func (b *frames) put(votes []asideFrame) {
	for _, held := range votes {
		b.frames, b.from = append(b.frames, held.frame), append(b.from, peerSource(held.from))
	}
}

// take fills b with frames of lanes that no worker holds, which the caller then
// holds, and returns false if there are none. Peers and clients take turns and
// share no batch, nor does a suspect with anyone: one bad signature makes its
// whole batch dear.
func (q *lanes) take(b *frames) bool {
	*b = frames{b.frames[:0], b.from[:0], b.lanes[:0], 0}
	q.mu.Lock()
	defer q.mu.Unlock()
	list := &q.mu.peers
	if len(q.mu.clients) > 0 && (q.mu.clientsNext || len(q.mu.peers) == 0) {
		list = &q.mu.clients
	}
	q.mu.clientsNext = list == &q.mu.peers
	*list = q.fill(b, *list)
	if len(q.mu.peers)+len(q.mu.clients) > 0 {
		token(q.wake)
	}
	return len(b.frames) > 0
}

// fill takes from the lanes of a list in turn and returns those left. It needs
// the lock.
func (q *lanes) fill(b *frames, list []*lane) []*lane {
	left := list[:0]
	for i, l := range list {
		alone := q.suspect(l.from)
		if b.full() || alone && i > 0 {
			left = append(left, l)
			continue
		}
		share := laneShare{batchFramesMax, batchBytesMax}
		switch {
		case alone:
			share.frames = suspectFramesMax
		case len(list) > 1:
			share = laneShare{shareFramesMax, shareBytesMax}
		}
		q.move(b, l, share)
		if alone {
			left = append(left, list[i+1:]...)
			break
		}
	}
	clear(list[len(left):])
	return left
}

// laneShare is how much of a lane is taken; the last frame may pass its bytes.
type laneShare struct{ frames, bytes int }

// move takes a share of l into b. It needs the lock.
func (q *lanes) move(b *frames, l *lane, share laneShare) {
	took, until := 0, b.bytes+share.bytes
	for took < len(l.frames) && took < share.frames && b.bytes < until && !b.full() {
		frame := l.frames[took]
		b.frames, b.from = append(b.frames, frame), append(b.from, l.from)
		b.bytes += len(frame)
		l.bytes -= len(frame)
		if l.from.client {
			q.mu.clientBytes -= len(frame)
		}
		took++
	}
	l.frames = append(l.frames[:0:0], l.frames[took:]...)
	l.held = true
	b.lanes = append(b.lanes, l)
	if l.waiting > 0 {
		token(l.room)
	}
}

// release gives back the lanes of b, whose frames were passed on.
func (q *lanes) release(b *frames) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range b.lanes {
		l.held = false
		if len(l.frames) > 0 {
			q.list(l)
		}
		q.drop(l)
	}
	if len(q.mu.peers)+len(q.mu.clients) > 0 {
		token(q.wake)
	}
}

// token puts a token into c unless it is full.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
