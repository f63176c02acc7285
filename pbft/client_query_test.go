package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// read returns what a correct replica answers to a query: to each operation, itself.
func read(to wire.ReplicaID, m wire.Message) *wire.Results {
	q, is := m.(*wire.Query)
	if !is {
		return nil
	}
	out := &wire.Results{Client: q.Client, Nonce: q.Nonce, Seq: 7, Sender: to}
	for _, op := range q.Ops {
		out.Results = append(out.Results, wire.QueryResult{Result: append([]byte("read "), op...)})
	}
	return out
}

// readers has replicas answer queries, each changed by lie, and order all else.
func (f *fakeCluster) readers(lie func(to wire.ReplicaID, m *wire.Results) *wire.Results) {
	f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
		out := read(to, m)
		if out == nil {
			return f.honest(to, m)
		}
		if out = lie(to, out); out == nil {
			return nil
		}
		return []wire.Message{out}
	})
}

// ordered returns how many requests replica 0 had.
func (f *fakeCluster) ordered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.requests[0])
}

// TestQueryTakesWhatAQuorumSays has one replica of four lie, in every way that the format
// allows, or be silent, before the others answer: they are enough, and nothing goes through
// the order.
func TestQueryTakesWhatAQuorumSays(t *testing.T) {
	times := func(n int, change func(*wire.Results)) func(*wire.Results) []wire.Message {
		return func(m *wire.Results) []wire.Message {
			change(m)
			return slices.Repeat([]wire.Message{m}, n)
		}
	}
	const slow = time.Millisecond
	for name, lie := range map[string]func(*wire.Results) []wire.Message{
		"honest":                       times(1, func(*wire.Results) {}),
		"silent":                       times(0, func(*wire.Results) {}),
		"none":                         times(1, func(m *wire.Results) { m.Results = nil }),
		"another outcome":              times(3, func(m *wire.Results) { m.Results[0].Outcome = wire.OutcomePanicked }),
		"another result, three times":  times(3, func(m *wire.Results) { m.Results[0].Result = []byte("forged") }),
		"another outcome and the same": times(1, func(m *wire.Results) { m.Results[0].Outcome = wire.OutcomeReadOnly }),
		"another nonce":                times(3, func(m *wire.Results) { m.Nonce++ }),
		"another client":               times(3, func(m *wire.Results) { m.Client[0]++; m.Results[0].Result = []byte("forged") }),
		"a later batch":                times(1, func(m *wire.Results) { m.Seq = wire.NumberMax }),
		"too many":                     times(1, func(m *wire.Results) { m.Results = append(m.Results, m.Results...) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
					out := read(to, m)
					switch {
					case out == nil:
						return f.honest(to, m)
					case to == 0:
						return lie(out)
					}
					<-time.After(slow)
					return []wire.Message{out}
				})
				c := f.client()
				defer closeClient(t, c)
				began := time.Now()
				got, err := c.Query(t.Context(), []byte("it"))
				if err != nil || string(got.Value) != "read it" || got.Outcome != wire.OutcomeOK || len(got.Signers) < 3 ||
					got.Seq != 0 || got.Identity.Number != 0 {
					t.Errorf("got %q of %v at %d, %v, want what three say", got.Value, got.Signers, got.Seq, err)
				}
				if cert := got.Certificate(); len(cert) > 0 {
					t.Errorf("it has a certificate of %d replies, which nobody signed", len(cert))
				}
				if n := f.ordered(); n > 0 || time.Since(began) > slow {
					t.Errorf("%d requests were ordered in %s, want none", n, time.Since(began))
				}
			})
		})
	}
}

