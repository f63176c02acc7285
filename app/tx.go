package app

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
)

// The bounds of one operation. An operation that exceeds one is rolled back, on
// every replica alike, and its client is told so.
const (
	// KeyBytesMax bounds a key.
	KeyBytesMax = 512
	// ValueBytesMax bounds a value.
	ValueBytesMax = 256 << 10
	// OutputBytesMax bounds an output: it is kept in a value of the state.
	OutputBytesMax = ValueBytesMax - 8
	// ResultBytesMax bounds a result: it is kept in a value of the state, with what belongs
	// to it. A genesis may say less (limits.result_bytes).
	ResultBytesMax = ValueBytesMax - 9
	// WritesMax bounds how many keys one operation writes plus its outputs. What Keep
	// writes itself is not counted, here and below.
	WritesMax = 4096
	// WriteBytesMax bounds the keys, values and outputs of one operation
	// together.
	WriteBytesMax = 1 << 20
)

// errEnded says that a transaction was used after its operation.
var errEnded = errors.New("app: the transaction has ended")

// Tx is the state as one operation sees it. It reads its own writes; nobody
// else sees them before the operation is done, and nobody ever does if it
// panics. Keys are strings, values bytes; what Get and Scan hand out and what
// Put takes is copied, so either side may change its own bytes.
//
// A Tx serves the one call of Execute or Query that it is given to, on that
// call's goroutine. Using it later ends the operation that does so.
type Tx struct {
	store    Store
	prefix   []byte
	ctx      Context
	readOnly bool

	writes  writes
	count   int // of writes and outputs that are bounded
	bytes   int // of those
	outputs [][]byte
	scratch []byte // the last full key read

	failure *Failure // the first reason why the operation cannot commit
	fault   error    // the first error of the storage
	ran     bool     // the operation has returned
	ended   bool     // committed, or must not be
}

// NewTx returns the transaction of one operation over those keys of store that
// begin with prefix, which may not be changed as long as the Tx is used; the
// operation sees them without it. It is for drivers: call Run and then, if that
// succeeded, Commit. To drop a Tx is to roll it back. With readOnly, Run asks the
// Querier, every write ends the operation, and there is no input: a read tells the same in
// the order, where its batch has one, as outside of it.
func NewTx(store Store, prefix []byte, ctx Context, readOnly bool) *Tx {
	if readOnly {
		ctx.Input = nil
	}
	return &Tx{store: store, prefix: prefix, ctx: ctx, readOnly: readOnly}
}

// Seq returns the place of the operation's batch in the order.
func (tx *Tx) Seq() uint64 { return tx.ctx.Seq }

// View returns the view in which the batch committed here. It is informative
// and not agreed: replicas may differ in it, so nothing that the operation
// writes or returns may depend on it.
func (tx *Tx) View() uint64 { return tx.ctx.View }

// Time returns the agreed time of the operation, in UTC. It never decreases
// from one operation to the next, and is the only clock that an application may
// use.
func (tx *Tx) Time() time.Time { return time.Unix(0, tx.ctx.Time).UTC() }

// Client returns the key that signed the operation.
func (tx *Tx) Client() crypto.PublicKey { return tx.ctx.Client }

// Input returns a copy of the agreed input of the operation's batch: nil unless the
// state machine is a Proposer, and for a read. Several operations see the same one, so who draws from
// it must mix in what tells them apart.
func (tx *Tx) Input() []byte { return slices.Clone(tx.ctx.Input) }

// Get returns a copy of the value of key, and whether there is one.
func (tx *Tx) Get(key string) (value []byte, ok bool) {
	value, ok = tx.read(key)
	if !ok {
		return nil, false
	}
	return append([]byte{}, value...), true
}

// Has tells whether key has a value.
func (tx *Tx) Has(key string) bool {
	_, ok := tx.read(key)
	return ok
}

// Put sets key to value.
func (tx *Tx) Put(key string, value []byte) {
	tx.mustWrite()
	if len(value) > ValueBytesMax {
		tx.refuse("a value has %d bytes, at most %d are possible", len(value), ValueBytesMax)
	}
	tx.buffer(entry{key: key, value: append([]byte{}, value...)})
}

// Delete removes key, if it is there.
func (tx *Tx) Delete(key string) { tx.buffer(entry{key: key, deleted: true}) }

// Uint64 returns the number that PutUint64 stored under key, or 0 if there is
// no value. Any other value under key ends the operation.
func (tx *Tx) Uint64(key string) uint64 {
	value, ok := tx.read(key)
	if !ok {
		return 0
	}
	if len(value) != 8 {
		tx.refuse("the value of %+.64q has %d bytes, a number has 8", key, len(value))
	}
	return binary.BigEndian.Uint64(value)
}

// PutUint64 sets key to n, as 8 bytes, big-endian.
func (tx *Tx) PutUint64(key string, n uint64) {
	tx.buffer(entry{key: key, value: binary.BigEndian.AppendUint64(nil, n)})
}

