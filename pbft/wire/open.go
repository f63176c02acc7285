package wire

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// ErrSignature says that a signature of a message, or of something in it, does
// not verify.
var ErrSignature = errors.New("bad signature")

// SeenCache remembers what was verified lately: a request comes from its client
// and then in a batch, a vote alone and then in certificates. It must be bounded,
// and safe for concurrent use.
type SeenCache interface {
	// Seen tells whether Add was called with d and d is still remembered.
	Seen(d crypto.Digest) bool
	Add(d crypto.Digest)
}

// Opener turns frames into Sealed messages by verifying every signature. It
// does not change, and many goroutines may use it at once.
type Opener struct {
	domain   crypto.Domain
	keys     []crypto.PublicKey
	lim      Limits
	verifier crypto.Verifier
	seen     SeenCache
	clients  map[ClientID]bool
	view     View // see WithoutPast
	stable   Seq
	// longProofs: see WithLongProofs
	longProofs bool
}

// Opened is the outcome for one frame: exactly one of Sealed, Err and Past is set.
type Opened struct {
	Sealed *Sealed
	// Past says that the frame begins as a pre-prepare of the past, which its primary
	// signed, and that the rest was not looked at: see Opener.WithoutPast.
	Past bool
	// Err wraps ErrMalformed or ErrSignature.
	Err error
	// Checks is how many signatures were verified: what the frame cost.
	Checks int
	// Unsigned is set beside Err for a pre-prepare that its primary did sign.
	Unsigned *Unsigned
}

// NewOpener returns an Opener for the cluster and epoch of d, whose replicas
// have these keys. lim.Replicas is set to their number.
func NewOpener(d crypto.Domain, keys []crypto.PublicKey, lim Limits, v crypto.Verifier) *Opener {
	lim.Replicas = len(keys)
	return &Opener{domain: d, keys: keys, lim: lim, verifier: v}
}

// WithSeen returns an Opener that verifies only the signatures and client keys
// that cache does not know, and tells it those that it found good. One cache may
// serve many Openers, of different domains too.
func (o *Opener) WithSeen(cache SeenCache) *Opener {
	c := *o
	c.seen = cache
	return &c
}

// WithClients returns an Opener that takes these client keys for good: who has
// parsed them need not do so again for every request. It keeps the map, which may
// not change any more.
func (o *Opener) WithClients(known map[ClientID]bool) *Opener {
	c := *o
	c.clients = known
	return &c
}

// WithoutPast returns an Opener for who needs no pre-prepares of views before view, nor
// at or below stable, and would verify as many signatures as there are requests in them
// in vain: of those it checks what the primary signed, and reads no further. They are
// refused if that is bad, and else Past.
func (o *Opener) WithoutPast(view View, stable Seq) *Opener {
	c := *o
	c.view, c.stable = view, stable
	return &c
}

// WithLongProofs returns an Opener that takes evidence whose batch is beyond the limits,
// too. It is as true, but nobody finds it who keeps to them, and there may be many times
// the requests in it: for who reads what was kept, and has time.
func (o *Opener) WithLongProofs() *Opener {
	c := *o
	c.longProofs = true
	return &c
}

// past returns the pre-prepare of the past, without its batch, with which a frame
// begins, or nil.
func (o *Opener) past(frame []byte) *PrePrepare {
	if k, err := FrameKind(frame); err != nil || k != KindPrePrepare || len(frame) > o.lim.KindBytesMax(k) {
		return nil
	}
	r := &reader{data: frame, at: headerBytes, lim: &o.lim}
	m := r.proposal()
	if r.err != nil || m.View >= o.view && m.Seq > o.stable {
		return nil
	}
	return m
}

// Limits returns the limits that the Opener decodes with.
func (o *Opener) Limits() Limits { return o.lim }

// Open decodes frames and verifies all of their signatures, nested ones too,
// in one call of the Verifier, so the more frames the less each costs. Only where
// evidence says that one of many is bad, those come after the others, a few at a time,
// until one is. The result has one entry for each frame. A frame with any bad
// signature is refused whole. The messages alias their frames, see Decode.
func (o *Opener) Open(frames [][]byte) []Opened { return o.OpenIn(new(Memory), frames) }

