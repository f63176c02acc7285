package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	l := &load{o: o}
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return Result{}, err
	}
	return l.run(ctx)
}

// load is a running load.
type load struct {
	o       Options
	clients []Client
	record  *record
	start   time.Time
	next    atomic.Int64 // open loop: the number of the next operation that will be due
	total   int64        // how many will
}

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
	l.record = newRecord(from, to, l.o.Clients)
	l.total = int64(to.Sub(l.start).Seconds() * float64(l.o.Rate))
	patient, cancel := context.WithDeadline(ctx, to.Add(drainMax))
	defer cancel()

	var (
		wg            sync.WaitGroup
		before, after counts
	)
	wg.Go(func() {
		before = l.countAt(patient, from)
		after = l.countAt(patient, to)
	})
	for i := range l.clients {
		for j := range l.o.Outstanding {
			w := worker{load: l, client: i, rng: rand.New(rand.NewPCG(l.o.Seed, uint64(i*outstandingMax+j)))} //nolint:gosec // not for secrets
			if l.o.Rate == 0 {
				wg.Go(func() { w.closedLoop(patient) })
			} else {
				wg.Go(func() { w.openLoop(patient) })
			}
		}
	}
	wg.Wait()
	l.record.abandon(l.total - min(l.total, l.next.Load()))
	r := l.record.result(l.o)
	r.count(before, after)
	return r, ctx.Err()
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
	return counts{sum, usageNow(l.o.Processes)}
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
}

// closedLoop submits the next operation when the last is answered.
func (w *worker) closedLoop(ctx context.Context) {
	for now := time.Now(); now.Before(w.record.to) && ctx.Err() == nil; now = time.Now() {
		w.submit(ctx, now)
	}
}

// openLoop takes the operation that is due next, waits until then, and submits
// it. The times do not depend on the answers: what is due while all workers are
// busy is taken late, and its latency counts from when it was due.
func (w *worker) openLoop(ctx context.Context) {
	for ctx.Err() == nil {
		i := w.next.Add(1) - 1
		if i >= w.total {
			return
		}
		due := w.start.Add(time.Duration(float64(i) / float64(w.o.Rate) * float64(time.Second)))
		if time.Now().After(due) {
			w.record.late(due)
		}
		await(ctx, due)
		w.submit(ctx, due)
	}
}

// submit runs one operation that was due at a time.
func (w *worker) submit(ctx context.Context, due time.Time) {
	key := fmt.Sprintf("bench/%04d", w.rng.IntN(keys))
	var (
		res pbft.Result
		err error
	)
	if w.rng.Float64() < w.o.ReadShare {
		res, err = w.clients[w.client].Read(ctx, kv.Get(key))
	} else {
		res, err = w.clients[w.client].Submit(ctx, kv.Put(key, payload(w.rng, w.o.Payload)))
	}
	now := time.Now()
	if err != nil {
		w.record.failed(due, now, err)
		return
	}
	w.record.answered(due, now, answer{w.client, uint64(res.Seq)})
}

func payload(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
