// Package core is the deterministic replica: Practical Byzantine Fault
// Tolerance as one function from events to effects.
//
// A Replica has no goroutine, clock, randomness, log or I/O. Equal sequences of
// events give equal sequences of effects; time is ticks. Messages come in
// verified (wire.Sealed), and leave unsigned; the driver makes Effects.Persist
// durable before any Effects.Send of the same or a later step leaves the
// process, but for what Effects says of early ones, signs, and delivers what is sent
// to Everyone to the replica itself as well: a replica is its own peer, and its own
// vote counts only when it comes back, signed, and durable or reserved.
//
// Sources: Castro and Liskov, "Practical Byzantine Fault Tolerance", OSDI '99
// (PBFT), and ACM TOCS 20(4), 2002 (TOCS). docs/PROTOCOL.md tells where and why
// we differ.
package core
