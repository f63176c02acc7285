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
	// every operation, and Time by a millisecond; a test may set any of it.
	Context

	machine StateMachine
	store   *Memory
	outputs [][]byte
}

// NewSolo returns sm on an empty state.
func NewSolo(sm StateMachine) *Solo { return &Solo{machine: sm, store: NewMemory()} }

// Execute validates op, if the state machine is a Validator, executes it, and
// returns its result. The error is the Validator's, or ErrRolledBack with what
// the operation panicked with.
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
	tx := NewTx(s.store, nil, s.Context, readOnly)
	result, failure, err := Run(s.machine, tx, op)
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, fmt.Errorf("%w: %s\n%s", ErrRolledBack, failure.Text, failure.Detail)
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	s.outputs = append(s.outputs, tx.Outputs()...)
	return result, nil
}
