// Package network carries frames between the replicas of a cluster and its
// clients, over TCP, TLS 1.3 and yamux, with a libp2p host that is assembled
// from just these parts: no discovery, no relay, no identify.
//
// Between two replicas there is one long-lived stream for each direction and
// class of message; the sender opens it, says Hello, and is answered with a
// verdict. A client has one stream for both directions on its own protocol.
// Frames are a length (four bytes, big endian) and that many bytes, at least
// one. Who somebody is follows from the key of the connection alone, never from
// what a frame or a Hello says.
//
// Rules that hold throughout:
//
//   - (N1) Send and Answer never wait. What does not fit a bounded queue is lost.
//   - (N2) A length is checked before anything is allocated for it, and memory
//     for a frame grows with what has arrived of it.
//   - (N3) Every wait for a peer has a deadline, except the wait for the first
//     byte of a frame.
//   - (N4) One goroutine reads a stream, and it calls Inbound itself: a receiver
//     that is slow is slow for that stream only, and its sender notices.
//   - (N5) What strangers and clients can occupy, connections, handshakes and
//     memory, is counted apart from what members need.
//   - (N6) Nothing is printed: go-log's subsystem "network" has warnings, which
//     go-log shows if it is told to.
package network
