package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/roofline"
)

const (
	// quietMax is how long the replicas have to finish what they were asked for, so
	// that what is counted belongs to operations that are counted.
	quietMax = 5 * time.Second
	// quietPoll is the time between two looks.
	quietPoll = 5 * time.Millisecond
)

// MeasureGrowth measures every point of o.Plan, each on a new cluster in this
// process, and tells begun of each before it begins. The end of ctx is an error too,
// and the Growth then has the points that were measured until then.
func MeasureGrowth(ctx context.Context, o GrowthOptions, begun func(number, of int, p Planned)) (Growth, error) {
	plan := o.Plan()
	g := Growth{
		Format: growthFormat, Begun: time.Now().UTC().Truncate(time.Second), Default: o.Default,
		Outstanding: o.Outstanding, WarmUp: o.WarmUp, Duration: o.Duration, Seed: o.Seed, Planned: len(plan),
		Included: GrowthIncluded{
			Signatures: "ed25519: every request by its client, verified by every replica; every vote; replies once a batch",
			Flush:      "journal flushed before every commit (fdatasync), one flush for all that waits",
			Transport:  "in memory: no sockets, no encryption, no processes of their own",

			RequestTimeout: o.RequestTimeout, CheckpointInterval: pbft.DefaultGenesisLimits().CheckpointInterval,
			Machine: ThisMachine(), FileSystem: FileSystem(o.Dir), Go: runtime.Version(),
		},
	}
	if err := o.Validate(); err != nil {
		return g, err
	}
	for i, p := range plan {
		if begun != nil {
			begun(i+1, len(plan), p)
		}
		point, err := o.measure(ctx, p)
		if err != nil {
			return g, fmt.Errorf("%v: %w", p.Dimensions, err)
		}
		g.Points = append(g.Points, point)
	}
	return g, nil
}

// growing is a load on a cluster in this process.
type growing struct {
	*load

	cluster *pbft.Local
	options GrowthOptions
	delay   time.Duration
}

// measure measures one point.
func (o GrowthOptions) measure(ctx context.Context, p Planned) (point GrowthPoint, err error) {
	limits := pbft.DefaultGenesisLimits()
	limits.BatchRequests = p.BatchLimit
	cluster, err := pbft.StartLocalWith(ctx, pbft.LocalConfig{
		Replicas: p.Replicas, Limits: limits, RequestTimeout: o.RequestTimeout, Memory: true, Delay: p.Delay, Dir: o.Dir,
	}, kv.Machine{})
	if err != nil {
		return point, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	g := &growing{cluster: cluster, options: o, delay: p.Delay}
	g.load = newLoad(Options{
		Clients: p.Clients, Outstanding: o.Outstanding, Payload: p.Payload, Seed: o.Seed, Fill: p.State,
		dial: func(ctx context.Context) (Client, error) { return cluster.Dial(ctx, pbft.DialConfig{}) },
	})
	defer g.close()
	if err := g.connect(ctx); err != nil {
		return point, err
	}
	process := func() (bytes int64, ok bool) { return written([]int{os.Getpid()}) }
	began := time.Now()
	if err := g.hold(ctx, limits, process); err != nil {
		return point, err
	}
	filled := time.Since(began)
	if o.WarmUp > 0 {
		g.drive(ctx, o.WarmUp, math.MaxInt64)
	}
	before, quietBefore := g.quiet(ctx)
	requests := g.signed()
	writtenBefore, _ := process()
	lasted := g.drive(ctx, o.duration(), o.most())
	after, quietAfter := g.quiet(ctx)
	if err := ctx.Err(); err != nil {
		return point, err
	}
	point = g.point(p, lasted)
	point.Unsettled = !quietBefore || !quietAfter
	if p.State > 0 {
		point.Filled = filled
	}
	counts := after.Minus(before)
	if writtenAfter, ok := process(); ok && counts.Operations > 0 {
		point.Written = float64(writtenAfter-writtenBefore) * float64(p.Replicas) / float64(counts.Operations)
	}
	return point, point.account(counts, g.signed().minus(requests))
}

func (o GrowthOptions) duration() time.Duration {
	if o.operations > 0 {
		return durationMax
	}
	return o.Duration
}

func (o GrowthOptions) most() int64 {
	if o.operations > 0 {
		return o.operations
	}
	return math.MaxInt64
}

// drive runs the closed loop for a time or, if that is sooner, until so many
// operations have been begun; and returns when all are answered. What the record of
// the load holds counts those answered in the time that it returns.
func (g *growing) drive(ctx context.Context, during time.Duration, most int64) time.Duration {
	g.start = time.Now()
	until := g.start.Add(during)
	g.record = newRecord(g.start, until, g.o)
	g.next.Store(0)
	patient, cancel := context.WithDeadline(ctx, until.Add(drainMax))
	defer cancel()
	var wg sync.WaitGroup
	for i := range g.clients {
		for j := range g.o.Outstanding {
			w := g.worker(i, i*outstandingMax+j)
			wg.Go(func() {
				for now := time.Now(); now.Before(until) && patient.Err() == nil && g.next.Add(1) <= most; now = time.Now() {
					w.submit(patient, now)
				}
			})
		}
	}
	wg.Wait()
	lasted := min(during, time.Since(g.start))
	g.record.to = g.start.Add(lasted) // or the record would have an empty second for each that is left
	return lasted
}

// orderDelays is how many times as long as a message takes the order takes: the
// request, three rounds of votes, and the answer.
const orderDelays = 5

// quiet is quiet of the replicas' counts. Where messages take time, some are always under
// way, for replicas tell each other where they stand: then it waits until those of the order
// have come.
func (g *growing) quiet(ctx context.Context) (sum pbft.Counts, ok bool) {
	if g.delay > 0 {
		await(ctx, time.Now().Add(orderDelays*g.delay))
	}
	return quiet(ctx, g.counts)
}

// quiet waits, for a bounded time, until all replicas are done with what they were asked
// for, and returns what they have done all together. Where !ok they are not, and some of
// what belongs to the operations until now comes later.
func quiet(ctx context.Context, look func() (sum pbft.Counts, done bool)) (sum pbft.Counts, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, quietMax)
	defer cancel()
	for {
		if sum, ok = look(); ok || ctx.Err() != nil {
			return sum, ok
		}
		await(ctx, time.Now().Add(quietPoll))
	}
}

