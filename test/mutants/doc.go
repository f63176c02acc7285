// Package mutants holds the simulator to account: each mutant is a bug that an
// implementation of the protocol could have, and had in some, as a change of the
// source; and the simulator must find it within a stated number of schedules.
// The changes are made in copies, at the time of a test, so that nothing in the
// product knows of them.
//
// Test the mutants' own text: go test ./test/mutants. Hunt all of them, which
// takes many minutes: go test ./test/mutants -run Hunt -v -timeout 2h -sample 1000.
package mutants
