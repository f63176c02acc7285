// Package wire defines the identifiers and messages of the protocol, their one
// canonical encoding, and Sealed: a message whose every signature was checked.
//
// It is pure: no clock, goroutine, randomness or I/O. The layout, byte by byte,
// is in docs/WIRE.md.
package wire
