package pbft

import (
	"errors"
	"testing"
	"testing/synctest"

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
