package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// chaos is a cluster of four that executes each number once, and whose replica 3 says
// anything. Until it is calm, messages are lost, late and refused, and links break.
type chaos struct {
	f *fakeCluster

	mu struct {
		sync.Mutex
		rng    *rand.Rand
		calm   bool
		view   wire.View
		low    wire.Number
		seq    wire.Seq
		done   map[wire.Number]wire.Answer
		ops    map[wire.Number]string
		knows  [4]bool // which replicas know the connection
		frames [][]byte
	}
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{f: newFakeCluster(t, 4)}
	c.mu.rng = rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	c.mu.done, c.mu.ops = map[wire.Number]wire.Answer{}, map[wire.Number]string{}
	c.f.answer = c.answer
	return c
}

// chance is true in so many percent of all cases, and never when all is calm.
func (c *chaos) chance(percent int) bool { return !c.mu.calm && c.mu.rng.IntN(100) < percent }

func (c *chaos) delay() time.Duration {
	if c.mu.calm {
		return time.Millisecond
	}
	return time.Duration(c.mu.rng.IntN(1<<c.mu.rng.IntN(22))) * time.Microsecond
}

// run executes what q holds, and returns its answers.
func (c *chaos) run(q *wire.Request) []wire.Answer {
	c.mu.low = max(c.mu.low, min(q.Acked, q.Number-1))
	var answers []wire.Answer
	for i := range q.Ops {
		n := q.Number + wire.Number(i)
		a, was := c.mu.done[n]
		switch {
		case n <= c.mu.low:
			a = wire.Answer{Number: n, Outcome: wire.OutcomeForgotten}
		case n > c.mu.low+core.ClientWindowMax:
			a = wire.Answer{Number: n, Outcome: wire.OutcomeWindow}
		case !was:
			c.mu.seq++
			a = wire.Answer{Number: n, Seq: c.mu.seq, Result: fmt.Appendf(nil, "%s at %d", q.Ops[i], c.mu.seq)}
			c.mu.done[n], c.mu.ops[n] = a, string(q.Ops[i])
		}
		answers = append(answers, a)
	}
	return answers
}

func (c *chaos) answer(to wire.ReplicaID, m wire.Message) []wire.Message {
	q, ok := m.(*wire.Request)
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.knows[to] = true
	if to == 3 {
		return c.lie(q)
	}
	switch {
	case c.chance(30):
		return nil
	case slices.ContainsFunc(q.Ops, isBad):
		c.refuse(to, q, wire.RefusalInvalid)
		return nil
	case c.chance(20):
		c.refuse(to, q, wire.RefusalOverload)
		return nil
	}
	if c.chance(5) {
		c.mu.view += wire.View(c.mu.rng.IntN(5))
	}
	answers := c.run(q)
	for id := range wire.ReplicaID(3) {
		if c.mu.knows[id] && !c.chance(20) {
			c.later(id, q, c.mu.view, answers)
		}
	}
	return nil
}

// isBad tells whether correct replicas refuse an operation.
func isBad(op []byte) bool { return bytes.HasPrefix(op, []byte("bad ")) }

// refuse has a replica refuse q after a time.
func (c *chaos) refuse(id wire.ReplicaID, q *wire.Request, why wire.RefusalReason) {
	wait := c.delay()
	c.f.work.Go(func() {
		<-time.After(wait)
		c.f.say(id, refusal(id, q, why))
	})
}

// later has a replica say something after a time.
func (c *chaos) later(id wire.ReplicaID, q *wire.Request, view wire.View, answers []wire.Answer) {
	var told []wire.Told
	for _, a := range answers {
		told = append(told, wire.Told{Client: q.Client, Session: q.Session, Answer: a})
	}
	if c.chance(20) {
		slices.Reverse(told) // so that it takes several frames
	}
	sealed := wire.SealReplies(c.f.keys[id], c.f.domain, view, id, told)
	wait := c.delay()
	c.f.work.Go(func() {
		<-time.After(wait)
		c.f.mu.Lock()
		down := c.f.mu.down[id]
		c.f.mu.Unlock()
		for _, s := range sealed {
			if !down {
				_ = c.f.in(id, s.Frame())
			}
		}
	})
}

// lie returns what replica 3 says to q.
func (c *chaos) lie(q *wire.Request) []wire.Message {
	r := c.mu.rng
	switch r.IntN(6) {
	case 0:
		return nil
	case 1:
		why := wire.RefusalReason(1 + r.IntN(4))
		return []wire.Message{refusal(3, q, why), refusal(3, q, why), refusal(3, q, wire.RefusalInvalid)}
	case 2:
		frame := make([]byte, r.IntN(300))
		for i := range frame {
			frame[i] = byte(r.IntN(256))
		}
		if len(frame) > 2 {
			frame[0], frame[1] = wire.Version, byte(wire.KindReplies)
		}
		return []wire.Message{rawFrame{q, frame}}
	}
	m := &wire.Replies{View: wire.View(r.IntN(40)), Client: q.Client, Session: q.Session, Outer: wire.Place{Leaves: 1}, Sender: 3}
	n := q.Number - min(q.Number-1, wire.Number(r.IntN(5)))
	for range 1 + r.IntN(30) {
		a := wire.Answer{Number: n, Seq: wire.Seq(r.IntN(3)), Outcome: wire.Outcome(r.IntN(3)), Result: []byte("a lie")}
		if honest, ok := c.mu.done[n]; ok && r.IntN(3) == 0 {
			a = honest
		}
		m.Answers = append(m.Answers, a)
		n += wire.Number(1 + r.IntN(2))
	}
	return []wire.Message{m, m}
}

