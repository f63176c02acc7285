package wire

// What anyone may ask a replica for outside of the order, and what it says to clients beside
// their results.

import "github.com/quorate/quorate/crypto"

// Ask asks a replica to report where it stands. Anyone may ask.
type Ask struct{ Nonce uint64 }

// Report answers Ask.
type Report struct {
	Nonce       uint64
	View        View
	Active      bool
	Silent      bool // it lost its data, and does not vote yet
	Executed    Seq
	Stable      Seq
	StableState crypto.Digest // the digest that the quorum signed for Stable
	// Checkpoint and State are the replica's own last durable snapshot.
	Checkpoint Seq
	State      crypto.Digest
	// Division is what it knows of states that differ from its own.
	Division  Division
	Sender    ReplicaID
	Signature crypto.Signature
}

// AskOutputs asks a replica for what operations emitted to the outside world, from the
// output with a number on. Anyone may ask.
type AskOutputs struct{ From uint64 }

// Outputs answers AskOutputs: the outputs From, From + 1 and so on, as many as the frame
// has room for, and none where there are none yet, or none so old any more. It is one
// replica's word; of f+1 that say the same one is correct.
type Outputs struct {
	From uint64
	// Kept is the lowest number that the replica still has, and Next the one that the next
	// output will have: they are equal if it has none.
	Kept, Next uint64
	Emitted    []Emitted
	Sender     ReplicaID
	Signature  crypto.Signature
}

// Emitted is one output, and the number of the batch that it comes from.
type Emitted struct {
	Seq     Seq
	Payload []byte
}

// Query asks a replica to answer read-only operations outside of the order, from what it
// has executed: see app.Querier. The operations that the replica has prepared when it
// arrives are executed before it is answered.
type Query struct {
	Client ClientID
	// Nonce names it: a client uses each but once.
	Nonce     uint64
	Ops       [][]byte
	Signature crypto.Signature // the client's, KindQuery
}

// Results answers a Query: its first operations, as many as the frame has room for. None
// says that the replica does not answer now. It is one replica's word; of the q that say
// the same f+1 are correct.
type Results struct {
	Client ClientID
	Nonce  uint64
	// Seq is the last batch that the replica had executed.
	Seq       Seq
	Results   []QueryResult
	Sender    ReplicaID
	Signature crypto.Signature
}

// QueryResult is how one operation of a Query ended: OutcomeOK, OutcomePanicked,
// OutcomeReadOnly or OutcomeTooLarge.
type QueryResult struct {
	Outcome Outcome
	Result  []byte
}

// RefusalReason tells a client why a replica will not order its request.
type RefusalReason byte

// The reasons of a refusal. They are hints of one replica, never a result.
const (
	RefusalOverload   RefusalReason = 1 // the client's or the replica's queue, or the client's window, is full; retry later
	RefusalInvalid    RefusalReason = 2 // app.Validator, or a bound, refuses the operation
	RefusalSessionOld RefusalReason = 3 // a newer session of the client exists
	RefusalRejoining  RefusalReason = 4 // the replica is not serving now
)

// Refusal tells a client that one replica will not order a request, and why.
type Refusal struct {
	Client    ClientID
	Session   Session
	Number    Number
	Reason    RefusalReason
	Detail    string
	Sender    ReplicaID
	Signature crypto.Signature
}
