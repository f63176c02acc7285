// Package outbox is the bounded queue of frames that wait to be sent to one
// peer. Whoever pushes never waits: what does not fit is dropped by a rule that
// the owner of the queue chose.
package outbox

import "sync"

// Rule tells which frames go when a queue is full.
type Rule byte

const (
	// RefuseNewest keeps what is queued and refuses the new frame: for frames
	// that somebody asked for, in order.
	RefuseNewest Rule = iota
	// DropOldest makes room by dropping from the front: for votes, of which the
	// newest say most.
	DropOldest
)

// Limits bound a queue, in both units at once.
type Limits struct {
	Frames int
	Bytes  int
	Rule   Rule
}

// Queue is a first-in, first-out queue of frames. Any goroutine may push; one
// goroutine pops.
type Queue struct {
	limits Limits
	ready  chan struct{}

	mu struct {
		sync.Mutex
		frames  [][]byte // a ring
		head    int
		count   int
		bytes   int
		dropped uint64
	}
}

// New returns an empty queue.
func New(limits Limits) *Queue {
	return &Queue{limits: limits, ready: make(chan struct{}, 1)}
}

// Push queues frame, which nobody may change afterwards, and returns whether it
// did. A frame over the limit of bytes never fits.
func (q *Queue) Push(frame []byte) bool {
	if !q.push(frame) {
		return false
	}
	q.Wake()
	return true
}

// Wake signals Ready as a push does: for a reader that takes over from another.
func (q *Queue) Wake() {
	select {
	case q.ready <- struct{}{}:
	default: // the reader is told already
	}
}

func (q *Queue) push(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(frame) > q.limits.Bytes || q.limits.Frames == 0 || q.limits.Rule == RefuseNewest && q.full(len(frame)) {
		q.mu.dropped++
		return false
	}
	for q.full(len(frame)) {
		q.take()
		q.mu.dropped++
	}
	q.grow()
	q.mu.frames[(q.mu.head+q.mu.count)%len(q.mu.frames)] = frame
	q.mu.count++
	q.mu.bytes += len(frame)
	return true
}

func (q *Queue) full(size int) bool {
	return q.mu.count >= q.limits.Frames || q.mu.bytes+size > q.limits.Bytes
}

// grow makes room for one more in the ring, which starts small, for most queues
// stay short.
func (q *Queue) grow() {
	if q.mu.count < len(q.mu.frames) {
		return
	}
	ring := make([][]byte, max(8, min(2*q.mu.count, q.limits.Frames)))
	for i := range q.mu.count {
		ring[i] = q.mu.frames[(q.mu.head+i)%len(q.mu.frames)]
	}
	q.mu.frames, q.mu.head = ring, 0
}

func (q *Queue) take() []byte {
	frame := q.mu.frames[q.mu.head]
	q.mu.frames[q.mu.head] = nil
	q.mu.head = (q.mu.head + 1) % len(q.mu.frames)
	q.mu.count--
	q.mu.bytes -= len(frame)
	return frame
}

// Pop takes the oldest frame, and returns false if there is none.
func (q *Queue) Pop() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.count == 0 {
		return nil, false
	}
	return q.take(), true
}

// Ready is signalled when frames were pushed since the last signal was taken.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Len returns how many frames and bytes wait.
func (q *Queue) Len() (frames, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.count, q.mu.bytes
}

// Dropped returns how many frames were refused or dropped so far.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.dropped
}

// Clear drops all that waits.
func (q *Queue) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.frames, q.mu.head, q.mu.count, q.mu.bytes = nil, 0, 0, 0
}