// shake breaks and mends links until ctx ends, and then all is calm.
func (c *chaos) shake(ctx context.Context) {
	down := [4]bool{}
	for ctx.Err() == nil {
		c.mu.Lock()
		id, wait := wire.ReplicaID(c.mu.rng.IntN(4)), time.Duration(c.mu.rng.IntN(3000))*time.Millisecond
		c.mu.knows[id] = false
		c.mu.Unlock()
		down[id] = !down[id]
		c.f.setDown(id, down[id])
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	c.mu.calm = true
	c.mu.Unlock()
	for id := range wire.ReplicaID(4) {
		if down[id] {
			c.f.setDown(id, false)
		}
	}
}

// caller submits some operations, one after the other.
type caller struct {
	c      *chaos
	client *Client
	name   int
	rng    *rand.Rand
	closes bool // the client is closed meanwhile
}

func (w *caller) work(t *testing.T, count int) {
	t.Helper()
	for i := range count {
		op := fmt.Sprintf("%d.%d", w.name, i)
		if w.rng.IntN(15) == 0 {
			op = "bad " + op
		}
		if w.rng.IntN(30) == 0 {
			w.ask()
		}
		submit := w.client.Submit
		if w.rng.IntN(4) == 0 {
			submit = w.client.Read
		}
		ctx, cancel := w.context()
		got, err := submit(ctx, []byte(op))
		cancel()
		var u *UnfinishedError
		retried := false
		for errors.As(err, &u) && u.Identity.Number != 0 && w.rng.IntN(3) > 0 {
			id := u.Identity
			retried = true
			ctx, cancel := w.context()
			got, err = w.client.SubmitWith(ctx, id, []byte(op))
			cancel()
			u = nil
		}
		w.check(t, op, got, err, retried)
		if err == nil && w.rng.IntN(8) == 0 { // what is answered is answered again, or forgotten
			ctx, cancel := w.context()
			got, err = w.client.SubmitWith(ctx, got.Identity, []byte(op))
			cancel()
			w.check(t, op, got, err, true)
		}
	}
}

// ask asks all replicas where they stand: they do not say.
func (w *caller) ask() {
	ctx, cancel := w.context()
	defer cancel()
	_, _ = w.client.Status(ctx) // it ends: that is all
}

func (w *caller) context() (context.Context, context.CancelFunc) {
	if w.rng.IntN(2) == 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(w.rng.IntN(4000))*time.Millisecond)
}

func (w *caller) check(t *testing.T, op string, got Result, err error, retried bool) {
	t.Helper()
	var u *UnfinishedError
	var refused *RefusedError
	switch {
	case err == nil && isBad([]byte(op)):
		t.Errorf("%s was executed", op)
	case err == nil:
		w.c.mu.Lock()
		defer w.c.mu.Unlock()
		n := got.Identity.Number
		if want := w.c.mu.done[n]; w.c.mu.ops[n] != op || string(got.Value) != string(want.Result) || got.Seq != want.Seq {
			t.Errorf("%s got %q as number %d, which was %q with the result %q", op, got.Value, n, w.c.mu.ops[n], want.Result)
		}
	case errors.As(err, &u):
	case errors.As(err, &refused) && refused.Reason == wire.RefusalInvalid && isBad([]byte(op)):
	case retried && (errors.Is(err, ErrIdentity) || errors.Is(err, ErrForgotten) || errors.Is(err, ErrWindow)):
	case errors.Is(err, ErrOverload) && w.client.cfg.noWait:
	case errors.Is(err, ErrClosed) && w.closes:
	default:
		t.Errorf("%s ended with %v", op, err)
	}
}

// TestEveryOperationEnds has callers submit, give up and retry in a chaos that ends
// after a minute: all calls end, with the one result of their operation.
func TestEveryOperationEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		endInChaos(t, seed, rapid.SampledFrom([]int{5, 10, 10, 30, 30, 100}).Draw(rt, "operations"))
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func endInChaos(t *testing.T, seed uint64, operations int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newChaos(t, seed)
		rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test
		c.f.noWait = rng.IntN(3) == 0
		if rng.IntN(3) == 0 {
			c.f.together = 1 + rng.IntN(3)
		}
		client := c.f.client()
		shaking, calm := context.WithTimeout(t.Context(), time.Duration(rng.IntN(60))*time.Second)
		defer calm()
		var wg, shaker sync.WaitGroup
		shaker.Go(func() { c.shake(shaking) })
		callers, early := 1+rng.IntN(rng.IntN(operations)+1), rng.IntN(4) == 0
		for i := range callers {
			w := &caller{c: c, client: client, name: i, closes: early}
			w.rng = rand.New(rand.NewPCG(seed, uint64(3+i))) //nolint:gosec // a test
			wg.Go(func() { w.work(t, 1+operations/callers) })
		}
		all := make(chan struct{})
		go func() { wg.Wait(); close(all) }()
		if early {
			<-time.After(time.Duration(rng.IntN(20000)) * time.Millisecond)
		} else {
			select {
			case <-all:
			case <-time.After(time.Hour):
				t.Error("calls still wait an hour later")
			}
		}
		calm()
		shaker.Wait()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		<-all
	})
}
