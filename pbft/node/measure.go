package node

import (
	"context"
	"time"

	"github.com/quorate/quorate/pbft/core"
)

// measureEvery is the time between two measurements of the processors: several in the time
// in which the core's patience changes much.
const measureEvery = 200 * time.Millisecond

// Stage measure finds out whether the processors are busy, and step tells the core with the
// next tick. It is a stage of its own because asking the system may take a while.
func (n *Node) measure(ctx context.Context) error {
	if n.cfg.Busy == nil {
		return nil
	}
	every := time.NewTicker(measureEvery)
	defer every.Stop()
	for {
		n.busy.Store(n.cfg.Busy())
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// measured steps what has changed since the core was told of the processors last.
func (s *stepper) measured() {
	if busy := s.n.busy.Load(); busy != s.busy {
		s.busy = busy
		s.one(core.Measured{Busy: busy})
	}
}
