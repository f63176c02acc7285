package pbft

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// clientDoor lets in what replicas may say to this client, verified. Its methods
// may be called by many goroutines at once.
type clientDoor struct {
	client  wire.ClientID
	session wire.Session
	opener  *wire.Opener
	settled *settledThings
	rubbish []rubbish // by replica
}

func newClientDoor(cfg clientConfig, settled *settledThings) *clientDoor {
	return &clientDoor{
		client: cfg.signer.Public(), session: cfg.session,
		opener: openerFor(cfg.domain, cfg.keys, cfg.limits), settled: settled,
		rubbish: make([]rubbish, len(cfg.keys)),
	}
}

// rubbishMax and rubbishTime bound the frames of one replica that are looked at in vain:
// so many at once, and then one in that time. No correct replica sends any.
const (
	rubbishMax  = 16
	rubbishTime = time.Second
)

// rubbish counts what a replica sends that no correct one does. Links are
// authenticated, so it is the replica's own doing, and it is not read until some of that
// is forgiven. The zero value is that of a replica that has sent none.
type rubbish struct {
	mu      sync.Mutex
	forgets time.Time // when all is forgiven
	last    error
}

// add counts one more.
func (r *rubbish) add(now time.Time, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgets, r.last = later(r.forgets, now).Add(rubbishTime), why
}

// much returns an error while there is too much.
func (r *rubbish) much(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgets.Sub(now) <= (rubbishMax-1)*rubbishTime {
		return nil
	}
	return fmt.Errorf("%d or more frames that no correct replica sends, at last: %w", rubbishMax, r.last)
}

// settledThings tells, to any goroutine, what a client's loop knows already: which of
// the last numbers have their answers, and the view of each replica. All replicas
// reply, and the first f+1 that agree are enough: the other replies need not be
// verified, if they do not tell of a later view.
type settledThings struct {
	numbers [2 * core.ClientWindowMax]atomic.Uint64
	views   []atomic.Uint64
	queries openQueries
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

// covers tells whether a frame of a replica holds replies that tell nothing new, or results
// of a query that nobody waits for.
func (s *settledThings) covers(from wire.ReplicaID, frame []byte) bool {
	if nonce, is := wire.PeekResults(frame); is {
		return !s.queries.has(nonce)
	}
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
// report, outputs or results, that the replica it came from signed. Anything else is not ok. An error says
// that the replica has sent too much rubbish, and that nothing of it shall be read for
// now: neither was this frame.
func (d *clientDoor) open(from wire.ReplicaID, frame []byte) (a arrival, ok bool, err error) {
	if int(from) >= len(d.rubbish) || d.settled.covers(from, frame) {
		return a, false, nil
	}
	if err := d.rubbish[from].much(time.Now()); err != nil {
		return a, false, err
	}
	a, ok, why := d.read(from, frame)
	if why != nil {
		d.rubbish[from].add(time.Now(), why)
	}
	return a, ok, nil
}

// read opens a frame. An error says why no correct replica sends it. What another
// process with this client's key asks is answered here as well, and is not ok.
func (d *clientDoor) read(from wire.ReplicaID, frame []byte) (a arrival, ok bool, err error) {
	kind, err := wire.FrameKind(frame)
	switch {
	case err != nil:
		return a, false, err
	case kind != wire.KindReplies && kind != wire.KindRefusal && kind != wire.KindReport && kind != wire.KindOutputs &&
		kind != wire.KindResults:
		return a, false, fmt.Errorf("a %s, which is not for clients", kind)
	}
	sealed, err := d.opener.OpenOne(frame)
	if err != nil {
		return a, false, err
	}
	if sender, _ := wire.SenderOf(sealed.Message()); sender != from {
		return a, false, fmt.Errorf("a %s of replica %d", kind, sender)
	}
	a = arrival{from: from}
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others were refused
	case *wire.Replies:
		a.replies = m
		return a, m.Client == d.client && m.Session == d.session, nil
	case *wire.Refusal:
		a.refusal = m
		return a, m.Client == d.client && m.Session == d.session, nil
	case *wire.Report:
		a.report = m
		return a, true, nil
	case *wire.Outputs:
		a.outputs = m
		return a, true, nil
	case *wire.Results:
		a.results = m
		return a, m.Client == d.client, nil
	}
	return a, false, nil
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
		if i > 0 && !m.Equal(&replies[0].Told) {
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
