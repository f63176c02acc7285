package memory

import (
	"sync"
	"sync/atomic"
	"time"
)

// lineMax and lineBytesMax bound what is on one line, but for its last frame. Beyond that
// nothing is taken from the queue before it, which has its own bound.
const (
	lineMax      = 4096
	lineBytesMax = 16 << 20
)

// line hands frames on, in order, each so much later than it came. One goroutine calls
// its methods.
type line struct {
	delay   time.Duration
	deliver func(frame []byte) error
	over    <-chan struct{} // then it need carry nothing more
	way     chan underway
	bytes   atomic.Int64  // on way
	room    chan struct{} // gets a token when those become fewer
	stop    chan struct{}
	failed  chan error // gets the first error of deliver, where there is a delay
	carrier sync.WaitGroup
}

// underway is a frame on a line.
type underway struct {
	frame []byte
	due   time.Time
}

// newLine returns a line with the delay of the network, until over. close must follow.
func (w *Network) newLine(over <-chan struct{}, deliver func(frame []byte) error) *line {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &line{delay: w.mu.delay, deliver: deliver, over: over}
	if l.delay > 0 {
		l.way, l.room = make(chan underway, lineMax), make(chan struct{}, 1)
		l.stop, l.failed = make(chan struct{}), make(chan error, 1)
		l.carrier.Go(l.carry)
	}
	return l
}

// put has a frame delivered: at once, if there is no delay. It waits for room. An error is
// one of deliver, and nothing is delivered after it.
func (l *line) put(frame []byte) error {
	if l.way == nil {
		return l.deliver(frame)
	}
	for l.bytes.Load() >= lineBytesMax {
		select {
		case <-l.room:
		case <-l.over:
			return nil
		case err := <-l.failed:
			return err
		}
	}
	l.bytes.Add(int64(len(frame)))
	select {
	case l.way <- underway{frame, time.Now().Add(l.delay)}:
	case <-l.over:
	case err := <-l.failed:
		return err
	}
	return nil
}

// close ends the line. What is on it is lost.
func (l *line) close() {
	if l.way != nil {
		close(l.stop)
		l.carrier.Wait()
	}
}

func (l *line) carry() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case u := <-l.way:
			timer.Reset(time.Until(u.due))
			if !l.await(timer) {
				return
			}
			if err := l.deliver(u.frame); err != nil {
				l.failed <- err
				return
			}
			l.bytes.Add(-int64(len(u.frame)))
			select {
			case l.room <- struct{}{}:
			default:
			}
		case <-l.over:
			return
		case <-l.stop:
			return
		}
	}
}

// await returns false if the line ends before.
func (l *line) await(timer *time.Timer) bool {
	select {
	case <-timer.C:
		return true
	case <-l.over:
	case <-l.stop:
	}
	return false
}
