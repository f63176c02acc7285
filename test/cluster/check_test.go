package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app/kv"
)

// runFake runs a load on f for ten seconds of virtual time and returns the
// check of its history.
func runFake(t *testing.T, f *fake) (Checked, History, error) {
	t.Helper()
	load, err := StartLoad(t.Context(), f.dial, LoadOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(10 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	h := load.Stop(ctx)
	f.instead = nil
	checked, err := CheckHistory(t.Context(), f, h)
	return checked, h, err
}

func TestHistoryOfACorrectStorePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, h, err := runFake(t, newFake())
		if err != nil {
			t.Fatal(err)
		}
		if got.Acknowledged < 4000 || got.Pending != 0 || got.Acknowledged != len(h.Operations) {
			t.Errorf("%d acknowledged and %d pending of %d, want thousands and none", got.Acknowledged, got.Pending, len(h.Operations))
		}
		if got.Present < 500 || got.Once < 1000 || got.Operations < got.Acknowledged || got.Keys < got.Present {
			t.Errorf("the check covers too little: %+v", got)
		}
	})
}

func TestOperationsWithoutAResultMayBeExecutedOrNot(t *testing.T) {
	for name, executed := range map[string]bool{"executed": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.instead = func(n int, op []byte, execute func([]byte) []byte) []byte {
					if n < 2000 || n > 2004 {
						return execute(op)
					}
					if executed {
						execute(op)
					}
					return nil
				}
				got, _, err := runFake(t, f)
				if err != nil || got.Pending != 5 {
					t.Errorf("%d operations are pending, error %v, want 5 and none", got.Pending, err)
				}
			})
		})
	}
}

// TestBrokenStoresAreFound breaks one promise at a time.
func TestBrokenStoresAreFound(t *testing.T) {
	var late []byte
	done := kv.Result{Status: kv.StatusDone}.Encode()
	isKind := func(op []byte, kind kv.Kind, prefix string) bool {
		o, err := kv.Parse(op)
		return err == nil && o.Kind == kind && strings.HasPrefix(o.Key, prefix)
	}
	for name, test := range map[string]struct {
		instead func(n int, op []byte, execute func([]byte) []byte) []byte
		want    string
	}{
		"an acknowledged write is lost": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if n > 1000 && n < 1100 && isKind(op, kv.KindPutIfAbsent, uniquePrefix) {
				return done
			}
			return execute(op)
		}, "is lost"},
		"an operation is executed twice at once": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if n > 1000 && n < 1100 && isKind(op, kv.KindPutIfAbsent, uniquePrefix) {
				execute(op)
			}
			return execute(op)
		}, "twice"},
		"a swap is executed again later": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if isKind(op, kv.KindCompareAndSwap, swapPrefix) && n < 1000 {
				late = op
			}
			got := execute(op)
			if n > 1100 {
				execute(late)
			}
			return got
		}, "twice"},
		"a put is executed again later": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if isKind(op, kv.KindPut, sharedPrefix) && n < 1000 {
				late = op
			}
			got := execute(op)
			if n > 1200 && n%10 == 0 {
				execute(late)
			}
			return got
		}, "not linearizable"},
		"a read is stale": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			got := execute(op)
			if isKind(op, kv.KindGet, sharedPrefix) {
				if n > 1000 && n < 1100 {
					return late
				}
				late = got
			}
			return got
		}, "not linearizable"},
		"a key appears": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if n == 1000 {
				execute(kv.Put("shared/x", []byte("?")))
			}
			return execute(op)
		}, "nobody wrote it"},
		"a result is nonsense": {func(n int, op []byte, execute func([]byte) []byte) []byte {
			if n == 1000 {
				return []byte("?")
			}
			return execute(op)
		}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			late = nil
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.instead = test.instead
				_, _, err := runFake(t, f)
				var violation *Violation
				if !errors.As(err, &violation) || !strings.Contains(violation.What, test.want) {
					t.Errorf("got %v, want a violation that says %q", err, test.want)
				}
			})
		})
	}
}

func TestAwaitTellsWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		load, err := StartLoad(t.Context(), f.dial, LoadOptions{Clients: 2, Rate: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer load.Stop(t.Context())
		if err := load.Await(t.Context(), 30); err != nil || load.Acknowledged() < 30 {
			t.Errorf("%d acknowledged, error %v, want 30", load.Acknowledged(), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := load.Await(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "acknowledged") {
			t.Errorf("error = %v, want the deadline and what was awaited", err)
		}
		o, err := load.AwaitOperation(t.Context(), "a write", func(o Operation) bool { return o.took() })
		if err != nil || !o.took() {
			t.Errorf("got %v, %v, want a write that took place", o, err)
		}
	})
}
