package node

import (
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// stuckAfter is for how long a batch may be executed without a word: no application that
// answers anybody takes that long.
const stuckAfter = 5 * time.Second

// stuck watches over batches that are executed: while the application does not return, all
// else looks well, for the replica votes on until its window is full. Apply's goroutine
// calls its methods.
type stuck struct {
	n     *Node
	seq   atomic.Uint64 // that is executed
	timer *time.Timer
	since time.Time // of that number, if it was said that it takes long
}

func newStuck(n *Node) *stuck {
	s := &stuck{n: n}
	s.timer = time.AfterFunc(time.Hour, s.say)
	s.timer.Stop()
	return s
}

// begin says that the batch of seq is executed now.
func (s *stuck) begin(seq wire.Seq) {
	s.seq.Store(uint64(seq))
	s.since = time.Now()
	s.timer.Reset(stuckAfter)
}

// end says that the application has returned.
func (s *stuck) end() {
	if s.timer.Stop() {
		return
	}
	s.n.log.Warnf("the application has executed the batch that took long, and the replica goes on seq=%d took=%v",
		s.seq.Load(), time.Since(s.since).Round(time.Millisecond))
}

// say logs that it takes long, and has the flight recorder written.
func (s *stuck) say() {
	s.n.log.Warnf("the application executes one batch for longer than %v: until it returns, this replica executes and answers "+
		"nothing, whatever its status says; an operation of the application may not wait for anything seq=%d", stuckAfter, s.seq.Load())
	s.n.askDump(dumping{"executes-long", "the application executes one batch for longer than " + stuckAfter.String()})
}
