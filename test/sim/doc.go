// Package sim runs whole clusters in one thread of virtual time: the real core
// and applier over a simulated network, disk and clock, driven by one seed and
// replayable to the byte. Oracles watch every step:
//
//	O1 every correct replica has the same batch at a sequence number
//	O2 executed logs are prefixes of one another
//	O3 state digests at one sequence number are equal
//	O4 every executed request is validly signed, and executes once
//	O8 what a replica ever signed, across restarts, holds no conflicting pair
//
// and, once the network is timely, that every operation is answered and all
// replicas converge.
package sim
