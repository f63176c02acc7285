package app

import (
	"errors"
	"fmt"
)

// ErrRolledBack says that an operation panicked, exceeded a bound, or wrote
// although it was read-only, and changed nothing.
var ErrRolledBack = errors.New("app: rolled back")

// Solo runs a state machine alone, as one replica without others would: for unit
// tests of applications. It is for one goroutine at a time.
type Solo struct {
	// Context is what the next operation sees. Execute raises Seq by one before
	// every operation, and Time by a millisecond; a test may set any of it. Input is
	// what the state machine itself proposes, if it is a Proposer and the test sets none;
	// where it is none, there is no input, and a query has none either.
	Context

	machine StateMachine
	store   *Memory
	outputs [][]byte
}

// NewSolo returns sm on an empty state.
func NewSolo(sm StateMachine) *Solo { return &Solo{machine: sm, store: NewMemory()} }

// Execute validates op, if the state machine is a Validator, executes it, and
// returns its result. The error is the Validator's, the Proposer's, or ErrRolledBack
// with what the operation panicked with.
func (s *Solo) Execute(op []byte) ([]byte, error) {
	s.Seq++
	s.Time += 1e6
	return s.run(op, false)
}

// Query answers op by the Querier.
func (s *Solo) Query(op []byte) ([]byte, error) { return s.run(op, true) }

// Outputs returns everything that operations emitted, in order.
func (s *Solo) Outputs() [][]byte { return s.outputs }

// Store returns the state, to look at or to change; see Inspect.
func (s *Solo) Store() *Memory { return s.store }

func (s *Solo) run(op []byte, readOnly bool) ([]byte, error) {
	if v, ok := s.machine.(Validator); ok {
		if err := v.Validate(op); err != nil {
			return nil, err
		}
	}
	ctx := s.Context
	if !readOnly {
		var err error
		if ctx.Input, err = agreedInput(s.machine, ctx.Input); err != nil {
			return nil, err
		}
	}
	tx := NewTx(s.store, nil, ctx, readOnly)
	result, failure, err := Run(s.machine, tx, op)
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, fmt.Errorf("%w: %s\n%s", ErrRolledBack, failure.Text, failure.Detail)
	}
	if len(result) > ResultBytesMax {
		return nil, fmt.Errorf("%w: the result has %d bytes, at most %d are possible", ErrRolledBack, len(result), ResultBytesMax)
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	s.outputs = append(s.outputs, tx.Outputs()...)
	return result, nil
}

// agreedInput returns the input as sm sees it where replicas have agreed on it: what it
// proposes, or what is given in its place, once it has checked that.
func agreedInput(sm StateMachine, given []byte) ([]byte, error) {
	p, ok := sm.(Proposer)
	if !ok {
		if len(given) > 0 {
			return nil, errors.New("app: an input for a state machine that is no Proposer")
		}
		return nil, nil
	}
	if given == nil {
		var err error
		if given, err = p.ProposeInput(); err != nil {
			return nil, fmt.Errorf("app: no input: %w", err)
		}
	}
	if len(given) > InputBytesMax {
		return nil, fmt.Errorf("app: the input has %d bytes, at most %d are possible", len(given), InputBytesMax)
	}
	input := append([]byte(nil), given...) // nil if it is empty, as where it has been sent
	if err := p.CheckInput(input); err != nil {
		return nil, fmt.Errorf("app: unfit input: %w", err)
	}
	return input, nil
}
