// Package outbox is the bounded queue of frames that wait to be sent to one
// peer. Whoever pushes never waits: what does not fit is dropped by a rule that
// the owner of the queue chose.
package outbox

import (
	"sync"
	"sync/atomic"
)

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
	// Pool, if there is one, is where the bytes beyond Own must find room too. It is for
	// queues that refuse the newest.
	Pool *Pool
	Own  int
}

// Pool is room that many queues share, beyond what each has of its own. None takes more of
// it than it leaves, so that one alone never has all of it (after the dynamic thresholds
// of Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998).
type Pool struct {
	bytes int64
	used  atomic.Int64
}

// NewPool returns an empty pool of so many bytes.
func NewPool(bytes int) *Pool { return &Pool{bytes: int64(bytes)} }

// Used returns how many bytes queues have of it.
func (p *Pool) Used() int { return int(p.used.Load()) }

// grow has a queue take want instead of have, more or less, and returns whether it may.
func (p *Pool) grow(have, want int) bool {
	for {
		used := p.used.Load()
		after := used + int64(want-have)
		if want > have && int64(want) > p.bytes-after {
			return false
		}
		if p.used.CompareAndSwap(used, after) {
			return true
		}
	}
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
		held    int // bytes of the frame popped last, which the pool still counts
		dropped uint64
		closed  bool
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
	if q.mu.closed || len(frame) > q.limits.Bytes || q.limits.Frames == 0 || q.limits.Rule == RefuseNewest && q.full(len(frame)) {
		q.mu.dropped++
		return false
	}
	for q.full(len(frame)) {
		q.take(q.mu.held)
		q.mu.dropped++
	}
	if !q.resize(q.mu.bytes+len(frame), q.mu.held) {
		q.mu.dropped++
		return false
	}
	q.grow()
	q.mu.frames[(q.mu.head+q.mu.count)%len(q.mu.frames)] = frame
	q.mu.count++
	return true
}

// resize has the queue hold so many bytes, and its reader so many, and returns false where
// the pool has no room for them.
func (q *Queue) resize(bytes, held int) bool {
	pool, own := q.limits.Pool, q.limits.Own
	if pool != nil && !pool.grow(max(0, q.mu.bytes+q.mu.held-own), max(0, bytes+held-own)) {
		return false
	}
	q.mu.bytes, q.mu.held = bytes, held
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

// take removes the oldest frame, and has the reader hold so many bytes from now on.
func (q *Queue) take(held int) []byte {
	frame := q.mu.frames[q.mu.head]
	q.mu.frames[q.mu.head] = nil
	q.mu.head = (q.mu.head + 1) % len(q.mu.frames)
	q.mu.count--
	q.resize(q.mu.bytes-len(frame), held) // never refused: the reader holds no more than that
	return frame
}

// Pop takes the oldest frame, and returns false if there is none. Of the Pool it has its
// room until the next Pop, for until then it may wait to be written.
func (q *Queue) Pop() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.resize(q.mu.bytes, 0) // never refused
	if q.mu.count == 0 {
		return nil, false
	}
	return q.take(len(q.mu.frames[q.mu.head])), true
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
	q.clear()
}

func (q *Queue) clear() {
	q.resize(0, 0) // never refused
	q.mu.frames, q.mu.head, q.mu.count = nil, 0, 0
}

// Close drops all that waits, and refuses all that comes from now on. A queue with a Pool
// must be closed when it is not used any more.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clear()
	q.mu.closed = true
}
