package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of Options.
const (
	clientsMax     = 1024
	outstandingMax = 256
	rateMax        = 1_000_000
	payloadMax     = kv.ValueBytesMax
	durationMax    = 24 * time.Hour
	fillMax        = 1 << 40
	keys           = 1024 // that the load spreads over
)

// Client is a client as a load needs it; *pbft.Client is one.
type Client interface {
	// Submit has the cluster execute op.
	Submit(ctx context.Context, op []byte) (pbft.Result, error)
	// Read has the cluster answer op, in order.
	Read(ctx context.Context, op []byte) (pbft.Result, error)
	// Query has the cluster answer op, outside of the order if it can.
	Query(ctx context.Context, op []byte) (pbft.Result, error)
	// Counts returns what the client has signed so far.
	Counts() pbft.ClientCounts
	// Close ends the client.
	Close() error
}

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
	// ReadShare is the share of reads, 0 to 1.
	ReadShare float64
	// FastReads has them answered outside of the order, where replicas answer alike.
	FastReads bool
	// OpsPerSignature bounds how many operations a client signs together; 0
	// leaves it to the client. Result tells what was reached.
	OpsPerSignature int
	// NoWait has an operation refused at once that finds no room, in an open loop:
	// see pbft.DialConfig.NoWait. Outstanding bounds nothing then.
	NoWait bool
	// GreedyShare is the share of all operations, 0 to 1, that one client submits alone, in
	// an open loop that does not wait: more than an equal one. 0 means that none is greedy.
	GreedyShare float64
	// WarmUp is not measured; Duration is.
	WarmUp, Duration time.Duration
	// RequestTimeout is the replicas'.
	RequestTimeout time.Duration
	Seed           uint64
	// Processes, if set, tells those of the replicas that run on this machine now: what they
	// cost is part of the result.
	Processes func() []int
	// Dir holds the data of those processes.
	Dir string
	// Goroutines, if set, counts those of the processes together, which cannot be seen
	// from outside.
	Goroutines func(context.Context) int64
	// Measuring, if set, is called when the measured time begins, and what it returns
	// when that is over: profiles are written in between.
	Measuring func(context.Context) (end func() error, err error)
	// Fill is how many bytes of other values the state holds before the load begins. It
	// begins once Processes, if the system tells, have written all that.
	Fill int64
	// Strike, if there is one, happens once, StrikeAfter after the measuring began:
	// Result.Gap tells what it cost.
	Strike      func(context.Context) error
	StrikeAfter time.Duration
	// StrikeLosesDisk says that the strike has a backup lose its data, and not the
	// primary its life.
	StrikeLosesDisk bool
	// SlowShare is the share of the measured time, 0 to 1, for which Measuring has a
	// backup stopped.
	SlowShare float64

	dial func(ctx context.Context) (Client, error) // for tests; nil means pbft.Dial
}

// limits returns those of the cluster, as far as they are known.
func (o Options) limits() pbft.GenesisLimits {
	if o.Genesis == nil {
		return pbft.DefaultGenesisLimits()
	}
	return o.Genesis.Limits
}

// Validate reports everything that is wrong with o, at once.
func (o Options) Validate() error {
	if o.Genesis == nil && o.dial == nil {
		return errors.Join(errors.New("bench: no genesis"), o.ValidateLoad())
	}
	return errors.Join(o.ValidateLoad(), o.validateSizes())
}

// validateSizes reports that the cluster takes no operations of the load's length: each
// would be refused at once, for all of the measured time.
func (o Options) validateSizes() error {
	if o.Genesis == nil || o.Payload < 0 || o.Payload > payloadMax {
		return nil
	}
	longest := Shape(o.Payload, 0).OpBytes
	if o.Fill > 0 {
		longest = max(longest, len(kv.Put(fillKey(0), make([]byte, fillValue))))
	}
	if most := o.Genesis.Limits.OpBytes; longest > most {
		return fmt.Errorf("%w: those of this load have %d bytes, and the cluster takes at most %d (op_bytes)",
			pbft.ErrOperation, longest, most)
	}
	return nil
}

// ValidateLoad is Validate for options whose cluster is not there yet.
func (o Options) ValidateLoad() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	together := wire.DefaultLimits(0).OpsMax
	need(o.Clients >= 1 && o.Clients <= clientsMax, "clients is %d, want 1 to %d", o.Clients, clientsMax)
	need(o.Outstanding >= 1 && o.Outstanding <= outstandingMax, "outstanding is %d, want 1 to %d", o.Outstanding, outstandingMax)
	need(o.Rate >= 0 && o.Rate <= rateMax, "rate is %d, want 0 (closed loop) to %d", o.Rate, rateMax)
	need(o.Payload >= 0 && o.Payload <= payloadMax, "payload is %d bytes, want 0 to %d", o.Payload, payloadMax)
	need(o.ReadShare >= 0 && o.ReadShare <= 1, "read share is %g, want 0 to 1", o.ReadShare)
	need(!o.FastReads || o.ReadShare > 0, "fast reads, and no reads: give a read share")
	need(o.OpsPerSignature >= 0 && o.OpsPerSignature <= together,
		"operations per signature are %d, want 1 to %d, or 0 for as many as wait", o.OpsPerSignature, together)
	need(!o.NoWait || o.Rate > 0, "nothing waits in a closed loop: give a rate, or wait")
	need(o.WarmUp >= 0, "warm-up is %v, want 0 or more", o.WarmUp)
	need(o.Duration > 0 && o.Duration <= durationMax, "duration is %v, want more than 0, to %v", o.Duration, durationMax)
	need(o.Fill >= 0 && o.Fill <= fillMax, "the state is to hold %d bytes, want 0 to %d", o.Fill, int64(fillMax))
	need(o.StrikeAfter >= 0 && (o.StrikeAfter == 0 || o.StrikeAfter < o.Duration),
		"the strike is to come after %v, want it within the duration %v", o.StrikeAfter, o.Duration)
	need(o.SlowShare >= 0 && o.SlowShare <= 1, "the slow backup is to be stopped for a share of %g, want 0 to 1", o.SlowShare)
	return errors.Join(append(errs, o.validateGreedy())...)
}

// validateGreedy is ValidateLoad for the greedy client.
func (o Options) validateGreedy() error {
	switch {
	case o.GreedyShare == 0:
		return nil
	case !o.NoWait || o.Clients < 2:
		return errors.New("a greedy client, and none that it could take from: give a rate, do not wait, and have 2 clients or more")
	case !(o.GreedyShare > 1/float64(o.Clients) && o.GreedyShare < 1):
		return fmt.Errorf("the share of the greedy client is %g, want less than 1, and more than that of each of %d clients",
			o.GreedyShare, o.Clients)
	}
	return nil
}

// loop names how operations start.
func (o Options) loop() string {
	if o.Rate > 0 {
		return "open"
	}
	return "closed"
}

// connect returns a new client, with a key of its own.
func (o Options) connect(ctx context.Context) (Client, error) {
	if o.dial != nil {
		return o.dial(ctx)
	}
	return pbft.Dial(ctx, pbft.DialConfig{
		Genesis: o.Genesis, RequestTimeout: o.RequestTimeout, OpsPerSignature: o.OpsPerSignature,
		NoWait: o.NoWait,
	})
}
