package node

// A transfer is part of stage apply: its goroutine owns the State. It asks the
// replicas that signed the checkpoint for pieces, several of each at once, and
// gives what comes to the State, which takes only what hashes to a wanted digest.
// A source that lies is left out for the rest of the transfer. What a source is slow
// with is soon asked of others.

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
	// askPatience is how long a source may send nothing before others are asked, and
	// how long one may have a question before they are asked the same: or who answers
	// with one piece in such a time would keep the rest of the question for minutes.
	askPatience = 2 * time.Second
	// retreatsMax bounds the doublings of the time for which a source is left alone that
	// has let several questions pass.
	retreatsMax = 2
	// newerPatience is how long f+1 sources may give nothing before a newer target
	// takes the place of this one.
	newerPatience = 2 * askPatience
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
	// pending counts the questions that ask for a digest, but for those that a source
	// is slow with.
	pending map[crypto.Digest]int
	useful  time.Time // when the last piece of use came
	// bound says that the transfer may not be given up: the content is not what
	// the core left.
	bound bool
}

// supplier is one source of a transfer.
type supplier struct {
	id   wire.ReplicaID
	asks []question // in the order of sending, which is that of the answers
	// owes counts, by digest, the answers that it has not sent. They may come late, when
	// others have sent the same; but what it does not owe, no honest source sends.
	owes     map[crypto.Digest]int
	liar     bool
	gave     time.Time // when its last piece came
	resume   time.Time // not asked before
	retreats int       // how often in a row it let questions pass
}

type question struct {
	digests  []crypto.Digest
	left     int
	sent     time.Time
	deadline time.Time
	slow     bool // others may be asked the same
}

// begin starts or retargets a transfer. No snapshot is being written: it would
// make pieces superfluous that others were asked for. Every source is asked for the
// root at once, so that each keeps the snapshot from now on.
func (a *applying) begin() error {
	n, target := a.n, *a.wanted
	a.wanted = nil
	cert := target.Cert
	if err := n.cfg.State.BeginTransfer(cert.Seq, cert.State); err != nil {
		return fmt.Errorf("begin to fetch the state of checkpoint %d: %w", cert.Seq, err)
	}
	now := time.Now()
	t := &transfer{
		n: n, target: target, pending: make(map[crypto.Digest]int), useful: now,
		bound: a.unconfirmed || a.transfer != nil && a.transfer.bound,
	}
	n.pieces.open(cert.State)
	for _, id := range target.From {
		if id == n.self || int(id) >= n.replicas {
			continue
		}
		s := &supplier{id: id, owes: make(map[crypto.Digest]int)}
		if a.former != nil && a.former.target.Cert.State == cert.State {
			s.takeOver(a.former)
		}
		t.sources = append(t.sources, s)
		t.askOne(s, []crypto.Digest{cert.State}, now)
	}
	a.transfer, a.former = t, nil
	return nil
}

// takeOver takes over what a source still owes of a transfer that was given up: it may
// send it yet.
func (s *supplier) takeOver(former *transfer) {
	if old := former.source(s.id); old != nil {
		s.owes = old.owes
		for _, times := range s.owes {
			former.n.pieces.expect(s.id, times)
		}
	}
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
	now = t.passed(now)
	if t.lost(now) {
		a.giveUp(now)
		return true, nil
	}
	t.ask(wanted, now)
	return len(arrivals) > 0, nil
}

// passed returns the time, and counts what the State took since then as nobody's silence.
func (t *transfer) passed(then time.Time) time.Time {
	now := time.Now()
	took := now.Sub(then)
	t.useful = t.useful.Add(took)
	for _, s := range t.sources {
		s.gave = s.gave.Add(took)
		for i := range s.asks {
			s.asks[i].sent, s.asks[i].deadline = s.asks[i].sent.Add(took), s.asks[i].deadline.Add(took)
		}
	}
	return now
}