// TestQueryWithoutAQuorumGoesThroughTheOrder has fewer than q replicas say the same: as soon
// as no q can any more, or after a time, the order answers.
func TestQueryWithoutAQuorumGoesThroughTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(to wire.ReplicaID, m *wire.Results) *wire.Results
		most time.Duration
	}{
		"two and two": {func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			m.Results[0].Result = fmt.Append(nil, to%2)
			return m
		}, 0},
		"all differ": {func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			m.Results[0].Result = fmt.Append(nil, to)
			return m
		}, 0},
		"to another client": {func(_ wire.ReplicaID, m *wire.Results) *wire.Results { m.Client[0]++; return m }, testRetransmit},
		"nobody now":        {func(_ wire.ReplicaID, m *wire.Results) *wire.Results { m.Results = nil; return m }, 0},
		"two are silent": {func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			if to < 2 {
				return nil
			}
			return m
		}, testRetransmit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.readers(c.lie)
				client := f.client()
				defer closeClient(t, client)
				began := time.Now()
				got, err := client.Query(t.Context(), []byte("it"))
				if err != nil || got.Seq == 0 || got.Identity.Number == 0 || len(got.Certificate()) == 0 {
					t.Errorf("got %+v, %v, want an ordered result", got, err)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %s, want %s", took, c.most)
				}
				for i := range client.settled.queries {
					if n := client.settled.queries[i].Load(); n != 0 {
						t.Errorf("query %d is still open", n)
					}
				}
			})
		})
	}
}

// TestReadersShareSignatures has many read at once: their queries carry several operations
// each, few are open at a time, and none is longer than a request may be.
func TestReadersShareSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		var mu sync.Mutex
		queries, most, operations := map[uint64]bool{}, 0, 0
		f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			mu.Lock()
			if to == 0 && !queries[m.Nonce] {
				queries[m.Nonce], operations, most = true, operations+len(m.Results), max(most, len(m.Results))
			}
			mu.Unlock()
			<-time.After(time.Millisecond)
			return m
		})
		c := f.client()
		defer closeClient(t, c)
		const readers = 300
		var all sync.WaitGroup
		for i := range readers {
			all.Go(func() {
				op := append(fmt.Appendf(nil, "%d.", i), make([]byte, i%3*c.cfg.limits.OpBytesMax/5)...)
				got, err := c.Query(t.Context(), op)
				if err != nil || !bytes.Equal(got.Value, append([]byte("read "), op...)) || got.Seq != 0 {
					t.Errorf("reader %d got %.20q of %d, %v", i, got.Value, got.Seq, err)
				}
			})
		}
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		if operations != readers || len(queries) > readers*4/5 || most < 3 {
			t.Errorf("%d operations in %d queries of up to %d, want many in one", operations, len(queries), most)
		}
	})
}

// TestQueryTellsHowItEnded has the cluster agree on something else than a result, and calls
// end before there is one.
func TestQueryTellsHowItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.readers(func(_ wire.ReplicaID, m *wire.Results) *wire.Results {
			m.Results[0] = wire.QueryResult{Outcome: wire.OutcomeReadOnly, Result: []byte("it writes")}
			return m
		})
		c := f.client()
		var outcome *OutcomeError
		_, err := c.Query(t.Context(), []byte("put"))
		if !errors.As(err, &outcome) || !errors.Is(err, ErrReadOnly) || err.Error() != "query: "+ErrReadOnly.Error()+`: "it writes"` {
			t.Errorf("got %v, want an outcome", err)
		}
		if _, err := c.Query(t.Context(), make([]byte, c.cfg.limits.OpBytesMax+1)); !errors.Is(err, ErrOperation) {
			t.Errorf("of a long one: got %v, want ErrOperation", err)
		}
		f.readers(func(wire.ReplicaID, *wire.Results) *wire.Results { return nil })
		f.link(3, false, errors.New("no route"))
		ctx, cancel := context.WithTimeout(t.Context(), testRetransmit/2)
		defer cancel()
		var unfinished *UnfinishedError
		_, err = c.Query(ctx, []byte("it"))
		if !errors.As(err, &unfinished) || !errors.Is(err, context.DeadlineExceeded) || unfinished.Identity.Number != 0 ||
			len(unfinished.Links) != 1 {
			t.Errorf("got %v, want an UnfinishedError that names a link and nothing to retry", err)
		}
		ended := make(chan error)
		go func() {
			_, err := c.Query(t.Context(), []byte("it"))
			ended <- err
		}()
		synctest.Wait()
		closeClient(t, c)
		if err := <-ended; !errors.As(err, &unfinished) || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want an UnfinishedError, of ErrClosed", err)
		}
		if _, err := c.Query(t.Context(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: got %v, want ErrClosed", err)
		}
	})
}

