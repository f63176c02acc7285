package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// Submitter is a client as a load needs it; *pbft.Client is one.
type Submitter interface {
	// Submit has the cluster execute op.
	Submit(ctx context.Context, op []byte) (pbft.Result, error)
	// Read has the cluster answer op, in order.
	Read(ctx context.Context, op []byte) (pbft.Result, error)
	// Query has the cluster answer op, outside of the order if it can.
	Query(ctx context.Context, op []byte) (pbft.Result, error)
	// Close ends the client.
	Close() error
}

// Bounds of a Load.
const (
	loadClients    = 8
	loadRate       = 60      // operations a second of one client: a checkable history, and a live picture
	loadSharedKeys = 4       // few, so that clients contend
	operationsMax  = 200_000 // recorded; the load ends there
	errsMax        = 8       // kept
)

// LoadOptions describes a load. The zero value is ready.
type LoadOptions struct {
	// Clients is how many clients there are; each has one operation at a time.
	// Zero means 8.
	Clients int
	// Rate bounds the operations of one client in a second, and so the cost of
	// checking the history. Zero means 60.
	Rate int
	// Seed chooses the operations.
	Seed uint64
}

// Load is a number of clients that submit operations until Stop.
//
// Each operation can be told from all others by its value, and shows a second
// execution of itself or of an earlier one in its result or in a later one:
//
//   - shared/K: puts, gets, compare-and-swaps and deletes of all clients; every other get
//     is one outside of the order;
//   - swap/C: client C alone swaps a for b and b for a, so a swap that took effect
//     once more, late, makes the next one fail;
//   - unique/C/I: put if absent, once, so a second execution finds the first.
type Load struct {
	start   time.Time
	options LoadOptions
	clients []Submitter
	stop    context.CancelFunc // no new operations
	abandon context.CancelFunc // nor waiting for those under way
	ended   sync.WaitGroup

	mu struct {
		sync.Mutex
		operations []Operation
		errs       []error
		finished   int
		changed    chan struct{} // closed at the next change
	}
}

// StartLoad starts a load whose clients dial makes. The load closes them.
func StartLoad(ctx context.Context, dial func(context.Context) (Submitter, error), o LoadOptions) (*Load, error) {
	if o.Clients == 0 {
		o.Clients = loadClients
	}
	if o.Rate == 0 {
		o.Rate = loadRate
	}
	if o.Clients < 1 || o.Rate < 1 {
		return nil, fmt.Errorf("load: %d clients of %d operations a second, want at least 1 of each", o.Clients, o.Rate)
	}
	l := &Load{start: time.Now(), options: o}
	l.mu.changed = make(chan struct{})
	for range o.Clients {
		client, err := dial(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("load: %w", err), l.close())
		}
		l.clients = append(l.clients, client)
	}
	submits, abandon := context.WithCancel(context.WithoutCancel(ctx))
	calls, stop := context.WithCancel(submits)
	l.stop, l.abandon = stop, abandon
	for i := range l.clients {
		l.ended.Go(func() { l.work(calls, submits, i) })
	}
	return l, nil
}

func (l *Load) close() error {
	var errs []error
	for _, c := range l.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// work is one client: an operation at a tick, if the one before is done.
func (l *Load) work(calls, submits context.Context, client int) {
	w := &worker{client: client, random: rand.New(rand.NewPCG(l.options.Seed, uint64(client)))} //nolint:gosec // small
	pace := time.NewTicker(time.Second / time.Duration(l.options.Rate))
	defer pace.Stop()
	for {
		select {
		case <-calls.Done():
			return
		case <-pace.C:
		}
		index := l.call(client, w.choose())
		if index < 0 {
			return
		}
		if !l.submit(submits, w, index) {
			return
		}
	}
}

// submit runs one operation, and tells whether the client may go on.
func (l *Load) submit(ctx context.Context, w *worker, index int) bool {
	op := w.last
	do := l.clients[w.client].Submit
	switch {
	case op.Kind == kv.KindGet && index%2 == 0:
		do = l.clients[w.client].Query
	case op.Kind == kv.KindGet:
		do = l.clients[w.client].Read
	}
	got, err := do(ctx, op.Encode())
	if err != nil {
		var unfinished *pbft.UnfinishedError
		if !errors.As(err, &unfinished) {
			l.fail(fmt.Errorf("client %d: %s of %s: %w", w.client, op.Kind, op.Key, err))
		}
		return false
	}
	result, err := kv.ParseResult(got.Value)
	if err != nil {
		l.fail(fmt.Errorf("client %d: %s of %s: %w", w.client, op.Kind, op.Key, err))
		return false
	}
	w.learn(result)
	l.finish(index, got, result)
	return true
}

// call records the start of an operation, and returns its index, or -1 if there
// are enough.
func (l *Load) call(client int, op kv.Op) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.operations) >= operationsMax {
		return -1
	}
	l.mu.operations = append(l.mu.operations, Operation{Client: client, Op: op, Call: time.Since(l.start)})
	return len(l.mu.operations) - 1
}

func (l *Load) finish(index int, got pbft.Result, result kv.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &l.mu.operations[index]
	o.Return, o.Finished, o.Result, o.Seq, o.View = time.Since(l.start), true, result, got.Seq, got.View
	l.mu.finished++
	l.change()
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.errs) < errsMax {
		l.mu.errs = append(l.mu.errs, err)
	}
	l.change()
}

// change wakes those who wait. Only under mu.
func (l *Load) change() {
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// Acknowledged returns how many operations have a result so far.
func (l *Load) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.finished
}

// Start returns when the load began: the zero of its operations' times.
func (l *Load) Start() time.Time { return l.start }

// Await returns once n more operations have a result than now.
func (l *Load) Await(ctx context.Context, n int) error {
	want := l.Acknowledged() + n
	_, err := l.await(ctx, fmt.Sprintf("%d acknowledged operations", want), func() (Operation, bool) {
		return Operation{}, l.mu.finished >= want
	})
	return err
}

// AwaitOperation waits for an operation that is acknowledged and that fits, and
// returns the one that returned first.
func (l *Load) AwaitOperation(ctx context.Context, what string, fits func(Operation) bool) (Operation, error) {
	return l.await(ctx, what, func() (Operation, bool) {
		var first Operation
		for _, o := range l.mu.operations {
			if o.Finished && (!first.Finished || o.Return < first.Return) && fits(o) {
				first = o
			}
		}
		return first, first.Finished
	})
}

func (l *Load) await(ctx context.Context, what string, done func() (Operation, bool)) (Operation, error) {
	for {
		l.mu.Lock()
		o, ok := done()
		changed, finished, errs := l.mu.changed, l.mu.finished, errors.Join(l.mu.errs...)
		l.mu.Unlock()
		if ok {
			return o, nil
		}
		if errs != nil {
			return Operation{}, fmt.Errorf("load: waiting for %s: %w", what, errs)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Operation{}, fmt.Errorf("load: waiting for %s, with %d operations acknowledged: %w", what, finished, ctx.Err())
		}
	}
}

// Stop ends the load and returns its history. Operations under way have until
// the end of ctx; without a result by then they stay pending.
func (l *Load) Stop(ctx context.Context) History {
	l.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.ended.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	l.abandon()
	<-done
	err := l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	h := History{Start: l.start, Operations: l.mu.operations, Errs: l.mu.errs}
	if err != nil {
		h.Errs = append(h.Errs, err)
	}
	return h
}
