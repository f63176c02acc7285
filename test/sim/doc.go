// Package sim runs whole clusters in one thread of virtual time: the real core
// and applier over a simulated network, disk and clock, driven by one seed and
// replayable to the byte. A share of the seeds runs with the real journal and
// the real state store as well, on a disk that loses what was not synced.
//
// Give Options your own state machine, and Run tells whether it, and the
// cluster under it, hold through the faults. Oracles watch every step:
//
//	O1 every correct replica has the same batch at a sequence number, and once a
//	   batch may have committed, none votes for another one there
//	O2 executed logs are prefixes of one another
//	O3 state digests at one sequence number are equal
//	O4 every executed request is validly signed, and executes once
//	O5 an operation begun after another was answered is ordered after it, and
//	   every result is that of a fresh machine that executes the agreed log; what is
//	   read outside of the order was so after no batch before one that was answered
//	   when it was asked
//	O6 once the network is timely, every operation is answered within a bound
//	O7 nothing that a replica holds exceeds the bounds of its configuration
//	O8 what a replica ever signed, across restarts, holds no conflicting pair
//	O9 every accusation verifies, and names no correct replica
//	O10 nobody leaves a primary for lost connections that a quorum may still reach
//
// and, once the network is timely, that all replicas converge. docs/TESTING.md
// lists the faults.
package sim
