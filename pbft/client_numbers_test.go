package pbft

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// TestNumberFarAboveHoldsUpNothing: who dials with the session of an earlier process alone,
// and retries what that one left, skips all numbers that it used.
func TestNumberFarAboveHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.client()
		defer closeClient(t, c)
		for _, n := range []wire.Number{1 << 60, 1<<60 + 1<<59} {
			got, err := c.SubmitWith(t.Context(), Identity{7, n}, []byte("x"))
			if q := f.last(0); err != nil || got.Identity.Number != n || q.Acked != n-1 {
				t.Errorf("retry of %d = %v, %v, with acked %d", n, got.Identity, err, q.Acked)
			}
		}
		if _, err := c.SubmitWith(t.Context(), Identity{7, 1 << 59}, []byte("x")); !errors.Is(err, ErrForgotten) {
			t.Errorf("retry of a number that was skipped = %v, want ErrForgotten", err)
		}
		openNumbers(f)
	})
}

// TestSessionWithoutNumbersSaysSo: nothing would ever end the wait for one.
func TestSessionWithoutNumbersSaysSo(t *testing.T) {
	for _, noWait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			f.noWait = noWait
			c := f.client()
			defer closeClient(t, c)
			if _, err := c.SubmitWith(t.Context(), Identity{7, numberMax - 2}, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Submit(t.Context(), []byte("x")); err != nil || got.Identity.Number != numberMax-1 {
				t.Errorf("the last number: got %v, %v", got.Identity, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, submit := range []func(context.Context, []byte) (Result, error){c.Submit, c.Read} {
				if _, err := submit(ctx, []byte("x")); !errors.Is(err, ErrIdentity) {
					t.Errorf("beyond it: got %v, want ErrIdentity", err)
				}
			}
		})
	}
}
