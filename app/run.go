package app

import (
	"bytes"
	"fmt"
	"runtime/debug"
)

// FailureKind tells why an operation was rolled back.
type FailureKind byte

// The reasons for which an operation is rolled back.
const (
	FailurePanic    FailureKind = 1 // the application panicked
	FailureLimit    FailureKind = 2 // the operation exceeded a bound of this package
	FailureReadOnly FailureKind = 3 // it is read-only and tried to write, or there is no Querier
)

// detailBytesMax bounds Failure.Detail: it is for a log.
const detailBytesMax = 4 << 10

// panicText is the result of an operation that panicked. What it panicked with
// is not part of it: it may hold addresses, and those differ.
const panicText = "the operation panicked and was rolled back"

// Failure says that an operation was rolled back whole. It happens on all
// replicas alike.
type Failure struct {
	Kind FailureKind
	// Text is the same on every replica: it may be part of the result.
	Text string
	// Detail is for this replica's log only: what it panicked with, and where.
	Detail string
}

// Run executes op on tx: by Execute, or by Query if tx is read-only. It returns
// the result, or why the operation is rolled back; or an error of the storage,
// after which the replica must stop. The caller commits tx if, and only if, it
// got a result.
//
// Run recovers panics of the application on this goroutine. It cannot survive
// what the runtime does not let anyone recover: a stack overflow, concurrent
// writes of a map, no memory, a panic on another goroutine; runtime.Goexit in
// the application, which t.Fatal of a test calls, ends the calling goroutine, and with
// it the replica. An operation that never returns
// stops the replica. All of these happen on every replica alike, so an
// application must exclude them.
func Run(sm StateMachine, tx *Tx, op []byte) (result []byte, failure *Failure, err error) {
	if tx.ran || tx.ended {
		return nil, nil, errEnded
	}
	own := append([]byte(nil), op...) // nil if it is empty, as where it has been sent
	result, panicked := call(sm, tx, own)
	tx.ran = true
	if tx.fault != nil {
		return nil, nil, tx.fault
	}
	switch {
	case tx.failure == nil:
		tx.failure = panicked
	case panicked != nil:
		tx.failure.Detail = panicked.Detail
	}
	if tx.failure != nil {
		return nil, tx.failure, nil
	}
	return bytes.Clone(result), nil, nil
}

// call runs op and turns a panic into a Failure.
func call(sm StateMachine, tx *Tx, op []byte) (result []byte, panicked *Failure) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &Failure{Kind: FailurePanic, Text: panicText, Detail: describe(v)}
		}
	}()
	if !tx.readOnly {
		return sm.Execute(tx, op), nil
	}
	if q, ok := sm.(Querier); ok {
		return q.Query(tx, op), nil
	}
	return nil, &Failure{Kind: FailureReadOnly, Text: "the application has no read-only operations"}
}

func describe(v any) string {
	text := fmt.Sprintf("%.512s\n%s", spell(v), debug.Stack())
	return text[:min(len(text), detailBytesMax)]
}

// spell returns what the application panicked with as text, which a method of the
// application makes. That may panic, too; package fmt survives it once only.
func spell(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T, which panics when it is printed", v)
		}
	}()
	return fmt.Sprint(v)
}

// Inspect calls read with the content of store under prefix, read-only, outside
// of any order; a tool or a test checks invariants so. It returns read's error,
// or an error if read panicked, tried to write, or the storage failed.
func Inspect(store Store, prefix []byte, read func(tx *Tx) error) error {
	var err error
	tx := NewTx(store, prefix, Context{}, true)
	_, failure, fault := Run(inspection(func(tx *Tx) { err = read(tx) }), tx, nil)
	if fault != nil {
		return fault
	}
	if failure != nil {
		return fmt.Errorf("app: inspect: %s: %s", failure.Text, failure.Detail)
	}
	return err
}

// inspection is a function as a state machine.
type inspection func(tx *Tx)

// Execute runs the inspection.
func (f inspection) Execute(tx *Tx, _ []byte) []byte {
	f(tx)
	return nil
}

// Query runs the inspection.
func (f inspection) Query(tx *Tx, op []byte) []byte { return f.Execute(tx, op) }
