package pbft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/pbft/wire"
)

// errTransportEnded says that the transport stopped serving without being asked.
var errTransportEnded = errors.New("the network ended")

// errNotYet says that the first attempt to connect to a replica has not ended.
var errNotYet = errors.New("no connection yet")

// linkState tells what is known of the connection to a replica.
type linkState byte

const (
	linkUnknown linkState = iota // no attempt has ended yet
	linkUp
	linkDown
)

// link is the connection to one replica.
type link struct {
	state linkState
	err   error // why it is down, or nil
	// introduced says that a request went over this connection. A replica
	// answers a client where it had a signed request from it, and nowhere else.
	introduced bool
	held       int // bytes of the replica's frames that votes may hold on to
}

// arrival is what the transport's goroutines hand to the loop: a verified message,
// or a change of a link.
type arrival struct {
	from    wire.ReplicaID
	replies *wire.Replies
	refusal *wire.Refusal
	report  *wire.Report
	outputs *wire.Outputs
	results *wire.Results
	link    *link
}

// clientLoop owns everything of a Client that changes. One goroutine runs it.
type clientLoop struct {
	*Client
	window   *window
	queue    queue
	always   chan struct{} // closed: there is something to receive at any time
	underway underway
	requests []*request // oldest first; the first has operations without an answer, between events
	links    []link
	// views are the highest views in the verified replies of each replica.
	views      []wire.View
	view       wire.View // which f+1 replicas reached
	askings    []*asking
	listenings []*listening
	queries    []*querying
	held       []*call   // of Query, that are not in a query yet
	ordering   time.Time // until when what Query wants is asked in the order
	deadline   *time.Timer
	// armed is when deadline fires, and due is no later than anything of requests, askings,
	// listenings and queries is: finding out what is due looks at all of them, and is done then only.
	// What fast answers make due sooner than it was is seen within cfg.retransmit.
	armed, due time.Time
	swept      int // events since answered requests were last looked for
	pace       pace
	alarmed    time.Time // when the oldest request was last sent to everyone, for it waited
	resumes    time.Time // when new operations are taken again; zero: now
}

// run serves until ctx is done, or the transport ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.ended)
	defer c.cancel()
	l := &clientLoop{
		Client: c, window: newWindow(c.cfg.next),
		links: make([]link, len(c.cfg.keys)), views: make([]wire.View, len(c.cfg.keys)),
		deadline: time.NewTimer(0), always: make(chan struct{}),
	}
	close(l.always)
	defer l.deadline.Stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.serve(ctx) })
	group.Go(func() error { l.loop(ctx); return nil })
	err := group.Wait()
	l.end(err)
}

// serve runs the transport. Its goroutines verify, so that the loop need not.
func (c *Client) serve(ctx context.Context) error {
	door := newClientDoor(c.cfg, c.settled)
	put := func(a arrival) {
		select {
		case c.arrivals <- a:
		case <-ctx.Done():
		}
	}
	err := c.transport.Run(ctx,
		func(from wire.ReplicaID, frame []byte) error {
			a, ok, err := door.open(from, frame)
			if ok {
				put(a)
			}
			return err
		},
		func(peer wire.ReplicaID, up bool, err error) {
			state := linkDown
			if up {
				state = linkUp
			}
			put(arrival{from: peer, link: &link{state: state, err: err}})
		})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it ended because it was asked to
	}
	if err == nil {
		err = errTransportEnded
	}
	return err
}

// loop reacts until ctx is done.
func (l *clientLoop) loop(ctx context.Context) {
	for {
		l.sweep()
		readings := l.readings
		if len(l.queries) == queriesOpenMax {
			readings = nil
		}
		select {
		case <-ctx.Done():
			return
		case w := <-readings:
			l.onReading(w)
		case <-l.submitted():
			l.onSubmits()
		case e := <-l.errands:
			l.onErrand(e)
		case a := <-l.arrivals:
			l.onArrival(a)
		case <-l.deadline.C:
			l.onDeadline(time.Now())
		}
	}
}

// noRoom is the error of a call that the window does not admit, now or ever.
func (l *clientLoop) noRoom() error {
	if l.window.spent() {
		return fmt.Errorf("%w: session %d has no numbers left: dial with a newer session", ErrIdentity, l.cfg.session)
	}
	return fmt.Errorf("%w: %d operations have no result yet", ErrOverload, len(l.window.table))
}

