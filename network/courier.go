package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	mstream "github.com/multiformats/go-multistream"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

// courier keeps one stream to one peer: it opens it, sends what its queue
// holds, and opens it anew whenever it breaks, for ever. One goroutine runs it.
type courier struct {
	host     host.Host
	peer     peer.ID
	who      wire.ReplicaID
	hello    hello
	timeouts Timeouts
	queue    *outbox.Queue
	faults   *ledger
	// read reads what comes back, until the stream ends, and says why it did.
	read func(network.Stream) error
	// wake, if not nil, gets a token when the peer shows that it is there: the
	// pause before the next attempt then ends early.
	wake <-chan struct{}
	// state tells that the stream is up, or why it is not.
	state func(up bool, err error)
	kin   *kin
}

// kin are the couriers to one peer, whose streams share a connection as a rule.
type kin struct {
	mu struct {
		sync.Mutex
		up map[network.Conn]int // how many of their streams are, by connection
	}
}

// join counts one stream of conn until leave is called.
func (k *kin) join(conn network.Conn) (leave func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.up == nil {
		k.mu.up = make(map[network.Conn]int)
	}
	k.mu.up[conn]++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.mu.up[conn]--; k.mu.up[conn] == 0 {
			delete(k.mu.up, conn)
		}
	}
}

// use tells whether one of them has a stream over conn that is up.
func (k *kin) use(conn network.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.up[conn] > 0
}

// errRubbish says that a stream was ended for what came over it.
var errRubbish = errors.New("too much rubbish")

// run ends when ctx does. After the loss of a steady stream it tries again at
// once, and then after pauses that double, with jitter. How steady one was that was
// ended for rubbish is its peer's doing, and changes nothing.
func (c *courier) run(ctx context.Context) {
	pause := backoff{min: c.timeouts.RedialMin, max: c.timeouts.RedialMax}
	for ctx.Err() == nil {
		if steady(c.once(ctx)) {
			pause.reset()
		}
		pause.wait(ctx, c.wake)
	}
}

// steady tells whether a stream that was up for so long, and ended with err, is worth an
// attempt at once.
func steady(up time.Duration, err error) bool {
	return up >= steadyLinkTime && !errors.Is(err, errRubbish)
}

// once opens the stream and uses it until it breaks, and returns for how long it
// was up, and why it is not.
func (c *courier) once(ctx context.Context) (time.Duration, error) {
	s, err := c.open(ctx)
	if err != nil {
		c.faults.mismatch(c.who, err)
		if ctx.Err() == nil {
			c.state(false, err)
		}
		return 0, err
	}
	defer c.kin.join(s.Conn())()
	since := time.Now()
	c.state(true, nil)
	err = c.exchange(ctx, s)
	c.faults.stream(c.who, err)
	c.state(false, err)
	return time.Since(since), err
}

// open connects, if there is no connection, agrees on the protocol and says
// hello.
func (c *courier) open(ctx context.Context) (network.Stream, error) {
	dial, cancel := context.WithTimeout(ctx, c.timeouts.Dial)
	defer cancel()
	forgetFailures(c.host, c.peer)
	s, err := c.host.Network().NewStream(dial, c.peer)
	if err != nil {
		return nil, fmt.Errorf("connect to replica %d: %w", c.who, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	err = c.greet(s)
	if err == nil {
		return s, nil
	}
	_ = s.Reset()
	if timedOut(err) && !c.kin.use(s.Conn()) {
		// The other end of this connection may be gone without a word; the next
		// attempt shall not use it again. Where another stream is up the other end is
		// slow, rather, and cutting that one too would make matters worse: if it is
		// gone, the connection's keepalive tells.
		_ = s.Conn().Close()
	}
	err = fmt.Errorf("open a stream to replica %d: %w", c.who, err)
	if c.hello.class == wire.ClassClients && errors.Is(err, syscall.ECONNRESET) {
		err = fmt.Errorf("%w (perhaps it has as many clients as it may, of this address or in all: its log says so)", err)
	}
	return nil, err
}

func (c *courier) greet(s network.Stream) error {
	if err := s.SetDeadline(time.Now().Add(c.timeouts.Handshake)); err != nil {
		return err
	}
	id := protocolOf(c.hello.class)
	if err := s.SetProtocol(id); err != nil {
		return err
	}
	if err := mstream.SelectProtoOrFail(id, s); err != nil {
		return err
	}
	if _, err := s.Write(c.hello.encode()); err != nil {
		return err
	}
	a, err := readAnswer(s)
	if err != nil {
		return err
	}
	if err := a.err(c.hello); err != nil {
		return err
	}
	return s.SetDeadline(time.Time{})
}

// exchange writes and reads until the stream ends or ctx does, and says why.
func (c *courier) exchange(ctx context.Context, s network.Stream) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	ended := make(chan struct{})
	var readErr error
	go func() {
		defer close(ended)
		readErr = c.read(s)
	}()
	err := newFrameWriter(s, c.timeouts.Write).pump(c.queue, ended)
	_ = s.Reset()
	<-ended
	if err == nil || errors.Is(readErr, errRubbish) {
		err = readErr // the reader ended first
	}
	return err
}

// watch waits for the end of a stream on which nothing may come back.
func watch(s network.Stream) error {
	var one [1]byte
	_, err := io.ReadFull(s, one[:])
	switch {
	case err == nil:
		return errUnexpected
	case errors.Is(err, io.EOF):
		return errStreamEnded
	default:
		return err
	}
}

// stream reports a fault if err, with which a stream ended, is one.
func (l *ledger) stream(who wire.ReplicaID, err error) {
	switch {
	case errors.Is(err, errFrameSize):
		l.add(who, FaultFrameSize, err.Error())
	case errors.Is(err, errFrameSlow):
		l.add(who, FaultFrameSlow, err.Error())
	case errors.Is(err, errNotReading):
		l.add(who, FaultNotReading, err.Error())
	case errors.Is(err, errUnexpected):
		l.add(who, FaultUnexpected, err.Error())
	case errors.Is(err, errRubbish):
		l.add(who, FaultRubbish, err.Error())
	}
}

// backoff is the pause before the next attempt: none for the first, then from
// min on doubling up to max, each between a half and the whole of it.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// wait pauses. A token of wake ends it, but not before min, so that a peer
// cannot make this side dial faster than that. The next one is then the least that
// keeps to it: the peer is there, and if the attempt that follows fails all the same,
// as one may that meets the peer's own, another token need not come.
func (b *backoff) wait(ctx context.Context, wake <-chan struct{}) {
	pause := b.next
	b.next = min(max(2*b.next, b.min), b.max)
	if pause == 0 {
		return
	}
	pause = pause/2 + rand.N(pause/2+1) //nolint:gosec // jitter needs no secrecy
	least := min(pause, b.min)
	if !sleep(ctx, least, nil) && sleep(ctx, pause-least, wake) {
		b.next = min(2*b.min, b.max)
	}
}

// sleep waits for d, for a token of wake, or until ctx is done, and tells whether the
// wait ended before its time.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) (early bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-wake:
	case <-ctx.Done():
	}
	return true
}
