package pbft

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/app"
)

// TestLocalClusterServesManyClients: all of them come from one address.
func TestLocalClusterServesManyClients(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Dir: t.TempDir()}, echo{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 66 {
		c, err := l.Client(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer closeClient(t, c)
		wg.Go(func() {
			if _, err := c.Submit(ctx, []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// longAnswers answers everything at length.
type longAnswers struct{}

// Execute answers.
func (longAnswers) Execute(*app.Tx, []byte) []byte { return make([]byte, 250<<10) }

// TestLongAnswersAllArrive over real sockets: they are more than a connection has room for
// at once, and the client reads them all. It is neither cut off, nor told the first of
// them again and again.
func TestLongAnswersAllArrive(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Dir: t.TempDir()}, longAnswers{})
	c, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 24 { // 6 MB, of which a connection has room for 4 MiB
		wg.Go(func() {
			if r, err := c.Submit(ctx, []byte("x")); err != nil || len(r.Value) != 250<<10 {
				t.Errorf("got %d bytes, %v", len(r.Value), err)
			}
		})
	}
	wg.Wait()
	for _, r := range l.Replicas() {
		if faults := r.Faults(); len(faults) > 0 {
			t.Errorf("replica %d counts %v", r.ID(), faults)
		}
	}
}
