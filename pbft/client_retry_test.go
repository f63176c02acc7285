package pbft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func silent(wire.ReplicaID, wire.Message) []wire.Message { return nil }

// unfinished submits op with a deadline that passes, and returns its identity.
func unfinished(t *testing.T, c *Client, op string) Identity {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Submit(ctx, []byte(op))
	var u *UnfinishedError
	if !errors.As(err, &u) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v, want an UnfinishedError", err)
	}
	return u.Identity
}

func TestRetryWithTheIdentityGetsTheOneResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		id := unfinished(t, c, "x")
		if _, err := c.SubmitWith(t.Context(), id, []byte("y")); !errors.Is(err, ErrIdentity) {
			t.Errorf("another operation with the identity: %v, want ErrIdentity", err)
		}
		f.setAnswer(f.honest)
		for _, id := range []Identity{{Session: id.Session}, {Session: id.Session + 1, Number: 1}} {
			_, err := c.SubmitWith(t.Context(), id, []byte("x"))
			if other := id.Number > 0; !errors.Is(err, ErrIdentity) || strings.Contains(err.Error(), "dial") != other {
				t.Errorf("an identity that is not of this client, %v: %v", id, err)
			}
		}
		got, err := c.SubmitWith(t.Context(), id, []byte("x"))
		if err != nil || got.Identity != id || string(got.Value) != "did x" {
			t.Errorf("retry = %q for %v, %v, want %q for %v", got.Value, got.Identity, err, "did x", id)
		}
		if got := openNumbers(f); len(got) != 1 {
			t.Errorf("numbers %v were used, want one", got)
		}
	})
}

// TestUnfinishedReadHasNoIdentity: whoever retried it by SubmitWith would have it executed
// as what Submit takes.
func TestUnfinishedReadHasNoIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message { return f.honest(to, m)[:1-min(to, 1)] }
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Read(ctx, []byte("x"))
		var u *UnfinishedError
		if !errors.As(err, &u) || u.Identity.Number != 0 || u.Replies != 1 {
			t.Errorf("error = %v of %v, want an UnfinishedError without a number, and with one reply", err, u.Identity)
		}
		f.setAnswer(f.honest)
		got, err := c.Submit(t.Context(), []byte("y"))
		if q := f.last(3); err != nil || got.Identity.Number != 2 || q.Number != 2 || q.Acked != 1 {
			t.Errorf("submit after it: number %v, %v, with acked %d: want the read acknowledged, for nobody can ask for it",
				got.Identity, err, q.Acked)
		}
	})
}

// TestRetryWithoutTimeKeepsTheIdentity: who retries in a loop, with a context that has
// ended by then, is not told that nothing was ever sent.
func TestRetryWithoutTimeKeepsTheIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		id := unfinished(t, c, "x")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 { // either of two ways, by chance
			_, err := c.SubmitWith(ended, id, []byte("x"))
			var u *UnfinishedError
			if !errors.As(err, &u) || u.Identity != id {
				t.Fatalf("error = %v of %v, want an UnfinishedError of %v", err, u.Identity, id)
			}
		}
	})
}

// TestAnsweredNumberIsAnsweredAgain: the replies to what is done are not looked at,
// until it is asked again.
func TestAnsweredNumberIsAnsweredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		first, err := c.Submit(t.Context(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		again, err := c.SubmitWith(ctx, first.Identity, []byte("x"))
		if err != nil || string(again.Value) != string(first.Value) {
			t.Errorf("got %q, %v, want %q", again.Value, err, first.Value)
		}
	})
}