func (l *clientLoop) onErrand(e errand) {
	switch {
	case e.retry != nil:
		l.onRetry(e.retry)
	case e.leave != nil:
		l.onLeave(e.leave)
	case e.links != nil:
		e.links <- l.broken()
	case e.ask != nil:
		l.onAsk(e.ask)
	case e.unask != nil:
		l.finishAsk(e.unask)
	case e.listen != nil:
		l.onListen(e.listen)
	case e.unlisten != nil:
		l.onUnlisten(e.unlisten, e.why)
	}
}

// end answers all that still wait.
func (l *clientLoop) end(cause error) {
	l.cause = cause
	for _, o := range l.window.table {
		for _, w := range slices.Clone(o.calls) {
			l.release(o, w, l.closed())
		}
	}
	l.endReadings(l.closed())
	l.submits.close()
	for w := l.nextCall(); w != nil; w = l.nextCall() {
		w.done <- answer{err: l.closed()}
	}
}

func (l *clientLoop) onRetry(w *call) {
	o, isNew, err := l.window.retry(w)
	switch {
	case err != nil:
		w.done <- answer{err: err}
	case isNew:
		l.settled.forget(o.number)
		if r := l.requestAt(o.number); r != nil {
			l.split(r) // or nobody could tell whose refusals come
		}
		l.sendNew([]*operation{o})
	case o.answer != nil:
		l.window.drop(o)
		w.done <- *o.answer
	}
}

// onLeave forgets that w waits. Its operation goes on: it is sent, and its
// result kept for a retry, until new operations need its place. A read is given up.
func (l *clientLoop) onLeave(w *call) {
	l.queue.fill(l.submits)
	if l.queue.leave(w) {
		l.unread(w, nil)
		return
	}
	o, ok := l.window.table[w.number]
	if l.onUnread(w, nil) || !ok || !slices.Contains(o.calls, w) {
		return // answered already
	}
	l.release(o, w, nil)
}

// release ends a call of an operation that goes on, unless it is a read.
func (l *clientLoop) release(o *operation, w *call, why error) {
	o.calls = slices.DeleteFunc(o.calls, func(other *call) bool { return other == w })
	id := Identity{l.cfg.session, o.number}
	if o.readOnly {
		id.Number = 0 // SubmitWith would execute it as what Submit takes
		if len(o.calls) == 0 {
			l.window.drop(o) // nobody can ask for it
		}
	}
	w.done <- answer{err: &UnfinishedError{
		Identity: id, Replies: o.replied(), Divided: o.divided(l.cfg.quorum.Faults()), Refused: o.request.refused, Links: l.broken(), Err: why,
	}}
}

// broken returns the links that are down, and why, and those that were not up yet.
func (l *clientLoop) broken() []LinkError {
	var broken []LinkError
	for i, k := range l.links {
		err := k.err
		if k.state == linkUnknown {
			err = errNotYet
		}
		if k.state != linkUp && err != nil {
			broken = append(broken, LinkError{wire.ReplicaID(i), err}) //nolint:gosec // one of few replicas
		}
	}
	return broken
}

// answer ends operation o.
func (l *clientLoop) answer(o *operation, a answer) {
	if len(o.calls) == 0 {
		o.request.open--
		a.letGo()
		o.answer, o.votes = &a, nil
		return
	}
	if l.resumes.IsZero() { // who gets an answer may ask for more, and answers come together
		l.resumes = l.gapEnd()
	}
	l.window.drop(o)
	l.settled.add(o.number)
	last := len(o.calls) - 1
	for _, w := range o.calls[:last] {
		w.done <- a.again() // a copy of what no caller has yet
	}
	o.calls[last].done <- a
}

// sendNew signs and sends a request for operations of consecutive numbers.
func (l *clientLoop) sendNew(ops []*operation) { l.sendRequest(l.seal(ops, false)) }

// seal makes a request for operations of consecutive numbers, for everyone or the primary.
func (l *clientLoop) seal(ops []*operation, everyone bool) *request {
	r := &request{
		first: ops[0].number, ops: ops, open: len(ops), everyone: everyone,
		sent: make([]bool, len(l.links)), before: l.underway.left(ops[0].number), began: time.Now(),
	}
	m := &wire.Request{
		Client: l.Key(), Session: l.cfg.session, Number: r.first, Acked: l.window.acked(), ReadOnly: ops[0].readOnly,
	}
	for _, o := range ops {
		o.request = r
		m.Ops = append(m.Ops, o.op)
	}
	l.window.ballot(ops, len(l.links))
	r.frame = wire.Seal(l.cfg.signer, l.cfg.domain, m).Frame()
	l.signed.Add(1)
	l.operations.Add(int64(len(ops)))
	l.requests = append(l.requests, r)
	return r
}

