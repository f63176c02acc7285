package node

// Stage apply is sequential: one goroutine owns the State's content and the
// Applier. It executes what the core hands over, in order, answers clients with
// one signature for each batch, and takes checkpoints. When the core wants the
// state of others it stops executing and fetches (transfer.go).

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// failuresPerSecond and failuresBurst bound the log lines about operations that
// panicked: clients can make any number of them.
const (
	failuresPerSecond = 1
	failuresBurst     = 10
)

// outputsPerSecond and outputsBurst bound what answers about outputs cost, to some percent
// of one processor: the goroutine that executes reads them from the state, and signs them.
// A question costs one, and so do outputsRead outputs, or outputsReadBytes of them: a
// subscriber that catches up gets some MiB in a second.
const (
	outputsPerSecond = 2000
	outputsBurst     = 500
	outputsRead      = 16
	outputsReadBytes = 8 << 10
)

// portionBytesMax bounds the results that are read and encoded at once for clients, but
// for one: whoever asks for many long ones shall not fill the memory with frames, most of
// which its connection has no room for.
const portionBytesMax = 4 << 20

// queryOpsMax is how many operations of queries are read between two batches, and
// queryTimeMax after how long the last of them begins. Of one query no more than
// queryOpsTogether are read before it is the turn of another connection.
const (
	queryOpsMax      = 256
	queryOpsTogether = 32
	queryTimeMax     = 2 * time.Millisecond
)

// applying is the state of the apply goroutine.
type applying struct {
	n        *Node
	applier  *Applier
	transfer *transfer    // nil while executing
	former   *transfer    // one that was given up, until the next begins
	wanted   *core.Target // to be fetched once no snapshot is being written, and no transfer goes well
	// writing counts the snapshots that the State writes in the background, and
	// written are those that the core does not know of yet. While a state is
	// fetched it is not told: the replica may have learnt that they are wrong.
	writing int
	written []snapshot
	// unconfirmed says that a fetched state was installed and nothing executed on
	// it since, so that the core may not know of it.
	unconfirmed bool
	failures    bucket
	told        bucket // of outputs
	asked       []ask  // taken, and not answered yet
	stuck       *stuck
}

func (n *Node) apply(ctx context.Context) error {
	a := &applying{
		n: n, applier: n.applier,
		failures: newBucket(failuresPerSecond, failuresBurst), told: newBucket(outputsPerSecond, outputsBurst),
		stuck: newStuck(n),
	}
	defer n.pieces.close()
	for ctx.Err() == nil {
		began := n.applyBusy.begin()
		worked, err := a.work(ctx, began)
		if err != nil {
			n.log.Errorf("the state failed, the replica stops: check the disk, then restart err=%q", err)
			return err
		}
		n.flight.apply.end([countsMax]uint32{})
		if n.applyBusy.end(worked); !worked {
			a.wait(ctx)
		}
	}
	return nil
}

// wait waits until there may be work. A transfer looks at its deadlines, and questions
// about outputs wait until there is credit for them.
func (a *applying) wait(ctx context.Context) {
	var deadline <-chan time.Time
	pause := time.Duration(0)
	if a.transfer != nil {
		pause = transferPoll
	} else if a.n.work.asksOutputs() {
		pause = max(a.told.wait(time.Now()), time.Millisecond) // the credit may have come since
	}
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		deadline = timer.C
	}
	select {
	case <-ctx.Done():
	case <-a.n.work.wake:
	case <-a.n.pieces.wake:
	case <-deadline:
	}
}

// work does the next piece of work and tells whether there was any.
func (a *applying) work(ctx context.Context, now time.Time) (bool, error) {
	w := a.n.work
	if target := w.takeTarget(); target != nil {
		a.wanted = target
	}
	snapshots := w.takeSnapshots()
	a.writing -= len(snapshots)
	a.written = append(a.written, snapshots...)
	if a.wanted != nil || a.transfer != nil {
		a.asked = nil // the content may be wrong
		w.takeAnswers()
		w.takeOutputAsk()
		w.dropQueries()
	}
	switch {
	case a.transfer != nil && (a.wanted == nil || a.transfer.goesWell(now)):
		a.n.flight.apply.enter(workFetch)
		return a.advance(now)
	case a.wanted != nil && a.writing == 0:
		return true, a.begin()
	case a.wanted != nil:
		return false, nil
	}
	a.tellSnapshots()
	if len(a.asked) == 0 {
		a.asked = w.takeAnswers()
	}
	worked := len(a.asked)+len(snapshots) > 0
	if err := a.answer(); err != nil {
		return true, err
	}
	told, err := a.tellOutputs(now)
	if err != nil {
		return true, err
	}
	read, err := a.answerQueries()
	if err != nil {
		return true, err
	}
	ex, ok := w.takeExecution()
	if !ok {
		return worked || told || read, nil
	}
	return true, a.execute(ctx, ex)
}

