package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// Bounds of Options.
const (
	clientsMax     = 1024
	outstandingMax = 256
	rateMax        = 1_000_000
	payloadMax     = kv.ValueBytesMax
	keys           = 1024 // that the load spreads over
)

// latencyMax is the longest latency that is told apart; significant digits: 3.
const latencyMax = 10 * time.Minute

// Options describe a load.
type Options struct {
	Genesis *pbft.Genesis
	// Clients submit Outstanding operations each at once, in a closed loop.
	Clients, Outstanding int
	// Rate is operations per second of all clients together, in an open loop; 0
	// means the closed loop. Then Outstanding bounds what may be open.
	Rate int
	// Payload is the length of the values that are put, in bytes.
	Payload int
	// ReadShare is the share of ordered reads, 0 to 1.
	ReadShare float64
	// WarmUp is not measured; Duration is.
	WarmUp, Duration time.Duration
	// RequestTimeout is the replicas'.
	RequestTimeout time.Duration
	Seed           uint64
}

// Validate reports everything that is wrong with o, at once.
func (o Options) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(o.Genesis != nil, "bench: no genesis")
	need(o.Clients >= 1 && o.Clients <= clientsMax, "clients is %d, want 1 to %d", o.Clients, clientsMax)
	need(o.Outstanding >= 1 && o.Outstanding <= outstandingMax, "outstanding is %d, want 1 to %d", o.Outstanding, outstandingMax)
	need(o.Rate >= 0 && o.Rate <= rateMax, "rate is %d, want 0 (closed loop) to %d", o.Rate, rateMax)
	need(o.Payload >= 0 && o.Payload <= payloadMax, "payload is %d bytes, want 0 to %d", o.Payload, payloadMax)
	need(o.ReadShare >= 0 && o.ReadShare <= 1, "read share is %g, want 0 to 1", o.ReadShare)
	need(o.WarmUp >= 0, "warm-up is %v, want 0 or more", o.WarmUp)
	need(o.Duration > 0, "duration is %v, want more than 0", o.Duration)
	return errors.Join(errs...)
}

// Result is what a load measured.
type Result struct {
	Loop       string        `json:"loop"` // closed or open
	Clients    int           `json:"clients"`
	Open       int           `json:"outstanding_per_client"`
	Rate       int           `json:"rate_offered,omitempty"`
	Payload    int           `json:"payload_bytes"`
	ReadShare  float64       `json:"read_share"`
	Duration   time.Duration `json:"duration_ns"`
	Operations int64         `json:"operations"`
	PerSecond  float64       `json:"operations_per_second"`
	Errors     int64         `json:"errors"`
	FirstError string        `json:"first_error,omitempty"`
	Late       int64         `json:"late_starts,omitempty"` // open loop: due while all clients were full
	P50        time.Duration `json:"p50_ns"`
	P90        time.Duration `json:"p90_ns"`
	P99        time.Duration `json:"p99_ns"`
	P999       time.Duration `json:"p999_ns"`
	Max        time.Duration `json:"max_ns"`
}

// Run puts the load on the cluster of o.Genesis, which must be running.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	l := &load{o: o, record: hdrhistogram.New(1, int64(latencyMax/time.Microsecond), 3)}
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return Result{}, err
	}
	return l.run(ctx)
}

// load is a running load.
type load struct {
	o       Options
	clients []*pbft.Client

	mu     sync.Mutex
	from   time.Time // measured from here
	to     time.Time
	record *hdrhistogram.Histogram // µs
	done   int64
	errs   int64
	err    error
	late   int64
}

// connect dials, and has every client's first operation answered.
func (l *load) connect(ctx context.Context) error {
	for range l.o.Clients {
		c, err := pbft.Dial(ctx, pbft.DialConfig{Genesis: l.o.Genesis, RequestTimeout: l.o.RequestTimeout})
		if err != nil {
			return err
		}
		l.clients = append(l.clients, c)
	}
	for _, c := range l.clients {
		if _, err := c.Submit(ctx, kv.Put("bench", nil)); err != nil {
			return fmt.Errorf("the cluster does not answer: %w", err)
		}
	}
	return nil
}

