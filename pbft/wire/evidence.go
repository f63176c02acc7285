package wire

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoEvidence says that two statements prove nothing against anyone.
var ErrNoEvidence = errors.New("no evidence")

// place is what a correct replica signs one statement of a kind for.
type place struct {
	view View
	seq  Seq
}

// NewEvidence returns the proof that culprit signed first and second, two
// verified messages that no correct replica signs both of. Of a PrePrepare only
// the vote counts; its Batch may be nil. Evidence of a vote within a certificate
// is made from a message with that vote. Errors wrap ErrNoEvidence.
func NewEvidence(proof EvidenceKind, culprit ReplicaID, first, second Message) (*Evidence, error) {
	e := &Evidence{Proof: proof, Culprit: culprit}
	for i, m := range [2]Message{first, second} {
		if m.Kind() != proof.statements() {
			return nil, fmt.Errorf("%w: statement %d is a %s, want a %s", ErrNoEvidence, i+1, m.Kind(), proof.statements())
		}
		s := Statement{Kind: m.Kind(), Body: make(buf, 0, frameBytes(m)).body(m), Signature: *signatureOf(m)}
		if i == 0 {
			e.First = s
		} else {
			e.Second = s
		}
	}
	if err := e.contradicts(first, second); err != nil {
		return nil, err
	}
	return e, nil
}

// Check tells why e, structurally, proves nothing in a cluster of n replicas:
// both statements must be of the right kind, by the culprit, for one place, and
// differ. It checks no signature; Opener does both.
func (e *Evidence) Check(n int) error {
	lim := &Limits{Replicas: n, Window: NumberMax}
	first, err := e.First.parse(lim)
	if err != nil {
		return fmt.Errorf("%w: first statement: %w", ErrNoEvidence, err)
	}
	second, err := e.Second.parse(lim)
	if err != nil {
		return fmt.Errorf("%w: second statement: %w", ErrNoEvidence, err)
	}
	return e.contradicts(first, second)
}

// contradicts checks that e's statements, which say first and second, cannot
// both come from a correct replica.
func (e *Evidence) contradicts(first, second Message) error {
	k := e.Proof.statements()
	if k == 0 {
		return fmt.Errorf("%w: unknown kind of evidence %d", ErrNoEvidence, e.Proof)
	}
	for _, m := range [2]Message{first, second} {
		if m.Kind() != k {
			return fmt.Errorf("%w: a %s, want a %s", ErrNoEvidence, m.Kind(), k)
		}
		if s, _ := SenderOf(m); s != e.Culprit {
			return fmt.Errorf("%w: a statement is of replica %d, not of %d", ErrNoEvidence, s, e.Culprit)
		}
	}
	if placeOf(first) != placeOf(second) {
		return fmt.Errorf("%w: the statements are for different places in the order", ErrNoEvidence)
	}
	if slices.Equal(e.First.Body, e.Second.Body) {
		return fmt.Errorf("%w: the statements are equal", ErrNoEvidence)
	}
	return nil
}

// statements returns the kind of message that evidence of this kind is about,
// 0 if there is no such kind.
func (k EvidenceKind) statements() Kind {
	switch k {
	case EvidencePrePrepares:
		return KindPrePrepare
	case EvidencePrepares:
		return KindPrepare
	case EvidenceCommits:
		return KindCommit
	case EvidenceCheckpoints:
		return KindCheckpoint
	case EvidenceViewChanges:
		return KindViewChange
	case EvidenceNewViews:
		return KindNewView
	default:
		return 0
	}
}

// String names the kind of evidence as the documents do.
func (k EvidenceKind) String() string {
	if s := k.statements(); s != 0 {
		return "two different " + s.String() + " messages"
	}
	return fmt.Sprintf("evidence %d", byte(k))
}

// parse reads the body of a statement. The result has neither signature nor
// batch.
func (s *Statement) parse(lim *Limits) (Message, error) {
	r := &reader{data: s.Body, lim: lim}
	m := r.signedBody(s.Kind)
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes follow its end", r.left())
	}
	return m, r.err
}

// signedBody reads what the signature of a kind covers, for the kinds that
// evidence is about.
func (r *reader) signedBody(k Kind) Message {
	switch k {
	case KindPrePrepare:
		m := &PrePrepare{Vote: r.voteBody()}
		r.needPrimary(m.Sender, m.View)
		return m
	case KindPrepare:
		return &Prepare{Vote: r.voteBody()}
	case KindCommit:
		return &Commit{Vote: r.voteBody()}
	case KindCheckpoint:
		return &Checkpoint{Seq: r.someSeq(), State: r.digest(), Sender: r.id()}
	case KindViewChange:
		return r.viewChange()
	case KindNewView:
		return r.newView()
	default:
		r.fail("no evidence is about a %s", k)
		return nil
	}
}

// evidence reads evidence and checks that it proves something.
func (r *reader) evidence() Message {
	m := &Evidence{Proof: EvidenceKind(r.u8()), Culprit: r.id(), First: r.statement(), Second: r.statement()}
	if r.err == nil {
		r.err = m.Check(r.lim.Replicas)
	}
	return m
}

func (r *reader) statement() Statement {
	s := Statement{Kind: Kind(r.u8()), Body: r.bytes("bytes of a statement", r.lim.statementBytesMax())}
	s.Signature = r.signature()
	return s
}

// placeOf returns the place of a message that evidence is about.
func placeOf(m Message) place {
	if p, ok := m.(interface{ place() place }); ok {
		return p.place()
	}
	return place{}
}

func (m *Vote) place() place { return place{m.View, m.Seq} }

func (m *Checkpoint) place() place { return place{seq: m.Seq} }

func (m *ViewChange) place() place { return place{view: m.View} }

func (m *NewView) place() place { return place{view: m.View} }

// Place returns the view and the number that e's statements are for; either is
// 0 where the kind of message has none. e must have passed Check(n).
func (e *Evidence) Place(n int) (View, Seq) {
	m, err := e.First.parse(&Limits{Replicas: n, Window: NumberMax})
	if err != nil {
		return 0, 0
	}
	at := placeOf(m)
	return at.view, at.seq
}

// SenderOf returns the replica that signed m, and false for kinds that a
// client signs or that prove themselves.
func SenderOf(m Message) (ReplicaID, bool) {
	switch m := m.(type) {
	case *PrePrepare:
		return m.Sender, true
	case *Prepare:
		return m.Sender, true
	case *Commit:
		return m.Sender, true
	case *Checkpoint:
		return m.Sender, true
	case *ViewChange:
		return m.Sender, true
	case *NewView:
		return m.Sender, true
	case *Reply:
		return m.Sender, true
	case *Status:
		return m.Sender, true
	case *FetchBatches:
		return m.Sender, true
	case *FetchCommitted:
		return m.Sender, true
	case *FetchViewChange:
		return m.Sender, true
	case *FetchPieces:
		return m.Sender, true
	case *Report:
		return m.Sender, true
	case *Refusal:
		return m.Sender, true
	case *Request, *BatchBody, *Committed, *StableProof, *Piece, *Evidence, *Ask, *Prepared, *CommitProof:
		return 0, false
	}
	return 0, false
}
