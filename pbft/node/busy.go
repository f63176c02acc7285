package node

import (
	"sync"
	"time"
)

// busyWindow is the time over which a busy share is measured: long enough to be
// steady, short enough to show an overload that has just begun.
const busyWindow = time.Second

// meter measures which share of its time a stage works. Any goroutine may call
// its methods.
type meter struct {
	mu struct {
		sync.Mutex
		since time.Time     // the window began
		busy  time.Duration // in this window
		share float64       // of the last whole window
	}
}

// worked adds the time since start, at which the stage stopped waiting.
func (m *meter) worked(start time.Time) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.busy += now.Sub(start)
	m.roll(now)
}

// share returns the share, 0 to 1, of the last whole window.
func (m *meter) share() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(time.Now())
	return m.mu.share
}

// roll ends the window if it is over. It needs the lock.
func (m *meter) roll(now time.Time) {
	if m.mu.since.IsZero() {
		m.mu.since = now
	}
	lasted := now.Sub(m.mu.since)
	if lasted < busyWindow {
		return
	}
	m.mu.share = min(1, float64(m.mu.busy)/float64(lasted))
	m.mu.since, m.mu.busy = now, 0
}
