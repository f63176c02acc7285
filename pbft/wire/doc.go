// Package wire defines the identifiers and messages of the protocol, their one
// canonical encoding, and Sealed: a message whose every signature was checked.
//
// A message leaves through Seal, which signs and encodes it, and comes in
// through Opener, which decodes many frames and verifies all of their
// signatures, nested ones too, in one call of a crypto.Verifier. Decode accepts
// exactly what Encode gives for legal messages, so a frame has one meaning and a
// message one frame. What needs the state of a replica, quorums above all, is
// left to package core: a certificate that opens may still be too small.
//
// It is pure: no clock, goroutine, randomness or I/O. The layout, byte by byte,
// is in docs/WIRE.md.
package wire
