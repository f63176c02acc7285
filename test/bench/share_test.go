package bench

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestGreedyClientHasItsShareOfTheLoad deals out operations.
func TestGreedyClientHasItsShareOfTheLoad(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  []int
	}{
		{0, []int{250, 250, 250, 250}},
		{0.4, []int{400, 200, 200, 200}},
		{0.5, []int{500, 167, 167, 166}},
		{0.97, []int{970, 10, 10, 10}},
	} {
		o, got := Options{Clients: 4, GreedyShare: c.share}, make([]int, 4)
		for i := range int64(1000) {
			got[o.clientOf(i)]++
		}
		for i := range got {
			if d := got[i] - c.want[i]; d < -1 || d > 1 {
				t.Errorf("share %g: got %v, want %v", c.share, got, c.want)
			}
		}
	}
}

func TestJainsIndexIsOneWhereAllHaveAsMuch(t *testing.T) {
	for _, c := range []struct {
		of   []int64
		want float64
	}{
		{[]int64{5, 5, 5, 5}, 1}, {[]int64{8, 0, 0, 0}, 0.25}, {[]int64{0, 0}, 1}, {[]int64{3, 1}, 0.8},
	} {
		if got := jain(c.of); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: got %g, want %g", c.of, got, c.want)
		}
	}
}

// TestSharesTellWhoGotWhat has three clients, each of which the cluster serves one
// operation at a time, 20 ms each: 50 a second. One asks for 80 a second, the others for
// 10 each.
func TestSharesTellWhoGotWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialed atomic.Int32
		r, err := Measure(t.Context(), Options{
			Clients: 3, Outstanding: 1, Rate: 100, NoWait: true, GreedyShare: 0.8, Duration: 10 * time.Second,
			dial: func(context.Context) (Client, error) { dialed.Add(1); return new(narrow), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		s := r.Shares
		if s == nil || s.Greedy == nil || s.Others == nil || dialed.Load() != 3 {
			t.Fatalf("got %+v of %d clients", s, dialed.Load())
		}
		if s.Others.Refused != 0 || s.Others.PerSecond < 19 || s.Others.PerSecond > 20 || s.Fewest < 95 || s.Most > 100 || s.Index < 0.999 {
			t.Errorf("of the others: %+v, %+v; want nothing refused and 10 a second each", s, s.Others)
		}
		if s.Greedy.PerSecond < 35 || s.Greedy.PerSecond > 50 || s.Greedy.Refused < 250 || s.Greedy.Refused != r.Refused {
			t.Errorf("the greedy one: %+v, want some 40 to 50 a second, and the others refused", s.Greedy)
		}
		if near := s.Greedy.P99; near < 19*time.Millisecond || near > 22*time.Millisecond {
			t.Errorf("its p99 is %v, want 20 ms", near)
		}
		if total := s.Greedy.PerSecond + s.Others.PerSecond; math.Abs(total-r.PerSecond) > 0.01 {
			t.Errorf("the portions make %g a second, the result says %g", total, r.PerSecond)
		}
	})
}

func TestSharesOfOneClientAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := stalled(t, Options{Clients: 1, Outstanding: 1}, 0)
		if err != nil || r.Shares != nil {
			t.Errorf("got %+v, %v", r.Shares, err)
		}
		r, err = stalled(t, Options{Clients: 2, Outstanding: 1}, 0)
		if err != nil || r.Shares == nil || r.Shares.Greedy != nil || r.Shares.Fewest < 9000 || r.Shares.Most > 10000 {
			t.Errorf("got %+v, %v; want two that had as much, and none that is greedy", r.Shares, err)
		}
	})
}
