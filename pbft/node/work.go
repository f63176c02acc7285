package node

import (
	"sync"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// answersMax bounds the kept results asked for that wait. Beyond it each connection
// that asks has an equal share, and what exceeds it is dropped; clients ask again.
const answersMax = 1024

// outputAsksMax bounds the questions about outputs that wait. Where more are asked, each
// connection that asks has an equal share, and what exceeds it is dropped; clients ask
// again.
const outputAsksMax = 256

// queriesMax bounds the queries that wait, in KiB, of which each takes one at least. Where
// more come, each connection has an equal share, and what exceeds it is not answered.
const queriesMax = 16 << 10

// queryFixedBytes are what an operation of a query takes beside its own bytes.
const queryFixedBytes = 32

// work is what waits for apply. Putting never blocks step. It is bounded by
// construction:
//
//   - executions: the core hands over none that is a window above the replica's
//     own last snapshot, which apply itself takes; so at most a window waits, and
//     its batches are those that the core holds anyway;
//   - the target: a later one replaces an earlier one;
//   - answers: by answersMax, beside those that apply has taken;
//   - questions about outputs: by outputAsksMax;
//   - queries: by queriesMax;
//   - snapshots: one for each checkpoint among the executions.
type work struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		executions []execution
		target     *core.Target
		answers    shared[ask]
		outputAsks shared[outputAsk]
		queries    shared[*query]
		snapshots  []snapshot
	}
}

// execution is one that waits, and what its snapshot, if it asks for one, waits for.
type execution struct {
	core.Execution
	durable <-chan struct{}
	handed  time.Duration // when, for the flight recorder
}

// ask is a kept result that was asked for, and over which connection.
type ask struct {
	core.Answer

	conn uint64
}

// outputAsk is a question about outputs, and over which connection it came.
type outputAsk struct{ conn, from uint64 }

// query is one that is answered as far as it is, over which connection and when it came,
// and the batch after which it may be answered.
type query struct {
	*Reading

	conn  uint64
	came  time.Time
	after wire.Seq
}

// weight is what q takes of queriesMax, with its results so far.
func (q *query) weight() int {
	bytes := q.bytes
	for _, op := range q.query.Ops {
		bytes += queryFixedBytes + len(op)
	}
	return 1 + bytes>>10
}

// snapshot is a finished one of the State.
type snapshot struct {
	seq  wire.Seq
	root crypto.Digest
}

func newWork() *work {
	w := &work{wake: make(chan struct{}, 1)}
	w.mu.answers.max, w.mu.outputAsks.max, w.mu.queries.max = answersMax, outputAsksMax, queriesMax
	return w
}

// put queues executions, handed over at a time, whose snapshots wait for durable, and then targets, of which
// the last one counts.
func (w *work) put(at time.Duration, executions []core.Execution, durable <-chan struct{}, targets []core.Target) {
	w.mu.Lock()
	for _, ex := range executions {
		w.mu.executions = append(w.mu.executions, execution{ex, durable, at})
	}
	if n := len(targets); n > 0 {
		t := targets[n-1]
		w.mu.target = &t
	}
	w.mu.Unlock()
	token(w.wake)
}

// answer queues requests for kept results, as many as there is room for.
func (w *work) answer(conn uint64, answers []core.Answer) {
	if len(answers) == 0 {
		return
	}
	w.mu.Lock()
	for _, q := range answers {
		if !w.mu.answers.add(conn, ask{q, conn}) {
			break
		}
	}
	w.mu.Unlock()
	token(w.wake)
}

// askOutputs queues a question about outputs, if there is room.
func (w *work) askOutputs(conn, from uint64) {
	w.mu.Lock()
	w.mu.outputAsks.add(conn, outputAsk{conn, from})
	w.mu.Unlock()
	token(w.wake)
}

// asksOutputs tells whether a question about outputs waits.
func (w *work) asksOutputs() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mu.outputAsks.sharers) > 0
}

func (w *work) takeOutputAsk() (outputAsk, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.outputAsks.take()
}

// query queues a query, and returns whether there was room.
func (w *work) query(q *query) bool {
	w.mu.Lock()
	ok := w.mu.queries.addHeavy(q.conn, q, q.weight())
	w.mu.Unlock()
	token(w.wake)
	return ok
}

// goOn queues a query that was taken and is answered in part, and returns whether there was
// room.
func (w *work) goOn(q *query) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.queries.putBack(q.conn, q, q.weight())
}

// takeQuery takes a query that may be answered after a batch, and drops those that came
// before a time: nobody waits for them.
func (w *work) takeQuery(applied wire.Seq, since time.Time) (*query, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		q, ok := w.mu.queries.takeIf(func(q **query) bool { return (*q).after <= applied || (*q).came.Before(since) })
		if !ok || !q.came.Before(since) {
			return q, ok
		}
	}
}

// dropQueriesOf drops those of a connection that is gone, or takes no answers.
func (w *work) dropQueriesOf(conn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.queries.drop(conn)
}

// dropQueries drops all that wait.
func (w *work) dropQueries() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.queries.takeAll()
}

// snapshot queues a finished snapshot.
func (w *work) snapshot(s snapshot) {
	w.mu.Lock()
	w.mu.snapshots = append(w.mu.snapshots, s)
	w.mu.Unlock()
	token(w.wake)
}

// takeTarget returns the state to fetch, if that is asked for. The executions
// that wait were handed over before it.
func (w *work) takeTarget() *core.Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mu.target
	w.mu.target = nil
	return t
}

func (w *work) takeExecution() (execution, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mu.executions) == 0 {
		return execution{}, false
	}
	ex := w.mu.executions[0]
	w.mu.executions[0] = execution{}
	w.mu.executions = w.mu.executions[1:]
	return ex, true
}

func (w *work) takeAnswers() []ask {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.answers.takeAll()
}

func (w *work) takeSnapshots() []snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.mu.snapshots
	w.mu.snapshots = nil
	return s
}

// discard drops the executions that wait, which a fetched state contains.
func (w *work) discard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.executions = nil
}