// execute applies one batch, and asks for the checkpoint after it.
func (a *applying) execute(ctx context.Context, ex execution) error {
	n := a.n
	hand := n.flight.apply
	hand.begin(entry{what: turnExecute, at: ex.handed, view: ex.View, seq: ex.Seq}, executeRun)
	a.stuck.begin(ex.Seq)
	applied, err := a.applier.Apply(ex.Execution)
	a.stuck.end()
	if err != nil {
		return err
	}
	a.unconfirmed = false
	hand.enter(executeReply)
	a.reply(max(ex.View, n.standing.Load().view), applied.Replies)
	if n.cfg.Output != nil {
		for _, out := range applied.Outputs {
			n.cfg.Output(out)
		}
	}
	a.report(applied)
	n.operations.Add(int64(len(applied.Replies)))
	n.batches.Add(1)
	if ex.Checkpoint {
		a.checkpoint(ctx, ex)
	}
	hand.end([countsMax]uint32{count(len(applied.Replies))})
	return nil
}

// checkpoint freezes the content, once the journal has, durably, the certificates of
// all that is in it. The snapshot is finished in the background.
func (a *applying) checkpoint(ctx context.Context, ex execution) {
	n, seq := a.n, ex.Seq
	n.flight.apply.enter(executeDurable)
	select {
	case <-ctx.Done():
		return
	case <-ex.durable:
	}
	a.writing++
	n.flight.apply.enter(executeFreeze)
	written := n.flight.writing(seq)
	n.cfg.State.Checkpoint(seq, func(root crypto.Digest, err error) {
		written.end([countsMax]uint32{})
		if err != nil {
			n.fail(fmt.Errorf("checkpoint %d: %w", seq, err))
			return
		}
		n.work.snapshot(snapshot{seq, root})
	})
}

// tellSnapshots tells the core of finished snapshots.
func (a *applying) tellSnapshots() {
	for _, s := range a.written {
		a.n.own.put(core.Snapshotted{Seq: s.seq, State: s.root})
	}
	a.written = a.written[:0]
}

// answer sends clients results again, as many as one portion holds, each over the
// connection over which it was asked for. The others wait until a batch was executed: who
// asks again and again for long ones shall not hold up the order.
func (a *applying) answer() error {
	if len(a.asked) == 0 {
		return nil
	}
	var out answered
	a.n.flight.apply.enter(workAnswer)
	for len(a.asked) > 0 && out.bytes < portionBytesMax {
		q := a.asked[0]
		a.asked = a.asked[1:]
		kept, ok, err := a.applier.Answer(q.Answer)
		if err != nil {
			return fmt.Errorf("kept result: %w", err)
		}
		if ok {
			out.add(q.conn, kept)
		}
	}
	a.send(&out)
	a.n.flight.apply.end([countsMax]uint32{})
	return nil
}

// tellOutputs answers one question about outputs, and tells whether there was one for
// which there is credit.
func (a *applying) tellOutputs(now time.Time) (bool, error) {
	n := a.n
	if a.told.wait(now) > 0 {
		return false, nil
	}
	q, ok := n.work.takeOutputAsk()
	if !ok {
		return false, nil
	}
	m, err := a.applier.Outputs(q.from)
	if err != nil {
		return true, err
	}
	m.Sender = n.self
	frame := wire.Seal(n.cfg.Signer, n.cfg.Domain, &m).Frame()
	a.told.charge(now, 1+float64(len(m.Emitted))/outputsRead+float64(len(frame))/outputsReadBytes)
	n.outlet.answer(q.conn, frame)
	return true, nil
}

