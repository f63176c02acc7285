package node

import (
	"sync"
	"time"
)

// busyWindow is the time over which a busy share is measured: long enough to be
// steady, short enough to show an overload that has just begun.
const busyWindow = time.Second

// meter measures which share of its time a stage works, also where one turn takes long. Any
// goroutine may call its methods.
type meter struct {
	mu struct {
		sync.Mutex
		since time.Time     // the window began
		turn  time.Time     // what is not counted of the turn under way began; zero: there is none
		busy  time.Duration // in this window
		share float64       // of the last whole window
	}
}

// begin says that the stage has stopped waiting.
func (m *meter) begin() time.Time {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.turn = now
	return now
}

// end says that the stage waits again. Whether it has worked since begin, or only looked for
// work, it says now.
func (m *meter) end(worked bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if worked {
		m.count(now)
	}
	m.mu.turn = time.Time{}
	m.roll(now)
}

// share returns the share, 0 to 1, of the last whole window.
func (m *meter) share() float64 {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count(now)
	m.roll(now)
	return m.mu.share
}

// count counts what has passed of the turn under way. It needs the lock.
func (m *meter) count(now time.Time) {
	if !m.mu.turn.IsZero() {
		m.mu.busy += now.Sub(m.mu.turn)
		m.mu.turn = now
	}
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
