package wire

import (
	"github.com/quorate/quorate/crypto"
)

// View numbers a configuration of the cluster in which one replica, the
// primary, proposes the order (PBFT §4.1).
type View uint64

// Seq is a sequence number: the place of a batch in the total order. The first
// batch has number 1; 0 is the state of the genesis.
type Seq uint64

// ReplicaID numbers the replicas of a cluster from 0 to n−1, in the order of
// the genesis.
type ReplicaID uint32

// Session numbers the lives of one client. It grows whenever the client
// restarts; requests of an older session are refused.
type Session uint64

// Number numbers the operations of one session from 1.
type Number uint64

// Time is an agreed point of time in nanoseconds since 1970 (Unix, UTC).
type Time int64

// ClientID names a client: it is the client's public key.
type ClientID = crypto.PublicKey

// Epoch numbers the configurations of a cluster.
type Epoch uint64

// Primary returns the replica that leads view v of n replicas: v mod n.
func (v View) Primary(n int) ReplicaID {
	return ReplicaID(uint64(v) % uint64(n)) //nolint:gosec // n is the size of a cluster, positive and small
}
