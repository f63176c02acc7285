package pbft

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of a Client.
const (
	// eventsMax bounds the verified messages that wait for the client's loop:
	// enough for one answer of each replica to a whole request. Beyond it the
	// reading of streams waits.
	eventsMax = 256
	// bytesOpenMax bounds the operations without a result, in bytes: half of
	// what core.Config lets one client have waiting, so that no correct client
	// is refused for it.
	bytesOpenMax = 2 << 20
	// retransmitDoublings bounds the growth of the time between
	// retransmissions: to eight times the first.
	retransmitDoublings = 3
)

// Identity names one operation of a client key for ever. Whatever happens to
// the connection, the client or the replicas, an identity is executed at most
// once.
type Identity struct {
	Session wire.Session
	Number  wire.Number
}

// String returns the identity as session/number.
func (id Identity) String() string { return fmt.Sprintf("%d/%d", id.Session, id.Number) }

// Client submits operations to a cluster and believes no single replica: a
// result counts when f+1 of them signed the same one, so that a correct one is
// among them (PBFT §4.1). Its methods may be called by many goroutines at once,
// which is also how it is fast: operations that wait together are signed
// together.
//
// At most core.ClientWindowMax operations, or some 2 MiB of them, have no result at a
// time; a Submit beyond that waits, or is refused (DialConfig.NoWait). Numbers and
// sessions follow RIFL (Lee et al., SOSP '15).
type Client struct {
	cfg       clientConfig
	transport clientTransport

	submits  *inbox       // new operations
	readings chan *call   // new reads outside of the order; not received while many are under way
	errands  chan errand  // all else that callers want
	arrivals chan arrival // verified messages and changes of links

	signed, operations, frames atomic.Int64 // see ClientCounts
	calls, queries             atomic.Int64 // operations of a client that does not wait: in the order, and not
	full                       error        // what more of them get, made once

	cancel  context.CancelFunc
	settled *settledThings
	ended   chan struct{} // closed when everything has ended
	once    sync.Once
	cause   error // why it ended by itself; read after ended is closed
}

// clientTransport carries frames between a client and the replicas.
// network.Clients is one.
type clientTransport interface {
	// Run serves until ctx is done. It calls in with every frame of a replica,
	// and link when a connection came up, or is down and why, from many
	// goroutines. An error of in ends the connection to the replica, which is made
	// anew after a pause.
	Run(ctx context.Context, in func(from wire.ReplicaID, frame []byte) error,
		link func(peer wire.ReplicaID, up bool, err error)) error
	// Send queues frame for a replica, and returns false if it cannot. It never
	// blocks.
	Send(to wire.ReplicaID, frame []byte) bool
}

// clientConfig is what a Client works with. All fields are set.
type clientConfig struct {
	signer  crypto.Signer
	domain  crypto.Domain
	keys    []crypto.PublicKey // of the replicas
	quorum  core.Quorum
	limits  wire.Limits
	session wire.Session
	next    wire.Number // the first number that the session has not used
	// retransmit is how long the primary has before all replicas are asked.
	retransmit time.Duration
	// together bounds the operations of one request; 0 means limits.OpsMax.
	together int
	// noWait says that what finds no room is refused.
	noWait bool
}

// call is one call of Submit, Read, SubmitWith or Query that waits.
type call struct {
	op       []byte
	readOnly bool
	number   wire.Number // 0 until it has one
	queued   bool        // it waits in the loop's queue, which owns this
	// done has room for the one answer, so the loop never waits for a caller.
	done chan answer
}

// errand is what a caller wants of the loop beside new operations: one of these, but for why.
type errand struct {
	retry *call // an operation with a number
	leave *call // whose context ended
	// links is told which links are not up, and why. It has room for that.
	links    chan []LinkError
	ask      *asking    // where replicas stand
	unask    *asking    // whose context ended
	listen   *listening // what outputs there are
	unlisten *listening // whose context ended
	why      error      // of unlisten: that of its context
}

// answer is what a call returns.
type answer struct {
	result Result
	err    error
}

