package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// drainMax is how long the operations that are open at the end have to be
// answered. Then they count as errors, with the latency that they had by then.
const drainMax = 30 * time.Second

// All clients together have connectBase, and connectEach for each of them, to be
// answered once before the load begins; so many connect at once.
const (
	connectBase    = 30 * time.Second
	connectEach    = 100 * time.Millisecond
	connectsAtOnce = 16
)

// lateMin is how long after it was due an operation counts as begun late.
const lateMin = time.Millisecond

// dispatchers pace the operations of an open loop that does not wait. Each starts
// one at a time; one alone would fall behind at high rates.
const dispatchers = 4

// dispatchPause is how long a dispatcher rests at least once it is on time: at high
// rates, resting for each operation would cost more than the operation. It is in the
// latencies, which count from when an operation was due.
const dispatchPause = lateMin

// fewClients from one address every replica serves, whatever its configuration.
const fewClients = 32

// Measure puts the load on the cluster of o.Genesis, which must be running.
//
// An operation's latency counts from when it started or, in the open loop, was
// due. Every operation that started in the measured time is counted, however
// late it is answered, so a stall cannot hide behind the operations that waited
// for it. The throughput counts what was answered in the measured time, so a
// backlog that is worked off afterwards does not flatter it.
func Measure(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	l := newLoad(o)
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return Result{}, err
	}
	if err := l.hold(ctx, o.limits(), func() (int64, bool) { return written(l.processes()) }); err != nil {
		return Result{}, err
	}
	return l.run(ctx)
}

// load is a running load.
type load struct {
	o       Options
	clients []Client
	record  *record
	keys    []string
	start   time.Time
	next    atomic.Int64 // open loop: the number of the next operation that will be due
	total   int64        // how many will
}

func newLoad(o Options) *load { return &load{o: o, keys: keyNames()} }

// connect dials, and has every client's first operation answered: some clients at
// a time, for a thousand handshakes at once would look like an attack.
func (l *load) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectBase+time.Duration(l.o.Clients)*connectEach)
	defer cancel()
	l.clients = make([]Client, l.o.Clients)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(connectsAtOnce)
	var answered atomic.Int64
	for i := range l.clients {
		group.Go(func() error {
			c, err := l.o.connect(ctx)
			if err != nil {
				return err
			}
			l.clients[i] = c
			if _, err := c.Submit(ctx, kv.Put("bench", nil)); err != nil {
				return fmt.Errorf("the cluster answered %d of %d clients, and not this one: %w%s",
					answered.Load(), l.o.Clients, err, crowdHint(l.o.Clients))
			}
			answered.Add(1)
			return nil
		})
	}
	return group.Wait()
}

// crowdHint says what else may be wrong if there are many clients.
func crowdHint(clients int) string {
	if clients <= fewClients {
		return ""
	}
	return "; replicas serve a bounded number of clients, and of clients from one address: raise clients_max and " +
		"clients_per_address_max in their node.toml, or use fewer --clients"
}

func (l *load) close() {
	for _, c := range l.clients {
		if c != nil {
			_ = c.Close() // nothing is lost: the load is over
		}
	}
}

func (l *load) run(ctx context.Context) (Result, error) {
	l.start = time.Now()
	from := l.start.Add(l.o.WarmUp)
	to := from.Add(l.o.Duration)
	l.record = newRecord(from, to, l.o)
	l.total = int64(to.Sub(l.start).Seconds() * float64(l.o.Rate))
	patient, cancel := context.WithDeadline(ctx, to.Add(drainMax))
	defer cancel()

	var (
		wg            sync.WaitGroup
		before, after counts
		levels        []Level
		struck, ended error
	)
	wg.Go(func() { levels = l.watchLevels(patient, from, to) })
	wg.Go(func() { struck = l.strike(patient, from) })
	wg.Go(func() {
		before = l.countAt(patient, from)
		end, err := l.measuring(patient)
		after = l.countAt(patient, to)
		ended = errors.Join(err, end())
	})
	l.begin(patient, &wg)
	wg.Wait()
	if ctx.Err() == nil {
		l.abandon(time.Now())
	}
	r := l.record.result(l.o)
	r.count(before, after)
	r.Levels = levels
	return r, errors.Join(struck, ended, ctx.Err())
}

// abandon counts what was due and never began: some at once, which were due within
// lateMin of each other, for there may be very many.
func (l *load) abandon(now time.Time) {
	atOnce := max(1, int64(float64(l.o.Rate)*lateMin.Seconds()))
	for i := l.next.Load(); i < l.total; i += atOnce {
		l.record.abandon(l.due(i), now, min(atOnce, l.total-i))
	}
}

// due is when operation number i of the open loop is due.
func (l *load) due(i int64) time.Time {
	return l.start.Add(time.Duration(float64(i) / float64(l.o.Rate) * float64(time.Second)))
}

// measuring tells who asked for it that the measured time begins. end, which is never
// nil, tells that it is over.
func (l *load) measuring(ctx context.Context) (end func() error, err error) {
	if l.o.Measuring != nil {
		end, err = l.o.Measuring(ctx)
	}
	if end == nil {
		end = func() error { return nil }
	}
	return end, err
}