func (l *load) close() {
	for _, c := range l.clients {
		_ = c.Close() // nothing is lost: the load is over
	}
}

func (l *load) run(ctx context.Context) (Result, error) {
	start := time.Now()
	l.from = start.Add(l.o.WarmUp)
	l.to = l.from.Add(l.o.Duration)
	var wg sync.WaitGroup
	if l.o.Rate == 0 {
		l.closedLoop(ctx, &wg)
	} else {
		l.openLoop(ctx, &wg, start)
	}
	wg.Wait()
	return l.result(), ctx.Err()
}

// closedLoop keeps every client's operations outstanding.
func (l *load) closedLoop(ctx context.Context, wg *sync.WaitGroup) {
	for i, c := range l.clients {
		for j := range l.o.Outstanding {
			rng := rand.New(rand.NewPCG(l.o.Seed, uint64(i*outstandingMax+j))) //nolint:gosec // not for secrets
			wg.Go(func() {
				for due := time.Now(); due.Before(l.to) && ctx.Err() == nil; due = time.Now() {
					l.submit(ctx, c, rng, due)
				}
			})
		}
	}
}

// openLoop starts an operation whenever one is due. Workers take the due times
// from a queue that holds the whole run, so nothing that is late is forgotten.
func (l *load) openLoop(ctx context.Context, wg *sync.WaitGroup, start time.Time) {
	total := int(l.to.Sub(start).Seconds() * float64(l.o.Rate))
	due := make(chan time.Time, total+1)
	for i, c := range l.clients {
		for j := range l.o.Outstanding {
			rng := rand.New(rand.NewPCG(l.o.Seed, uint64(i*outstandingMax+j))) //nolint:gosec // not for secrets
			wg.Go(func() {
				for at := range due {
					l.submit(ctx, c, rng, at)
				}
			})
		}
	}
	wg.Go(func() { l.schedule(ctx, due, start, total) })
}

func (l *load) schedule(ctx context.Context, due chan<- time.Time, start time.Time, total int) {
	defer close(due)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range total {
		at := start.Add(time.Duration(float64(i) / float64(l.o.Rate) * float64(time.Second)))
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		if len(due) > 0 {
			l.mu.Lock()
			l.late++
			l.mu.Unlock()
		}
		due <- at
	}
}

// submit runs one operation that was due at a time.
func (l *load) submit(ctx context.Context, c *pbft.Client, rng *rand.Rand, due time.Time) {
	key := fmt.Sprintf("bench/%04d", rng.IntN(keys))
	var err error
	if rng.Float64() < l.o.ReadShare {
		_, err = c.Read(ctx, kv.Get(key))
	} else {
		_, err = c.Submit(ctx, kv.Put(key, payload(rng, l.o.Payload)))
	}
	l.note(due, time.Now(), err)
}

func payload(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func (l *load) note(due, now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		l.errs++
		if l.err == nil {
			l.err = err
		}
	case l.o.Rate == 0 && (now.Before(l.from) || now.After(l.to)):
	case l.o.Rate > 0 && due.Before(l.from):
	default:
		l.done++
		_ = l.record.RecordValue(max(1, now.Sub(due).Microseconds())) // beyond latencyMax is not told apart
	}
}

func (l *load) result() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	loop := "closed"
	if l.o.Rate > 0 {
		loop = "open"
	}
	at := func(q float64) time.Duration { return time.Duration(l.record.ValueAtQuantile(q)) * time.Microsecond }
	r := Result{
		Loop: loop, Clients: l.o.Clients, Open: l.o.Outstanding, Rate: l.o.Rate, Payload: l.o.Payload,
		ReadShare: l.o.ReadShare, Duration: l.o.Duration, Operations: l.done, Errors: l.errs, Late: l.late,
		PerSecond: float64(l.done) / l.o.Duration.Seconds(),
		P50:       at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: time.Duration(l.record.Max()) * time.Microsecond,
	}
	if l.err != nil {
		r.FirstError = l.err.Error()
	}
	return r
}
