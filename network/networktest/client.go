package networktest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// Caller is a running client that remembers what it is called with.
type Caller struct {
	Clients
	stop context.CancelFunc
	done chan error

	mu struct {
		sync.Mutex
		changed chan struct{}
		frames  []Received
		up      map[wire.ReplicaID]bool
		errs    map[wire.ReplicaID][]error
		rubbish error // what is wrong with every frame, if anything
	}
}

// StartClients runs c; it ends with the test, if Stop does not end it before.
func StartClients(t *testing.T, c Clients) *Caller {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &Caller{Clients: c, stop: cancel, done: make(chan error, 1)}
	r.mu.changed = make(chan struct{})
	r.mu.up = make(map[wire.ReplicaID]bool)
	r.mu.errs = make(map[wire.ReplicaID][]error)
	go func() { r.done <- c.Run(ctx, r.onFrame, r.onLink) }()
	t.Cleanup(func() { r.Stop(t) })
	return r
}

// Stop ends the client and waits until it has ended.
func (r *Caller) Stop(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err, ok := <-r.done:
		if ok && err != nil {
			t.Errorf("client: Run: %v", err)
		}
		if ok {
			close(r.done)
		}
	case <-time.After(patience):
		t.Errorf("client: Run has not returned %s after its context ended", patience)
	}
}

func (r *Caller) onFrame(from wire.ReplicaID, frame []byte) error {
	var rubbish error
	r.change(func() {
		r.mu.frames = append(r.mu.frames, Received{From: from, Frame: frame})
		rubbish = r.mu.rubbish
	})
	return rubbish
}

// Refuse says what is wrong with every frame from now on; nil means nothing.
func (r *Caller) Refuse(rubbish error) { r.change(func() { r.mu.rubbish = rubbish }) }

func (r *Caller) onLink(peer wire.ReplicaID, up bool, err error) {
	r.change(func() {
		r.mu.up[peer] = up
		if err != nil {
			r.mu.errs[peer] = append(r.mu.errs[peer], err)
		}
	})
}

func (r *Caller) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}

// Await waits until ok, which is called with r locked, holds.
func (r *Caller) Await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		holds, changed := ok(), r.mu.changed
		r.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("client: waited %s in vain: %s", patience, what)
		}
	}
}

// AwaitLink waits until the connection to peer is up, or down.
func (r *Caller) AwaitLink(t *testing.T, peer wire.ReplicaID, up bool) {
	t.Helper()
	r.Await(t, fmt.Sprintf("connection to %d up=%t", peer, up), func() bool { return r.mu.up[peer] == up })
}

// AwaitError waits until the connection to peer could not be made, or broke, for such a
// reason, and returns the first one that is. The attempt that follows at once may have
// failed for another one meanwhile.
func (r *Caller) AwaitError(t *testing.T, peer wire.ReplicaID, is func(error) bool) (found error) {
	t.Helper()
	r.Await(t, fmt.Sprintf("error of the connection to %d", peer), func() bool {
		i := slices.IndexFunc(r.mu.errs[peer], is)
		if i < 0 {
			return false
		}
		found = r.mu.errs[peer][i]
		return true
	})
	return found
}

// AwaitFrames waits for so many frames, and returns all there are.
func (r *Caller) AwaitFrames(t *testing.T, count int) []Received {
	t.Helper()
	r.Await(t, fmt.Sprintf("%d frames", count), func() bool { return len(r.mu.frames) >= count })
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Received(nil), r.mu.frames...)
}
