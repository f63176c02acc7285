package core

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Everyone as the receiver of a Send means every replica, the sender included.
const Everyone wire.ReplicaID = 1<<32 - 1

// Effects is what one or more steps ask of the driver. Step appends to it; the
// caller owns it, carries it out and calls Reset.
//
// The contract: Persist must be durable before any Send of the same or a later
// step leaves the process; but a Send that is Early waits for the
// ReservationRecords among them only, and records of which MustFlush says that they
// may be lost hold up nothing. The snapshot that an Execution asks for must not be
// durable before the records of the same step and of those before it are. The other
// effects wait for nothing.
type Effects struct {
	Persist []Record
	Send    []Send
	Execute []Execution // in strict order of Seq
	Answer  []Answer
	Refuse  []wire.Refusal // to the client, unsigned
	Stable  []wire.CheckpointCert
	Fetch   []Target
	Observe []Observation
}

// Reset empties fx and keeps its memory.
func (fx *Effects) Reset() {
	*fx = Effects{
		fx.Persist[:0], fx.Send[:0], fx.Execute[:0], fx.Answer[:0],
		fx.Refuse[:0], fx.Stable[:0], fx.Fetch[:0], fx.Observe[:0],
	}
}

// MustFlush tells whether the records of fx, and those before, must become durable by
// themselves. A commit certificate may be lost, for the protocol makes it again; so
// may what the replica accepts, while its own votes are early. Both become durable
// with what comes next. But a replica whose snapshot holds a batch that it has no
// certificate of could not prove that batch to who is behind, and would not ask for
// it: before a snapshot all is durable.
func (fx *Effects) MustFlush() bool {
	if fx.Freezes() {
		return true
	}
	for _, rec := range fx.Persist {
		switch rec.(type) { //nolint:gochecksumtype // the others must
		case CommittedRecord:
		case AcceptedRecord, VotedRecord:
			if slices.ContainsFunc(fx.Send, lateVote) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// Freezes tells whether an execution of fx asks for a snapshot.
func (fx *Effects) Freezes() bool {
	return slices.ContainsFunc(fx.Execute, func(ex Execution) bool { return ex.Checkpoint })
}

// lateVote tells whether s is a vote that the replica's record must precede.
func lateVote(s Send) bool {
	switch s.Message.(type) { //nolint:gochecksumtype // the others are no such votes
	case *wire.PrePrepare, *wire.Prepare:
		return !s.Early
	default:
		return false
	}
}

// Reserves tells whether a record of fx is a reservation, which no early Send of the
// same or a later step may precede.
func (fx *Effects) Reserves() bool {
	return slices.ContainsFunc(fx.Persist, func(rec Record) bool {
		_, ok := rec.(ReservationRecord)
		return ok
	})
}

// Send asks to send one message to one replica, or to Everyone. Exactly one of
// Message and Sealed is set: Message is the replica's own and wants its
// signatures (wire.Seal); Sealed is relayed as it is.
type Send struct {
	To      wire.ReplicaID
	Message wire.Message
	Sealed  *wire.Sealed
	// Early says that it may leave before the records of its step are durable:
	// only the reservations of its own step and of those before must be.
	Early bool
}

// Execution hands over one committed batch. The driver executes the orders with
// Outcome OK that Run says, in this order, and stores Clients and Snapshot
// fields with the state.
type Execution struct {
	Seq     wire.Seq
	View    wire.View     // in which it committed
	Digest  crypto.Digest // of the batch
	History crypto.Digest // after it
	Time    wire.Time     // agreed, above the previous batch's
	Input   []byte        // agreed; not to be changed
	Orders  []Order
	// Clients are the states, after the batch, of the clients that it touched,
	// ascending.
	Clients []ClientState
	// Evicted are clients that the full table forgot for those, and Floor the
	// highest session ever forgotten. They may be among Clients again.
	Evicted []wire.ClientID
	Floor   wire.Session
	// Checkpoint asks for a snapshot after this batch (Snapshotted answers).
	Checkpoint bool
}

// Order is one operation of an execution and what to do with it.
type Order struct {
	Request *wire.Request
	Index   int // of the operation in Request.Ops
	// Run says to execute it; otherwise Outcome tells why not, and the driver
	// answers that, or, for OutcomeForgotten, the kept result if there is one.
	Run     bool
	Outcome wire.Outcome
}

// Number returns the number of the operation.
func (o Order) Number() wire.Number { return o.Request.Number + wire.Number(o.Index) } //nolint:gosec // an index is small and not negative

// Answer asks to send a client again the kept result of an executed operation.
type Answer struct {
	Client  wire.ClientID
	Session wire.Session
	Number  wire.Number
}

// Target asks to fetch the state of a stable checkpoint from the replicas From,
// which signed it. A later Target replaces an earlier one.
type Target struct {
	Cert wire.CheckpointCert
	From []wire.ReplicaID
}

// ClientWindowMax is the number of operations of one client that may be
// executed and not yet acknowledged (RIFL).
const ClientWindowMax = 256

// ClientState is the replicated memory of one client: which of its operations
// were executed. Its place in the state makes execution exactly once.
type ClientState struct {
	Client  wire.ClientID
	Session wire.Session
	// Low is the number up to which all are executed and acknowledged, or given
	// up by the client.
	Low wire.Number
	// Done has bit i of word w set if number Low+1+64w+i was executed.
	Done [ClientWindowMax / 64]uint64
}
