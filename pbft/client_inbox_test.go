package pbft

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueKeepsTheOrderOfCalls has calls come, leave and be taken at random, and compares
// with a plain list. When one leaves, no more that have left are kept than wait.
func TestQueueKeepsTheOrderOfCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := newInbox()
		var q queue
		var coming, waiting, gone []*call
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "calls") {
					w := &call{}
					if !from.put(w) {
						t.Fatal("an open inbox refused a call")
					}
					coming = append(coming, w)
				}
			},
			"fill": func(*rapid.T) {
				q.fill(from)
				waiting, coming = append(waiting, coming...), nil
			},
			"take": func(t *rapid.T) {
				var want *call
				if len(waiting) > 0 {
					want, waiting = waiting[0], waiting[1:]
					gone = append(gone, want)
				}
				if got := q.take(); got != want {
					t.Fatalf("took %p, want %p", got, want)
				}
			},
			"leave": func(t *rapid.T) {
				for len(waiting) > 0 && rapid.Bool().Draw(t, "another") {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
					if !q.leave(waiting[i]) {
						t.Fatalf("call %d of %d was not found", i, len(waiting))
					}
					gone = append(gone, waiting[i])
					waiting = slices.Delete(waiting, i, i+1)
					if 2*q.left > len(q.calls)-q.next {
						t.Fatalf("%d calls that left are kept beside %d that wait", q.left, q.length())
					}
				}
			},
			"leave again": func(t *rapid.T) {
				if len(gone) > 0 && q.leave(rapid.SampledFrom(gone).Draw(t, "which")) {
					t.Fatal("a call that was gone left")
				}
			},
			"": func(t *rapid.T) {
				if got := q.length(); got != len(waiting) {
					t.Fatalf("%d calls wait, want %d", got, len(waiting))
				}
			},
		})
	})
}

// TestInboxTellsTheLoopOnce has calls come before the loop looks: it is told of them by one
// word, and is told anew after it looked.
func TestInboxTellsTheLoopOnce(t *testing.T) {
	b := newInbox()
	for range 2 {
		for range 3 {
			b.put(&call{})
		}
		if got := len(b.filled); got != 1 {
			t.Fatalf("%d words wait for the loop, want 1", got)
		}
		<-b.filled
		if got := len(b.empty(nil)); got != 3 {
			t.Fatalf("the loop got %d calls, want 3", got)
		}
	}
	b.close()
	if b.put(&call{}) || len(b.filled) != 0 || len(b.empty(nil)) != 0 {
		t.Fatal("a closed inbox took a call")
	}
}
