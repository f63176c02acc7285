package wire

import (
	"bytes"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// Tags begin what is hashed, one for each use, so that no digest of one use is
// one of another. None is the beginning of another.
const (
	tagBatch      = "quorate batch 1\x00"
	tagRequest    = "quorate request 1\x00"
	tagViewChange = "quorate view-change 1\x00"
	tagHistory    = "quorate history 1\x00"
	tagAnswer     = "quorate answer 1\x00"
	tagReplies    = "quorate replies 2\x00"
	tagSeen       = "quorate seen 1\x00"
	tagKey        = "quorate client key 1\x00"
)

// NullBatch returns the batch that executes nothing: no requests, time 0. A new
// view fills numbers with it for which nothing was prepared.
func NullBatch() *Batch { return &Batch{} }

// NullDigest returns the digest of NullBatch. It is written out, for it is asked
// for all the time.
func NullDigest() crypto.Digest {
	return crypto.Digest{
		0x70, 0xef, 0x63, 0x3c, 0xcc, 0x08, 0x27, 0x1f, 0x11, 0x6c, 0x90, 0x1b, 0xd8, 0x8e, 0x59, 0x7b,
		0x64, 0x4f, 0xe3, 0x6e, 0x30, 0xa2, 0xaa, 0x0d, 0x61, 0x45, 0xd1, 0xa2, 0x4c, 0x8c, 0x6d, 0xc6,
	}
}

// IsNull tells whether m is the null batch.
func (m *Batch) IsNull() bool { return len(m.Requests) == 0 }

// Digest returns the batch's digest, over its whole encoding: time, input, order,
// and every request with its signature. It is computed anew each time;
// Sealed.Digest has it ready.
func (m *Batch) Digest() crypto.Digest {
	return crypto.Sum([]byte(tagBatch), make(buf, 0, m.Size()).batch(m))
}

// requestRoom is enough for most requests: a digest of them allocates nothing.
const requestRoom = 512

// Digest returns the request's digest, over all but its signature: signatures
// are not unique, and so name nothing. It is computed anew each time, but for a
// request that an Opener verified, also in a batch: that has it ready.
func (m *Request) Digest() crypto.Digest {
	if m.digested.of == m {
		return m.digested.digest
	}
	var room [requestRoom]byte
	return crypto.Sum([]byte(tagRequest), buf(room[:0]).request(m))
}

// Equal tells whether m and o say the same, signature included; whether a digest was
// computed of them does not count.
func (m *Request) Equal(o *Request) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.Client == o.Client && m.Session == o.Session && m.Number == o.Number && m.Acked == o.Acked &&
		m.ReadOnly == o.ReadOnly && m.Signature == o.Signature && slices.EqualFunc(m.Ops, o.Ops, bytes.Equal)
}

// digestBody is Digest for who has the encoding of all but the signature, and keeps
// the digest in m, which nobody else may use yet.
func (m *Request) digestBody(body []byte) crypto.Digest {
	if m.digested.of != m {
		m.digested = digested{m, crypto.Sum([]byte(tagRequest), body)}
	}
	return m.digested.digest
}

// Digest returns the digest of the view change, over all but its own signature.
// It is computed anew each time; Sealed.Digest has it ready.
func (m *ViewChange) Digest() crypto.Digest {
	return crypto.Sum([]byte(tagViewChange), make(buf, 0, frameBytes(m)).viewChange(m))
}

// HistoryDigest returns H(n) = hash(H(n−1) ‖ batch digest), which stands for
// all that was executed up to n. H(0) is the zero Digest.
func HistoryDigest(prev, batch crypto.Digest) crypto.Digest {
	return crypto.Sum([]byte(tagHistory), prev[:], batch[:])
}

// AnswerDigest returns the leaf of an answer in the tree of its group. It covers what a
// client relies on beside whose operation it was, which its group has: which one, where
// executed, how it ended, and the result; not who replies, so it is equal at correct
// replicas.
func AnswerDigest(a *Answer) crypto.Digest {
	var room [len(tagAnswer) + answerHeadBytes + countBytes]byte
	b := append(buf(room[:0]), tagAnswer...).answerHead(a).count(len(a.Result))
	return crypto.Sum(b, a.Result)
}

// groupDigest returns the leaf of a group of so many answers in the tree of all groups. It
// covers whose they are, and their number, so that an answer has one place in its group.
func groupDigest(client *ClientID, session Session, answers int, root crypto.Digest) crypto.Digest {
	var room [len(tagReplies) + len(ClientID{}) + 8 + countBytes + crypto.DigestSize]byte
	b := append(append(buf(room[:0]), tagReplies...), client[:]...)
	return crypto.Sum(b.u64(uint64(session)).count(answers).digest(&root))
}

// digestCovering returns the digest of a message of kind k, over the part of
// its frame that it covers; the zero Digest for kinds without one.
func digestCovering(k Kind, covered []byte) crypto.Digest {
	switch k {
	case KindRequest:
		return crypto.Sum([]byte(tagRequest), covered)
	case KindPrePrepare, KindBatchBody, KindCommitted:
		return crypto.Sum([]byte(tagBatch), covered)
	case KindViewChange:
		return crypto.Sum([]byte(tagViewChange), covered)
	default:
		return crypto.Digest{}
	}
}

// namedBatch returns the digest that the message gives for the batch it has.
func namedBatch(m Message) (crypto.Digest, bool) {
	if pp, ok := m.(*PrePrepare); ok {
		return pp.Digest, true
	}
	if c, ok := m.(*Committed); ok {
		return c.Cert.Digest, true
	}
	return crypto.Digest{}, false
}

// digestOf returns what Sealed.Digest promises for a message of our own and its
// frame. The digests that it names are true.
func digestOf(m Message, frame []byte) crypto.Digest {
	if d, ok := namedBatch(m); ok {
		return d
	}
	switch k := m.Kind(); k {
	case KindRequest, KindViewChange:
		return digestCovering(k, frame[headerBytes:len(frame)-signatureBytes])
	case KindBatchBody:
		return digestCovering(k, frame[headerBytes:])
	default:
		return crypto.Digest{}
	}
}