// sendRequest sends r to the primary or, if that was in vain, to all, and sets
// when to send it again. Replicas that do not know the connection get it too:
// the first request on each connection goes to all, and costs what a
// retransmission does.
func (l *clientLoop) sendRequest(r *request) {
	r.due = time.Now().Add(l.pause(r.attempt))
	l.expect(r.due)
	if !r.everyone {
		primary := l.primary()
		reached := l.sendTo(primary, r)
		r.everyone = !reached && l.links[primary].state != linkUnknown
	}
	for i := range l.links {
		id := wire.ReplicaID(i) //nolint:gosec // one of few replicas
		if r.everyone || !l.links[i].introduced && id != l.primary() {
			l.sendTo(id, r)
		}
	}
}

func (l *clientLoop) sendTo(id wire.ReplicaID, r *request) bool {
	if l.links[id].state == linkDown || !l.transport.Send(id, r.frame) {
		return false
	}
	r.sent[id] = true
	l.underway.of(r.first, len(l.links))[id]++
	l.frames.Add(1)
	l.links[id].introduced = true
	return true
}

func (l *clientLoop) primary() wire.ReplicaID { return l.view.Primary(len(l.links)) }

// sweep forgets requests that are answered, and sets the timer for the rest and for
// new operations.
func (l *clientLoop) sweep() {
	l.forget()
	now := time.Now()
	if len(l.requests) == 0 || !now.Before(l.resumes) {
		l.resumes = time.Time{}
	}
	next := l.due
	if next.IsZero() || !l.resumes.IsZero() && l.resumes.Before(next) {
		next = l.resumes
	}
	if next.IsZero() || !l.armed.IsZero() && !next.Before(l.armed) {
		return
	}
	l.armed = next
	l.deadline.Reset(next.Sub(now))
}

// forget drops requests that are answered: always before the first open one, which is
// the oldest, and from all of them once for as many events as there are requests.
func (l *clientLoop) forget() {
	answered := func(r *request) bool { return r.open <= 0 }
	if l.swept++; l.swept >= len(l.requests) {
		l.requests = slices.DeleteFunc(l.requests, answered)
		l.swept = 0
	}
	first := 0
	for first < len(l.requests) && answered(l.requests[first]) {
		first++
	}
	clear(l.requests[:first])
	l.requests = l.requests[first:]
	if len(l.requests) > 0 {
		l.expect(l.dueAt(0)) // the oldest is asked for again before others of its age
	}
}

// expect has the timer fire at a time, or before.
func (l *clientLoop) expect(at time.Time) {
	if l.due.IsZero() || at.Before(l.due) {
		l.due = at
	}
}

// onDeadline sends again, to all, what has waited long enough.
func (l *clientLoop) onDeadline(now time.Time) {
	l.armed = time.Time{}
	if l.due.IsZero() || now.Before(l.due) {
		return // new operations were waited for
	}
	l.due = time.Time{}
	for i, r := range l.requests {
		if r.open <= 0 {
			continue
		}
		if !now.Before(l.dueAt(i)) {
			if i == 0 {
				l.alarmed = now
			}
			l.sendAgain(r)
		}
		if r.open > 0 {
			l.expect(l.dueAt(i))
		}
	}
	l.onAskDeadline(now)
	l.onListenDeadline(now)
	l.onQueryDeadline(now)
}

// sendAgain asks everyone for what r lacks: for all of it, or, where some is answered, for
// the rest alone. A connection has room for so many long answers at once, and who asks for
// the first of them again is told those again.
func (l *clientLoop) sendAgain(r *request) {
	if r.open == len(r.ops) {
		r.attempt++
		r.everyone = true
		l.sendRequest(r)
		return
	}
	r.open = 0
	var run []*operation
	for i, o := range r.ops {
		if l.window.table[o.number] == o && o.answer == nil {
			run = append(run, o)
		}
		if last := i == len(r.ops)-1; len(run) > 0 && (last || run[len(run)-1] != o) {
			l.sendRequest(l.seal(run, true))
			run = nil
		}
	}
}
