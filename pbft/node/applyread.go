package node

import (
	"fmt"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
)

// Query answers the first operations of q from what was applied, as many as one message
// holds, for their client; the sender is not set. It changes nothing. After an error,
// which is of the state, the replica must stop.
func (a *Applier) Query(q *wire.Query) (wire.Results, error) {
	m := wire.Results{Client: q.Client, Nonce: q.Nonce, Seq: a.meta.seq}
	bytes := 0
	for i, op := range q.Ops {
		one, err := a.query(q.Client, op)
		if err != nil {
			return wire.Results{}, fmt.Errorf("node: query: %w", err)
		}
		if bytes += len(one.Result); i > 0 && bytes > wire.ResultsBytesMax {
			break
		}
		m.Results = append(m.Results, one)
	}
	return m, nil
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
		return wire.QueryResult{Outcome: wire.OutcomeReadOnly, Result: []byte(failure.Text)}, nil
	case failure != nil:
		return wire.QueryResult{Outcome: wire.OutcomePanicked, Result: []byte(failure.Text)}, nil
	case len(result) > a.resultBytesMax:
		text := fmt.Sprintf("the result has %d bytes, at most %d are possible", len(result), a.resultBytesMax)
		return wire.QueryResult{Outcome: wire.OutcomeTooLarge, Result: []byte(text)}, nil
	default:
		return wire.QueryResult{Result: result}, nil
	}
}
