package pbft

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// TestARefusalWaitsForNoTimeout: once the primary refuses, the others are asked, and who shares a
// request with what is invalid has its answer as soon.
func TestARefusalWaitsForNoTimeout(t *testing.T) {
	for _, why := range []wire.RefusalReason{wire.RefusalInvalid, wire.RefusalSessionOld} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
				q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
				<-time.After(time.Millisecond)
				for _, op := range q.Ops {
					if string(op) == "bad" {
						return []wire.Message{refusal(to, q, why)}
					}
				}
				return f.honest(to, m)
			}
			c := f.acquainted()
			defer closeClient(t, c)
			before, asked := time.Now(), f.received()[0]
			_, err := c.Submit(t.Context(), []byte("bad"))
			if took := time.Since(before); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrSessionOld) || took > 10*time.Millisecond {
				t.Errorf("reason %d: got %v after %v", why, err, took)
			}
			if n := f.received()[0] - asked; n != 1 {
				t.Errorf("reason %d: the primary was asked %d times", why, n)
			}
		})
	}
}

// TestWhoWasNotAskedRefusesNothing: a backup that refuses what only the primary was asked does
// not have it sent to all, nor does one reason that passes.
func TestWhoWasNotAskedRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		var quiet atomic.Bool
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
			if !quiet.Load() {
				return f.honest(to, m)
			}
			f.say(3, refusal(3, q, wire.RefusalInvalid))
			return []wire.Message{refusal(to, q, wire.RefusalOverload)}
		}
		c := f.acquainted()
		defer closeClient(t, c)
		quiet.Store(true)
		before := f.received()
		ctx, cancel := context.WithTimeout(t.Context(), testRetransmit/2)
		defer cancel()
		if _, err := c.Submit(ctx, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if after := f.received(); after[0] != before[0]+1 || after[1]+after[2]+after[3] != before[1]+before[2]+before[3] {
			t.Errorf("asked %v, before %v, want the primary alone", after, before)
		}
	})
}

// TestRepliesThatDifferAreTold: as of an application that is not deterministic. No more is said of
// what f liars can do.
func TestRepliesThatDifferAreTold(t *testing.T) {
	for name, one := range map[string]struct {
		values [4]string // of the replicas; empty: none
		want   bool
	}{
		"all differ":             {[4]string{"a", "b", "c", "d"}, true},
		"three of three":         {[4]string{"a", "b", "c", ""}, true},
		"a liar and a slow one":  {[4]string{"a", "b", "", ""}, false},
		"nobody replies":         {[4]string{}, false},
		"one replies":            {[4]string{"a"}, false},
		"the last one differs":   {[4]string{"", "", "", "d"}, false},
		"three of four, one not": {[4]string{"", "b", "c", "d"}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
				q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
				if one.values[to] == "" {
					return nil
				}
				r := f.reply(to, q, 0)
				r.Answers[0].Result = []byte(one.values[to])
				return []wire.Message{r}
			}
			c := f.client()
			defer closeClient(t, c)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Submit(ctx, []byte("x"))
			var u *UnfinishedError
			if !errors.As(err, &u) || u.Divided != one.want || strings.Contains(err.Error(), "deterministic") != one.want {
				t.Errorf("%s: got %v, divided is to be %v", name, err, one.want)
			}
		})
	}
}

// TestAClosedClusterHasNoClients: nothing would ever answer one.
func TestAClosedClusterHasNoClients(t *testing.T) {
	l, err := StartLocalWith(t.Context(), LocalConfig{Replicas: 4, Memory: true, Dir: t.TempDir()}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Client(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, %v", c, err)
	}
}

// TestNextNeedsItsSession.
func TestNextNeedsItsSession(t *testing.T) {
	if err := (DialConfig{Next: 7}).inBounds(8); !errors.Is(err, ErrConfig) {
		t.Errorf("got %v", err)
	}
	if err := (DialConfig{Next: 7, Session: 1}).inBounds(8); err != nil {
		t.Errorf("got %v", fmt.Errorf("with its session: %w", err))
	}
}
