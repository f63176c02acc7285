package pbft

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/wire"
)

// sink is a transport that takes everything, and brings nothing.
type sink struct{}

func (sink) Run(ctx context.Context, _ func(wire.ReplicaID, []byte) error, _ func(wire.ReplicaID, bool, error)) error {
	<-ctx.Done()
	return nil
}

func (sink) Send(wire.ReplicaID, []byte) bool { return true }

// TestTimerFiresWhenSomethingIsDue submits, answers and waits at random. The timer must
// be set to no later than a retransmission's time after the first request is due, as the
// rule says it then: answers that came in the meantime may have changed that.
func TestTimerFiresWhenSomethingIsDue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var steps []step
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			what := rapid.SampledFrom([]string{"submit", "answer", "answer", "wait", "fire"}).Draw(rt, "what")
			steps = append(steps, step{what, rapid.IntRange(0, 1<<16).Draw(rt, "how")})
		}
		checkSteps(t, steps)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// TestTimerFollowsAClusterThatBecomesFast has an old request go unanswered, and many that
// were sent when answers took long be answered at once, but for one.
func TestTimerFollowsAClusterThatBecomesFast(t *testing.T) {
	steps := []step{{"slow", 0}, {"submit", 0}, {"fire", 0}, {"fire", 0}, {"fire", 0}, {"doze", 0}}
	for range 40 {
		steps = append(steps, step{"submit", 0})
	}
	steps = append(steps, step{"fire", 0})
	for range 39 {
		steps = append(steps, step{"answer newest", 0})
	}
	checkSteps(t, steps)
}

// checkSteps looks at the timer after each step.
func checkSteps(t *testing.T, steps []step) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := idleLoop(t)
		defer l.deadline.Stop()
		for n, s := range steps {
			s.take(l)
			l.sweep()
			for i, r := range l.requests {
				late := l.armed.Sub(l.dueAt(i))
				if r.open > 0 && (l.armed.IsZero() || late > testRetransmit && time.Until(l.armed) > testRetransmit) {
					t.Fatalf("step %d, %v: the timer is set to %s after request %d of %d is due", n, s, late, i, len(l.requests))
				}
			}
		}
	})
}

// step is something that happens to a client.
type step struct {
	what string
	how  int
}

func (s step) take(l *clientLoop) {
	switch s.what {
	case "submit":
		var calls []*call
		for range 1 + s.how%3 {
			calls = append(calls, &call{op: []byte("op"), done: make(chan answer, 1)})
		}
		if l.window.admits(len(calls), 0) {
			l.sendCalls(calls)
		}
	case "slow":
		l.pace.add(patienceMax * l.cfg.retransmit)
	case "answer":
		if len(l.requests) > 0 {
			answered(l, l.requests[s.how%len(l.requests)])
		}
	case "answer newest":
		<-time.After(time.Millisecond)
		for _, r := range slices.Backward(l.requests) {
			if r.open > 0 {
				answered(l, r)
				break
			}
		}
	case "wait":
		<-time.After(time.Duration(s.how) * 30 * time.Microsecond)
	case "doze":
		<-time.After(time.Until(l.armed) - time.Millisecond)
	case "fire":
		<-time.After(max(0, time.Until(l.armed)))
		l.onDeadline(time.Now())
	}
	select {
	case <-l.deadline.C:
		l.onDeadline(time.Now())
	default:
	}
}

// answered has two replicas answer a request.
func answered(l *clientLoop, r *request) {
	for from := range wire.ReplicaID(2) {
		m := &wire.Replies{Client: l.Key(), Session: l.cfg.session, Sender: from}
		for _, o := range r.ops {
			m.Answers = append(m.Answers, wire.Answer{Number: o.number, Seq: 1})
		}
		l.onReplies(m)
	}
}

// idleLoop returns the loop of a client that nobody runs.
func idleLoop(t *testing.T) *clientLoop {
	t.Helper()
	cfg := newFakeCluster(t, 4).config()
	c := &Client{cfg: cfg, transport: sink{}, settled: newSettledThings(len(cfg.keys)), submits: newInbox()}
	l := &clientLoop{
		Client: c, window: newWindow(1), links: make([]link, len(cfg.keys)), views: make([]wire.View, len(cfg.keys)),
		deadline: time.NewTimer(0),
	}
	<-l.deadline.C
	l.onDeadline(time.Now())
	return l
}
