// Package node drives one replica: it owns the goroutines, the clock and the
// queues around the deterministic core.
//
//	Transport → lanes → verify (pool) → step (owns core.Replica) → settle (owns Journal) → Transport
//	                       │              └→ apply (owns State and Applier) → replies
//	                       ├→ respond (reports, refusals)
//	                       └→ serve (pieces of the state, for others)
//
// Of step's observations watch makes logs, and where states differ diagnose finds out at
// which keys. Of settle's records archive keeps what may prove lies later. What all
// stages did lately is in the flight recorder, which dump writes when something has gone
// wrong.
//
// settle flushes once for all that waits: that is the group commit.
//
// One goroutine owns each mutable thing. Each stage's file says in its header
// whether the stage is sequential or parallel, what bounds its queue, and what
// happens when that is full. All goroutines start in Run and end before it
// returns.
//
// Invariants, which comments cite:
//
//	(D1) A Send leaves the process only after every record of the same turn and of
//	     all turns before it is durable; but an early one waits for reservations
//	     alone, and a record that may be lost holds up nothing (core.Effects).
//	(D2) After a failed Append, Flush, Rebase or Work nothing leaves the process.
//	(D3) Nothing that step calls waits for another stage, but for a free turn
//	     when all of them are full and wait for the disk.
//	(D4) settle waits for nothing but the disk, and apply for nothing but the
//	     state, and, before a snapshot, for the flush of what is in it: both hand
//	     over through queues that are never full by construction.
package node
