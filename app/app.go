// Package app is what an application is: a deterministic state machine over a
// transaction that the framework hands it.
package app

import (
	"github.com/quorate/quorate/crypto"
)

// StateMachine is a replicated application. Execute runs one operation, in the
// agreed order, on every replica. It must be a function of the transaction and
// the operation alone: no clock, randomness, goroutine, map order or I/O. What
// it returns is the result that the client gets; an error of the application is
// a result too. If it panics, the operation is rolled back whole and the client
// gets a deterministic error; the replica lives. It does not survive
// runtime.Goexit, which t.Fatal of a test calls: on the goroutine of a replica that ends
// the replica, with an error.
//
// A replica calls Execute, and Query, on one goroutine at a time. Where one StateMachine
// serves several replicas, as of a local cluster, they call them at the same time: so it may
// not even keep a buffer to work in.
type StateMachine interface {
	Execute(tx *Tx, op []byte) []byte
}

// Querier is an optional power of a StateMachine: reads. Query runs requests
// that the client marked read-only, in order, and queries between two batches; a write in it
// is refused. It must be as deterministic as Execute: results of what goes through the order
// are part of the replicas' state, and where those differ, the order ends. Clients compare
// what replicas answer: a query that tells of Tx.Seq or Tx.Time seldom has equal answers
// while others write, and then goes through the order. Tx.Input is nil in both.
type Querier interface {
	Query(tx *Tx, op []byte) []byte
}

// Validator is an optional power of a StateMachine: it may refuse an operation
// before it is ordered, and what a Querier is asked, before it answers. Validate must
// return: while it does not, its replica is silent. It sees no state, and may be called by many
// goroutines at once; it may not change op, which is sent on. It saves the order
// from nonsense; it is no protection, for a faulty primary can skip it.
type Validator interface {
	Validate(op []byte) error
}

// InputBytesMax bounds the input of a batch.
const InputBytesMax = 64 << 10

// Proposer is an optional power of a StateMachine: input from outside that is not a
// client's, such as randomness, a price or the reading of a sensor. The primary
// proposes one input with every batch, backups check it, and what is agreed on is
// Tx.Input, the same at every replica, of every operation of the batch. Clocks need
// none of this: Tx.Time is agreed on already.
//
// An input that is executed has passed CheckInput at f+1 correct replicas, or at f
// where its primary, which does not check its own, is correct too. So it is as good as
// the check: of a reading that each replica takes by itself and compares, a lying
// primary chooses within what the others let pass; and of a random number, which
// nobody can check, it chooses freely. Where that matters, have clients or replicas
// commit to shares first, and combine them in operations.
type Proposer interface {
	// ProposeInput returns the input for a batch that is to be proposed now, of up to
	// InputBytesMax bytes; none is an input too, and nil where it is checked and used. It
	// is called by the goroutine that orders, once for each batch and now and then in vain,
	// so it must return at once: what takes time to read must be ready in memory. Where one
	// StateMachine serves several replicas, as of a local cluster, they call it at the same
	// time. After an error, or a panic, nothing is proposed, and it is asked again after a
	// tick or so; replicas whose clients wait longer than the request timeout choose another
	// primary. The log has why (level warn, see package pbft).
	ProposeInput() ([]byte, error)
	// CheckInput returns why an input that another replica proposes is not to be
	// accepted, and nil if it is. A panic is a refusal. Of the first refusal in a row the
	// log has the reason (level warn, see package pbft). It is asked when the proposal
	// arrives, as often as that is, not when a new view carries it over; it may be called
	// by many goroutines at once, must return soon, and may neither change nor keep the
	// input. What it depends on may change, but not by what it was asked before. A replica
	// that refuses counts like a faulty one for that batch: let it be tolerant of what
	// may differ between correct replicas.
	CheckInput(input []byte) error
}

// Context is what an operation may know beside the state: all of it agreed.
type Context struct {
	Seq    uint64           // where the batch of the operation is in the order
	View   uint64           // in which it committed here; informative, not agreed: never decide by it
	Time   int64            // agreed time, nanoseconds since 1970, never decreasing
	Client crypto.PublicKey // who signed the operation
	Input  []byte           // agreed input of the batch, see Proposer; not to be changed
}

// Store is the state that a Tx works on. It takes keys twice as long as
// KeyBytesMax and values of ValueBytesMax. Implementations need not be safe for
// concurrent use. Errors are of the storage, and fatal to the replica.
type Store interface {
	// Get returns the value of key, or ok false. The caller may not change it.
	Get(key []byte) (value []byte, ok bool, err error)
	// Put sets key to value; it keeps both, and the caller may not change them.
	Put(key, value []byte) error
	// Delete removes key, if it is there; as Put, it may keep key.
	Delete(key []byte) error
	// Scan calls yield for every key in [from, to) in ascending order of bytes,
	// until it returns false; a nil to means no end. yield may not write.
	Scan(from, to []byte, yield func(key, value []byte) bool) error
}
