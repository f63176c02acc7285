package pbft

import (
	"slices"
	"sync"
)

// inbox holds the calls that the client's loop has not seen yet, in the order in which
// they came. Many goroutines that select on one channel contend for its lock, twice
// each; here each takes a lock once, for the length of an append.
type inbox struct {
	// filled tells the loop that there may be calls. It has room for one such word.
	filled chan struct{}
	mu     struct {
		sync.Mutex
		calls  []*call
		closed bool
	}
}

func newInbox() *inbox { return &inbox{filled: make(chan struct{}, 1)} }

// put hands w to the loop, or returns false if that has ended. Any goroutine may call it.
func (b *inbox) put(w *call) bool {
	b.mu.Lock()
	open, first := !b.mu.closed, len(b.mu.calls) == 0
	if open {
		b.mu.calls = append(b.mu.calls, w)
	}
	b.mu.Unlock()
	if open && first {
		select {
		case b.filled <- struct{}{}:
		default:
		}
	}
	return open
}

// close refuses what comes from now on.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.closed = true
}

// empty appends all calls to to, and returns that.
func (b *inbox) empty(to []*call) []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	to = append(to, b.mu.calls...)
	clear(b.mu.calls)
	b.mu.calls = b.mu.calls[:0]
	return to
}

// queue holds, in order, the calls that the client's loop has seen and that have no number
// yet, for the window is full or they wait for company. The loop owns it.
type queue struct {
	calls []*call
	next  int // those before it are taken
	left  int // of the others, those that wait no more: call.queued is false
}

// length returns how many calls wait.
func (q *queue) length() int { return len(q.calls) - q.next - q.left }

// fill takes over what is in an inbox.
func (q *queue) fill(from *inbox) {
	if 2*q.next >= len(q.calls) {
		q.calls = slices.Delete(q.calls, 0, q.next)
		q.next = 0
	}
	seen := len(q.calls)
	q.calls = from.empty(q.calls)
	for _, w := range q.calls[seen:] {
		w.queued = true
	}
}

// take returns the first call that waits, or nil, and forgets it.
func (q *queue) take() *call {
	for q.next < len(q.calls) {
		w := q.calls[q.next]
		q.calls[q.next] = nil
		q.next++
		if w.queued {
			w.queued = false
			return w
		}
		q.left--
	}
	return nil
}

// leave forgets w, and tells whether it waited. Calls that come and leave while none is
// taken do not pile up.
func (q *queue) leave(w *call) bool {
	if !w.queued {
		return false
	}
	w.queued = false
	q.left++
	if 2*q.left > len(q.calls)-q.next {
		q.calls = slices.DeleteFunc(q.calls[q.next:], func(w *call) bool { return !w.queued })
		q.next, q.left = 0, 0
	}
	return true
}
