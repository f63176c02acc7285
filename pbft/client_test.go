package pbft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func TestSubmitReturnsWhatWeakQuorumSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			if to != 0 { // the primary's request reaches the others
				return nil
			}
			var all []wire.Message
			for _, id := range []wire.ReplicaID{2, 1} {
				for _, r := range f.honest(id, m) {
					f.say(id, r)
				}
			}
			return all
		}
		c := f.client()
		defer closeClient(t, c)
		f.introduce(c)
		got, err := c.Submit(t.Context(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		want := Result{
			Value: []byte("did x"), Client: c.Key(), Identity: Identity{7, 2}, Seq: 12, View: 3, Signers: []wire.ReplicaID{1, 2},
		}
		if diff := cmp.Diff(got, want, cmpopts.IgnoreUnexported(Result{})); diff != "" {
			t.Errorf("result (-got +want):\n%s", diff)
		}
		opener := openerFor(f.domain, c.cfg.keys, f.limits)
		proven, err := verifyCertificate(opener, 2, got.Certificate())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(proven, want, cmpopts.IgnoreUnexported(Result{})); diff != "" {
			t.Errorf("proven (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(proven.Certificate(), got.Certificate()); diff != "" {
			t.Errorf("certificate of what a certificate proved (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(f.received(), []int{1, 0, 0, 0}); diff != "" {
			t.Errorf("requests (-got +want):\n%s", diff)
		}
	})
}

func TestReadIsAReadOnlyRequestInTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		if _, err := c.Read(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if !f.last(0).ReadOnly {
			t.Error("the request is not read-only")
		}
	})
}

// TestSilentPrimaryIsRetransmittedPast is PBFT §4.1: to the primary, and to all
// when no answer comes in time, and again.
func TestSilentPrimaryIsRetransmittedPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.acquainted()
		f.setAnswer(func(wire.ReplicaID, wire.Message) []wire.Message { return nil })
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go c.Submit(ctx, []byte("x")) //nolint:errcheck // its end is not what is tested
		wait := func(d time.Duration) []int {
			<-time.After(d)
			synctest.Wait()
			return f.received()
		}
		if diff := cmp.Diff(wait(testRetransmit/2), []int{1, 0, 0, 0}); diff != "" {
			t.Errorf("before the timeout (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(wait(testRetransmit), []int{2, 1, 1, 1}); diff != "" {
			t.Errorf("after the timeout (-got +want):\n%s", diff)
		}
		if got := wait(20 * testRetransmit); got[3] < 3 || got[3] > 6 {
			t.Errorf("after long: %v, want a few more, ever rarer", got)
		}
	})
}

// TestLoadedClusterIsAskedAgainForTheOldestAlone: what usually takes long is not sent
// again before it has, but for the oldest, so that every replica knows of the client.
func TestLoadedClusterIsAskedAgainForTheOldestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.together = 1
		c := f.acquainted()
		f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
			if to == 0 { // the primary has all of them execute it
				<-time.After(3 * testRetransmit)
				for id := range wire.ReplicaID(4) {
					for _, r := range f.honest(id, m) {
						r.(*wire.Replies).View = 0 //nolint:errcheck,forcetypeassert // it is one
						f.say(id, r)
					}
				}
			}
			return nil
		})
		defer closeClient(t, c)
		burst := func() []int {
			before := f.received()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait() // a request for each
			}
			wg.Wait()
			synctest.Wait()
			sent := f.received()
			for i := range sent {
				sent[i] -= before[i]
			}
			return sent
		}
		if first := burst(); first[3] < 8 {
			t.Errorf("before it knows how slow the cluster is: %v, want all sent to all", first)
		}
		burst()
		if got := burst(); got[0] > 11 || got[3] < 1 || got[3] > 3 {
			t.Errorf("once it knows: %v, want little more than 8 to the primary, and the oldest to all", got)
		}
	})
}

func TestPrimaryIsLearntOnlyFromWeakQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		views := []wire.View{0, 1 << 40, 0, 0}
		f.answer = func(_ wire.ReplicaID, m wire.Message) []wire.Message {
			for id := range wire.ReplicaID(4) {
				r := f.honest(id, m)[0].(*wire.Replies) //nolint:errcheck // it is one
				r.View = views[id]
				f.say(id, r)
			}
			return nil
		}
		c := f.client()
		defer closeClient(t, c)
		submit := func() []int {
			before := f.received()
			if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			after := f.received()
			for i := range after {
				after[i] -= before[i]
			}
			return after
		}
		submit()
		if diff := cmp.Diff(submit(), []int{1, 0, 0, 0}); diff != "" {
			t.Errorf("one liar moved the client (-got +want):\n%s", diff)
		}
		views = []wire.View{0, 1 << 40, 6, 0}
		submit()
		if diff := cmp.Diff(submit(), []int{0, 0, 1, 0}); diff != "" {
			t.Errorf("two replicas in view 6 or more (-got +want):\n%s", diff)
		}
	})
}

func TestAckedFollowsTheResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		for i := range wire.Number(5) {
			if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
			if q := f.last(0); q.Number != i+1 || q.Acked != i {
				t.Errorf("request %d has number %d and acked %d, want %d and %d", i, q.Number, q.Acked, i+1, i)
			}
		}
	})
}

func TestWindowHoldsBackWhatReplicasWouldRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(wire.ReplicaID, wire.Message) []wire.Message { return nil }
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		const calls = core.ClientWindowMax + 50
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				if _, err := c.Submit(ctx, fmt.Append(nil, i)); err != nil {
					t.Errorf("submit %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		if got := openNumbers(f); len(got) != core.ClientWindowMax || !got[1] || !got[core.ClientWindowMax] {
			t.Errorf("%d numbers are out, want exactly 1 to %d", len(got), core.ClientWindowMax)
		}
		f.setAnswer(f.honest)
		wg.Wait()
		if got := openNumbers(f); len(got) != calls {
			t.Errorf("%d numbers were out, want %d", len(got), calls)
		}
	})
}

// TestCallsBeyondTheWindowAreNotSentWhenTheyEnd fills the window, has calls wait beside it,
// and ends some by their contexts and some by Close: none has an identity, and none is sent.
func TestCallsBeyondTheWindowAreNotSentWhenTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		submit := func(ctx context.Context, calls int) chan error {
			ends := make(chan error, calls)
			for range calls {
				go func() { _, err := c.Submit(ctx, []byte("x")); ends <- err }()
			}
			synctest.Wait()
			return ends
		}
		submit(t.Context(), core.ClientWindowMax)
		ctx, cancel := context.WithCancel(t.Context())
		leaving, staying := submit(ctx, 10), submit(t.Context(), 10)
		cancel()
		for range 10 {
			var u *UnfinishedError
			if err := <-leaving; !errors.As(err, &u) || u.Identity.Number != 0 || !errors.Is(err, context.Canceled) {
				t.Errorf("a call that left got %v, want an UnfinishedError without a number that is canceled", err)
			}
		}
		closeClient(t, c)
		for range 10 {
			var u *UnfinishedError
			if err := <-staying; errors.As(err, &u) || !errors.Is(err, ErrClosed) {
				t.Errorf("a call that was not sent got %v, want ErrClosed alone", err)
			}
		}
		if got := openNumbers(f); len(got) != core.ClientWindowMax {
			t.Errorf("%d numbers were out, want %d", len(got), core.ClientWindowMax)
		}
	})
}

// TestClientThatDoesNotWaitIsRefusedAtOnce: beyond its window nothing is sent; what
// f+1 replicas have no room for goes on, and is not waited for.
func TestClientThatDoesNotWaitIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.noWait = true
		c := f.client()
		defer closeClient(t, c)
		f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
			return []wire.Message{refusal(to, m.(*wire.Request), wire.RefusalOverload)} //nolint:errcheck,forcetypeassert // it is one
		})
		start := time.Now()
		_, err := c.Submit(t.Context(), []byte("x"))
		var unfinished *UnfinishedError
		if !errors.Is(err, ErrOverload) || !errors.As(err, &unfinished) || unfinished.Identity.Number != 1 {
			t.Fatalf("refused by the cluster: %v, want an UnfinishedError of number 1 for ErrOverload", err)
		}
		if took := time.Since(start); took > testRetransmit {
			t.Errorf("it took %v", took)
		}
		f.setAnswer(silent)
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range core.ClientWindowMax {
			wg.Go(func() {
				if _, err := c.Submit(ctx, fmt.Append(nil, i)); !errors.Is(err, context.Canceled) {
					t.Errorf("submit %d: %v, want it to wait", i, err)
				}
			})
		}
		synctest.Wait()
		<-time.After(time.Second) // all are under way
		start = time.Now()
		if _, err = c.Submit(t.Context(), []byte("x")); !errors.Is(err, ErrOverload) || errors.As(err, &unfinished) {
			t.Errorf("beyond the window: %v, want ErrOverload alone", err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v, want no time at all", took)
		}
		cancel()
		wg.Wait()
		f.setAnswer(f.honest)
		if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// openNumbers returns the numbers that any replica got, and checks that each
// request keeps to the window that it acknowledges.
func openNumbers(f *fakeCluster) map[wire.Number]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := make(map[wire.Number]bool)
	for _, qs := range f.mu.requests {
		for _, q := range qs {
			for i := range q.Ops {
				n := q.Number + wire.Number(i)
				got[n] = true
				if n <= q.Acked || n > q.Acked+core.ClientWindowMax {
					f.t.Errorf("number %d in a request with acked %d", n, q.Acked)
				}
			}
		}
	}
	return got
}

func TestOperationsThatWaitTogetherAreSignedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				got, err := c.Submit(t.Context(), fmt.Append(nil, i))
				if want := fmt.Sprintf("did %d", i); err != nil || string(got.Value) != want {
					t.Errorf("submit %d = %q, %v, want %q", i, got.Value, err, want)
				}
			})
		}
		wg.Wait()
		if got := openNumbers(f); len(got) != 200 {
			t.Errorf("%d numbers were used, want 200", len(got))
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, q := range f.mu.requests[0] {
			if len(q.Ops) > f.limits.OpsMax {
				t.Errorf("a request has %d operations, want at most %d", len(q.Ops), f.limits.OpsMax)
			}
		}
	})
}

// TestOperationsWaitForCompanyWhileOthersAreUnderWay: what comes while nothing is
// under way is sent at once; what comes later is sent together, after an eighth of the
// time that answers take; writes and reads apart.
func TestOperationsWaitForCompanyWhileOthersAreUnderWay(t *testing.T) {
	const takes, gap = 40 * time.Millisecond, 5 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			<-time.After(takes)
			return f.honest(to, m)
		}
		c := f.client()
		defer closeClient(t, c)
		var wg sync.WaitGroup
		submit := func(do func(context.Context, []byte) (Result, error)) {
			wg.Go(func() {
				if _, err := do(t.Context(), []byte("x")); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		submit(c.Submit)
		wg.Wait() // it knows now how long answers take
		want := func(requests, operations int64) {
			t.Helper()
			synctest.Wait()
			if got := c.Counts(); got.Requests != requests || got.Operations != operations {
				t.Errorf("%d requests with %d operations, want %d with %d", got.Requests, got.Operations, requests, operations)
			}
		}
		submit(c.Submit)
		want(2, 2)
		for range 4 {
			submit(c.Submit)
			submit(c.Read)
			want(2, 2)
			<-time.After(gap / 4)
		}
		want(4, 10)
		wg.Wait()
	})
}

func TestOversizedOperationIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		if _, err := c.Submit(t.Context(), make([]byte, f.limits.OpBytesMax+1)); !errors.Is(err, ErrOperation) {
			t.Errorf("error = %v, want ErrOperation", err)
		}
		if _, err := c.Submit(t.Context(), make([]byte, f.limits.OpBytesMax)); err != nil {
			t.Errorf("the largest operation: %v", err)
		}
	})
}

func TestCloseEndsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(wire.ReplicaID, wire.Message) []wire.Message { return nil }
		c := f.client()
		ends := make(chan error, 2)
		go func() { _, err := c.Submit(t.Context(), []byte("x")); ends <- err }()
		go func() { _, err := c.Status(t.Context()); ends <- err }()
		synctest.Wait()
		closeClient(t, c)
		for range 2 {
			if err := <-ends; !errors.Is(err, ErrClosed) {
				t.Errorf("error = %v, want ErrClosed", err)
			}
		}
		if _, err := c.Submit(t.Context(), []byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("submit after Close = %v, want ErrClosed", err)
		}
		closeClient(t, c)
	})
}

// TestCloseSaysWhatMayStillBeExecuted: what was sent is not undone by closing the client,
// and a later process can ask for its result.
func TestCloseSaysWhatMayStillBeExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		end := make(chan error, 1)
		go func() { _, err := c.Submit(t.Context(), []byte("x")); end <- err }()
		synctest.Wait()
		closeClient(t, c)
		err := <-end
		var u *UnfinishedError
		want := Identity{7, 1}
		if !errors.As(err, &u) || u.Identity != want || !errors.Is(err, ErrClosed) {
			t.Errorf("error = %v, want an UnfinishedError of %v that is ErrClosed", err, want)
		}
		u = nil
		_, err = c.SubmitWith(t.Context(), want, []byte("x"))
		if !errors.As(err, &u) || u.Identity != want || !errors.Is(err, ErrClosed) {
			t.Errorf("retry after Close: %v, want an UnfinishedError of %v that is ErrClosed", err, want)
		}
	})
}

func TestClientEndsWithItsTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(wire.ReplicaID, wire.Message) []wire.Message { return nil }
		c := f.client()
		end := make(chan error, 1)
		go func() { _, err := c.Submit(t.Context(), []byte("x")); end <- err }()
		synctest.Wait()
		f.failure <- errTestRefused
		if err := <-end; !errors.Is(err, ErrClosed) || !errors.Is(err, errTestRefused) {
			t.Errorf("error = %v, want ErrClosed with the reason", err)
		}
		if err := c.Close(); !errors.Is(err, errTestRefused) {
			t.Errorf("Close = %v, want the reason", err)
		}
	})
}
