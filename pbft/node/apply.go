package node

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// failuresMax bounds Applied.Failures: they are for a log.
	failuresMax = 16
	// repeatedBytesMax bounds the results of earlier operations that one batch tells
	// again. Hundreds of requests that differ in one operation may hold the same others,
	// whose results are a thousand times as long as they are: all of them would fill the
	// memory of every replica, and again after each restart. Who is told nothing asks
	// again (Answer).
	repeatedBytesMax = 1 << 20
	// unsavedBytesMax bounds the results of all clients that wait in memory for the next
	// checkpoint: reads have results that are a thousand times as long as they are, and
	// nobody but their clients can say that they need them no more. Between it and twice as
	// much each client has room for as much as the longest result has; beyond that there is
	// room for short results only. It is a rule of the execution: replicas with another one
	// have other states.
	unsavedBytesMax = 128 << 20
	// unsavedShort is the part of it, 128 bytes, that a result may have which always finds
	// room: it takes a million of those to fill as much again.
	unsavedShort = 1 << 20
)

// Applier executes committed batches: it runs the operations on the state, and
// writes to it, before every checkpoint, what the core must remember of clients, the
// results that clients have not acknowledged, and its own place in the order. It starts no goroutine and reads no clock: equal executions on
// equal states give equal states and replies.
//
// It is owned by one goroutine, which is also the only one to change the State.
// Load comes first, at the start and after every transfer.
type Applier struct {
	state   State
	machine app.StateMachine
	prefix  []byte // of the application's keys
	domain  crypto.Domain
	// resultBytesMax bounds a result; an operation with a larger one is rolled
	// back.
	resultBytesMax int
	// unsavedMax is unsavedBytesMax, unless BoundUnsaved says otherwise.
	unsavedMax int

	meta meta
	// clients is what is known of clients. The state has it as of the last checkpoint,
	// and changed are those of whom it is to be written by the next.
	clients map[wire.ClientID]*held
	changed []wire.ClientID
	unsaved int // bytes of all fresh results
	loaded  bool
	broken  error // the first error of the state: nothing works any more
}

// Applied is what the execution of one batch gave.
type Applied struct {
	Seq wire.Seq
	// Replies answer the operations of the batch, in order: all that ran in it, but of
	// results that were there before no more than some.
	Replies []wire.Told
	// Outputs are what the operations emitted, in order.
	Outputs []Output
	// Failures are the first operations that were rolled back, for a log.
	Failures []Failure
}

// Failure says that an operation was rolled back, and why. Detail says for
// FailurePanic what the application panicked with and where, on this replica.
type Failure struct {
	Client  wire.ClientID
	Session wire.Session
	Number  wire.Number
	Outcome wire.Outcome
	Detail  string
}

// NewApplier returns an Applier for the machine and the state of a replica of
// the cluster that domain names. resultBytesMax is that of the cluster's
// wire.Limits; results that would not fit into a value of the state are too
// large as well.
func NewApplier(state State, machine app.StateMachine, domain crypto.Domain, resultBytesMax int) *Applier {
	return &Applier{
		state: state, machine: machine, prefix: []byte(AppPrefix), domain: domain,
		resultBytesMax: min(resultBytesMax, app.ValueBytesMax-recordFixedBytes), unsavedMax: unsavedBytesMax,
	}
}

// BoundUnsaved has a bound the results that wait for a checkpoint by so many bytes, for
// tests and simulations: a cluster whose replicas have different bounds has different
// states. Nothing may have been applied before.
func (a *Applier) BoundUnsaved(bytes int) { a.unsavedMax = bytes }

// Seq returns the number of the last batch applied.
func (a *Applier) Seq() wire.Seq { return a.meta.seq }

// Apply executes one batch, which must be the next. After an error, which is of
// the state or of its driver, the replica must stop: Apply answers nothing but
// this error from then on. A checkpoint that ex asks for is the driver's to take.
func (a *Applier) Apply(ex core.Execution) (Applied, error) {
	if a.broken != nil {
		return Applied{}, a.broken
	}
	if err := a.refuse(&ex); err != nil {
		return Applied{}, fmt.Errorf("node: apply batch %d: %w", ex.Seq, err)
	}
	run := running{
		Applier: a, ex: &ex, next: a.meta, applied: Applied{Seq: ex.Seq, Replies: make([]wire.Told, 0, len(ex.Orders))},
		kept: make([]record, len(ex.Orders)),
	}
	if err := run.all(); err != nil {
		a.broken = fmt.Errorf("node: apply batch %d: %w", ex.Seq, err)
		return Applied{}, a.broken
	}
	a.meta = run.next
	return run.applied, nil
}

