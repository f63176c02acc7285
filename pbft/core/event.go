package core

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Event is what a replica reacts to: exactly the types of this file.
//
//sumtype:decl
type Event interface{ isEvent() }

// Start is the first event after New, before or after a restart.
type Start struct{ Now wire.Time }

// Tick says that one tick of time has passed. Now is the wall clock, used for
// nothing but proposing and checking the time of batches.
type Tick struct{ Now wire.Time }

// Received is a verified message from replica From, which may relay what others
// signed; From is the replica itself for what it sent to Everyone.
type Received struct {
	From    wire.ReplicaID
	Message *wire.Sealed
	// Unfit says why the application does not accept the input of the batch that a
	// pre-prepare proposes; it is empty if it does.
	Unfit string
	came  uint64 // one more than the tick at which it came, if it was kept since, or 0
}

// Submitted is a verified wire.Request that came from a client directly.
type Submitted struct{ Request *wire.Sealed }

// TurnEnded says that no further event waits: a primary now packs the requests
// that it holds into batches, if these need no input.
type TurnEnded struct{}

// Offered is what the application proposes as the input of the next batch: a primary
// now packs one, if it would (Replica.Proposes).
type Offered struct{ Input []byte }

// Snapshotted says that the replica's own snapshot after Seq, a multiple of the
// checkpoint interval, is durable and has digest State.
type Snapshotted struct {
	Seq   wire.Seq
	State crypto.Digest
}

// Transferred says that the state of the stable checkpoint that a Fetch effect
// named is installed and durable.
type Transferred struct{ State Snapshot }

// TransferFailed says that a Fetch was given up; the core asks again.
type TransferFailed struct{ Seq wire.Seq }

// Linked says that a connection to Peer came up.
type Linked struct{ Peer wire.ReplicaID }

// Unlinked says that a connection to Peer that was up went down. Linked and Unlinked
// come in the order in which that happened.
type Unlinked struct{ Peer wire.ReplicaID }

// Measured says whether the machine's processors have nothing left: what it does for
// batches of few requests is then missing elsewhere. Until it is said, they are not busy.
type Measured struct{ Busy bool }

// Exposed is a pre-prepare that came from anyone: its primary signed it, and
// nobody a request in it.
type Exposed struct{ Proposal *wire.Unsigned }

func (Start) isEvent()          {}
func (Tick) isEvent()           {}
func (Received) isEvent()       {}
func (Submitted) isEvent()      {}
func (TurnEnded) isEvent()      {}
func (Offered) isEvent()        {}
func (Snapshotted) isEvent()    {}
func (Transferred) isEvent()    {}
func (TransferFailed) isEvent() {}
func (Linked) isEvent()         {}
func (Unlinked) isEvent()       {}
func (Measured) isEvent()       {}
func (Exposed) isEvent()        {}

// Snapshot is what the core must know of an installed state: its place in the
// order and the replicated part of the core's own memory.
type Snapshot struct {
	Seq     wire.Seq
	State   crypto.Digest // the state tree's root
	History crypto.Digest // H(n) = hash(H(n−1) ‖ batch digest), 0 at number 0
	Time    wire.Time     // agreed time of the last batch
	Clients []ClientState // ascending Client
	Floor   wire.Session  // the highest session that the client table forgot
}
