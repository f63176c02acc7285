package node

import (
	"fmt"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
)

// Reading is a query that is being answered, one operation after the other.
type Reading struct {
	// Results are the answers so far; the sender is not set.
	Results wire.Results

	query *wire.Query
	bytes int // of the results
}

// NewReading begins to answer q.
func NewReading(q *wire.Query) *Reading {
	return &Reading{Results: wire.Results{Client: q.Client, Nonce: q.Nonce}, query: q}
}

// Query answers the next operation of r from what was applied, and tells whether there are
// more, and room for them in one message. It changes nothing. After an error, which is of
// the state, the replica must stop.
func (a *Applier) Query(r *Reading) (more bool, err error) {
	ops, said := r.query.Ops, len(r.Results.Results)
	one, err := a.query(r.query.Client, ops[said])
	if err != nil {
		return false, fmt.Errorf("node: query: %w", err)
	}
	r.Results.Seq = a.meta.seq
	if r.bytes += len(one.Result); said > 0 && r.bytes > wire.ResultsBytesMax {
		return false, nil
	}
	r.Results.Results = append(r.Results.Results, one)
	return said+1 < len(ops), nil
}

func (a *Applier) query(client wire.ClientID, op []byte) (wire.QueryResult, error) {
	if a.broken != nil {
		return wire.QueryResult{}, a.broken
	}
	tx := app.NewTx(a.state, a.prefix, app.Context{Seq: uint64(a.meta.seq), Time: int64(a.meta.time), Client: client}, true)
	result, failure, err := app.Run(a.machine, tx, op)
	switch {
	case err != nil:
		return wire.QueryResult{}, err
	case failure != nil && failure.Kind == app.FailureReadOnly:
		return a.unread(wire.OutcomeReadOnly, failure.Text), nil
	case failure != nil:
		return a.unread(wire.OutcomePanicked, failure.Text), nil
	case len(result) > a.resultBytesMax:
		return a.unread(wire.OutcomeTooLarge, fmt.Sprintf("the result has %d bytes, at most %d are possible", len(result), a.resultBytesMax)), nil
	default:
		return wire.QueryResult{Result: result}, nil
	}
}

// unread is the result of an operation that has none of the application.
func (a *Applier) unread(outcome wire.Outcome, text string) wire.QueryResult {
	return wire.QueryResult{Outcome: outcome, Result: []byte(text[:min(len(text), a.resultBytesMax)])}
}
