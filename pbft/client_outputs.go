package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// outputsPoll is how long a subscriber waits before it asks again for outputs that there
// were none of.
const outputsPoll = 50 * time.Millisecond

// ErrOutputsGone says that the outputs asked for are so old that replicas keep them no
// more: of all, they keep the last 65,536, or 64 MiB.
var ErrOutputsGone = errors.New("the outputs are kept no more")

// listening is one call that waits for outputs.
type listening struct {
	from  uint64
	frame []byte
	due   time.Time   // to ask again
	asked []time.Time // of each replica: when, if it has not answered since
	said  []*wire.Outputs
	done  chan heard // has room for the one answer
}

// heard is what a listening ends with.
type heard struct {
	outputs []Output
	err     error
}

// Outputs subscribes to what operations emit to the outside world (app.Tx.Emit), from the
// output with number from on; they are numbered from 1. It yields each once f+1 replicas
// say the same, so that a correct one is among them, in order and without gaps, and waits
// for more until ctx ends. Whoever acts on outputs keeps the number of the last one, durably
// and together with what it did, and goes on from the next after a restart: so it acts on
// each exactly once.
//
// The last iteration has an error: that of ctx, ErrOutputsGone, or ErrClosed.
func (c *Client) Outputs(ctx context.Context, from uint64) iter.Seq2[Output, error] {
	return func(yield func(Output, error) bool) {
		for next := min(max(from, 1), wire.NumberMax); ; { // no frame has a higher one
			h := c.listen(ctx, next)
			if h.err != nil {
				yield(Output{}, h.err)
				return
			}
			for _, o := range h.outputs {
				if !yield(o, nil) {
					return
				}
			}
			next += uint64(len(h.outputs))
		}
	}
}

// listen waits for outputs that f+1 replicas say, one at least.
func (c *Client) listen(ctx context.Context, from uint64) heard {
	if err := ctx.Err(); err != nil {
		return heard{err: err}
	}
	w := &listening{
		from: from, frame: wire.Encode(&wire.AskOutputs{From: from}),
		asked: make([]time.Time, len(c.cfg.keys)), said: make([]*wire.Outputs, len(c.cfg.keys)), done: make(chan heard, 1),
	}
	select {
	case c.errands <- errand{listen: w}:
	case <-c.ended:
		return heard{err: c.closed()}
	case <-ctx.Done():
		return heard{err: ctx.Err()}
	}
	select {
	case h := <-w.done:
		return h
	case <-c.ended:
		return heard{err: c.closed()}
	case <-ctx.Done():
	}
	select {
	case c.errands <- errand{unlisten: w}:
	case <-c.ended:
	}
	return heard{err: ctx.Err()}
}

func (l *clientLoop) onListen(w *listening) {
	l.listenings = append(l.listenings, w)
	l.askOutputs(w, time.Now())
}

func (l *clientLoop) onUnlisten(w *listening) {
	l.listenings = slices.DeleteFunc(l.listenings, func(o *listening) bool { return o == w })
}

// askOutputs asks all that can be reached, and sets when to ask again. Who has not answered
// yet has time to: what it answers may be long, and its line slow.
func (l *clientLoop) askOutputs(w *listening, now time.Time) {
	for id, k := range l.links {
		if k.state == linkDown || !w.asked[id].IsZero() && now.Sub(w.asked[id]) < l.cfg.retransmit {
			continue
		}
		if l.transport.Send(wire.ReplicaID(id), w.frame) { //nolint:gosec // one of few replicas
			w.asked[id] = now
		}
	}
	w.due = now.Add(outputsPoll)
	l.expect(w.due)
}

func (l *clientLoop) onListenDeadline(now time.Time) {
	for _, w := range l.listenings {
		if !now.Before(w.due) {
			l.askOutputs(w, now)
		}
		l.expect(w.due)
	}
}

func (l *clientLoop) onOutputs(m *wire.Outputs) {
	for _, w := range slices.Clone(l.listenings) {
		if w.from != m.From {
			continue
		}
		w.said[m.Sender], w.asked[m.Sender] = m, time.Time{}
		if h, ok := w.heard(l.cfg.quorum); ok {
			l.onUnlisten(w)
			w.done <- h
		}
	}
}

// heard returns what f+1 replicas agree on, if that is anything, and that it is gone if so
// many say so that no f+1 are left who might: some correct ones may be ahead of others.
func (w *listening) heard(q core.Quorum) (h heard, ok bool) {
	for i := 0; ; i++ {
		one := w.agreed(i, q.Weak())
		if one == nil {
			break
		}
		h.outputs = append(h.outputs, Output{
			Number: w.from + uint64(i), Seq: one.Seq, Payload: bytes.Clone(one.Payload), //nolint:gosec // not negative
		})
	}
	if len(h.outputs) > 0 {
		return h, true
	}
	var kept []uint64
	for _, m := range w.said {
		if m != nil && m.Kept > w.from {
			kept = append(kept, m.Kept)
		}
	}
	if len(w.said)-len(kept) >= q.Weak() {
		return heard{}, false
	}
	slices.Sort(kept)
	return heard{err: fmt.Errorf("%w: output %d, where f+1 replicas have %d and later ones",
		ErrOutputsGone, w.from, kept[len(kept)-q.Weak()])}, true
}

// agreed returns the i-th output asked for, if weak replicas say the same.
func (w *listening) agreed(i, weak int) *wire.Emitted {
	for at, m := range w.said {
		if len(w.said)-at < weak {
			return nil
		}
		if m == nil || i >= len(m.Emitted) {
			continue
		}
		one, same := &m.Emitted[i], 0
		for _, other := range w.said[at:] {
			if other != nil && i < len(other.Emitted) && other.Emitted[i].Seq == one.Seq &&
				bytes.Equal(other.Emitted[i].Payload, one.Payload) {
				same++
			}
		}
		if same >= weak {
			return one
		}
	}
	return nil
}