// TestEveryCallerHasItsOwnValue has three calls wait for one operation, and each change
// what it gets.
func TestEveryCallerHasItsOwnValue(t *testing.T) {
	for _, outcome := range []wire.Outcome{wire.OutcomeOK, wire.OutcomePanicked} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			f.answer = silent
			c := f.client()
			defer closeClient(t, c)
			id := unfinished(t, c, "x")
			f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
				all := f.honest(to, m)
				for _, r := range all {
					r.(*wire.Replies).Answers[0].Outcome = outcome //nolint:errcheck,forcetypeassert // it is one
				}
				return all
			})
			results := make(chan Result, 3)
			for range cap(results) {
				go func() {
					got, err := c.SubmitWith(t.Context(), id, []byte("x"))
					var failed *OutcomeError
					if errors.As(err, &failed) {
						got = failed.Result
					}
					results <- got
				}()
			}
			for range cap(results) {
				got := <-results
				if string(got.Value) != "did x" || !slices.IsSorted(got.Signers) {
					t.Errorf("outcome %d: got %q by %v, want %q", outcome, got.Value, got.Signers, "did x")
				}
				// Not clear, whose writes the race detector does not see.
				got.Value[0], got.Signers[0] = '!', wire.ReplicaID(len(f.keys))
			}
		})
	}
}

// TestEveryCallerHasItsOwnRefusal has two operations refused together, for one of which
// three calls wait, and each change what it gets.
func TestEveryCallerHasItsOwnRefusal(t *testing.T) {
	l := idleLoop(t)
	defer l.deadline.Stop()
	calls := make([]*call, 4)
	for i := range calls {
		calls[i] = &call{op: []byte("x"), number: 1, done: make(chan answer, 1)}
	}
	l.sendNew([]*operation{l.window.add(calls[0]), l.window.add(calls[1])})
	for _, w := range calls[2:] {
		l.onRetry(w)
	}
	q := &wire.Request{Client: l.Key(), Session: 7, Number: 1}
	for id := range wire.ReplicaID(2) {
		l.onRefusal(refusal(id, q, wire.RefusalSessionOld))
	}
	for _, w := range calls {
		var refused *RefusedError
		if a := <-w.done; !errors.As(a.err, &refused) || !slices.Equal(refused.Signers, []wire.ReplicaID{0, 1}) {
			t.Fatalf("a call for %d got %v, want a refusal by 0 and 1", w.number, a.err)
		}
		refused.Signers[0] = 3
	}
}

func TestResultThatNobodyWaitedForIsKeptForTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		id := unfinished(t, c, "x")
		f.setAnswer(f.honest)
		<-time.After(time.Minute) // the operation goes on
		f.setAnswer(silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := c.SubmitWith(ctx, id, []byte("x")); err != nil || string(got.Value) != "did x" {
			t.Errorf("retry = %q, %v, want %q", got.Value, err, "did x")
		}
	})
}

// TestFullWindowOfAbandonedOperationsIsKept has every call of a full window end: nothing
// needs their places, so all can be retried.
func TestFullWindowOfAbandonedOperationsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		ids := make([]Identity, core.ClientWindowMax)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() { ids[i] = unfinished(t, c, fmt.Sprint(i)) })
		}
		wg.Wait()
		<-time.After(time.Minute) // the operations go on
		f.setAnswer(f.honest)
		for i, id := range ids {
			got, err := c.SubmitWith(t.Context(), id, fmt.Append(nil, i))
			if want := fmt.Sprintf("did %d", i); err != nil || string(got.Value) != want {
				t.Errorf("retry of %v = %q, %v, want %q", id, got.Value, err, want)
			}
		}
	})
}

// TestNothingIsGivenUpInVain has short operations abandoned, while long ones that are
// waited for take all the room in bytes.
func TestNothingIsGivenUpInVain(t *testing.T) {
	w := newWindow(1)
	short := w.add(&call{op: []byte("x")})
	short.request, short.calls = &request{open: 1}, nil
	for range 2 {
		o := w.add(&call{op: make([]byte, bytesOpenMax/2)})
		o.request = &request{open: 1}
	}
	if w.admits(0, 0) || w.table[short.number] != short {
		t.Error("an operation is given up, and there is no room all the same")
	}
}

// TestAbandonedOperationsDoNotWedgeTheWindow gives up more calls than the window
// holds.
func TestAbandonedOperationsDoNotWedgeTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		first := unfinished(t, c, "first")
		for i := range core.ClientWindowMax {
			unfinished(t, c, fmt.Sprint(i))
		}
		f.setAnswer(f.honest)
		if _, err := c.Submit(t.Context(), []byte("last")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SubmitWith(t.Context(), first, []byte("first")); !errors.Is(err, ErrForgotten) {
			t.Errorf("retry of the oldest = %v, want ErrForgotten", err)
		}
		openNumbers(f)
	})
}

