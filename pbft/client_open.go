package pbft

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// clientDoor lets in what replicas may say to this client, verified. Its methods
// may be called by many goroutines at once.
type clientDoor struct {
	client  wire.ClientID
	session wire.Session
	limits  wire.Limits
	opener  *wire.Opener
	settled *settledThings
}

func newClientDoor(cfg clientConfig, settled *settledThings) *clientDoor {
	return &clientDoor{
		client: cfg.signer.Public(), session: cfg.session, limits: cfg.limits,
		opener: openerFor(cfg.domain, cfg.keys, cfg.limits), settled: settled,
	}
}

// settledThings tells, to any goroutine, what a client's loop knows already: which of
// the last numbers have their answers, and the view of each replica. All replicas
// reply, and the first f+1 that agree are enough: the other replies need not be
// verified, if they do not tell of a later view.
type settledThings struct {
	numbers [2 * core.ClientWindowMax]atomic.Uint64
	views   []atomic.Uint64
}

func newSettledThings(replicas int) *settledThings {
	return &settledThings{views: make([]atomic.Uint64, replicas)}
}

func (s *settledThings) add(n wire.Number) { s.numbers[n%wire.Number(len(s.numbers))].Store(uint64(n)) }

// forget makes n one that has no answer.
func (s *settledThings) forget(n wire.Number) {
	s.numbers[n%wire.Number(len(s.numbers))].CompareAndSwap(uint64(n), 0)
}

// enter notes the view of a replica.
func (s *settledThings) enter(from wire.ReplicaID, v wire.View) { s.views[from].Store(uint64(v)) }

// covers tells whether a frame of a replica holds replies that tell nothing new.
func (s *settledThings) covers(from wire.ReplicaID, frame []byte) bool {
	head, is := wire.PeekReplies(frame)
	if !is || int(from) >= len(s.views) || uint64(head.View) > s.views[from].Load() {
		return false
	}
	for i := range head.Len() {
		n := head.Number(i)
		if n == 0 || s.numbers[n%wire.Number(len(s.numbers))].Load() != uint64(n) {
			return false
		}
	}
	return true
}

// openerFor returns an Opener for what replicas sign. A client is sent one frame,
// seldom two, under one signature, so what was verified is not remembered.
func openerFor(d crypto.Domain, keys []crypto.PublicKey, lim wire.Limits) *wire.Opener {
	return wire.NewOpener(d, keys, lim, crypto.NewVerifier(len(keys)))
}

// open returns what a frame brings: replies or a refusal to this client, a
// report or outputs, that the replica it came from signed. Anything else is not ok.
func (d *clientDoor) open(from wire.ReplicaID, frame []byte) (a arrival, ok bool) {
	kind, err := wire.FrameKind(frame)
	if err != nil || len(frame) > d.limits.KindBytesMax(kind) {
		return a, false
	}
	if kind != wire.KindReplies && kind != wire.KindRefusal && kind != wire.KindReport && kind != wire.KindOutputs {
		return a, false
	}
	if d.settled.covers(from, frame) {
		return a, false
	}
	sealed, err := d.opener.OpenOne(frame)
	if err != nil {
		return a, false
	}
	a = arrival{from: from}
	if m, is := sealed.Message().(*wire.Replies); is {
		a.replies = m
		return a, m.Sender == from && m.Client == d.client && m.Session == d.session
	}
	if m, is := sealed.Message().(*wire.Refusal); is {
		a.refusal = m
		return a, m.Sender == from && m.Client == d.client && m.Session == d.session
	}
	if m, is := sealed.Message().(*wire.Report); is {
		a.report = m
		return a, m.Sender == from
	}
	if m, is := sealed.Message().(*wire.Outputs); is {
		a.outputs = m
		return a, m.Sender == from
	}
	return a, false
}

// verifyCertificate returns the result that cert proves for a cluster of these
// keys, of which weak must have signed.
func verifyCertificate(opener *wire.Opener, weak int, cert Certificate) (Result, error) {
	if len(cert) < weak {
		return Result{}, fmt.Errorf("%w: %d replies, want %d", ErrProof, len(cert), weak)
	}
	replies := make([]*wire.Reply, 0, len(cert))
	for i, frame := range cert {
		sealed, err := opener.OpenOne(frame)
		if err != nil {
			return Result{}, fmt.Errorf("%w: reply %d: %w", ErrProof, i, err)
		}
		m, ok := sealed.Message().(*wire.Reply)
		if !ok {
			return Result{}, fmt.Errorf("%w: frame %d is a %s, want a reply", ErrProof, i, sealed.Message().Kind())
		}
		if i > 0 && wire.ReplyLeaf(&m.Told) != wire.ReplyLeaf(&replies[0].Told) {
			return Result{}, fmt.Errorf("%w: reply %d, of replica %d, says otherwise than the first", ErrProof, i, m.Sender)
		}
		if slices.ContainsFunc(replies, func(o *wire.Reply) bool { return o.Sender == m.Sender }) {
			return Result{}, fmt.Errorf("%w: replica %d signed twice", ErrProof, m.Sender)
		}
		replies = append(replies, m)
	}
	slices.SortFunc(replies, func(a, b *wire.Reply) int { return int(a.Sender) - int(b.Sender) })
	r := resultOf(&replies[0].Told)
	for _, m := range replies {
		r.signedBy(m.Sender, m.View)
		r.replies = append(r.replies, m)
	}
	return r, nil
}