// counts sums the counts of the replicas, and tells whether all have executed the
// same, and received all that was sent to them, as far as that can be.
func (g *growing) counts() (sum pbft.Counts, done bool) {
	replicas := g.cluster.Replicas()
	first := replicas[0].Counts().Batches
	done = true
	for _, r := range replicas {
		c := r.Counts()
		done = done && c.Batches == first
		sum = sum.Plus(c)
	}
	return sum, done && (g.delay > 0 || sum.ToPeers.Frames == sum.FromPeers.Frames)
}

// requested is what the clients have signed.
type requested struct{ requests, operations int64 }

func (r requested) minus(o requested) requested {
	return requested{r.requests - o.requests, r.operations - o.operations}
}

func (g *growing) signed() (r requested) {
	for _, c := range g.clients {
		n := c.Counts()
		r.requests += n.Requests
		r.operations += n.Operations
	}
	return r
}

// point is what the load itself knows.
func (g *growing) point(p Planned, lasted time.Duration) GrowthPoint {
	r := g.record.result(Options{Duration: lasted})
	point := GrowthPoint{
		Planned: p, Faults: (p.Replicas - 1) / 3, Operations: r.Operations, PerSecond: r.PerSecond,
		Errors: r.Errors, FirstError: r.FirstError, P50: r.P50, P99: r.P99, Max: r.Max,
		ClientsPerBatch: r.Reached.ClientsPerBatch, InFlight: p.Clients * g.options.Outstanding,
	}
	var views []uint64
	for _, replica := range g.cluster.Replicas() {
		views = append(views, uint64(replica.Report().View))
	}
	point.View = reached(views, point.Faults)
	return point
}

// reached returns the highest view that f+1 of the replicas are in or beyond: one may have
// left it alone.
func reached(views []uint64, faults int) uint64 {
	sorted := slices.Sorted(slices.Values(views))
	return sorted[len(sorted)-faults-1]
}

// account fills in what replicas and clients have done. InFlight comes as the number
// of operations that were open.
func (p *GrowthPoint) account(counts pbft.Counts, requests requested) error {
	if counts.Operations == 0 || requests.requests == 0 { // batches may be empty
		return errors.New("no operation was answered")
	}
	p.Counts = counts
	p.OpsPerBatch = float64(counts.Operations) / float64(counts.Batches)
	p.OpsPerSignature = float64(requests.operations) / float64(requests.requests)
	base := Shape(p.Payload, 0)
	base.Replicas, base.Faults, base.Cores = p.Replicas, p.Faults, runtime.GOMAXPROCS(0)
	shape := Reached{
		OpsPerBatch: p.OpsPerBatch, OpsPerSignature: p.OpsPerSignature, ClientsPerBatch: p.ClientsPerBatch,
	}.shape(base, p.InFlight)
	if err := shape.Validate(); err != nil {
		return err
	}
	p.InFlight = shape.InFlight
	p.Counted = counted(counts, float64(counts.Operations)/float64(p.Replicas))
	p.Needed = needed(shape)
	p.Ratio = p.Counted.over(p.Needed)
	return nil
}

// counted is what replicas did, for each of so many operations.
func counted(c pbft.Counts, operations float64) Work {
	frames := c.ToPeers.Frames + c.ToClients.Frames + c.FromClients.Frames
	bytes := c.ToPeers.Bytes + c.ToClients.Bytes + c.FromClients.Bytes
	each := func(n int64) float64 { return float64(n) / operations }
	return Work{
		Signatures: each(c.Signed.All()), Verifications: each(c.Verified.All()),
		RequestsVerified: each(c.Verified.Requests), VotesVerified: each(c.Verified.Votes),
		Frames: each(frames), Bytes: each(bytes), Flushes: each(c.Flushes),
	}
}

// needed is what replicas must do for each operation of a valid shape.
func needed(s roofline.Shape) Work {
	n, b := s.Needs(), s.OpsPerBatch
	return Work{
		Signatures:    (n.VotesSigned + n.RepliesSigned) / b,
		Verifications: (n.RequestsVerified + n.VotesVerified) / b, RequestsVerified: n.RequestsVerified / b,
		VotesVerified: n.VotesVerified / b, Frames: n.Frames / b, Bytes: n.Bytes / b, Flushes: n.Flushes / b,
	}
}

// over returns the ratios of w to o, of which nothing is 0.
func (w Work) over(o Work) Work {
	return Work{
		w.Signatures / o.Signatures, w.Verifications / o.Verifications, w.RequestsVerified / o.RequestsVerified,
		w.VotesVerified / o.VotesVerified, w.Frames / o.Frames, w.Bytes / o.Bytes, w.Flushes / o.Flushes,
	}
}
