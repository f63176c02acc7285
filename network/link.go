package network

import (
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// unreachableAfter is for how long a link is down until the log says so, and why: a replica
// that starts again is back sooner.
const unreachableAfter = 10 * time.Second

// link makes one state of the streams of all classes to a peer: it is up when they all are.
type link struct {
	peer   wire.ReplicaID
	faults *ledger
	tell   func(up bool)

	mu struct {
		sync.Mutex
		up    int       // how many streams are
		since time.Time // it is down, if it is
		told  bool      // it was logged that it is
	}
}

// newLink returns a link that is down.
func newLink(peer wire.ReplicaID, faults *ledger, tell func(up bool)) *link {
	l := &link{peer: peer, faults: faults, tell: tell}
	l.mu.since = time.Now()
	return l
}

// stream returns the state function for the courier of one class. The lock is
// held while tell is called, so that calls come in order.
func (l *link) stream() func(up bool, err error) {
	was := false
	return func(up bool, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case up && !was:
			if l.mu.up++; l.mu.up == wire.Classes {
				l.restored()
				l.tell(true)
			}
		case was && !up:
			if l.mu.up--; l.mu.up == wire.Classes-1 {
				l.mu.since = time.Now()
				l.tell(false)
			}
		case !up:
			l.failed(err)
		}
		was = up
	}
}

// failed logs, once for each time that the link is down, why another attempt failed. It needs
// the lock.
func (l *link) failed(err error) {
	if l.mu.told || time.Since(l.mu.since) < unreachableAfter {
		return
	}
	l.mu.told = true
	l.faults.add(l.peer, FaultUnreachable, err.Error())
}

// restored ends that warning. It needs the lock.
func (l *link) restored() {
	if l.mu.told {
		l.mu.told = false
		l.faults.log.Warnf("TROUBLE peer=%d kind=%s is over", l.peer, FaultUnreachable)
	}
}