// TestTakenOverSessionMayBeginFarAbove: a process that has ended may not know which
// numbers it used, but of how many.
func TestTakenOverSessionMayBeginFarAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const next = 1 << 40
		f := newFakeCluster(t, 4)
		cfg := f.config()
		cfg.next = next
		c := newClient(cfg, f)
		<-f.running
		defer closeClient(t, c)
		for _, n := range []wire.Number{500, 300, 400} {
			got, err := c.SubmitWith(t.Context(), Identity{7, n}, []byte("x"))
			if q := f.last(0); err != nil || got.Identity.Number != n || q.Acked > 500-core.ClientWindowMax {
				t.Errorf("retry of %d = %v, %v, with acked %d", n, got.Identity, err, q.Acked)
			}
		}
		f.setAnswer(silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.SubmitWith(ctx, Identity{7, 450}, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("retry that is given up: %v", err)
		}
		f.setAnswer(f.honest)
		got, err := c.Submit(t.Context(), []byte("x"))
		if q := f.last(0); err != nil || got.Identity.Number != next || q.Acked != next-1 {
			t.Errorf("first new operation = %v, %v, with acked %d", got.Identity, err, q.Acked)
		}
		openNumbers(f)
	})
}

func TestTakenOverSessionRetriesBeforeItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		cfg := f.config()
		cfg.next = 1000
		c := newClient(cfg, f)
		<-f.running
		defer closeClient(t, c)
		for _, n := range []wire.Number{999, 800, 990} {
			got, err := c.SubmitWith(t.Context(), Identity{7, n}, []byte("x"))
			if err != nil || got.Identity.Number != n {
				t.Errorf("retry of %d = %v, %v", n, got.Identity, err)
			}
		}
		got, err := c.Submit(t.Context(), []byte("x"))
		if err != nil || got.Identity.Number != 1000 {
			t.Errorf("first new operation = %v, %v, want number 1000", got.Identity, err)
		}
		if _, err := c.SubmitWith(t.Context(), Identity{7, 990}, []byte("x")); !errors.Is(err, ErrForgotten) {
			t.Errorf("retry after it = %v, want ErrForgotten", err)
		}
		for _, id := range []Identity{{6, 1000}, {7, 0}, {7, wire.NumberMax}} {
			if _, err := c.SubmitWith(t.Context(), id, []byte("x")); !errors.Is(err, ErrIdentity) {
				t.Errorf("SubmitWith(%v) = %v, want ErrIdentity", id, err)
			}
		}
		openNumbers(f)
	})
}

func TestLinksThatComeUpGetWhatTheyMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.acquainted()
		defer closeClient(t, c)
		f.setAnswer(silent)
		f.setDown(0, true)
		synctest.Wait()
		end := make(chan error, 1)
		go func() { _, err := c.Submit(t.Context(), []byte("x")); end <- err }()
		synctest.Wait()
		if diff := cmp.Diff(f.received(), []int{0, 1, 1, 1}); diff != "" {
			t.Errorf("primary down (-got +want):\n%s", diff)
		}
		f.setDown(0, false)
		synctest.Wait()
		if diff := cmp.Diff(f.received(), []int{1, 1, 1, 1}); diff != "" {
			t.Errorf("primary up again (-got +want):\n%s", diff)
		}
		f.setAnswer(f.honest)
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

func TestUnfinishedTellsWhyReplicasCannotBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		f.setDown(2, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Submit(ctx, []byte("x"))
		checkLinks(t, err, map[wire.ReplicaID]error{2: errTestRefused})
	})
}

func TestUnfinishedNamesReplicasThatAreNotConnectedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := newClient(f.config(), f)
		defer closeClient(t, c)
		<-f.running
		f.link(0, true, nil)
		f.link(1, false, errTestRefused)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Submit(ctx, []byte("x"))
		checkLinks(t, err, map[wire.ReplicaID]error{1: errTestRefused, 2: errNotYet, 3: errNotYet})
	})
}