// long returns the longest operation, of which a query carries one.
func (f *fakeCluster) long() []byte { return make([]byte, f.limits.OpBytesMax) }

// TestQueriesThatAreGivenUpLeaveTheirPlaces has more calls given up than may be under way, in
// any order: each ends, and who asks next is asked for at once.
func TestQueriesThatAreGivenUpLeaveTheirPlaces(t *testing.T) {
	for range 20 {
		synctest.Test(t, givenUp)
	}
}

func givenUp(t *testing.T) {
	t.Helper()
	f := newFakeCluster(t, 4)
	f.readers(func(wire.ReplicaID, *wire.Results) *wire.Results { return nil })
	c := f.client()
	defer closeClient(t, c)
	began := time.Now()
	cancels, errs := make([]context.CancelFunc, queriesOpenMax+1), make(chan error, queriesOpenMax+1)
	for i := range cancels {
		var ctx context.Context
		ctx, cancels[i] = context.WithCancel(t.Context())
		go func() {
			_, err := c.Query(ctx, f.long())
			errs <- err
		}()
	}
	synctest.Wait()
	for n, i := range rand.Perm(len(cancels)) {
		cancels[i]()
		synctest.Wait()
		if len(errs) != n+1 {
			t.Errorf("%d calls ended, %d were given up", len(errs), n+1)
		}
	}
	for range cancels {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was cancelled", err)
		}
	}
	f.readers(func(_ wire.ReplicaID, m *wire.Results) *wire.Results { return m })
	got, err := c.Query(t.Context(), []byte("it"))
	if took := time.Since(began); err != nil || got.Seq != 0 || took > 0 {
		t.Errorf("it took %s, ordered at %d, %v, though all replicas answer at once", took, got.Seq, err)
	}
}

// TestCloseEndsReaders has calls whose queries were sent, one that is the first of the next
// query, and others that nobody took: the place of a query that was given up goes to one that
// waits, and the next one that waits does not fit beside it.
func TestCloseEndsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.readers(func(wire.ReplicaID, *wire.Results) *wire.Results { return nil })
		c := f.client()
		var unfinished atomic.Int64
		var all sync.WaitGroup
		read := func(calls int) {
			for range calls {
				all.Go(func() {
					_, err := c.Query(t.Context(), f.long())
					if !errors.Is(err, ErrClosed) {
						t.Errorf("got %v, want ErrClosed", err)
					}
					if u := new(UnfinishedError); errors.As(err, &u) {
						unfinished.Add(1)
					}
				})
			}
			synctest.Wait()
		}
		ctx, giveUp := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := c.Query(ctx, f.long()); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that it was cancelled", err)
			}
		})
		synctest.Wait() // before the others, or it may be one of them that has no place
		read(queriesOpenMax - 1)
		read(queriesOpenMax)
		giveUp()
		synctest.Wait()
		closeClient(t, c)
		all.Wait()
		if n := unfinished.Load(); n != queriesOpenMax+1 {
			t.Errorf("%d were unfinished, want those that were taken, %d", n, queriesOpenMax+1)
		}
	})
}