// again returns the same answer for another call, sharing nothing that a caller may
// write to.
func (a answer) again() answer {
	a.result = a.result.again()
	switch e := a.err.(type) { //nolint:errorlint // the loop made it, unwrapped
	case *OutcomeError:
		a.err = &OutcomeError{e.Result.again()}
	case *RefusedError:
		a.err = &RefusedError{e.Identity, e.Reason, e.Detail, slices.Clone(e.Signers)}
	}
	return a
}

// letGo has what proves the answer hold on to no frame that is long beside it.
func (a *answer) letGo() {
	a.result.letGo()
	if e, is := a.err.(*OutcomeError); is { //nolint:errorlint // the loop made it, unwrapped
		e.Result.letGo()
	}
}

// newClient returns a client that works until Close. It takes the transport
// over.
func newClient(cfg clientConfig, transport clientTransport) *Client {
	c := &Client{
		cfg: cfg, transport: transport, settled: newSettledThings(len(cfg.keys)),
		submits: newInbox(), readings: make(chan *call), errands: make(chan errand),
		arrivals: make(chan arrival, eventsMax),
		ended:    make(chan struct{}),
		full:     fmt.Errorf("%w: %d operations have no result yet", ErrOverload, core.ClientWindowMax),
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(ctx)
	return c
}

// Key returns the client's public key: who it is.
func (c *Client) Key() crypto.PublicKey { return c.cfg.signer.Public() }

// Session returns the client's session.
func (c *Client) Session() wire.Session { return c.cfg.session }

// ClientCounts is what a client has done since it was dialed.
type ClientCounts struct {
	// Requests is how many requests it signed, and Operations how many operations
	// those carried: more than one each where several waited together.
	Requests, Operations int64
	// Frames is how often it sent a request to a replica: once, to the primary,
	// for a request that is answered in time, and more for one that is not, or that is
	// the first over a connection to another replica.
	Frames int64
}

// Counts returns what the client has done so far.
func (c *Client) Counts() ClientCounts {
	return ClientCounts{Requests: c.signed.Load(), Operations: c.operations.Load(), Frames: c.frames.Load()}
}

// Submit has the cluster execute op, exactly once, and returns its result. It
// signs, sends, and retransmits until ctx ends; it never answers that the
// outcome is unknown. The error is one of
//
//   - *OutcomeError: the cluster decided that op has no result of the
//     application (ErrPanicked, ErrSessionOld and so on); it carries the proof.
//   - *RefusedError: f+1 replicas will not order op, and say why.
//   - *UnfinishedError: ctx ended first, or the client was closed (the Err in it is
//     ErrClosed then). op may still be executed. To learn its result, call SubmitWith
//     with the identity in the error, unless its Number is 0: then nothing was sent.
//   - ErrOverload, of a client that does not wait (DialConfig.NoWait): there was no
//     room, and nothing was sent; or, as the Err of an *UnfinishedError, the
//     replicas had none.
//   - ErrOperation: op is larger than the cluster takes; nothing was sent.
//   - ErrIdentity: the session has no numbers left (DialConfig.Next); nothing was sent.
//   - ErrClosed: the client was closed before, and nothing was sent.
//
// op may not be changed until Submit returns, nor after an UnfinishedError.
func (c *Client) Submit(ctx context.Context, op []byte) (Result, error) {
	return c.enter(ctx, &call{op: op})
}

// Read has the cluster answer op by app.Querier, without changing anything. It
// goes through the order as Submit does, so it sees every operation that any
// client had the result of before: reads are linearizable. Query is faster, most
// of the time. What is not answered in time is asked anew: the UnfinishedError of a Read
// has no identity to retry with.
func (c *Client) Read(ctx context.Context, op []byte) (Result, error) {
	return c.enter(ctx, &call{op: op, readOnly: true})
}

// enter has w executed, under a new number. A client that does not wait has as many
// calls as its window holds: others are refused here, for under overload the loop has
// more to do than to refuse, and what it takes late is late.
func (c *Client) enter(ctx context.Context, w *call) (Result, error) {
	if !c.cfg.noWait {
		return c.do(ctx, w)
	}
	defer c.calls.Add(-1)
	if c.calls.Add(1) > core.ClientWindowMax {
		return Result{}, c.full
	}
	return c.do(ctx, w)
}

// SubmitWith is Submit with an identity that the caller knows: of a Submit that
// ended with an UnfinishedError, also of an earlier process with the same key
// and session (see DialConfig). It executes op only if that identity was never
// executed, and returns the one result in any case. op must be the one that the
// identity was used for first, and not that of a Read, which would be executed as what
// Submit takes. An identity for which no call waits is given up once later operations of
// the client need its place, core.ClientWindowMax of them at most, and fewer where they
// are long: the error is ErrForgotten.
func (c *Client) SubmitWith(ctx context.Context, id Identity, op []byte) (Result, error) {
	switch {
	case id.Session != c.cfg.session:
		return Result{}, fmt.Errorf("%w: %s is not of session %d: dial with the session of the identity",
			ErrIdentity, id, c.cfg.session)
	case id.Number == 0 || id.Number > numberMax:
		return Result{}, fmt.Errorf("%w: %s is that of no operation: if nothing was sent, Submit it", ErrIdentity, id)
	}
	return c.do(ctx, &call{op: op, number: id.Number})
}

// Close ends the client and waits until all that it started has ended. Calls
// that wait end, too: what they asked for may still be executed, so their errors are
// *UnfinishedErrors, and ErrClosed; of a Submit or Read that was not sent yet, ErrClosed
// alone. It may be called again, and returns why the client ended by itself, if it did.
func (c *Client) Close() error {
	c.once.Do(c.cancel)
	<-c.ended
	return c.cause
}

func (c *Client) do(ctx context.Context, w *call) (Result, error) {
	if err := c.cfg.refuse(w.op); err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, c.unsent(ctx, w)
	}
	w.done = make(chan answer, 1)
	if w.number == 0 {
		if !c.submits.put(w) {
			return Result{}, c.closed()
		}
		return c.await(ctx, w)
	}
	select {
	case c.errands <- errand{retry: w}:
		return c.await(ctx, w)
	case <-ctx.Done():
		return Result{}, c.unsent(ctx, w)
	case <-c.ended: // it may have been sent before
		return Result{}, &UnfinishedError{Identity: Identity{c.cfg.session, w.number}, Err: c.closed()}
	}
}

