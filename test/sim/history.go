package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/linear"
)

// historyTimeMax bounds the check of a history. One that takes longer proves
// nothing, and is no violation.
const historyTimeMax = 5 * time.Second

// history is what the clients of the key-value store saw, for a checker that
// knows nothing of numbers and replicas.
type history struct {
	on         bool
	operations []linear.Operation
	broken     error // a result that does not parse
	// places are where the operations are in operations, by what the replicas call
	// them, and moments when those that ran did, in the agreed order.
	places  map[operation]int
	moments []instant
}

// instant is a moment of the agreed order: with a batch, or, for a query, between it and
// the next.
type instant struct {
	seq   wire.Seq
	after bool
	place int // of what happened then
}

// called notes that a client calls op, and returns its place.
func (h *history) called(at time.Duration, client int, op []byte) int {
	if !h.on {
		return 0
	}
	parsed, err := kv.Parse(op)
	if err != nil {
		h.broken = fmt.Errorf("client %d calls what is no operation: %w", client, err)
	}
	h.operations = append(h.operations, linear.Operation{Client: client, Op: parsed, Call: at})
	return len(h.operations) - 1
}

// name says what the replicas call the operation at a place.
func (h *history) name(place int, op operation) {
	if h.on {
		h.places[op] = place
	}
}

// ran notes that the cluster has executed an operation, after all others so far.
func (h *history) ran(op operation, seq wire.Seq) {
	if place, known := h.places[op]; known {
		h.moments = append(h.moments, instant{seq, false, place})
	}
}

// read notes the answer to the query at a place, which is how it was after a batch.
func (h *history) read(at time.Duration, place int, seq wire.Seq, got wire.QueryResult) {
	if h.on {
		h.moments = append(h.moments, instant{seq, true, place})
		h.returned(at, place, &wire.Told{Answer: wire.Answer{Outcome: got.Outcome, Result: got.Result}})
	}
}

// order returns the places of what ran, in the agreed order.
func (h *history) order() []int {
	slices.SortStableFunc(h.moments, func(a, b instant) int {
		switch {
		case a.seq != b.seq:
			return cmp.Compare(a.seq, b.seq)
		case a.after == b.after:
			return 0
		case b.after:
			return -1
		default:
			return 1
		}
	})
	order := make([]int, len(h.moments))
	for i, m := range h.moments {
		order[i] = m.place
	}
	return order
}

// returned notes the answer to the operation at a place.
func (h *history) returned(at time.Duration, place int, reply *wire.Told) {
	if !h.on {
		return
	}
	if reply.Outcome == wire.OutcomeTooLarge { // it was rolled back: it is as a read that never returned
		h.operations[place].Op.Kind = kv.KindGet
		return
	}
	result, err := kv.ParseResult(reply.Result)
	if err != nil || reply.Outcome != wire.OutcomeOK {
		h.broken = fmt.Errorf("the result of operation %d, outcome %d: %w", reply.Number, reply.Outcome, err)
	}
	o := &h.operations[place]
	o.Return, o.Finished, o.Result = at, true, result
}

// check checks O5 of the whole history. The agreed order explains it, if all is
// well, and that is soon seen. Otherwise another order may, and the checker
// searches for one.
func (h *history) check() error {
	if !h.on {
		return nil
	}
	if h.broken != nil {
		return h.broken
	}
	if linear.Explained(h.operations, h.order()) {
		return nil
	}
	if key := linear.Check(context.Background(), h.operations, historyTimeMax).Key; key != "" {
		return fmt.Errorf("what clients saw of the key %q fits into no order", key)
	}
	return nil
}