// Emit adds one output to the outside world, up to OutputBytesMax bytes. Outputs
// are numbered in the order of execution. Whoever acts on them subscribes
// (pbft.Client.Outputs), and hears each once f+1 replicas emitted the same; every
// replica hands its own to its embedder too (pbft.Config.Output). Those of an
// operation that is rolled back are not emitted.
func (tx *Tx) Emit(payload []byte) {
	tx.mustWrite()
	if len(payload) > OutputBytesMax {
		tx.refuse("an output has %d bytes, at most %d are possible", len(payload), OutputBytesMax)
	}
	tx.admit(1, len(payload))
	tx.outputs = append(tx.outputs, append([]byte{}, payload...))
}

// Outputs returns what the operation emitted, in order. It is for drivers, who
// release it once Commit has succeeded.
func (tx *Tx) Outputs() [][]byte { return tx.outputs }

// Commit writes what the operation wrote to the store, in ascending order of
// keys. It is for drivers, once, after Run has returned a result; after an error
// of the storage the replica must stop.
func (tx *Tx) Commit() error {
	if tx.fault != nil {
		return tx.fault
	}
	if tx.failure != nil {
		return fmt.Errorf("app: a failed operation cannot commit: %s", tx.failure.Text)
	}
	if tx.ended {
		return errEnded
	}
	tx.ended = true
	for _, w := range tx.writes.sorted() {
		if err := tx.flush(w); err != nil {
			tx.fault = fmt.Errorf("app: commit at %d: %w", tx.ctx.Seq, err)
			return tx.fault
		}
	}
	return nil
}

func (tx *Tx) flush(w entry) error {
	full := make([]byte, 0, len(tx.prefix)+len(w.key))
	full = append(append(full, tx.prefix...), w.key...)
	if w.deleted {
		return tx.store.Delete(full)
	}
	return tx.store.Put(full, w.value)
}

// read returns the value of key as the operation sees it, not to be changed.
func (tx *Tx) read(key string) ([]byte, bool) {
	tx.mustRun()
	if len(key) > KeyBytesMax {
		return nil, false // such a key cannot have been put
	}
	if w := tx.writes.find(key); w != nil {
		return w.value, !w.deleted
	}
	tx.scratch = append(append(tx.scratch[:0], tx.prefix...), key...)
	value, ok, err := tx.store.Get(tx.scratch)
	if err != nil {
		tx.fail(fmt.Errorf("read %.64q: %w", key, err))
	}
	return value, ok
}

// buffer keeps w until Commit.
func (tx *Tx) buffer(w entry) {
	tx.mustWrite()
	if len(w.key) > KeyBytesMax {
		tx.refuse("a key has %d bytes, at most %d are possible", len(w.key), KeyBytesMax)
	}
	if old := tx.writes.find(w.key); old != nil {
		tx.admit(0, len(w.value)-len(old.value))
		*old = w
		return
	}
	tx.admit(1, len(w.key)+len(w.value))
	tx.writes.add(w)
}

// book keeps w until Commit, beside what is bounded: for what Keep writes, which bounds it
// itself. Were it counted, what an application may do in an operation would depend on
// whether a snapshot is under way; and where it always does as much as it may, no snapshot
// would ever get on. The value of w may not be changed.
func (tx *Tx) book(w entry) {
	tx.mustWrite()
	if old := tx.writes.find(w.key); old != nil {
		*old = w
		return
	}
	tx.writes.add(w)
}

// admit accounts for so many more writes and bytes, or ends the operation.
func (tx *Tx) admit(writes, size int) {
	if tx.count+writes > WritesMax {
		tx.refuse("more than %d writes and outputs in one operation", WritesMax)
	}
	if tx.bytes+size > WriteBytesMax {
		tx.refuse("more than %d bytes written and emitted in one operation", WriteBytesMax)
	}
	tx.count, tx.bytes = tx.count+writes, tx.bytes+size
}

// mustWrite ends the operation if it cannot write. It comes first: a read that writes too
// much is told that it may not write at all.
func (tx *Tx) mustWrite() {
	tx.mustRun()
	if tx.readOnly {
		tx.end(&Failure{Kind: FailureReadOnly, Text: "a read-only operation cannot write"})
	}
}

// refuse ends the operation because it exceeded a bound. The text is part of the
// replicated result: the arguments must be the same on every replica, and text of
// others be in ASCII (%+q), for which characters %q prints differs between versions of Go.
func (tx *Tx) refuse(format string, args ...any) {
	tx.mustRun()
	tx.end(&Failure{Kind: FailureLimit, Text: fmt.Sprintf(format, args...)})
}

// mustRun ends the caller if the operation of tx has ended or cannot commit. The
// latter catches an application that recovered from the end of its operation.
func (tx *Tx) mustRun() {
	if tx.ran || tx.ended || tx.failure != nil || tx.fault != nil {
		tx.stop()
	}
}

func (tx *Tx) end(f *Failure) {
	tx.failure = f
	tx.stop()
}

// fail ends the operation because of the storage.
func (tx *Tx) fail(err error) {
	tx.fault = fmt.Errorf("app: operation at %d: %w", tx.ctx.Seq, err)
	tx.stop()
}

// stopped is what ends an operation from inside; Run knows it from a panic of
// the application.
type stopped struct{}

// String says that the operation is over already.
func (stopped) String() string { return errEnded.Error() }

// stop leaves the application. Returning instead would let it go on with what is
// not the state: a loop that removes until nothing is left never ended when
// removing was refused.
func (*Tx) stop() {
	panic(stopped{}) //nolint:forbidigo // unwinds the application's frames up to Run, which recovers it
}
