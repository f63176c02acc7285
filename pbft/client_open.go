package pbft

import (
	"fmt"
	"slices"
	"sync"
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

// covers tells whether a frame of a replica is a reply that tells nothing new.
func (s *settledThings) covers(from wire.ReplicaID, frame []byte) bool {
	v, n, is := wire.PeekReply(frame)
	return is && n != 0 && int(from) < len(s.views) && uint64(v) <= s.views[from].Load() &&
		s.numbers[n%wire.Number(len(s.numbers))].Load() == uint64(n)
}

func openerFor(d crypto.Domain, keys []crypto.PublicKey, lim wire.Limits) *wire.Opener {
	v := &rememberingVerifier{inner: crypto.NewVerifier(len(keys))}
	v.mu.known = make(map[crypto.Digest]bool)
	return wire.NewOpener(d, keys, lim, v)
}

// open returns what a frame brings: a reply or refusal to this client, or a
// report, that the replica it came from signed. Anything else is not ok.
func (d *clientDoor) open(from wire.ReplicaID, frame []byte) (a arrival, ok bool) {
	kind, err := wire.FrameKind(frame)
	if err != nil || len(frame) > d.limits.KindBytesMax(kind) {
		return a, false
	}
	if kind != wire.KindReply && kind != wire.KindRefusal && kind != wire.KindReport {
		return a, false
	}
	if d.settled.covers(from, frame) {
		return a, false
	}
	sealed, err := d.opener.OpenOne(frame)
	if err != nil {
		return a, false
	}
	a = arrival{from: from, frame: frame}
	if m, is := sealed.Message().(*wire.Reply); is {
		a.reply = m
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
	return a, false
}

// knownMax bounds what a rememberingVerifier remembers: the last signatures of
// a hundred replicas, several each.
const knownMax = 512

// rememberingVerifier remembers the last valid signatures: all replies of a
// batch carry the same one.
type rememberingVerifier struct {
	inner crypto.Verifier
	mu    struct {
		sync.Mutex
		known map[crypto.Digest]bool
		order []crypto.Digest // a ring, the oldest at next
		next  int
	}
}

// Verify implements crypto.Verifier.
func (v *rememberingVerifier) Verify(checks []crypto.Check, ok []bool) bool {
	if len(checks) != 1 || len(ok) != 1 {
		return v.inner.Verify(checks, ok)
	}
	c := &checks[0]
	name := crypto.Sum(c.Key[:], c.Signature[:], c.Message)
	if v.knows(name) {
		ok[0] = true
		return true
	}
	if !v.inner.Verify(checks, ok) {
		return false
	}
	v.remember(name)
	return true
}

func (v *rememberingVerifier) knows(name crypto.Digest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.known[name]
}

func (v *rememberingVerifier) remember(name crypto.Digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.known[name] {
		return
	}
	v.mu.known[name] = true
	if len(v.mu.order) < knownMax {
		v.mu.order = append(v.mu.order, name)
		return
	}
	delete(v.mu.known, v.mu.order[v.mu.next])
	v.mu.order[v.mu.next] = name
	v.mu.next = (v.mu.next + 1) % knownMax
}

// verifyCertificate returns the result that cert proves for a cluster of these
// keys, of which weak must have signed.
func verifyCertificate(opener *wire.Opener, weak int, cert Certificate) (Result, error) {
	if len(cert) < weak {
		return Result{}, fmt.Errorf("%w: %d replies, want %d", ErrProof, len(cert), weak)
	}
	votes := make([]vote, 0, len(cert))
	for i, frame := range cert {
		sealed, err := opener.OpenOne(frame)
		if err != nil {
			return Result{}, fmt.Errorf("%w: reply %d: %w", ErrProof, i, err)
		}
		m, ok := sealed.Message().(*wire.Reply)
		if !ok {
			return Result{}, fmt.Errorf("%w: frame %d is a %s, want a reply", ErrProof, i, sealed.Message().Kind())
		}
		v := vote{wire.ReplyLeaf(m), m, frame}
		if v.leaf != leafOf(votes, v) {
			return Result{}, fmt.Errorf("%w: reply %d, of replica %d, says otherwise than the first", ErrProof, i, m.Sender)
		}
		if slices.ContainsFunc(votes, func(o vote) bool { return o.reply.Sender == m.Sender }) {
			return Result{}, fmt.Errorf("%w: replica %d signed twice", ErrProof, m.Sender)
		}
		votes = append(votes, v)
	}
	slices.SortFunc(votes, func(a, b vote) int { return int(a.reply.Sender) - int(b.reply.Sender) })
	return resultOf(votes), nil
}

// leafOf returns the leaf that v must have to match votes.
func leafOf(votes []vote, v vote) crypto.Digest {
	if len(votes) == 0 {
		return v.leaf
	}
	return votes[0].leaf
}
