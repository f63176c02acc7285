package pbft

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/quorate/quorate/app/kv"
)

// TestQueriesSeeWhatWasWritten has writers and readers of one key, a replica that ends among
// them, and a second client: no read is older than what anyone had the result of before it
// began, and most of them do not go through the order.
func TestQueriesSeeWhatWasWritten(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Dir: t.TempDir()}, kv.Machine{})
	var clients []*Client
	for range 2 {
		c, err := l.Client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer closeClient(t, c)
		clients = append(clients, c)
	}
	const writes, readers = 60, 4
	var mu sync.Mutex
	known, fast := 0, 0 // the last value that is known to be there, and reads outside of the order
	written := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(written)
		for i := 1; i <= writes; i++ {
			if i == writes/2 {
				if err := l.Replicas()[0].Close(); err != nil { // the primary
					t.Error(err)
				}
			}
			if _, err := clients[0].Submit(t.Context(), kv.Put("key", fmt.Appendf(nil, "%08d", i))); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			known = max(known, i)
			mu.Unlock()
		}
	})
	for range readers {
		all.Go(func() {
			for done := false; !done; {
				select {
				case <-written:
					done = true // and once more
				default:
				}
				mu.Lock()
				least := known
				mu.Unlock()
				got, err := clients[1].Query(t.Context(), kv.Get("key"))
				if err != nil {
					t.Error(err)
					return
				}
				result, err := kv.ParseResult(got.Value)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(result.Value)) // 0 while there is none
				mu.Lock()
				if n < least {
					t.Errorf("read %d, when %d was there already", n, least)
				}
				known = max(known, n)
				if got.Seq == 0 {
					fast++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if fast == 0 {
		t.Error("no read was answered outside of the order")
	}
	t.Logf("%d reads outside of the order", fast)
}
