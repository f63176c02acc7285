// Package adversary plays Byzantine replicas. A liar is a correct replica, with
// the real core, whose mouth and ears belong to a Strategy: it decides what is
// sent in place of what the core wants to say, and what the core hears. The same
// strategies drive the simulator (package sim) and a real node, through a wrapper
// around its transport (package puppet).
//
// Catalogue has one strategy for each known attack that a replica can play, under
// the attack's name, and two that lie at random: Mutator and SmallScope. A
// constructor makes each, with more settings than the catalogue's. All, Only,
// During and Sometimes build strategies of others.
//
// A strategy forges nothing: it signs with the keys that the adversary has. It may
// say anything else, at any time, to anyone, and it notes what it did.
//
// The package's tests attack the core by hand: each plays Byzantine replicas or
// the network against real replicas, message by message, in an attack that once
// worked or that random schedules hardly find.
package adversary
