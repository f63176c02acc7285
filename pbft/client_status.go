package pbft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// statusPatience is how many retransmission timeouts a Status waits for a
// replica that is connected and says nothing.
const statusPatience = 4

// errNoAnswer says that a replica is connected, or being connected to, and did
// not answer in time.
var errNoAnswer = errors.New("no answer in time")

// ReplicaStatus is what one replica says of itself. It is signed, but one
// replica's word: compare several.
type ReplicaStatus struct {
	Replica wire.ReplicaID
	// Report is nil if the replica could not be asked; Err tells why.
	Report *wire.Report
	Err    error
}

// asking is one call of Status that waits.
type asking struct {
	nonce   uint64
	frame   []byte
	due     time.Time // to ask again
	until   time.Time // to give up
	reports []*wire.Report
	done    chan []ReplicaStatus // has room for the one answer
}

// Status asks every replica where it stands, and returns what each says, in the
// order of the genesis. It returns when every replica has answered or is known
// to be out of reach, when ctx ends, or after twice the request timeout; replicas that
// did not answer have an Err. The error is ErrClosed or nil.
func (c *Client) Status(ctx context.Context) ([]ReplicaStatus, error) {
	a := &asking{nonce: rand.Uint64(), done: make(chan []ReplicaStatus, 1)}
	a.frame = wire.Encode(&wire.Ask{Nonce: a.nonce})
	a.reports = make([]*wire.Report, len(c.cfg.keys))
	select {
	case c.errands <- errand{ask: a}:
	case <-c.ended:
		return nil, c.closed()
	}
	select {
	case s := <-a.done:
		return s, nil
	case <-c.ended:
		return nil, c.closed()
	case <-ctx.Done():
	}
	select {
	case c.errands <- errand{unask: a}:
		return <-a.done, nil
	case s := <-a.done:
		return s, nil
	case <-c.ended:
		return nil, c.closed()
	}
}

func (l *clientLoop) onAsk(a *asking) {
	now := time.Now()
	a.due, a.until = now.Add(l.cfg.retransmit), now.Add(statusPatience*l.cfg.retransmit)
	l.askings = append(l.askings, a)
	l.expect(a.due)
	l.ask(a)
	l.maybeFinishAsk(a)
}

// ask sends a question to those who have not answered. What waits for a replica that
// cannot be reached would pile up, and all be asked at once when it is back.
func (l *clientLoop) ask(a *asking) {
	for id, r := range a.reports {
		if r == nil && l.links[id].state != linkDown {
			l.transport.Send(wire.ReplicaID(id), a.frame) //nolint:gosec // one of few replicas
		}
	}
}

func (l *clientLoop) onReport(m *wire.Report) {
	l.learnView(m.Sender, m.View)
	for _, a := range slices.Clone(l.askings) {
		if a.nonce == m.Nonce && a.reports[m.Sender] == nil {
			a.reports[m.Sender] = m
			l.maybeFinishAsk(a)
		}
	}
}

func (l *clientLoop) onAskLink(peer wire.ReplicaID, was, is linkState) {
	for _, a := range slices.Clone(l.askings) {
		if was == linkDown && is == linkUp {
			l.transport.Send(peer, a.frame)
		}
		l.maybeFinishAsk(a)
	}
}

func (l *clientLoop) onAskDeadline(now time.Time) {
	for _, a := range slices.Clone(l.askings) {
		if !now.Before(a.until) {
			l.finishAsk(a)
			continue
		}
		if !now.Before(a.due) {
			a.due = now.Add(l.cfg.retransmit)
			l.ask(a)
		}
		l.expect(a.due)
	}
}

// maybeFinishAsk ends a question if there is nothing to wait for.
func (l *clientLoop) maybeFinishAsk(a *asking) {
	for id, r := range a.reports {
		if r == nil && l.links[id].state != linkDown {
			return
		}
	}
	l.finishAsk(a)
}

// finishAsk ends a question with what there is.
func (l *clientLoop) finishAsk(a *asking) {
	i := slices.Index(l.askings, a)
	if i < 0 {
		return
	}
	l.askings = slices.Delete(l.askings, i, i+1)
	status := make([]ReplicaStatus, len(a.reports))
	for id, r := range a.reports {
		status[id] = ReplicaStatus{Replica: wire.ReplicaID(id), Report: r} //nolint:gosec // one of few replicas
		if r == nil {
			status[id].Err = l.silence(id)
		}
	}
	a.done <- status
}

// silence tells why a replica has not answered.
func (l *clientLoop) silence(id int) error {
	if k := l.links[id]; k.state == linkDown && k.err != nil {
		return fmt.Errorf("cannot be reached: %w", k.err)
	}
	return errNoAnswer
}
