package core

import "github.com/quorate/quorate/pbft/wire"

// ReadAfter returns up to which number a replica must have executed before it answers a
// query that has come by now, and false if it answers none. The number is never below one for which the replica sent a
// commit.
//
// A query is answered outside of the order, by every replica from what it has executed,
// and the client takes what q of them say. That is linearizable for this reason:
// whatever any client has the result of, at least one correct replica executed, so q
// replicas had prepared it and sent their commits. Any q that answer a later query share
// f+1 replicas with those, one of them correct; it still has its prepared certificate,
// which was durable before its commit left, or a stable checkpoint above it. So it
// executes that number first, and the q answer alike (docs/PROTOCOL.md, step 8). PBFT
// (Castro and Liskov, OSDI '99, §5.1) has clients wait for q replies to everything
// instead.
func (r *Replica) ReadAfter() (wire.Seq, bool) {
	if r.rejoin != nil || r.wrong || r.transfer != nil {
		return 0, false
	}
	after := max(r.low, r.executed)
	for _, s := range r.slots {
		if s.prepared != nil {
			after = max(after, s.seq)
		}
	}
	return after, true
}