// OpenIn is Open for who opens again and again: what it needs until it returns it
// takes from m, which only one call at a time may use.
func (o *Opener) OpenIn(m *Memory, frames [][]byte) []Opened {
	out := make([]Opened, len(frames))
	c := collector{Memory: m, opener: o}
	defer m.reset()
	for i, frame := range frames {
		c.frame = i
		if pp := o.past(frame); pp != nil {
			c.vote(KindPrePrepare, &pp.Vote)
			out[i].Past = true
			continue
		}
		m, d, err := decode(frame, &o.lim)
		if err != nil {
			out[i].Err = err
			continue
		}
		if q, is := m.(*Request); is {
			q.digested = digested{q, d}
		}
		if err := c.message(m); err != nil {
			c.forget(i)
			out[i].Err = fmt.Errorf("%s: %w", m.Kind(), err)
			continue
		}
		out[i].Sealed = &Sealed{message: m, frame: frame, digest: d}
	}
	c.verify(out)
	c.settleDoubts(out)
	o.expose(frames, out)
	return out
}

// OpenOne is Open for one frame.
func (o *Opener) OpenOne(frame []byte) (*Sealed, error) {
	out := o.Open([][]byte{frame})[0]
	return out.Sealed, out.Err
}

// collector gathers the signatures of many frames.
type collector struct {
	*Memory

	opener *Opener
	frame  int               // the one at work
	keys   map[ClientID]bool // client keys found good in this call
	doubts []doubt
}

// Memory is where OpenIn gathers signatures. Nothing of it outlives a call, so the
// next one fills it anew. The zero value is ready for use.
type Memory struct {
	checks []crypto.Check
	claims []claim
	ok     []bool
	// room is what is left of piece, the last memory taken for messages.
	piece, room buf
}

const (
	// pieceBytes is the least piece of memory for messages after the first: for those of
	// a few votes.
	pieceBytes = 1 << 10
	// pieceBytesMax and checksMax bound what is kept for the next call: what a full
	// window of short requests needs.
	pieceBytesMax = 1 << 20
	checksMax     = 4096
)

// reset forgets everything, and keeps the memory if it is not too much.
func (m *Memory) reset() {
	if cap(m.checks) > checksMax || cap(m.piece) > pieceBytesMax {
		*m = Memory{}
		return
	}
	clear(m.checks) // they hold on to pieces before the last
	m.checks, m.claims, m.room = m.checks[:0], m.claims[:0], m.piece[:0]
}

// claim tells whose signature a check is, and of which frame.
type claim struct {
	frame  int
	kind   Kind
	sender ReplicaID
	client bool
	// What the cache is told if the signature is good: the signature, and a
	// client's key unless it knows that already.
	signature, key crypto.Digest
}

// forget drops what was gathered for the last frame.
func (c *collector) forget(frame int) {
	n := len(c.claims)
	for n > 0 && c.claims[n-1].frame == frame {
		n--
	}
	c.forgetFrom(n)
}

// forgetFrom drops the n-th check and those after it.
func (c *collector) forgetFrom(n int) {
	clear(c.checks[n:])
	c.claims, c.checks = c.claims[:n], c.checks[:n]
}

// verify checks all signatures and refuses the frames of the bad ones.
func (c *collector) verify(out []Opened) {
	if len(c.checks) == 0 {
		return
	}
	c.ok = slices.Grow(c.ok[:0], len(c.checks))[:len(c.checks)]
	c.opener.verifier.Verify(c.checks, c.ok)
	for i, good := range c.ok {
		l := &c.claims[i]
		out[l.frame].Checks++
		if good {
			c.remember(l)
			continue
		}
		o := &out[l.frame]
		if o.Err == nil {
			kind := KindPrePrepare // of the past
			if o.Sealed != nil {
				kind = o.Sealed.message.Kind()
			}
			o.Err = fmt.Errorf("%s: %w: %s of %s", kind, ErrSignature, l.kind, c.signer(i))
		}
		o.Sealed, o.Past = nil, false
	}
}

