package app

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/quorate/quorate/crypto"
)

// Snapshotter is an application that keeps its state in data structures of its own, in
// memory, and not in a Tx. Keep makes a StateMachine of it. What a Tx gives for nothing it
// pays for: from time to time its whole state is written, and every operation besides, so
// that a replica can be restored; the state must fit into memory; and it is restored before
// the next operation after a restart, a state transfer, a read that panicked, and any
// operation that was rolled back once Apply had been called. While it is, nothing executes:
// the last snapshot is read, and the operations since are applied again, up to as many bytes
// of them as two snapshots have, or two mebibytes. Who can should use the Tx.
//
// An operation is rolled back where Apply panics, has outputs beyond the bounds, or a result
// that is too long or finds no room (pbft.ErrTooLarge). So no client should be able to cause
// that at will, or it holds up all others, again and again: what cannot be done is better
// answered by a result that says so, and results of up to 128 bytes always find room.
//
// One goroutine at a time calls its methods.
type Snapshotter interface {
	// Apply executes one operation, by ctx and op alone, and returns its result and what it
	// tells the outside world: up to WritesMax outputs, of OutputBytesMax bytes each and
	// WriteBytesMax together. It may keep neither argument. If it panics, or the operation
	// is rolled back for another reason, the instance is dropped, and another one restored.
	Apply(ctx Context, op []byte) (result []byte, outputs [][]byte)
	// Snapshot returns the whole state; it may be the very bytes that the application goes
	// on to change, as they are copied. Equal states must give equal bytes, whatever led to
	// them: what is restored from a snapshot must give the same one again, and replicas
	// compare.
	Snapshot() []byte
	// Restore sets the state of a new instance to that of a snapshot, which it may keep. An
	// error says that it is none, and fails every operation.
	Restore(snapshot []byte) error
}

// SnapshotReader is an optional power of a Snapshotter: reads, as a Querier has them.
// Query may change nothing, and must return the same at every replica.
type SnapshotReader interface {
	Query(ctx Context, op []byte) []byte
}

// Bounds of what Keep writes, which is beside the bounds of an operation. With each it
// writes the operation itself and as much of a snapshot, and deletes twice as much; or, with
// short ones, what follows.
const (
	// KeepOpBytesMax bounds an operation of a Snapshotter.
	KeepOpBytesMax = 512 << 10
	// keepChunkBytes is how much of a snapshot is written at once.
	keepChunkBytes = 64 << 10
	// keepLogBytes is how much is logged at least before the next snapshot: as much as
	// the last snapshot has, or this.
	keepLogBytes = 1 << 20
	// keepDropped is how many chunks and operations are deleted at once.
	keepDropped = 64
)

// Keep returns the state machine of a Snapshotter. Fresh makes an instance in its initial
// state. One state machine can serve several replicas of one process, each with an instance
// of its own, on which it holds on for as long as it lives: a replica that is started again
// in the same process takes a new one. They may call fresh at the same time. Replicas are
// told apart by their Store, which must be comparable, as pointers are. If instances are
// Validators or Proposers, so is the state machine, by an instance that executes nothing.
//
// The state is kept in the Tx as the last snapshot and all operations since. So a
// checkpoint costs what was written since the last one: each operation once, and a
// snapshot for as many bytes of operations as the snapshot before has, or a mebibyte. At
// times there are two snapshots, and operations of twice their length: the state takes up to
// four times as much as one snapshot, and two mebibytes.
func Keep(fresh func() Snapshotter) StateMachine {
	k := &keeper{fresh: fresh}
	k.mu.instances = map[Store]*instance{}
	model := fresh()
	k.validator, _ = model.(Validator)
	if p, is := model.(Proposer); is {
		return struct {
			*keeper
			Proposer
		}{k, p}
	}
	return k
}

// keeper is the state machine that Keep returns.
type keeper struct {
	fresh     func() Snapshotter
	validator Validator // or nil

	mu struct {
		sync.Mutex
		instances map[Store]*instance
	}
}

// instance is a Snapshotter and where it stands.
type instance struct {
	app     Snapshotter   // nil where it is not known how it stands
	chain   crypto.Digest // that of the state that it has
	pending []byte        // the snapshot that is being written
}

// Validate refuses what the Snapshotter refuses.
func (k *keeper) Validate(op []byte) error {
	if k.validator == nil {
		return nil
	}
	return k.validator.Validate(op)
}

// Execute runs one operation, and keeps it.
func (k *keeper) Execute(tx *Tx, op []byte) []byte {
	if len(op) > KeepOpBytesMax {
		tx.refuse("an operation has %d bytes, at most %d are possible", len(op), KeepOpBytesMax)
	}
	place, one := k.stand(tx)
	run := one.app
	one.app = nil // whatever ends this early leaves nothing that could be trusted
	result, outputs := run.Apply(agreedOf(tx), bytes.Clone(op))
	result = bytes.Clone(result) // Snapshot may need what it is in
	for _, payload := range outputs {
		tx.Emit(payload)
	}
	place.advance(tx, run, one, place.log(tx, op))
	place.write(tx)
	one.app, one.chain = run, place.chain
	return result
}

// Query answers by the SnapshotReader.
func (k *keeper) Query(tx *Tx, op []byte) []byte {
	_, one := k.stand(tx)
	reader, is := one.app.(SnapshotReader)
	if !is {
		tx.end(&Failure{Kind: FailureReadOnly, Text: "the application has no read-only operations"})
	}
	run := one.app
	one.app = nil
	result := reader.Query(agreedOf(tx), bytes.Clone(op))
	one.app = run
	return result
}

// agreedOf returns what an operation may know, all of it agreed, and its own.
func agreedOf(tx *Tx) Context {
	ctx := tx.ctx
	ctx.View, ctx.Input = 0, slices.Clone(ctx.Input)
	return ctx
}

// stand returns the place of tx's state, and an instance that stands there.
func (k *keeper) stand(tx *Tx) (*keptPlace, *instance) {
	one, place := k.instanceOf(tx.store), readPlace(tx)
	if one.app == nil || one.chain != place.chain {
		one.restore(tx, place, k.fresh())
	}
	return place, one
}

// instanceOf returns the instance of a store, wherever that stands.
func (k *keeper) instanceOf(store Store) *instance {
	k.mu.Lock()
	defer k.mu.Unlock() // of a store that is no key of a map, the next lines panic
	one := k.mu.instances[store]
	if one == nil {
		one = &instance{}
		k.mu.instances[store] = one
	}
	return one
}

// restore makes app what the state says, and the instance's own.
func (one *instance) restore(tx *Tx, place *keptPlace, app Snapshotter) {
	*one = instance{}
	if place.base > 0 {
		if err := app.Restore(place.snapshot(tx)); err != nil {
			panic(fmt.Errorf("app: restore the snapshot of %d operations: %w", place.base, err)) //nolint:forbidigo // Run recovers it
		}
	}
	var pending []byte
	for n := place.base + 1; n <= place.count; n++ {
		ctx, op := readLogged(tx, n)
		app.Apply(ctx, op)
		if n == place.pending {
			pending = bytes.Clone(app.Snapshot())
		}
	}
	one.app, one.chain, one.pending = app, place.chain, pending
}