// strike does what is to happen in the middle of the measured time.
func (l *load) strike(ctx context.Context, from time.Time) error {
	if l.o.Strike == nil {
		return nil
	}
	await(ctx, from.Add(l.o.StrikeAfter))
	return l.o.Strike(ctx)
}

// begin starts what submits operations.
func (l *load) begin(ctx context.Context, wg *sync.WaitGroup) {
	if l.o.NoWait {
		room := make(chan struct{}, l.o.Clients*outstandingMax)
		for i := range dispatchers {
			w := l.worker(0, i)
			wg.Go(func() { w.dispatch(ctx, wg, room) })
		}
		return
	}
	for i := range l.clients {
		for j := range l.o.Outstanding {
			w := l.worker(i, i*outstandingMax+j)
			if l.o.Rate == 0 {
				wg.Go(func() { w.closedLoop(ctx) })
			} else {
				wg.Go(func() { w.openLoop(ctx) })
			}
		}
	}
}

func (l *load) worker(client, number int) worker {
	return worker{load: l, client: client, rng: rand.New(rand.NewPCG(l.o.Seed, uint64(number)))} //nolint:gosec // not for secrets
}

// processes are those of the replicas, if they run here.
func (l *load) processes() []int {
	if l.o.Processes == nil {
		return nil
	}
	return l.o.Processes()
}

// countAt counts what clients and processes have done at a time.
func (l *load) countAt(ctx context.Context, at time.Time) counts {
	await(ctx, at)
	var sum pbft.ClientCounts
	for _, c := range l.clients {
		n := c.Counts()
		sum.Requests += n.Requests
		sum.Operations += n.Operations
		sum.Frames += n.Frames
	}
	return counts{sum, usageNow(l.processes())}
}

// await waits until a time, or until ctx is done.
func await(ctx context.Context, until time.Time) {
	wait := time.Until(until)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// worker has one operation open at a time.
type worker struct {
	*load
	client int
	rng    *rand.Rand
	value  []byte // memory for the next
}

// closedLoop submits the next operation when the last is answered.
func (w *worker) closedLoop(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx) // each caller has one of its own
	defer cancel()
	for now := time.Now(); now.Before(w.record.to) && ctx.Err() == nil; now = time.Now() {
		w.submit(ctx, now)
	}
}

// openLoop takes the operation that is due next, waits until then, and submits
// it. The times do not depend on the answers: what is due while all workers are
// busy is taken late, and its latency counts from when it was due.
func (w *worker) openLoop(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx) // each caller has one of its own
	defer cancel()
	for {
		_, due, ok := w.take(ctx, 0)
		if !ok {
			return
		}
		w.submit(ctx, due)
	}
}

// dispatch submits operations when they are due, whatever became of the others:
// those that find no room are refused. room is more than all clients together
// have, so nothing waits for it but what could not start for want of processors.
func (w *worker) dispatch(ctx context.Context, wg *sync.WaitGroup, room chan struct{}) {
	for {
		i, due, ok := w.take(ctx, dispatchPause)
		if !ok {
			return
		}
		one, o := *w, w.operation()
		one.client = w.o.clientOf(i)
		room <- struct{}{}
		wg.Go(func() {
			one.run(ctx, due, o)
			<-room
		})
	}
}

// take returns the operation that is due next, when it is due; !ok if there is none
// any more. If it has to wait for that it does so at least for pause.
func (w *worker) take(ctx context.Context, pause time.Duration) (i int64, due time.Time, ok bool) {
	if ctx.Err() != nil {
		return 0, due, false
	}
	if i = w.next.Add(1) - 1; i >= w.total {
		return 0, due, false
	}
	due = w.due(i)
	switch late := time.Since(due); {
	case late > lateMin:
		w.record.late(due)
	case late < 0:
		await(ctx, due.Add(max(0, pause+late)))
	}
	return i, due, true
}

// operation is one operation of the load.
type operation struct {
	read  bool
	bytes []byte
}

func (w *worker) operation() operation {
	key := w.keys[w.rng.IntN(len(w.keys))]
	if w.rng.Float64() < w.o.ReadShare {
		return operation{true, kv.Get(key)}
	}
	w.value = payload(w.value[:0], w.rng, w.o.Payload)
	return operation{false, kv.Put(key, w.value)}
}

// submit runs one operation that was due at a time.
func (w *worker) submit(ctx context.Context, due time.Time) { w.run(ctx, due, w.operation()) }

func (w *worker) run(ctx context.Context, due time.Time, o operation) {
	do := w.clients[w.client].Submit
	switch {
	case o.read && w.o.FastReads:
		do = w.clients[w.client].Query
	case o.read:
		do = w.clients[w.client].Read
	}
	res, err := do(ctx, o.bytes)
	now := time.Now()
	switch {
	case err == nil:
		w.record.answered(due, now, answer{w.client, uint64(res.Seq)})
	case errors.Is(err, pbft.ErrOverload):
		w.record.noRoom(due, now, w.client)
	default:
		w.record.failed(due, now, w.client, err)
	}
}

// keyNames returns the keys that a load writes and reads.
func keyNames() []string {
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("bench/%04d", i)
	}
	return names
}

// payload appends n random bytes to b.
func payload(b []byte, rng *rand.Rand, n int) []byte {
	b = slices.Grow(b, n+8)
	n += len(b)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}
