package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// reference is what the cluster pretends to be: one fresh machine that executes
// the agreed log, and nothing else. Every result that a correct replica sends,
// and so every result that a client takes, must be the reference's. It does not
// use the replicas' applier, nor their store.
type reference struct {
	machine app.StateMachine
	store   *app.Memory
	seq     wire.Seq
	time    wire.Time
	results map[operation]outcome
	outputs []driver.Output
	unsaved unsaved
	bounded int // operations that were rolled back because too many results wait
	ran     int // operations
	failed  failures
	past    []past
}

// outcome is how an operation ended.
type outcome struct {
	seq    wire.Seq
	what   wire.Outcome
	result []byte // or why it was rolled back
}

// failures are the operations that were rolled back because the application panicked, or
// exceeded a bound.
type failures struct {
	count int
	first string // in words, with what is for a log only
}

func (f *failures) add(op []byte, failure *app.Failure) {
	if f.count++; f.count == 1 {
		f.first = fmt.Sprintf("operation %.80q: %s: %s", op, failure.Text, failure.Detail)
	}
}

func newReference(o *Options) reference {
	r := reference{
		machine: o.Machine(), store: app.NewMemory(), results: map[operation]outcome{}, unsaved: newUnsaved(o),
	}
	if o.FastReads > 0 {
		r.past = []past{{store: app.NewMemory()}}
	}
	return r
}

// execute runs the next batch.
func (r *reference) execute(ex *core.Execution) error {
	r.seq, r.time = ex.Seq, ex.Time
	for _, order := range ex.Orders {
		if !order.Run {
			continue
		}
		got, err := r.run(ex, order)
		if err != nil {
			return err
		}
		r.ran++
		r.results[operationOf(order)] = got
		r.unsaved.add(operationOf(order), len(got.result))
	}
	r.unsaved.end(ex)
	if r.past != nil {
		r.past = append(r.past, past{ex.Time, r.store.Clone()})
	}
	return nil
}

// emitted returns what a batch emitted.
func (r *reference) emitted(seq wire.Seq) []driver.Output {
	bySeq := func(out driver.Output, seq wire.Seq) int { return cmp.Compare(out.Seq, seq) }
	from, _ := slices.BinarySearchFunc(r.outputs, seq, bySeq)
	to, _ := slices.BinarySearchFunc(r.outputs, seq+1, bySeq)
	if from == to {
		return nil
	}
	return r.outputs[from:to]
}

func operationOf(order core.Order) operation {
	return operation{order.Request.Client, order.Request.Session, order.Number()}
}

func (r *reference) run(ex *core.Execution, order core.Order) (outcome, error) {
	tx := app.NewTx(r.store, nil, app.Context{
		Seq: uint64(ex.Seq), View: uint64(ex.View), Time: int64(ex.Time), Client: order.Request.Client, Input: ex.Input,
	}, order.Request.ReadOnly)
	result, failure, err := app.Run(r.machine, tx, order.Request.Ops[order.Index])
	rolledBack := func(what wire.Outcome, why string) (outcome, error) {
		return outcome{ex.Seq, what, []byte(why[:min(len(why), r.unsaved.longest)])}, nil
	}
	switch {
	case err != nil:
		return outcome{}, err
	case failure != nil && failure.Kind == app.FailureReadOnly:
		return rolledBack(wire.OutcomeReadOnly, failure.Text)
	case failure != nil:
		r.failed.add(order.Request.Ops[order.Index], failure)
		return rolledBack(wire.OutcomePanicked, failure.Text)
	case len(result) > r.unsaved.longest:
		return rolledBack(wire.OutcomeTooLarge,
			fmt.Sprintf("the result has %d bytes, at most %d are possible", len(result), r.unsaved.longest))
	case !r.unsaved.fits(order.Request.Client, len(result)):
		r.bounded++
		return rolledBack(wire.OutcomeTooLarge, "too many results wait to be acknowledged: have fewer long ones open at once")
	default:
		for _, payload := range tx.Outputs() {
			number := uint64(len(r.outputs) + 1)
			r.outputs = append(r.outputs, driver.Output{Number: number, Seq: ex.Seq, Payload: payload})
		}
		return outcome{ex.Seq, wire.OutcomeOK, result}, tx.Commit()
	}
}

// check tells what is wrong with the result in a reply.
func (r *reference) check(reply *wire.Told) error {
	want, ran := r.results[operation{reply.Client, reply.Session, reply.Number}]
	switch {
	case !ran:
		return fmt.Errorf("operation %d was never executed", reply.Number)
	case want.seq != reply.Seq || want.what != reply.Outcome:
		return fmt.Errorf("operation %d ended with outcome %d at %d, not with %d at %d",
			reply.Number, want.what, want.seq, reply.Outcome, reply.Seq)
	case !bytes.Equal(want.result, reply.Result):
		return fmt.Errorf("operation %d has the result %.40q, not %.40q", reply.Number, want.result, reply.Result)
	default:
		return nil
	}
}

// changed tells whether an operation ran and was not rolled back.
func (r *reference) changed(op operation) bool {
	got, ran := r.results[op]
	return ran && got.what == wire.OutcomeOK
}

// executed tells whether an outcome is that of an operation that ran.
func executed(o wire.Outcome) bool {
	switch o {
	case wire.OutcomeOK, wire.OutcomePanicked, wire.OutcomeReadOnly, wire.OutcomeTooLarge:
		return true
	case wire.OutcomeSessionOld, wire.OutcomeNoRoom, wire.OutcomeForgotten, wire.OutcomeWindow:
	}
	return false
}