// refuse tells what is wrong with ex, before anything changes.
func (a *Applier) refuse(ex *core.Execution) error {
	if !a.loaded {
		return errors.New("the state was not loaded")
	}
	if ex.Seq != a.meta.seq+1 {
		return fmt.Errorf("the last batch was %d", a.meta.seq)
	}
	for i, o := range ex.Orders {
		if o.Request == nil || o.Index < 0 || o.Index >= len(o.Request.Ops) {
			return fmt.Errorf("order %d names no operation", i)
		}
	}
	return nil
}

// Answer returns what its client is to be told of an operation that was executed
// earlier: the kept result, or, once it has acknowledged that, that it is forgotten; and
// whether there is anything to tell. Of what the client has not acknowledged there may be
// no result yet.
func (a *Applier) Answer(q core.Answer) (wire.Told, bool, error) {
	if h := a.clients[q.Client]; h != nil && h.client.Session == q.Session && q.Number <= h.client.Low {
		gone := record{outcome: wire.OutcomeForgotten}
		return gone.told(q.Client, q.Session, q.Number), true, nil
	}
	kept, ok, err := a.result(resultID(q))
	if err != nil || !ok {
		return wire.Told{}, false, err
	}
	return kept.told(q.Client, q.Session, q.Number), true, nil
}

// result returns the kept result of an operation, if there is one.
func (a *Applier) result(id resultID) (record, bool, error) {
	if h := a.clients[id.Client]; h != nil {
		if kept, ok := h.find(id); ok {
			return kept, true, nil
		}
	}
	value, ok, err := a.state.Get(id.key())
	if err != nil || !ok {
		return record{}, false, err
	}
	kept, err := decodeRecord(value)
	if err != nil {
		return record{}, false, fmt.Errorf("kept result %x: %w", id.key(), err)
	}
	return kept, true, nil
}

// running is the execution of one batch.
type running struct {
	*Applier
	ex      *core.Execution
	next    meta // after it
	applied Applied
	kept    []record         // of the orders: how the operations that ran ended
	ran     map[resultID]int // which orders those are; nil until one repeats an operation
	// repeated is how many bytes of results are told again, see repeatedBytesMax.
	repeated int
	// took is how many bytes the results of this batch have, and by those of each client:
	// nil until there is too little room for all.
	took int
	by   map[wire.ClientID]int
}

func (r *running) all() error {
	for i := range r.ex.Orders {
		if err := r.order(i); err != nil {
			return err
		}
	}
	if err := r.evict(r.ex.Evicted); err != nil {
		return err
	}
	for i := range r.ex.Clients {
		if err := r.client(&r.ex.Clients[i]); err != nil {
			return err
		}
	}
	for i := range r.ex.Orders {
		r.keep(i)
	}
	r.next.seq, r.next.history, r.next.time = r.ex.Seq, r.ex.History, r.ex.Time
	r.next.domain, r.next.floor = r.domain, r.ex.Floor
	if !r.ex.Checkpoint {
		return nil
	}
	return r.write(&r.next)
}

// order carries out the i-th order and replies.
func (r *running) order(i int) error {
	o := r.ex.Orders[i]
	kept, told, err := r.settle(i, o)
	if err != nil {
		return fmt.Errorf("operation %d of client %x: %w", o.Number(), o.Request.Client[:4], err)
	}
	if told {
		r.applied.Replies = append(r.applied.Replies, kept.told(o.Request.Client, o.Request.Session, o.Number()))
	}
	return nil
}

// settle returns how the operation ended, now, earlier, or not at all, and whether its
// client is told.
func (r *running) settle(i int, o core.Order) (kept record, told bool, err error) {
	if o.Run {
		r.kept[i], err = r.execute(i, o)
		r.take(o.Request.Client, len(r.kept[i].result))
		return r.kept[i], true, err
	}
	if o.Outcome != wire.OutcomeForgotten {
		return record{outcome: o.Outcome}, true, nil
	}
	id := idOf(o)
	at, ran := r.ranAt(id)
	ran = ran && at < i
	if r.repeated >= repeatedBytesMax && (ran || r.holds(id)) {
		return record{}, false, nil
	}
	if ran {
		kept = r.kept[at]
	} else if kept, told, err = r.result(id); !told {
		kept.outcome = o.Outcome
	}
	r.repeated += len(kept.result)
	return kept, true, err
}

