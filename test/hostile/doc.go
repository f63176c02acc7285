// Package hostile throws at running replicas what outsiders, members and damaged
// disks may throw at them: sixty-one kinds of hostile input, one row of a table for
// each, with what a replica does about it. The replicas are real: pbft.Start, with
// its network, journal and state. All of the package is tests; docs/TESTING.md
// tells how to run a row and how to add one.
package hostile
