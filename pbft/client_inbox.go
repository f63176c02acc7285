package pbft

import (
	"runtime"
	"slices"
	"sync"
	"time"
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

// submitted returns what can be received from when calls wait that may be taken now.
func (l *clientLoop) submitted() <-chan struct{} {
	full := !l.window.admits(0, 0)
	switch {
	case !l.resumes.IsZero(), full && !l.cfg.noWait && !l.window.spent():
		return nil
	case l.queue.length() > 0:
		return l.always
	}
	return l.submits.filled
}

// onSubmits takes calls that wait, as many as one request holds, so that they share its
// signature: writes one, and reads one.
func (l *clientLoop) onSubmits() {
	if !l.window.admits(0, 0) {
		if w := l.nextCall(); w != nil {
			w.done <- answer{err: l.noRoom()}
		}
		return
	}
	most := l.cfg.opsTogether()
	if l.queue.length() < most {
		runtime.Gosched() // those who were answered together submit next
	}
	var writes, reads []*call
	for taken, bytes := 0, 0; taken < most && bytes < l.cfg.limits.OpBytesMax && l.window.admits(taken, bytes); taken++ {
		w := l.nextCall()
		if w == nil {
			break
		}
		l.window.makeRoom(taken, bytes)
		if w.readOnly {
			reads = append(reads, w)
		} else {
			writes = append(writes, w)
		}
		bytes += len(w.op)
	}
	if len(writes)+len(reads) == 0 {
		return // they left
	}
	l.resumes = time.Time{}
	if len(writes)+len(reads) < most {
		l.resumes = l.gapEnd()
	}
	l.sendCalls(writes)
	l.sendCalls(reads)
}

// sendCalls sends calls of one kind, in one request if their bytes allow it.
func (l *clientLoop) sendCalls(calls []*call) {
	var ops []*operation
	bytes := 0
	for _, w := range calls {
		if len(ops) > 0 && bytes+len(w.op) > l.cfg.limits.OpBytesMax {
			l.sendNew(ops)
			ops, bytes = nil, 0
		}
		ops = append(ops, l.window.add(w))
		bytes += len(w.op)
	}
	if len(ops) > 0 {
		l.sendNew(ops)
	}
}

// nextCall returns the call that has waited longest, or nil.
func (l *clientLoop) nextCall() *call {
	if l.queue.length() == 0 {
		l.queue.fill(l.submits)
	}
	return l.queue.take()
}
