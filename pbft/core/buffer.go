package core

import (
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of what is kept for one sender until its time comes. Beyond them the
// newest is dropped: retransmission brings it again.
const (
	earlyMessagesMax = 1024
	earlyBytesMax    = 8 << 20
)

// buffer keeps messages that are ahead of the replica: of a view that it has
// not entered, or just above its window. Whoever dropped them would stall until
// a timeout.
type buffer struct{ senders []waiting }

type waiting struct {
	messages []Received
	bytes    int
}

func newBuffer(n int) buffer { return buffer{make([]waiting, n)} }

// keep holds ev, which sender signed, if there is room.
func (b *buffer) keep(sender wire.ReplicaID, ev Received) {
	w := &b.senders[sender]
	if size := len(ev.Message.Frame()); len(w.messages) < earlyMessagesMax && w.bytes+size <= earlyBytesMax {
		w.messages = append(w.messages, ev)
		w.bytes += size
	}
}

// drain returns everything, sender by sender, and empties the buffer.
func (b *buffer) drain() []Received {
	var out []Received
	for i := range b.senders {
		out = append(out, b.senders[i].messages...)
		b.senders[i] = waiting{}
	}
	return out
}

// replayEarly takes in what was too early. What still is, is kept again.
func (r *Replica) replayEarly(fx *Effects) {
	for _, ev := range r.early.drain() {
		if !r.outdated(&ev) {
			r.onReceived(ev, fx)
		}
	}
}

// outdated tells whether ev proposes an input that the application was asked about more
// than a request timeout ago. Or a lying primary of a later view, or one who is just above
// the window, could have a reading accepted while it is true, and ordered when it is not.
// A correct primary repeats its proposal, and the application is asked again.
func (r *Replica) outdated(ev *Received) bool {
	_, proposes := ev.Message.Message().(*wire.PrePrepare)
	return r.cfg.Inputs && proposes && r.tick+1-ev.came > uint64(r.cfg.RequestTicks) //nolint:gosec // Validate: positive
}