// TestUnfinishedOfWhatWasNotSentTellsWhyToo fills the window, so that nothing more is sent.
func TestUnfinishedOfWhatWasNotSentTellsWhyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		var waiting sync.WaitGroup
		for range core.ClientWindowMax {
			waiting.Go(func() { _, _ = c.Submit(t.Context(), []byte("x")) })
		}
		synctest.Wait()
		f.setDown(2, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Submit(ctx, []byte("one more"))
		checkLinks(t, err, map[wire.ReplicaID]error{2: errTestRefused})
		if u := new(UnfinishedError); !errors.As(err, &u) || u.Identity.Number != 0 {
			t.Errorf("error = %v, want one of what was not sent: the test tests nothing", err)
		}
		closeClient(t, c)
		waiting.Wait()
		if links := c.broken(); links != nil {
			t.Errorf("a closed client has links %v", links)
		}
	})
}

// checkLinks demands that err is an UnfinishedError with these links, and no others.
func checkLinks(t *testing.T, err error, want map[wire.ReplicaID]error) {
	t.Helper()
	var u *UnfinishedError
	if !errors.As(err, &u) {
		t.Fatalf("error = %v, want an UnfinishedError", err)
	}
	for _, l := range u.Links {
		if !errors.Is(l.Err, want[l.Replica]) || want[l.Replica] == nil {
			t.Errorf("replica %d: %v, want %v", l.Replica, l.Err, want[l.Replica])
		}
	}
	if len(u.Links) != len(want) {
		t.Errorf("links = %v, want %v", u.Links, want)
	}
}

// TestWindowKeepsItsInvariants drives a window as the loop does and checks (C1)
// and (C2) after every step.
func TestWindowKeepsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		far := rapid.SampledFrom([]uint64{0, 0, 1000, 1 << 40}).Draw(t, "far")
		w := newWindow(wire.Number(far + rapid.Uint64Range(1, 600).Draw(t, "next")))
		var sent wire.Number
		send := func(o *operation) {
			o.request = &request{open: 1}
			acked := w.acked()
			if acked < sent {
				t.Fatalf("acked went from %d to %d", sent, acked)
			}
			sent = acked
			if o.number <= acked || o.number > acked+core.ClientWindowMax {
				t.Fatalf("number %d is sent with acked %d", o.number, acked)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(t *rapid.T) {
				if !w.admits(0, 0) {
					return
				}
				before := w.next
				w.makeRoom(0, 0)
				o := w.add(&call{op: []byte("x")})
				if o.number != before {
					t.Fatalf("a new operation has number %d, want %d", o.number, before)
				}
				send(o)
			},
			"retry": func(t *rapid.T) {
				n := wire.Number(rapid.Uint64Range(1, uint64(w.next)+400).Draw(t, "number"))
				if rapid.Bool().Draw(t, "early") {
					n = wire.Number(rapid.Uint64Range(1, 1000).Draw(t, "early number"))
				}
				o, isNew, err := w.retry(&call{op: []byte("x"), number: n})
				if err == nil && isNew {
					send(o)
				}
			},
			"end": func(t *rapid.T) {
				if n, ok := drawOpen(t, w); ok {
					w.drop(w.table[n])
				}
			},
			"leave": func(t *rapid.T) {
				if n, ok := drawOpen(t, w); ok {
					w.table[n].calls = nil
				}
			},
			"": func(t *rapid.T) {
				for n := range w.table {
					if n <= w.sent || n >= w.next {
						t.Fatalf("number %d is open with sent %d and next %d", n, w.sent, w.next)
					}
				}
				if len(w.table) > core.ClientWindowMax {
					t.Fatalf("%d operations are open", len(w.table))
				}
			},
		})
	})
}

func drawOpen(t *rapid.T, w *window) (wire.Number, bool) {
	if len(w.table) == 0 {
		return 0, false
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(w.table))).Draw(t, "open"), true
}