// signer names the signer of check i.
func (c *collector) signer(i int) string {
	if c.claims[i].client {
		return fmt.Sprintf("client %x", c.checks[i].Key[:4])
	}
	return fmt.Sprintf("replica %d", c.claims[i].sender)
}

// remember tells the cache what was verified.
func (c *collector) remember(l *claim) {
	if c.opener.seen == nil {
		return
	}
	c.opener.seen.Add(l.signature)
	if !l.key.IsZero() {
		c.opener.seen.Add(l.key)
	}
}

// add gathers a check, unless the cache knows its outcome. The cache knows it by the
// key, the signature, and the message: its head, which names its kind, and its body or
// what stands for all bodies of that kind.
func (c *collector) add(k crypto.Check, l claim, head, body []byte) {
	if c.opener.seen != nil {
		l.signature = crypto.Sum([]byte(tagSeen), k.Key[:], k.Signature[:], head, body)
		if c.opener.seen.Seen(l.signature) {
			return
		}
	}
	l.frame = c.frame
	c.checks, c.claims = append(c.checks, k), append(c.claims, l)
}

// begin returns the begin of a message of kind k, with room for a body of so many
// bytes after it.
func (c *collector) begin(k Kind, bodyBytes int) buf {
	if need := bodyBytes + crypto.SigningHeaderBytes; cap(c.room) < need {
		if c.piece != nil {
			need = max(need, pieceBytes, min(2*cap(c.piece), pieceBytesMax))
		}
		c.piece = make(buf, 0, need)
		c.room = c.piece
	}
	return c.opener.domain.AppendHeader(c.room, byte(k))
}

// replica gathers a signature over message, which has begun with begin, of a
// replica of the cluster.
func (c *collector) replica(k Kind, sender ReplicaID, message buf, s crypto.Signature) {
	c.keep(message)
	c.add(crypto.Check{Key: c.opener.keys[sender], Message: message, Signature: s}, claim{kind: k, sender: sender}, message, nil)
}

// keep takes the memory of message out of the room.
func (c *collector) keep(message buf) {
	c.room = message[len(message):]
}

// request gathers the signature of a client.
func (c *collector) request(m *Request) error {
	l := claim{kind: KindRequest, client: true}
	if err := c.client(&m.Client, &l); err != nil {
		return err
	}
	message := c.begin(KindRequest, m.Size()).request(m)
	c.keep(message)
	head, body := message[:crypto.SigningHeaderBytes], message[crypto.SigningHeaderBytes:]
	digest := m.digestBody(body)
	c.add(crypto.Check{Key: m.Client, Message: message, Signature: m.Signature}, l, head, digest[:])
	return nil
}

// query gathers the signature of a client.
func (c *collector) query(m *Query) error {
	l := claim{kind: KindQuery, client: true}
	if err := c.client(&m.Client, &l); err != nil {
		return err
	}
	message := c.begin(KindQuery, frameBytes(m)).query(m)
	c.keep(message)
	c.add(crypto.Check{Key: m.Client, Message: message, Signature: m.Signature}, l, message, nil)
	return nil
}

// client refuses keys that are no client's. It looks at each key once a call,
// or once for as long as the cache remembers it.
func (c *collector) client(key *ClientID, l *claim) error {
	if c.keys[*key] || c.opener.clients[*key] {
		return nil
	}
	known := false
	if c.opener.seen != nil {
		d := crypto.Sum([]byte(tagKey), key[:])
		if known = c.opener.seen.Seen(d); !known {
			l.key = d
		}
	}
	if !known {
		if _, err := crypto.ParsePublicKey(key[:]); err != nil {
			return fmt.Errorf("%w: client %x: %w", ErrSignature, key[:4], err)
		}
	}
	if c.keys == nil {
		c.keys = make(map[ClientID]bool)
	}
	c.keys[*key] = true
	return nil
}