// answerQueries answers queries for which enough is applied, and tells whether there were
// any: only so many operations before the next batch, if there is one, for reads shall not
// hold up the order.
func (a *applying) answerQueries() (bool, error) {
	n, ops, now := a.n, 0, time.Now()
	for until := now.Add(queryTimeMax); ops < queryOpsMax && (ops == 0 || time.Now().Before(until)); {
		q, ok := n.work.takeQuery(a.applier.Seq(), now.Add(-n.patience))
		if !ok {
			break
		}
		if ops == 0 {
			n.flight.apply.enter(workQuery)
		}
		read, err := a.readOn(q, min(queryOpsTogether, queryOpsMax-ops), until)
		if err != nil {
			return true, err
		}
		ops += read
	}
	if ops > 0 {
		n.queries.Add(int64(ops))
		n.flight.apply.end([countsMax]uint32{})
	}
	return ops > 0, nil
}

// readOn reads the next operations of q, one at least, as many as are given until a time, and
// returns how many. What is left of q waits for its next turn.
func (a *applying) readOn(q *query, most int, until time.Time) (int, error) {
	for ops := 1; ; ops++ {
		more, err := a.applier.Query(q.Reading)
		switch {
		case err != nil:
			return ops, err
		case !more:
			a.tellResults(q)
			return ops, nil
		case ops == most || !time.Now().Before(until):
			if !a.n.work.goOn(q) {
				a.n.respondNone(q.conn, q.query)
			}
			return ops, nil
		}
	}
}

// tellResults ends a query.
func (a *applying) tellResults(q *query) {
	n := a.n
	q.Results.Sender = n.self
	if !n.outlet.answer(q.conn, wire.Seal(n.cfg.Signer, n.cfg.Domain, &q.Results).Frame()) {
		n.work.dropQueriesOf(q.conn)
	}
}

// answered is what was asked for, by connection.
type answered struct {
	conns []uint64
	told  [][]wire.Told // of each
	bytes int           // of the results
}

func (p *answered) add(conn uint64, told wire.Told) {
	at := slices.Index(p.conns, conn)
	if at < 0 {
		at = len(p.conns)
		p.conns, p.told = append(p.conns, conn), append(p.told, nil)
	}
	p.told[at] = append(p.told[at], told)
	p.bytes += len(told.Result)
}

// send sends p, all under one signature. A connection that takes no more is asked for
// nothing more.
func (a *applying) send(p *answered) {
	n := a.n
	for i, frames := range wire.SealRepliesApart(n.cfg.Signer, n.cfg.Domain, n.standing.Load().view, n.self, p.told) {
		conn := p.conns[i]
		refused := func(s *wire.Sealed) bool { return !n.outlet.answer(conn, s.Frame()) }
		if slices.ContainsFunc(frames, refused) {
			a.asked = slices.DeleteFunc(a.asked, func(q ask) bool { return q.conn == conn })
		}
	}
}

// reply sends clients that are connected here what is for them, all of a portion under
// one signature. It changes told.
func (a *applying) reply(view wire.View, told []wire.Told) {
	n := a.n
	for len(told) > 0 {
		size := portion(told)
		for _, sealed := range wire.SealReplies(n.cfg.Signer, n.cfg.Domain, view, n.self, n.clients.here(told[:size])) {
			if m, ok := sealed.Message().(*wire.Replies); ok {
				n.clients.send(m.Client, sealed.Frame())
			}
		}
		told = told[size:]
	}
}

// portion returns how many of told, one or more, are answered at once: nearly always
// all of them.
func portion(told []wire.Told) int {
	bytes := 0
	for i := range told {
		bytes += len(told[i].Result)
		if i > 0 && bytes > portionBytesMax {
			return i
		}
	}
	return len(told)
}

// report logs operations that made the application panic: its author should
// know.
func (a *applying) report(applied Applied) {
	for _, f := range applied.Failures {
		if f.Outcome == wire.OutcomePanicked && a.failures.take(time.Now(), 1) {
			a.n.log.Warnf("an operation panicked and was rolled back: correct the application seq=%d client=%x number=%d why=%q",
				applied.Seq, f.Client[:4], f.Number, f.Detail)
		}
	}
}
