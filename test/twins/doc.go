// Package twins attacks the core with its own copies, exhaustively at a small
// scope (Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021). A twin is a
// replica of which two copies run, both correct, with one key: together they
// equivocate, forget and contradict themselves as a Byzantine replica does, and
// what they say is never malformed. The network does the rest.
//
// A Scenario says which replica is a twin, and for each of its rounds which
// processes hear each other, in every phase of the protocol. One round is meant
// for one view. Afterwards the network is whole. A World runs a scenario and
// demands agreement at every step, that no correct replica contradicts itself or
// is accused, and at the end that a fresh request executes everywhere. Explore
// runs all scenarios of a Scope.
package twins
