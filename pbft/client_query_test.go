package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
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
// allows, or be silent: the others are enough, and nothing goes through the order.
func TestQueryTakesWhatAQuorumSays(t *testing.T) {
	for name, lie := range map[string]func(*wire.Results) *wire.Results{
		"honest":          func(m *wire.Results) *wire.Results { return m },
		"silent":          func(*wire.Results) *wire.Results { return nil },
		"none":            func(m *wire.Results) *wire.Results { m.Results = nil; return m },
		"another outcome": func(m *wire.Results) *wire.Results { m.Results[0].Outcome = wire.OutcomePanicked; return m },
		"another result":  func(m *wire.Results) *wire.Results { m.Results[0].Result = []byte("forged"); return m },
		"another nonce":   func(m *wire.Results) *wire.Results { m.Nonce++; return m },
		"another client":  func(m *wire.Results) *wire.Results { m.Client[0]++; return m },
		"a later batch":   func(m *wire.Results) *wire.Results { m.Seq = wire.NumberMax; return m },
		"too many":        func(m *wire.Results) *wire.Results { m.Results = append(m.Results, m.Results...); return m },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.readers(func(to wire.ReplicaID, m *wire.Results) *wire.Results {
					if to == 0 {
						return lie(m)
					}
					return m
				})
				c := f.client()
				defer closeClient(t, c)
				began := time.Now()
				got, err := c.Query(t.Context(), []byte("it"))
				if err != nil || string(got.Value) != "read it" || len(got.Signers) < 3 || got.Seq != 0 || got.Identity.Number != 0 {
					t.Errorf("got %q of %v at %d, %v, want what three say", got.Value, got.Signers, got.Seq, err)
				}
				if cert := got.Certificate(); len(cert) > 0 {
					t.Errorf("it has a certificate of %d replies, which nobody signed", len(cert))
				}
				if n := f.ordered(); n > 0 || time.Since(began) > 0 {
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
		"nobody now": {func(_ wire.ReplicaID, m *wire.Results) *wire.Results { m.Results = nil; return m }, 0},
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
		if !errors.As(err, &outcome) || !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "it writes") {
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

// TestQueriesThatAreGivenUpLeaveTheirPlaces has as many calls given up as may be under way:
// who asks next is asked for at once.
func TestQueriesThatAreGivenUpLeaveTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.readers(func(wire.ReplicaID, *wire.Results) *wire.Results { return nil })
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range queriesOpenMax {
			all.Go(func() {
				if _, err := c.Query(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want that it was cancelled", err)
				}
			})
			synctest.Wait()
		}
		cancel()
		all.Wait()
		f.readers(func(_ wire.ReplicaID, m *wire.Results) *wire.Results { return m })
		began := time.Now()
		got, err := c.Query(t.Context(), []byte("it"))
		if took := time.Since(began); err != nil || got.Seq != 0 || took > 0 {
			t.Errorf("it took %s, ordered at %d, %v, though all replicas answer at once", took, got.Seq, err)
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