// TestQueryAsksWhoCanBeReached has one of four replicas silent, and another one whose link
// comes and goes: while it is down nobody waits for it, and when it is up it is asked.
func TestQueryAsksWhoCanBeReached(t *testing.T) {
	for name, c := range map[string]struct {
		before, goes, comes bool // the link is up when the query is sent; goes down then; comes up then
		ordered             bool
	}{
		"up":                   {before: true},
		"down":                 {ordered: true},
		"goes":                 {before: true, goes: true, ordered: true},
		"comes":                {comes: true},
		"goes and comes again": {before: true, goes: true, comes: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				var asked atomic.Int64
				f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
					switch {
					case to == 0:
						return nil
					case to == 1: // slow, or all would be decided before the link changes
						<-time.After(2 * time.Millisecond)
					case to == 3 && c.goes && asked.Add(1) == 1:
						return nil // lost with the connection
					}
					return m
				})
				client := f.client()
				defer closeClient(t, client)
				f.link(3, c.before, errors.New("no route"))
				synctest.Wait()
				go func() {
					<-time.After(time.Millisecond)
					if c.goes {
						f.link(3, false, errors.New("no route"))
					}
					if c.comes {
						f.link(3, true, nil)
					}
				}()
				began := time.Now()
				got, err := client.Query(t.Context(), []byte("it"))
				if took := time.Since(began); err != nil || (got.Seq != 0) != c.ordered || (took >= testRetransmit) != c.ordered {
					t.Errorf("got one ordered at %d after %s, %v", got.Seq, took, err)
				}
			})
		})
	}
}

// TestQueryDoesNotWaitForWhatWasNotSent has two of four replicas whose queues are full.
func TestQueryDoesNotWaitForWhatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.readers(func(_ wire.ReplicaID, m *wire.Results) *wire.Results { return m })
		c := f.client()
		defer closeClient(t, c)
		synctest.Wait()
		f.mu.Lock()
		f.mu.down[2], f.mu.down[3] = true, true
		f.mu.Unlock()
		began := time.Now()
		got, err := c.Query(t.Context(), []byte("it"))
		if took := time.Since(began); err != nil || got.Seq == 0 || took > 0 {
			t.Errorf("got one ordered at %d after %s, %v, want one that is ordered at once", got.Seq, took, err)
		}
	})
}

// TestQueriesThatWaitInVainEnd has too few replicas answer queries, while the order works: no
// read waits for long, and the next ones not at all.
func TestQueriesThatWaitInVainEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.together = 2
		f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			if to < 2 {
				return nil
			}
			return m
		})
		c := f.client()
		defer closeClient(t, c)
		reads := func() (longest time.Duration) {
			var all sync.WaitGroup
			var mu sync.Mutex
			began := time.Now()
			for range 20 * queriesOpenMax {
				all.Go(func() {
					if _, err := c.query(t.Context(), &call{op: f.long(), readOnly: true, done: make(chan answer, 1)}); !errors.Is(err, errDivided) {
						t.Errorf("got %v, want that the order is asked", err)
					}
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, time.Since(began))
				})
			}
			all.Wait()
			return longest
		}
		if took := reads(); took != testRetransmit {
			t.Errorf("it took %s until the order was asked for all, want %s", took, testRetransmit)
		}
		if took := reads(); took != 0 {
			t.Errorf("it took %s until the order was asked for the next, want no time", took)
		}
		f.readers(func(_ wire.ReplicaID, m *wire.Results) *wire.Results { return m })
		<-time.After(queriesPause * testRetransmit)
		if got, err := c.Query(t.Context(), []byte("it")); err != nil || got.Seq != 0 {
			t.Errorf("after a time: got one ordered at %d, %v", got.Seq, err)
		}
	})
}

// TestLongResultsAreAskedForAgain has more to read than the answer to one query has room for.
func TestLongResultsAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
			<-time.After(time.Duration(1+to) * time.Millisecond)
			m.Results = m.Results[:min(len(m.Results), 5)]
			if to == 0 {
				m.Results = m.Results[:1]
			}
			return m
		})
		c := f.client()
		defer closeClient(t, c)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				op := fmt.Appendf(nil, "%d", i)
				for range 10 {
					got, err := c.Query(t.Context(), op)
					if err != nil || got.Seq != 0 || string(got.Value) != "read "+string(op) {
						t.Errorf("got %q, ordered at %d, %v", got.Value, got.Seq, err)
					}
				}
			})
		}
		all.Wait()
	})
}

