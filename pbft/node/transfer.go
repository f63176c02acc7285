package node

// A transfer is part of stage apply: its goroutine owns the State. It asks the
// replicas that signed the checkpoint for pieces, several of each at once, and
// gives what comes to the State, which takes only what hashes to a wanted digest.
// A source that lies is left out for the rest of the transfer.

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// askDigestsMax is how many pieces one question names, and asksMax how many
	// questions one source has open: it works at one while the other travels.
	askDigestsMax = 64
	asksMax       = 2
	// wantedMax bounds the pieces asked for and not received.
	wantedMax = 256
	// askPatience is how long a source may send nothing before others are asked.
	askPatience = 2 * time.Second
	// askPause is how long a source that has nothing, or no room, is left alone.
	askPause = 500 * time.Millisecond
	// transferPatience is how long nothing of use may come before the transfer is
	// given up: by then the others may have collected the snapshot, and the core
	// asks for a newer one.
	transferPatience = 20 * time.Second
	// transferPoll is how often deadlines are looked at.
	transferPoll = 50 * time.Millisecond
)

// transfer is a transfer at work. apply's goroutine owns it.
type transfer struct {
	n       *Node
	target  core.Target
	sources []*supplier
	next    int // whom to ask next
	// pending are the digests asked for and not yet answered.
	pending map[crypto.Digest]bool
	// late counts the digests whose answer did not come in time. An honest source
	// sends no more useless pieces than that: those that others sent as well.
	late   int
	useful time.Time // when the last piece of use came
	// bound says that the transfer may not be given up: the content is not what
	// the core left.
	bound bool
}

// supplier is one source of a transfer.
type supplier struct {
	id      wire.ReplicaID
	asks    []question // in the order of sending, which is that of the answers
	useless int        // pieces that were not wanted
	liar    bool
	resume  time.Time // not asked before
}

type question struct {
	digests  []crypto.Digest
	left     int
	deadline time.Time
}

// begin starts or retargets a transfer. No snapshot is being written: it would
// make pieces superfluous that others were asked for.
func (a *applying) begin(now time.Time) error {
	n, target := a.n, *a.wanted
	a.wanted = nil
	cert := target.Cert
	if err := n.cfg.State.BeginTransfer(cert.Seq, cert.State); err != nil {
		return fmt.Errorf("begin to fetch the state of checkpoint %d: %w", cert.Seq, err)
	}
	t := &transfer{
		n: n, target: target, pending: make(map[crypto.Digest]bool), useful: now,
		bound: a.unconfirmed || a.transfer != nil && a.transfer.bound,
	}
	for _, id := range target.From {
		if id != n.self && int(id) < n.replicas {
			t.sources = append(t.sources, &supplier{id: id})
		}
	}
	a.transfer = t
	n.pieces.open(cert.State)
	return nil
}

// advance takes what came and asks for more. It tells whether anything came.
func (a *applying) advance(now time.Time) (bool, error) {
	t := a.transfer
	arrivals := t.n.pieces.take()
	for _, p := range arrivals {
		if err := t.receive(p, now); err != nil {
			return true, err
		}
	}
	t.expire(now)
	wanted := t.n.cfg.State.Wanted(wantedMax)
	if len(wanted) == 0 {
		return true, a.finish()
	}
	if t.lost(now) {
		a.giveUp(now)
		return true, nil
	}
	t.ask(wanted, now)
	return len(arrivals) > 0, nil
}

// finish makes the fetched state the content. What waits to be executed is part
// of it.
func (a *applying) finish() error {
	n, cert := a.n, a.transfer.target.Cert
	n.pieces.close()
	a.transfer = nil
	if err := n.cfg.State.FinishTransfer(); err != nil {
		return fmt.Errorf("install the state of checkpoint %d: %w", cert.Seq, err)
	}
	state, err := a.applier.Load()
	if err != nil {
		return err
	}
	if state.Seq != cert.Seq || state.State != cert.State {
		return fmt.Errorf("the fetched state is that of checkpoint %d with root %s, want %d with root %s",
			state.Seq, state.State.Short(), cert.Seq, cert.State.Short())
	}
	a.written, a.unconfirmed = nil, true // those snapshots were of another content
	n.work.discard()
	n.own.put(core.Transferred{State: state})
	return nil
}

