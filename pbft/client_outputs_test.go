package pbft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/core"
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

// TestOutputsSayWhatIsGoneAndWhereToGoOn has replicas that keep outputs from the fifth on,
// from the sixth, and so on.
func TestOutputsSayWhatIsGoneAndWhereToGoOn(t *testing.T) {
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
		var gone *OutputsGoneError
		if !errors.Is(err, ErrOutputsGone) || !errors.As(err, &gone) || *gone != (OutputsGoneError{Asked: 5, Kept: 7}) {
			t.Fatalf("got %v, want it gone, and the seventh kept", err)
		}
		if want := "output 5, where 7 and later ones are"; !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := subscribe(t.Context(), c, gone.Kept, 14); err != nil {
			t.Errorf("from there on: %v", err)
		}
	})
}

// TestOutputsMayBeGoneAgain has the replica that is ahead of all others answer only the
// second time, when a liar does not any more.
func TestOutputsMayBeGoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		const liar, ahead = 0, 3
		mute, kept := wire.ReplicaID(ahead), []uint64{6, 7, 8, 15}
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			f.mu.Lock()
			defer f.mu.Unlock()
			if to == mute {
				return nil
			}
			return emitted(to, m, kept[to], 20)
		}
		c := f.client()
		defer closeClient(t, c)
		for _, want := range []OutputsGoneError{{Asked: 5, Kept: 7}, {Asked: 7, Kept: 15}} {
			var gone *OutputsGoneError
			if err := subscribe(t.Context(), c, want.Asked, 1); !errors.As(err, &gone) || *gone != want {
				t.Errorf("got %v, want it gone, and %d kept", err, want.Kept)
			}
			f.mu.Lock()
			mute, kept[liar] = wire.ReplicaID(len(f.keys)), 19
			f.mu.Unlock()
		}
	})
}

// TestOutputsThatDifferAreNotWaitedFor has replicas say what is given, where any output is
// asked for.
func TestOutputsThatDifferAreNotWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		say  string // by replica; a blank says that there is none yet
		want error
	}{
		"four different":         {"abcd", ErrOutputsDiffer},
		"three different":        {"abc ", ErrOutputsDiffer}, // so two of them are faulty
		"two of seven each":      {"aabbccd", ErrOutputsDiffer},
		"two different":          {"ab  ", context.DeadlineExceeded},
		"two of seven, and some": {"aabb   ", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, len(c.say))
				f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
					if c.say[to] == ' ' {
						return emitted(to, m, 1, 0)
					}
					said := emitted(to, m, 1, 1)
					said[0].(*wire.Outputs).Emitted[0].Payload = []byte{c.say[to]} //nolint:errcheck,forcetypeassert // it is
					return said
				}
				client := f.client()
				defer closeClient(t, client)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := subscribe(ctx, client, 1, 1); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

// TestOutputsAreTheSubscribersOwn writes to a payload that two subscribers are given.
func TestOutputsAreTheSubscribersOwn(t *testing.T) {
	q, err := core.NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	said := &wire.Outputs{From: 1, Kept: 1, Next: 2, Emitted: []wire.Emitted{{Seq: 1, Payload: []byte("true")}}}
	w := &listening{from: 1, said: []*wire.Outputs{said, said, said, said}}
	one, _ := w.heard(q)
	copy(one.outputs[0].Payload, "lies")
	if other, ok := w.heard(q); !ok || string(other.outputs[0].Payload) != "true" {
		t.Errorf("another subscriber gets %+v, want what replicas said", other)
	}
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

// TestOutputsEndWithTheContextAndTheClient holds, too, that nobody is asked any more then,
// and that who waited in vain hears which replicas could not be reached.
func TestOutputsEndWithTheContextAndTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		var asked atomic.Int64
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			asked.Add(1)
			return emitted(to, m, 1, 0)
		}
		c := f.client()
		f.setDown(2, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := subscribe(ctx, c, 7, 1)
		var unfinished *UnfinishedError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unfinished) || unfinished.Replies != 3 ||
			len(unfinished.Links) != 1 || unfinished.Links[0].Replica != 2 || !errors.Is(unfinished.Links[0].Err, errTestRefused) {
			t.Errorf("got %v, want that of the context, three answers and a replica that cannot be reached", err)
		}
		if want := "output 7: no result yet"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want it to begin with %s", err, want)
		}
		synctest.Wait()
		before := asked.Load()
		<-time.After(10 * time.Second)
		if after := asked.Load(); before == 0 || after != before {
			t.Errorf("asked %d times, and %d times after the end", before, after-before)
		}
		if err := subscribe(ctx, c, 7, 1); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unfinished) {
			t.Errorf("of a context that ended before: got %v", err)
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