// TestQueryWithNoWait has a client that does not wait read and write: what there is no place
// for is refused at once, and reads keep no writes from their places.
func TestQueryWithNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.noWait, f.together = true, 4
		f.readers(func(wire.ReplicaID, *wire.Results) *wire.Results { return nil })
		c := f.client()
		defer closeClient(t, c)
		const calls = 3 * queriesOpenMax * 4
		began := time.Now()
		var refused, answered atomic.Int64
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				switch _, err := c.Query(t.Context(), []byte("it")); {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, ErrOverload) && time.Since(began) == 0:
					refused.Add(1)
				default:
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		}
		synctest.Wait()
		if _, err := c.Submit(t.Context(), []byte("write")); err != nil {
			t.Errorf("a write meanwhile: %v", err)
		}
		all.Wait()
		if a, r := answered.Load(), refused.Load(); a != queriesOpenMax*4 || r != calls-a {
			t.Errorf("%d reads were answered and %d refused, want %d and the others", a, r, queriesOpenMax*4)
		}
		if c.calls.Load() != 0 || c.queries.Load() != 0 {
			t.Errorf("%d calls and %d queries still count", c.calls.Load(), c.queries.Load())
		}
	})
}

// TestRandomReadersAndReplicas has readers and writers ask, in operations of any length, and
// give up, while one replica lies, links go and come, others are slow, silent or have no room,
// and the client may end: every call ends, with what its operation reads or did.
func TestRandomReadersAndReplicas(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { randomReaders(t, seed) })
	}
}

func randomReaders(t *testing.T, seed uint64) {
	t.Helper()
	f := newFakeCluster(t, 4)
	r := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // a test
	var mu sync.Mutex
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	f.together, f.noWait = max(0, draw(12)-7), draw(4) == 0
	f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
		<-time.After(time.Duration(draw(5)) * time.Millisecond)
		switch n := draw(12); {
		case n == 0:
			return nil
		case n == 1:
			m.Results = m.Results[:draw(len(m.Results)+1)]
		case to == 0 && n < 5:
			m.Results[0].Result = []byte("a lie")
		case to == 0 && n < 8:
			for i := range m.Results {
				m.Results[i].Outcome = wire.OutcomePanicked
			}
		}
		return m
	})
	c := f.client()
	stop := make(chan struct{})
	var links, all sync.WaitGroup
	links.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(1+draw(20)) * time.Millisecond):
				f.setDown(wire.ReplicaID(draw(4)), draw(3) == 0) //nolint:gosec // one of four
			}
		}
	})
	for i := range 40 {
		all.Go(func() {
			for j := range 8 {
				length := 0
				if draw(8) == 0 {
					length = draw(f.limits.OpBytesMax / 2)
				}
				randomCall(t, c, draw, append(fmt.Appendf(nil, "%d.%d.", i, j), make([]byte, length)...))
			}
		})
	}
	if seed%2 == 0 {
		<-time.After(time.Duration(draw(60)) * time.Millisecond)
	} else {
		all.Wait()
		for i := range c.settled.queries {
			if n := c.settled.queries[i].Load(); n != 0 {
				t.Errorf("seed %d: query %d is open", seed, n)
			}
		}
	}
	close(stop)
	links.Wait()
	closeClient(t, c)
	all.Wait()
	if c.calls.Load() != 0 || c.queries.Load() != 0 {
		t.Errorf("seed %d: %d calls and %d queries still count", seed, c.calls.Load(), c.queries.Load())
	}
}

func randomCall(t *testing.T, c *Client, draw func(int) int, op []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if draw(4) == 0 {
		time.AfterFunc(time.Duration(draw(8))*time.Millisecond, cancel)
	}
	do := c.Query
	if draw(5) == 0 {
		do = c.Submit
	}
	got, err := do(ctx, op)
	switch want := append([]byte("read "), op...); {
	case err != nil:
		if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrOverload) {
			t.Error(err)
		}
	case got.Seq == 0 && !bytes.Equal(got.Value, want), got.Seq != 0 && !bytes.Equal(got.Value, did(op)):
		t.Errorf("got %.20q, ordered at %d, of %.20q", got.Value, got.Seq, op)
	}
}