// lost tells whether the transfer leads nowhere.
func (t *transfer) lost(now time.Time) bool {
	if now.Sub(t.useful) >= transferPatience || len(t.sources) == 0 && !t.bound {
		return true
	}
	return len(t.sources) > 0 && !slices.ContainsFunc(t.sources, func(s *supplier) bool { return !s.liar })
}

// giveUp ends a transfer that leads nowhere. Execution goes on where it stopped,
// unless the content has changed since: then it starts over.
func (a *applying) giveUp(now time.Time) {
	t, n := a.transfer, a.n
	n.log.Warnf("the state of others could not be fetched, and is tried again: check the links to the replicas "+
		"seq=%d from=%v", t.target.Cert.Seq, t.target.From)
	if t.bound {
		for _, s := range t.sources {
			t.drop(s)
			*s = supplier{id: s.id, resume: now.Add(askPatience)}
		}
		t.useful, t.late = now, 0
		return
	}
	n.pieces.close()
	a.transfer = nil
	n.own.put(core.TransferFailed{Seq: t.target.Cert.Seq})
}

// receive takes one piece.
func (t *transfer) receive(p arrival, now time.Time) error {
	s := t.source(p.from)
	if s == nil || s.liar || len(s.asks) == 0 {
		return nil
	}
	t.answered(s, now)
	if len(p.data) == 0 {
		s.resume = now.Add(askPause)
		return nil
	}
	used, err := t.n.cfg.State.AddPiece(p.data)
	if err != nil {
		return fmt.Errorf("a piece of the state: %w", err)
	}
	if used {
		t.useful = now
		return nil
	}
	s.useless++
	if s.useless > t.late {
		s.liar = true
		t.drop(s)
		t.n.penalties.add(peerSource(s.id), wire.KindPiece, "a piece of the state that is not what was asked for")
	}
	return nil
}

// answered counts one answer of s.
func (t *transfer) answered(s *supplier, now time.Time) {
	for i := range s.asks {
		s.asks[i].deadline = now.Add(askPatience)
	}
	q := &s.asks[0]
	q.left--
	if q.left > 0 {
		return
	}
	t.free(q)
	s.asks = s.asks[1:]
}

// free lets the digests of a question be asked for again.
func (t *transfer) free(q *question) {
	for _, d := range q.digests {
		delete(t.pending, d)
	}
}

// drop forgets what was asked of s.
func (t *transfer) drop(s *supplier) {
	for i := range s.asks {
		t.late += s.asks[i].left
		t.free(&s.asks[i])
	}
	s.asks = nil
	t.n.pieces.giveUp(s.id)
}

// expire gives up questions that have waited too long.
func (t *transfer) expire(now time.Time) {
	for _, s := range t.sources {
		if len(s.asks) > 0 && !now.Before(s.asks[0].deadline) {
			t.drop(s)
			s.resume = now.Add(askPatience)
		}
	}
}

// ask spreads what is wanted and not pending over the sources, in turn.
func (t *transfer) ask(wanted []crypto.Digest, now time.Time) {
	var open []crypto.Digest
	for _, d := range wanted {
		if !t.pending[d] {
			open = append(open, d)
		}
	}
	for range asksMax * len(t.sources) {
		if len(open) == 0 || len(t.pending) >= wantedMax {
			return
		}
		s := t.sources[t.next]
		t.next = (t.next + 1) % len(t.sources)
		if s.liar || len(s.asks) >= asksMax || now.Before(s.resume) {
			continue
		}
		count := min(len(open), askDigestsMax)
		if t.askOne(s, open[:count:count], now) {
			open = open[count:]
		}
	}
}

func (t *transfer) askOne(s *supplier, digests []crypto.Digest, now time.Time) bool {
	n, cert := t.n, t.target.Cert
	m := &wire.FetchPieces{Seq: cert.Seq, Root: cert.State, Digests: digests, Sender: n.self}
	n.pieces.expect(s.id, len(digests))
	if !n.outlet.send(s.id, wire.Seal(n.cfg.Signer, n.cfg.Domain, m).Frame()) {
		n.pieces.expect(s.id, -len(digests))
		s.resume = now.Add(askPause)
		return false
	}
	for _, d := range digests {
		t.pending[d] = true
	}
	s.asks = append(s.asks, question{digests, len(digests), now.Add(askPatience)})
	return true
}

func (t *transfer) source(id wire.ReplicaID) *supplier {
	for _, s := range t.sources {
		if s.id == id {
			return s
		}
	}
	return nil
}