// goesWell tells whether f+1 sources have given something of late: one of them is
// correct, and has the snapshot. A newer target then waits for the end of this transfer,
// after which only what differs is to be fetched. Or a cluster that goes on fast would
// have a large transfer begin anew for ever.
func (t *transfer) goesWell(now time.Time) bool {
	giving := 0
	for _, s := range t.sources {
		if now.Sub(s.gave) < newerPatience {
			giving++
		}
	}
	return giving >= t.n.cfg.Core.Quorum.Weak()
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
			s.liar, s.resume = false, now.Add(askPatience)
		}
		t.useful = now
		return
	}
	n.pieces.close()
	n.cfg.State.GiveUpTransfer()
	a.transfer, a.former = nil, t
	n.own.put(core.TransferFailed{Seq: t.target.Cert.Seq})
}

// receive takes one piece. An empty one says that its source lacks something that it
// was asked for.
func (t *transfer) receive(p arrival, now time.Time) error {
	s := t.source(p.from)
	if s == nil || s.liar {
		return nil
	}
	s.retreats = 0
	if len(p.data) == 0 {
		t.answered(s, func(*question) bool { return true }, now)
		s.resume = now.Add(askPause)
		return nil
	}
	digest := t.n.cfg.State.PieceDigest(p.data)
	if s.owes[digest] == 0 {
		s.liar = true
		t.drop(s)
		t.n.pieces.giveUp(s.id)
		t.n.penalties.add(peerSource(s.id), wire.KindPiece, whyNotAsked)
		return nil
	}
	if s.owes[digest]--; s.owes[digest] == 0 {
		delete(s.owes, digest)
	}
	s.gave = now
	t.answered(s, func(q *question) bool { return slices.Contains(q.digests, digest) }, now)
	used, err := t.n.cfg.State.AddPiece(p.data)
	if err != nil {
		return fmt.Errorf("a piece of the state: %w", err)
	}
	if used {
		t.useful = now
	}
	return nil
}

// answered counts one answer of s, to the first question that it may be about.
func (t *transfer) answered(s *supplier, about func(q *question) bool, now time.Time) {
	for i := range s.asks {
		s.asks[i].deadline = now.Add(askPatience)
	}
	at := slices.IndexFunc(s.asks, func(q question) bool { return about(&q) })
	if at < 0 {
		return // a late one
	}
	q := &s.asks[at]
	if q.left--; q.left == 0 {
		t.free(q)
		s.asks = slices.Delete(s.asks, at, at+1)
	}
}

// free lets the digests of a question be asked for again.
func (t *transfer) free(q *question) {
	if q.slow {
		return // they were freed then
	}
	for _, d := range q.digests {
		if t.pending[d]--; t.pending[d] == 0 {
			delete(t.pending, d)
		}
	}
}

// drop gives up what was asked of s, which may still answer.
func (t *transfer) drop(s *supplier) {
	for i := range s.asks {
		t.free(&s.asks[i])
	}
	s.asks = nil
}

// expire gives up questions that have waited too long, and lets others be asked what a
// source is slow with.
func (t *transfer) expire(now time.Time) {
	for _, s := range t.sources {
		if len(s.asks) > 0 && !now.Before(s.asks[0].deadline) {
			t.drop(s)
			s.resume = now.Add(askPatience << s.retreats)
			s.retreats = min(s.retreats+1, retreatsMax)
		}
		for i := range s.asks {
			if q := &s.asks[i]; !q.slow && now.Sub(q.sent) >= askPatience {
				t.free(q)
				q.slow = true
			}
		}
	}
}

// ask spreads what is wanted and not pending over the sources, in turn.
func (t *transfer) ask(wanted []crypto.Digest, now time.Time) {
	var open []crypto.Digest
	for _, d := range wanted {
		if t.pending[d] == 0 {
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
	m := &wire.FetchPieces{Seq: cert.Seq, Root: cert.State, Digests: digests, Life: n.cfg.Life, Sender: n.self}
	n.pieces.expect(s.id, len(digests))
	if !n.outlet.send(s.id, wire.Seal(n.cfg.Signer, n.cfg.Domain, m).Frame()) {
		n.pieces.expect(s.id, -len(digests))
		s.resume = now.Add(askPause)
		return false
	}
	for _, d := range digests {
		t.pending[d]++
		s.owes[d]++
	}
	s.asks = append(s.asks, question{digests: digests, left: len(digests), sent: now, deadline: now.Add(askPatience)})
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
