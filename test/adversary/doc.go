// Package adversary attacks the core by hand: each test plays Byzantine replicas
// or the network against real replicas, message by message, in an attack that
// once worked or that random schedules hardly find. It has tests only.
package adversary
