package pbft

import (
	"bytes"
	"cmp"
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

var (
	// ErrOutputsGone says that the outputs asked for are so old that replicas keep them no
	// more: of all, they keep the last 65,536, or 64 MiB. OutputsGoneError tells from where
	// to go on.
	ErrOutputsGone = errors.New("the outputs are kept no more")
	// ErrOutputsDiffer says that more than f replicas say something else of an output than
	// others: so more than f are faulty, or the application is not deterministic, and f+1
	// that say the same would not show what is right.
	ErrOutputsDiffer = errors.New("the outputs of more than f replicas differ")
)

// OutputsGoneError says which output is kept no more, and from where to go on. It is
// ErrOutputsGone.
type OutputsGoneError struct {
	// Asked is the number of the output that was waited for.
	Asked uint64
	// Kept is where to go on: a correct replica kept it when it was asked, and f liars cannot
	// make it later than what some correct one keeps. Others, which did not answer, may be
	// ahead, so that too few keep it: who subscribes from there may be told so again.
	Kept uint64
}

// Error says what is gone, and what is left.
func (e *OutputsGoneError) Error() string {
	return fmt.Sprintf("%v: output %d, where %d and later ones are", ErrOutputsGone, e.Asked, e.Kept)
}

// Unwrap returns ErrOutputsGone.
func (*OutputsGoneError) Unwrap() error { return ErrOutputsGone }

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
// The last iteration has an error, which is one of
//
//   - *UnfinishedError: ctx ended. Its Links tell which replicas could not be reached then,
//     and its Replies how many answered while the next output was waited for. Nothing but a
//     deadline of ctx ends the wait for a cluster that is down: where that matters, ask
//     Status before.
//   - *OutputsGoneError, which is ErrOutputsGone: it came too late, and may go on from Kept.
//   - ErrOutputsDiffer: no f+1 replicas say the same, and will not.
//   - ErrClosed: the client was closed.
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
		return unheard(from, &UnfinishedError{Err: err})
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
		return unheard(from, &UnfinishedError{Err: ctx.Err()})
	}
	select {
	case h := <-w.done:
		return h
	case <-c.ended:
		return heard{err: c.closed()}
	case <-ctx.Done():
	}
	select {
	case c.errands <- errand{unlisten: w, why: ctx.Err()}:
		return <-w.done
	case <-c.ended:
		return heard{err: c.closed()}
	}
}

// unheard is what a listening ends with whose context ended.
func unheard(from uint64, why *UnfinishedError) heard {
	return heard{err: fmt.Errorf("output %d: %w", from, why)}
}

func (l *clientLoop) onListen(w *listening) {
	l.listenings = append(l.listenings, w)
	l.askOutputs(w, time.Now())
}

// onUnlisten ends w, whose context ended, unless it has its answer.
func (l *clientLoop) onUnlisten(w *listening, why error) {
	if slices.Contains(l.listenings, w) {
		l.endListening(w, unheard(w.from, &UnfinishedError{Replies: w.answered(), Links: l.broken(), Err: why}))
	}
}

func (l *clientLoop) endListening(w *listening, h heard) {
	l.listenings = slices.DeleteFunc(l.listenings, func(o *listening) bool { return o == w })
	w.done <- h
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
			l.endListening(w, h)
		}
	}
}

// answered returns how many replicas have answered w.
func (w *listening) answered() int {
	n := 0
	for _, m := range w.said {
		if m != nil {
			n++
		}
	}
	return n
}

// heard returns what f+1 replicas agree on, if that is anything, and that there will be
// nothing if they say so.
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
	if len(h.outputs) == 0 {
		h.err = cmp.Or(w.differing(q), w.gone(q))
	}
	return h, h.err != nil || len(h.outputs) > 0
}

// gone returns an error if so many replicas do not keep the output any more that no f+1 are
// left who might: some correct ones may be ahead of others. At most f of those who say so have
// more than its Kept, so a correct one has that; and f+1 have that or more, so it is no later
// than what a correct one has. Of those who do not answer nothing is known.
func (w *listening) gone(q core.Quorum) error {
	var kept []uint64
	for _, m := range w.said {
		if m != nil && m.Kept > w.from {
			kept = append(kept, m.Kept)
		}
	}
	if len(w.said)-len(kept) >= q.Weak() {
		return nil
	}
	slices.Sort(kept)
	return &OutputsGoneError{Asked: w.from, Kept: kept[len(kept)-q.Weak()]}
}

// differing returns an error if more replicas than may be faulty say another output than most
// do: correct ones say the same, if anything.
func (w *listening) differing(q core.Quorum) error {
	type said struct {
		seq     wire.Seq
		payload string
	}
	say, all, most := make(map[said]int), 0, 0
	for _, m := range w.said {
		if m != nil && len(m.Emitted) > 0 {
			one := said{m.Emitted[0].Seq, string(m.Emitted[0].Payload)}
			say[one]++
			all, most = all+1, max(most, say[one])
		}
	}
	if all-most <= q.Faults() {
		return nil
	}
	return fmt.Errorf("%w: output %d, of which %d replicas say %d different things", ErrOutputsDiffer, w.from, all, len(say))
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
