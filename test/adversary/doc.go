// Package adversary plays Byzantine replicas. A liar is a correct replica, with
// the real core, whose mouth and ears belong to a Strategy: it decides what is
// sent in place of what the core wants to say, and what the core hears. The same
// strategies drive the simulator (package sim) and a real node, through a wrapper
// around its transport.
//
// The package's tests attack the core by hand: each plays Byzantine replicas or
// the network against real replicas, message by message, in an attack that once
// worked or that random schedules hardly find.
package adversary
