// Package faultnet gives a real replica a bad network and a wrong clock, by order.
//
//	faults, err := faultnet.Open("r1.toml")
//	config.Interpose, config.Clock = faults.Interpose, faults.Now
//
// A file says what goes wrong, as rules on the frames that the replica sends and
// hears; see Orders. It is read again whenever it changes, and a second file beside
// it says which orders are in force, and what became of how many frames; see Seen.
//
// Faults lie strictly below the protocol. A Network has no key, and frames are only
// dropped, repeated, damaged, delayed or reordered, as any network may do. So the
// replica above it is a correct one, and is judged as one.
package faultnet