// unsent is the error of a call whose context ended before the loop took it.
func (c *Client) unsent(ctx context.Context, w *call) error {
	return &UnfinishedError{Identity: Identity{c.cfg.session, w.number}, Links: c.broken(), Err: ctx.Err()}
}

// await returns the answer to a call that the loop has, which answers each, also when it ends.
func (c *Client) await(ctx context.Context, w *call) (Result, error) {
	select {
	case a := <-w.done:
		return a.result, a.err
	case <-ctx.Done():
		return c.leave(ctx, w)
	}
}

// broken asks the loop which links are not up, and why. It waits for nothing else.
func (c *Client) broken() []LinkError {
	links := make(chan []LinkError, 1)
	select {
	case c.errands <- errand{links: links}:
		return <-links
	case <-c.ended:
		return nil
	}
}

// refuse returns an error if op cannot be sent.
func (cfg *clientConfig) refuse(op []byte) error {
	if limit := cfg.limits.OpBytesMax; len(op) > limit {
		return fmt.Errorf("%w: it has %d bytes, and the cluster takes at most %d", ErrOperation, len(op), limit)
	}
	return nil
}

// leave tells the loop that w waits no more. The loop's answer may still be the
// result, if it came first.
func (c *Client) leave(ctx context.Context, w *call) (Result, error) {
	select {
	case c.errands <- errand{leave: w}:
	case <-c.ended:
	}
	a := <-w.done
	if unfinished, ok := a.err.(*UnfinishedError); ok && unfinished.Err == nil { //nolint:errorlint // the loop made it, unwrapped
		unfinished.Err = ctx.Err()
	}
	return a.result, a.err
}

// closed returns ErrClosed with the reason. Only after ended, or once the inbox is closed.
func (c *Client) closed() error {
	if c.cause != nil {
		return fmt.Errorf("%w: %w", ErrClosed, c.cause)
	}
	return ErrClosed
}
