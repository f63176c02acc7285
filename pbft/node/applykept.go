package node

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// held is what an Applier knows of one client. Most results come and go between two
// checkpoints, for clients acknowledge them with what they submit next: those never
// reach the state, and a checkpoint writes the rest.
type held struct {
	client  core.ClientState
	changed bool // since the last checkpoint
	// fresh are the results that the state does not have, in the order of execution,
	// and stored the operations whose results it has. All are of client's session and
	// above its low watermark.
	fresh  []freshResult
	stored []wire.Number
	bytes  int // of the fresh results
}

type freshResult struct {
	number wire.Number
	record record
}

// newHeld returns what the state holds of a client: it has a result for everything
// that is executed and not acknowledged.
func newHeld(s core.ClientState) *held {
	h := &held{client: s}
	for w, word := range s.Done {
		for ; word != 0; word &= word - 1 {
			n := s.Low + 1 + wire.Number(64*w+bits.TrailingZeros64(word)) //nolint:gosec // small numbers
			h.stored = append(h.stored, n)
		}
	}
	return h
}

// find returns a result that the state does not have.
func (h *held) find(id resultID) (record, bool) {
	if h.client.Session != id.Session {
		return record{}, false
	}
	for i := range h.fresh {
		if h.fresh[i].number == id.Number {
			return h.fresh[i].record, true
		}
	}
	return record{}, false
}

// note says that a client is to be written by the next checkpoint.
func (a *Applier) note(h *held) {
	if !h.changed {
		h.changed = true
		a.changed = append(a.changed, h.client.Client)
	}
}

// evict forgets the clients that the full table gave up, with their results.
func (a *Applier) evict(evicted []wire.ClientID) error {
	for _, id := range evicted {
		h := a.clients[id]
		if h == nil {
			continue
		}
		if err := a.drop(h, func(wire.Number) bool { return true }); err != nil {
			return err
		}
		delete(a.clients, id)
		if err := a.state.Delete(clientKey(id)); err != nil {
			return fmt.Errorf("client %x: %w", id[:4], err)
		}
	}
	return nil
}

// client takes the new state of a client, and drops the results of earlier batches
// that it needs no more: of an older session, and what is acknowledged.
func (a *Applier) client(s *core.ClientState) error {
	h := a.clients[s.Client]
	if h == nil {
		h = &held{client: core.ClientState{Client: s.Client}}
		a.clients[s.Client] = h
	}
	if h.client == *s {
		return nil
	}
	if another := h.client.Session != s.Session; another || h.client.Low != s.Low {
		if err := a.drop(h, func(n wire.Number) bool { return another || n <= s.Low }); err != nil {
			return err
		}
	}
	h.client = *s
	a.note(h)
	return nil
}

// drop forgets those results of a client that are gone.
func (a *Applier) drop(h *held, gone func(wire.Number) bool) error {
	h.fresh = slices.DeleteFunc(h.fresh, func(f freshResult) bool {
		if !gone(f.number) {
			return false
		}
		a.unsave(h, -len(f.record.result))
		return true
	})
	left := h.stored[:0]
	for _, n := range h.stored {
		if !gone(n) {
			left = append(left, n)
			continue
		}
		if err := a.state.Delete(resultID{h.client.Client, h.client.Session, n}.key()); err != nil {
			return fmt.Errorf("results of client %x: %w", h.client.Client[:4], err)
		}
	}
	h.stored = left
	return nil
}

// unsave counts bytes of results that the state does not have.
func (a *Applier) unsave(h *held, bytes int) {
	h.bytes += bytes
	a.unsaved += bytes
}

// keep keeps the result of the i-th order's operation if it ran, unless the same
// batch acknowledged it or began a newer session.
func (r *running) keep(i int) {
	o := r.ex.Orders[i]
	h := r.clients[o.Request.Client]
	if !o.Run || h == nil || o.Request.Session != h.client.Session || o.Number() <= h.client.Low {
		return
	}
	h.fresh = append(h.fresh, freshResult{o.Number(), r.kept[i]})
	r.unsave(h, len(r.kept[i].result))
	r.note(h)
}

// write puts what changed since the last checkpoint into the state, which then says
// all that is known at place.
func (a *Applier) write(place *meta) error {
	for _, id := range a.changed {
		h := a.clients[id]
		if h == nil || !h.changed {
			continue // evicted; and perhaps back, and written already
		}
		h.changed = false
		if err := a.state.Put(clientKey(id), encodeClient(&h.client)); err != nil {
			return fmt.Errorf("client %x: %w", id[:4], err)
		}
		for _, f := range h.fresh {
			key := resultID{id, h.client.Session, f.number}.key()
			if err := a.state.Put(key, f.record.encode()); err != nil {
				return fmt.Errorf("results of client %x: %w", id[:4], err)
			}
			h.stored = append(h.stored, f.number)
		}
		clear(h.fresh)
		h.fresh = h.fresh[:0]
		a.unsave(h, -h.bytes)
	}
	a.changed = a.changed[:0]
	return a.state.Put(metaKey(), place.encode())
}
