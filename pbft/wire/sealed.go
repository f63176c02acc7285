package wire

import (
	"slices"

	"github.com/quorate/quorate/crypto"
)

// Sealed is a message whose every signature, nested ones too, was checked, or
// that this process signed itself. Only this package makes one.
type Sealed struct {
	message Message
	frame   []byte
	digest  crypto.Digest
}

// Message returns the verified message. Nobody may change it.
func (s *Sealed) Message() Message { return s.message }

// Frame returns the message's one encoding. Nobody may change it.
func (s *Sealed) Frame() []byte { return s.frame }

// Digest returns the digest of what the message carries, which was computed
// once when it was sealed: that of the request for a Request, of the batch for
// PrePrepare, BatchBody and Committed, of the view change for a ViewChange, and
// the zero Digest for all others.
func (s *Sealed) Digest() crypto.Digest { return s.digest }

// Seal signs a message of our own with the key of its sender, and encodes it.
// It signs a copy: m stays as it is, but the copy shares its lists and batch,
// which may not be changed afterwards. A NewView also gets the pre-prepare
// signature of each choice. A message of a kind without a signature of its own
// is just encoded. A client seals its Request with its own key. For the replies
// of a batch use SealReplies.
//
// Seal checks nothing: whoever receives an illegal message refuses it.
func Seal(signer crypto.Signer, d crypto.Domain, m Message) *Sealed {
	own := clone(m)
	switch m := own.(type) { //nolint:gochecksumtype // the others sign what is in their frames
	case *Reply:
		s := m.signed()
		m.Signature = s.sign(signer, d)
		return Reseal(m)
	case *Replies:
		s := m.signed()
		m.Signature = s.sign(signer, d)
		return Reseal(m)
	default:
	}
	if nv, ok := own.(*NewView); ok {
		signChoices(signer, d, nv)
	}
	sealed := Reseal(own)
	if s := signatureOf(own); s != nil {
		at := signatureAt(own, sealed.frame)
		*s = signer.Sign(d.Message(byte(own.Kind()), sealed.frame[headerBytes:at]))
		copy(sealed.frame[at:], s[:]) // which no digest of a frame covers
	}
	return sealed
}

// signatureAt returns where in its frame the signature of m's sender is: right
// after what it covers.
func signatureAt(m Message, frame []byte) int {
	if m.Kind() == KindPrePrepare {
		return headerBytes + voteBodyBytes
	}
	return len(frame) - signatureBytes
}

// Reseal encodes a message that is signed already, without verifying it: only
// for what this process verified or signed before, as its journal and its own
// memory hold it.
func Reseal(m Message) *Sealed {
	frame := Encode(m)
	return &Sealed{message: m, frame: frame, digest: digestOf(m, frame)}
}

// signChoices gives nv a new list of its choices, with the pre-prepare
// signatures of its sender.
func signChoices(signer crypto.Signer, d crypto.Domain, nv *NewView) {
	nv.Choices = slices.Clone(nv.Choices)
	for i := range nv.Choices {
		v := nv.Choices[i].vote(nv)
		nv.Choices[i].Signature = signer.Sign(d.Message(byte(KindPrePrepare), buf(nil).voteBody(&v)))
	}
}

// vote returns the pre-prepare that the choice is in its new view.
func (c *Choice) vote(nv *NewView) Vote {
	return Vote{View: nv.View, Seq: c.Seq, Digest: c.Digest, Sender: nv.Sender, Signature: c.Signature}
}

// clone returns a shallow copy of a message that has a signature to fill, and
// m itself otherwise.
func clone(m Message) Message { //nolint:funlen // one case for each kind
	switch m := m.(type) {
	case *Request:
		return copyOf(m)
	case *PrePrepare:
		return copyOf(m)
	case *Prepare:
		return copyOf(m)
	case *Commit:
		return copyOf(m)
	case *Checkpoint:
		return copyOf(m)
	case *ViewChange:
		return copyOf(m)
	case *NewView:
		return copyOf(m)
	case *Reply:
		return copyOf(m)
	case *Replies:
		return copyOf(m)
	case *Status:
		return copyOf(m)
	case *FetchBatches:
		return copyOf(m)
	case *FetchCommitted:
		return copyOf(m)
	case *FetchViewChange:
		return copyOf(m)
	case *FetchPieces:
		return copyOf(m)
	case *Report:
		return copyOf(m)
	case *Refusal:
		return copyOf(m)
	case *Outputs:
		return copyOf(m)
	case *Query:
		return copyOf(m)
	case *Results:
		return copyOf(m)
	case *BatchBody, *Committed, *StableProof, *Piece, *Evidence, *Ask, *AskOutputs, *Prepared, *CommitProof:
		return m
	}
	return m
}

func copyOf[T any](m *T) *T {
	c := *m
	return &c
}