// holds tells whether a result of an operation is kept that is executed.
func (r *running) holds(id resultID) bool {
	h := r.clients[id.Client]
	return h != nil && h.client.Session == id.Session && id.Number > h.client.Low
}

// ranAt returns which order of the batch runs an operation. Few batches have an
// operation twice, and only those pay for the table.
func (r *running) ranAt(id resultID) (int, bool) {
	if r.ran == nil {
		r.ran = make(map[resultID]int)
		for i, o := range r.ex.Orders {
			if o.Run {
				r.ran[idOf(o)] = i
			}
		}
	}
	i, ok := r.ran[id]
	return i, ok
}

// take counts a result of this batch.
func (r *running) take(client wire.ClientID, bytes int) {
	r.took += bytes
	if r.by != nil {
		r.by[client] += bytes
	}
}

// fits tells whether there is room for the result of the i-th order. Where there is not
// for all, each client may still have as much as the longest result has: so it is whoever
// asks for much and acknowledges nothing that is told to ask for less. Where many keys do so,
// there is room left for short results only.
func (r *running) fits(i int, client wire.ClientID, bytes int) bool {
	switch all := r.unsaved + r.took + bytes; {
	case bytes <= r.unsavedMax/unsavedShort || all <= r.unsavedMax:
		return true
	case all > 2*r.unsavedMax:
		return false
	}
	if r.by == nil {
		r.by = make(map[wire.ClientID]int)
		for j, o := range r.ex.Orders[:i] {
			r.by[o.Request.Client] += len(r.kept[j].result)
		}
	}
	own := r.by[client] + bytes
	if h := r.clients[client]; h != nil {
		own += h.bytes
	}
	return own <= r.resultBytesMax
}

// execute runs the operation of the i-th order in its own transaction.
func (r *running) execute(i int, o core.Order) (record, error) {
	tx := app.NewTx(r.state, r.prefix, app.Context{
		Seq: uint64(r.ex.Seq), View: uint64(r.ex.View), Time: int64(r.ex.Time), Client: o.Request.Client,
		Input: r.ex.Input,
	}, o.Request.ReadOnly)
	result, failure, err := app.Run(r.machine, tx, o.Request.Ops[o.Index])
	if err != nil {
		return record{}, err
	}
	if failure == nil && len(result) > r.resultBytesMax {
		text := fmt.Sprintf("the result has %d bytes, at most %d are possible", len(result), r.resultBytesMax)
		return r.rolledBack(o, wire.OutcomeTooLarge, text, text), nil
	}
	if failure == nil && !r.fits(i, o.Request.Client, len(result)) {
		const text = "too many results wait to be acknowledged: have fewer long ones open at once"
		return r.rolledBack(o, wire.OutcomeTooLarge, text, text), nil
	}
	if failure != nil {
		outcome := wire.OutcomePanicked
		if failure.Kind == app.FailureReadOnly {
			outcome = wire.OutcomeReadOnly
		}
		return r.rolledBack(o, outcome, failure.Text, failure.Text+": "+failure.Detail), nil
	}
	if err := tx.Commit(); err != nil {
		return record{}, err
	}
	for _, payload := range tx.Outputs() {
		if err := r.emit(payload); err != nil {
			return record{}, err
		}
	}
	return record{seq: r.ex.Seq, outcome: wire.OutcomeOK, result: result}, nil
}

// rolledBack returns the result of an operation that changed nothing.
func (r *running) rolledBack(o core.Order, outcome wire.Outcome, text, detail string) record {
	if len(r.applied.Failures) < failuresMax {
		r.applied.Failures = append(r.applied.Failures, Failure{
			Client: o.Request.Client, Session: o.Request.Session, Number: o.Number(), Outcome: outcome, Detail: detail,
		})
	}
	return record{seq: r.ex.Seq, outcome: outcome, result: []byte(text[:min(len(text), r.resultBytesMax)])}
}
