package pbft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// emitted returns what a correct replica says that keeps the outputs kept to last.
func emitted(to wire.ReplicaID, m wire.Message, kept, last uint64) []wire.Message {
	ask, is := m.(*wire.AskOutputs)
	if !is {
		return nil
	}
	out := &wire.Outputs{From: ask.From, Kept: kept, Next: last + 1, Sender: to}
	for n := max(ask.From, kept); ask.From >= kept && n <= last && len(out.Emitted) < 3; n++ {
		out.Emitted = append(out.Emitted, wire.Emitted{Seq: wire.Seq(n), Payload: fmt.Appendf(nil, "output %d", n)})
	}
	return []wire.Message{out}
}

// subscribe takes so many outputs from one on, and checks that they are the true ones.
func subscribe(ctx context.Context, c *Client, from, count uint64) error {
	next := from
	for o, err := range c.Outputs(ctx, from) {
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("output %d", next); o.Number != next || uint64(o.Seq) != next || string(o.Payload) != want {
			return fmt.Errorf("got output %d of batch %d, %q, want %q", o.Number, o.Seq, o.Payload, want)
		}
		if next++; next == from+count {
			return nil
		}
	}
	return errors.New("the iteration ended without an error")
}

// TestOneLiarForgesNoOutput has the first replica say other things, in every way that
// the format allows, and one of the others silent.
func TestOneLiarForgesNoOutput(t *testing.T) {
	for name, lie := range map[string]func(*wire.Outputs){
		"another payload": func(m *wire.Outputs) {
			for i := range m.Emitted {
				m.Emitted[i].Payload = []byte("forged")
			}
		},
		"another batch": func(m *wire.Outputs) {
			for i := range m.Emitted {
				m.Emitted[i].Seq++
			}
		},
		"none left":     func(m *wire.Outputs) { m.Kept, m.Next, m.Emitted = 1000, 1000, nil },
		"none yet":      func(m *wire.Outputs) { m.Kept, m.Next, m.Emitted = 1, 1, nil },
		"as another":    func(m *wire.Outputs) { m.Sender = 1 },
		"other numbers": func(m *wire.Outputs) { m.From++; m.Next += 10 },
		"more than there are": func(m *wire.Outputs) {
			for len(m.Emitted) < 5 {
				m.Emitted = append(m.Emitted, wire.Emitted{Seq: 99, Payload: []byte("forged")})
			}
			m.Next = m.From + 10
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
					said := emitted(to, m, 1, 10)
					if to == 3 {
						return nil
					}
					if to == 0 {
						lie(said[0].(*wire.Outputs)) //nolint:errcheck,forcetypeassert // it is
					}
					return said
				}
				c := f.client()
				defer closeClient(t, c)
				if err := subscribe(t.Context(), c, 1, 10); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOutputsWaitForThoseToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		began := time.Now()
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			since := time.Since(began)
			if to%2 == 1 { // two of four are a second behind
				since -= time.Second
			}
			return emitted(to, m, 1, uint64(max(0, since/time.Second))) //nolint:gosec // not negative
		}
		c := f.client()
		defer closeClient(t, c)
		if err := subscribe(t.Context(), c, 1, 5); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 5*time.Second+2*outputsPoll {
			t.Errorf("the fifth output came after %v, want 5 s: two replicas had it then", took)
		}
	})
}

func TestOutputsSayWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		asked := make([]int, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			f.mu.Lock()
			defer f.mu.Unlock()
			if asked[to]++; to < 2 && asked[to] == 1 {
				return nil // who still has it answers last
			}
			return emitted(to, m, uint64(to)+5, 20)
		}
		c := f.client()
		defer closeClient(t, c)
		if err := subscribe(t.Context(), c, 6, 15); err != nil { // two have it
			t.Error(err)
		}
		err := subscribe(t.Context(), c, 5, 16)
		if want := "output 5, where f+1 replicas have"; !errors.Is(err, ErrOutputsGone) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// TestOutputsThatNeverCanBeAreWaitedFor asks for a number that no frame has.
func TestOutputsThatNeverCanBeAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4) // complains of bad frames, for which replicas would cut the client off
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message { return emitted(to, m, 1, 3) }
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := subscribe(ctx, c, math.MaxUint64, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that of the context", err)
		}
	})
}

func TestOutputsEndWithTheContextAndTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message { return emitted(to, m, 1, 0) }
		c := f.client()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := subscribe(ctx, c, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that of the context", err)
		}
		ended := make(chan error)
		go func() { ended <- subscribe(t.Context(), c, 1, 1) }()
		synctest.Wait()
		closeClient(t, c)
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// TestSubscribersAskWhoIsSlowSeldom holds that a replica which does not answer is asked
// again after the time for retransmission, not with every poll.
func TestSubscribersAskWhoIsSlowSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		asked := make([]int, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			f.mu.Lock()
			asked[to]++
			f.mu.Unlock()
			if to == 3 {
				return nil
			}
			return emitted(to, m, 1, 0)
		}
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = subscribe(ctx, c, 1, 1)
		f.mu.Lock()
		defer f.mu.Unlock()
		if asked[0] < 190 || asked[0] > 201 || asked[3] > 21 {
			t.Errorf("asked %v times in 10 s, want some 200 each, and 20 who says nothing", asked)
		}
	})
}
