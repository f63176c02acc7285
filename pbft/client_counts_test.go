package pbft

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/wire"
)

// TestClientCountsWhatItSigns has operations wait together, and holds the counts
// and the bound to the requests that the primary received.
func TestClientCountsWhatItSigns(t *testing.T) {
	for _, together := range []int{1, 3, 0} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			cfg := f.config()
			cfg.together = together
			c := newClient(cfg, f)
			defer closeClient(t, c)
			<-f.running
			for id := range f.keys {
				f.link(wire.ReplicaID(id), true, nil)
			}
			f.introduce(c)
			before := c.Counts()
			if want := (ClientCounts{Requests: 1, Operations: 1, Frames: 4}); before != want {
				t.Fatalf("the first request counts %+v, want %+v: it goes to all", before, want)
			}
			const operations = 20
			var wg sync.WaitGroup
			for i := range operations {
				wg.Go(func() {
					if _, err := c.Submit(t.Context(), fmt.Append(nil, i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			got := c.Counts()
			want := before
			f.mu.Lock()
			defer f.mu.Unlock()
			for id, requests := range f.mu.requests {
				want.Frames += int64(len(requests))
				if id != 3 { // the primary of the view that replies tell of
					continue
				}
				signed := map[wire.Number]bool{}
				for _, q := range requests {
					if signed[q.Number] {
						continue // sent again, and not signed again
					}
					signed[q.Number] = true
					want.Requests++
					want.Operations += int64(len(q.Ops))
					if together > 0 && len(q.Ops) > together {
						t.Errorf("a request has %d operations, want at most %d", len(q.Ops), together)
					}
				}
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("together %d: counts (-got +want):\n%s", together, diff)
			}
			if n := want.Operations - before.Operations; n != operations {
				t.Errorf("the primary received %d operations, want %d", n, operations)
			}
		})
	}
}
