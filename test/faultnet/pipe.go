package faultnet

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// pipeBytesMax bounds what waits in a pipe; more is lost.
const pipeBytesMax = 64 << 20

// pipe delivers frames later. One goroutine, run's, delivers; others put.
type pipe struct {
	wake chan struct{} // gets a token when something is put
	mu   struct {
		sync.Mutex

		waiting parcels
		bytes   int
		turn    uint64
	}
}

// parcel is a frame that waits.
type parcel struct {
	due     time.Time
	turn    uint64 // equal times leave in order
	bytes   int
	deliver func()
}

// parcels is a heap, the earliest first.
type parcels []parcel

// Len returns how many there are.
func (q parcels) Len() int { return len(q) }

// Less tells which of two is due earlier.
func (q parcels) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].turn < q[j].turn
	}
	return q[i].due.Before(q[j].due)
}

// Swap swaps two.
func (q parcels) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push appends a parcel.
func (q *parcels) Push(x any) {
	if p, ok := x.(parcel); ok {
		*q = append(*q, p)
	}
}

// Pop removes the last.
func (q *parcels) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = parcel{}
	*q = old[:len(old)-1]
	return last
}

func newPipe() *pipe { return &pipe{wake: make(chan struct{}, 1)} }

// put has a frame of so many bytes delivered when it is due, and returns false if
// there is no room.
func (p *pipe) put(due time.Time, bytes int, deliver func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.bytes+bytes > pipeBytesMax {
		return false
	}
	p.mu.bytes += bytes
	p.mu.turn++
	heap.Push(&p.mu.waiting, parcel{due, p.mu.turn, bytes, deliver})
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return true
}

// run delivers until ctx is done. What waits then is lost.
func (p *pipe) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		next, wait := p.next(time.Now())
		if next != nil {
			next()
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.wake:
		}
	}
}

// next takes out what is due by now, or returns how long to wait.
func (p *pipe) next(now time.Time) (deliver func(), wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.waiting) == 0 {
		return nil, time.Hour
	}
	if wait := p.mu.waiting[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	first := p.mu.waiting[0]
	heap.Pop(&p.mu.waiting)
	p.mu.bytes -= first.bytes
	return first.deliver, 0
}
