// Package linear tells whether what the clients of a replicated key-value store
// saw could have happened in one order, each operation at a moment between its
// call and its return (Herlihy and Wing, TOPLAS 1990). It asks porcupine, with a
// specification of app/kv that is written apart from it.
package linear

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quorate/quorate/app/kv"
)

// Operation is one operation as its client saw it.
type Operation struct {
	Client int
	Op     kv.Op
	// Call and Return are when the client called and had its result.
	Call, Return time.Duration
	// Finished says that there is a result. Without one the operation may have
	// been executed or not, or may still be.
	Finished bool
	Result   kv.Result
	// Text is for pictures.
	Text string
}

// Verdict is what Check found. Key is the one whose history is impossible, or
// empty; Proven says that the check came to an end.
type Verdict struct {
	Key    string
	Proven bool
}

// register is the sequential state of one key.
type register struct {
	present bool
	value   string
}

// next returns what op makes of the register, and its result: the specification
// of the store, written apart from it.
func (r register) next(op kv.Op) (register, kv.Result) {
	written := register{true, string(op.Value)}
	found := kv.Result{Status: kv.StatusFound, Value: []byte(r.value)}
	conflict := kv.Result{Status: kv.StatusConflict, Value: []byte(r.value)}
	none, done := kv.Result{Status: kv.StatusNotFound}, kv.Result{Status: kv.StatusDone}
	absent := op.Kind == kv.KindPutIfAbsent && !r.present
	switch {
	case op.Kind == kv.KindPut || absent:
		return written, done
	case op.Kind == kv.KindPutIfAbsent:
		return r, conflict
	case !r.present:
		return r, none
	}
	switch op.Kind {
	case kv.KindGet:
		return r, found
	case kv.KindDelete:
		return register{}, done
	case kv.KindCompareAndSwap:
		if r.value != string(op.Old) {
			return r, conflict
		}
		return written, done
	default:
		return r, kv.Result{Status: kv.StatusInvalid}
	}
}

// String returns the value, for pictures.
func (r register) String() string {
	if !r.present {
		return "nothing"
	}
	return r.value
}

// model is the specification of one key for porcupine. Inputs and outputs are
// both the Operation.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, input, _ any) (bool, any) {
			r, isRegister := state.(register)
			o, isOperation := input.(Operation)
			if !isRegister || !isOperation {
				return false, state
			}
			after, want := r.next(o.Op)
			same := o.Result.Status == want.Status && bytes.Equal(o.Result.Value, want.Value)
			return !o.Finished || same, after
		},
		DescribeOperation: func(input, _ any) string {
			if o, isOperation := input.(Operation); isOperation {
				return o.Text
			}
			return fmt.Sprint(input)
		},
		DescribeState: func(state any) string { return fmt.Sprint(state) },
	}
}

// byKey splits a history into those of its keys.
func byKey(operations []Operation) map[string][]Operation {
	keys := make(map[string][]Operation)
	for _, o := range operations {
		keys[o.Op.Key] = append(keys[o.Op.Key], o)
	}
	return keys
}

// events converts operations for porcupine. One that has no result may take
// effect at any time after its call, or, as good as never, after all others.
func events(operations []Operation) []porcupine.Operation {
	list := make([]porcupine.Operation, 0, len(operations))
	for _, o := range operations {
		e := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Output: o, Return: int64(o.Return)}
		if !o.Finished {
			e.Return = math.MaxInt64
		}
		list = append(list, e)
	}
	return list
}

// Check checks the history of every key on its own, for linearizability is
// local. It works for at most limit, and knows no scans.
func Check(ctx context.Context, operations []Operation, limit time.Duration) Verdict {
	keys := byKey(operations)
	deadline := time.Now().Add(limit)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		left := time.Until(deadline)
		if left <= 0 || ctx.Err() != nil {
			return Verdict{}
		}
		switch porcupine.CheckOperationsTimeout(model(), events(keys[key]), left) {
		case porcupine.Ok:
		case porcupine.Illegal:
			return Verdict{Key: key, Proven: true}
		case porcupine.Unknown:
			return Verdict{}
		}
	}
	return Verdict{Proven: true}
}

// Explained tells whether doing operations one after the other, in the order of
// these indices, gives what their clients saw. That proves a history linearizable,
// without a search, when the order is known; that it does not disproves nothing.
// Operations without a result may be left out.
func Explained(operations []Operation, order []int) bool {
	registers := make(map[string]register)
	done := make([]bool, len(operations))
	called := time.Duration(math.MinInt64) // the latest call so far
	for _, i := range order {
		o := &operations[i]
		after, want := registers[o.Op.Key].next(o.Op)
		same := o.Result.Status == want.Status && bytes.Equal(o.Result.Value, want.Value)
		called = max(called, o.Call)
		if done[i] || o.Finished && (!same || o.Return < called) {
			return false
		}
		registers[o.Op.Key], done[i] = after, true
	}
	for i := range operations {
		if operations[i].Finished && !done[i] {
			return false
		}
	}
	return true
}

// Draw writes a picture of the history of one key, for a browser.
func Draw(operations []Operation, limit time.Duration, path string) error {
	_, info := porcupine.CheckOperationsVerbose(model(), events(operations), limit)
	return porcupine.VisualizePath(model(), info, path)
}