func (c *collector) batch(m *Batch) error {
	for i, q := range m.Requests {
		if err := c.request(q); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
	}
	return nil
}

// message gathers every signature of m.
func (c *collector) message(m Message) error {
	switch m := m.(type) {
	case *Request:
		return c.request(m)
	case *Query:
		return c.query(m)
	case *PrePrepare:
		c.vote(KindPrePrepare, &m.Vote)
		return c.batch(m.Batch)
	case *Prepare:
		c.vote(KindPrepare, &m.Vote)
	case *Commit:
		c.vote(KindCommit, &m.Vote)
	case *ViewChange:
		c.viewChange(m)
	case *NewView:
		c.newView(m)
	case *Reply:
		c.reply(m.signed(), m.Signature)
	case *Replies:
		c.reply(m.signed(), m.Signature)
	case *BatchBody:
		return c.batch(m.Batch)
	case *Committed:
		c.commitCert(&m.Cert)
		return c.batch(m.Batch)
	case *StableProof:
		c.checkpointCert(&m.Cert)
	case *Evidence:
		return c.evidence(m)
	case *Prepared:
		c.preparedCert(&m.Cert)
	case *CommitProof:
		c.commitCert(&m.Cert)
	case *Piece, *Ask, *AskOutputs:
	case *Checkpoint, *Status, *FetchBatches, *FetchCommitted, *FetchViewChange, *FetchPieces, *Report, *Refusal, *Outputs,
		*Results:
		c.own(m)
	}
	return nil
}

// own gathers the signature of m's sender over all of m.
func (c *collector) own(m Message) {
	sender, _ := SenderOf(m)
	c.replica(m.Kind(), sender, c.begin(m.Kind(), frameBytes(m)).body(m), *signatureOf(m))
}

// statement gathers the signature of a culprit over one of its statements.
func (c *collector) statement(culprit ReplicaID, s *Statement) {
	c.replica(s.Kind, culprit, append(c.begin(s.Kind, len(s.Body)), s.Body...), s.Signature)
}

func (c *collector) reply(s repliesRoot, signature crypto.Signature) {
	c.replica(KindReply, s.sender, c.begin(KindReply, voteBodyBytes).repliesRoot(&s), signature)
}

func (c *collector) vote(k Kind, v *Vote) {
	c.replica(k, v.Sender, c.begin(k, voteBodyBytes).voteBody(v), v.Signature)
}

// votes gathers the signatures of a certificate for what v says.
func (c *collector) votes(k Kind, v Vote, signers []Signed) {
	for i := range signers {
		v.Sender, v.Signature = signers[i].Sender, signers[i].Signature
		c.vote(k, &v)
	}
}

func (c *collector) checkpointCert(m *CheckpointCert) {
	p := Checkpoint{Seq: m.Seq, State: m.State}
	for i := range m.Signers {
		p.Sender = m.Signers[i].Sender
		c.replica(KindCheckpoint, p.Sender, c.begin(KindCheckpoint, checkpointBytes).checkpoint(&p), m.Signers[i].Signature)
	}
}

func (c *collector) preparedCert(m *PreparedCert) {
	v := Vote{View: m.View, Seq: m.Seq, Digest: m.Digest}
	p := Signed{Sender: m.View.Primary(len(c.opener.keys)), Signature: m.PrePrepare}
	c.votes(KindPrePrepare, v, []Signed{p})
	c.votes(KindPrepare, v, m.Prepares)
}

func (c *collector) commitCert(m *CommitCert) {
	c.votes(KindCommit, Vote{View: m.View, Seq: m.Seq, Digest: m.Digest}, m.Commits)
}

func (c *collector) viewChange(m *ViewChange) {
	c.checkpointCert(&m.Stable)
	for i := range m.Prepared {
		c.preparedCert(&m.Prepared[i])
	}
	c.own(m)
}

func (c *collector) newView(m *NewView) {
	for i := range m.Choices {
		v := m.Choices[i].vote(m)
		c.vote(KindPrePrepare, &v)
	}
	c.own(m)
}
