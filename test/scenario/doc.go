// Package scenario plays attacks by name: every row of a table names who is
// faulty, what they do, what is at stake, and what must be seen besides the
// oracles. A row runs in the simulator, where it replays from its seed, and most
// rows also run on a cluster of real processes.
//
// A scenario passes if no oracle is broken, everything that it expects is seen,
// and the faulty party really did what the row says: a scenario whose liar told
// the truth fails.
//
// The same table runs an application of your own: see Options.
package scenario
