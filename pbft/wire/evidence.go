package wire

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrNoEvidence says that statements prove nothing against anyone.
var ErrNoEvidence = errors.New("no evidence")

// place is what a correct replica signs one statement of a kind for.
type place struct {
	view View
	seq  Seq
}

// NewEvidence returns the proof that culprit signed first and second, two
// verified messages that no correct replica signs both of: a commit and a view
// change for EvidenceHidden, two of one kind for the kinds before it. Of a
// PrePrepare only the vote counts; its Batch may be nil. Evidence of a vote
// within a certificate is made from a message with that vote. Errors wrap
// ErrNoEvidence.
func NewEvidence(proof EvidenceKind, culprit ReplicaID, first, second Message) (*Evidence, error) {
	if k, other := proof.statements(); first.Kind() != k || second.Kind() != other {
		return nil, fmt.Errorf("%w: a %s and a %s prove no %q", ErrNoEvidence, first.Kind(), second.Kind(), proof)
	}
	e := &Evidence{Proof: proof, Culprit: culprit, First: statementOf(first), Second: statementOf(second)}
	if err := e.contradicts(first, second); err != nil {
		return nil, err
	}
	return e, nil
}

// statementOf returns what the signature of m covers, with it.
func statementOf(m Message) Statement {
	return Statement{Kind: m.Kind(), Body: make(buf, 0, frameBytes(m)).body(m), Signature: *signatureOf(m)}
}

// absent tells whether s stands for no statement.
func (s *Statement) absent() bool { return s.Kind == 0 }

// Check tells why e, but for its signatures, proves nothing in a cluster of n
// replicas: its statements must be of the right kinds, by the culprit, and such
// that no correct replica makes them. Opener verifies the signatures as well: of
// EvidenceUnsigned, that the one of some request is bad, in a batch that is within
// the limits. The check needs nothing but e, and holds however many replicas lie.
func (e *Evidence) Check(n int) error {
	first, err := e.First.parse(anyLimits(n))
	if err != nil {
		return fmt.Errorf("%w: first statement: %w", ErrNoEvidence, err)
	}
	second, err := e.secondOf(n)
	if err != nil {
		return fmt.Errorf("%w: second statement: %w", ErrNoEvidence, err)
	}
	switch e.Proof {
	case EvidenceUnsigned:
		return e.proposes(n, first, second)
	case EvidenceChoices:
		return e.misleads(n, first)
	default:
		return e.contradicts(first, second)
	}
}

// anyLimits returns limits that bound nothing: what is checked is in memory.
func anyLimits(n int) *Limits {
	const much = 1 << 30
	return &Limits{
		Replicas: n, Window: NumberMax, OpBytesMax: much, OpsMax: much, BatchRequestsMax: much, BatchBytesMax: much,
	}
}

// secondOf reads the second statement, or returns nil where the kind of
// evidence has none.
func (e *Evidence) secondOf(n int) (Message, error) {
	if !e.Second.absent() {
		return e.Second.parse(anyLimits(n))
	}
	zero := Statement{}
	if len(e.Second.Body) > 0 || e.Second.Signature != zero.Signature {
		return nil, errors.New("it is of no kind, and yet there")
	}
	return nil, nil //nolint:nilnil // no message is what an absent statement says
}

// contradicts checks that e's statements, which say first and second, cannot
// both come from a correct replica.
func (e *Evidence) contradicts(first, second Message) error {
	k, other := e.Proof.statements()
	if k == 0 || other == 0 {
		return fmt.Errorf("%w: unknown kind of evidence %d", ErrNoEvidence, e.Proof)
	}
	if second == nil || len(e.Attached) > 0 {
		return fmt.Errorf("%w: %q is two statements, and nothing with them", ErrNoEvidence, e.Proof)
	}
	if err := e.signed(first, k); err != nil {
		return err
	}
	if err := e.signed(second, other); err != nil {
		return err
	}
	if e.Proof == EvidenceHidden {
		return hides(first, second)
	}
	if placeOf(first) != placeOf(second) {
		return fmt.Errorf("%w: the statements are for different places in the order", ErrNoEvidence)
	}
	if slices.Equal(e.First.Body, e.Second.Body) {
		return fmt.Errorf("%w: the statements are equal", ErrNoEvidence)
	}
	return nil
}

// signed checks that the statement m is of kind k and of the culprit.
func (e *Evidence) signed(m Message, k Kind) error {
	if m.Kind() != k {
		return fmt.Errorf("%w: a %s, want a %s", ErrNoEvidence, m.Kind(), k)
	}
	if s, _ := SenderOf(m); s != e.Culprit {
		return fmt.Errorf("%w: a statement is of replica %d, not of %d", ErrNoEvidence, s, e.Culprit)
	}
	return nil
}

// hides checks that a view change hides what a commit of its sender proves.
func hides(first, second Message) error {
	commit, isCommit := first.(*Commit)
	vc, isChange := second.(*ViewChange)
	if !isCommit || !isChange || !vc.Hides(&commit.Vote) {
		return fmt.Errorf("%w: the view change hides nothing that the commit proves", ErrNoEvidence)
	}
	return nil
}

// Hides tells whether vc hides the prepared certificate that its sender had when
// it signed commit. A correct replica makes that certificate durable before its
// Commit leaves, signs no Commit in a view that it has left, and keeps the
// certificate of the highest view for every number above its stable checkpoint.
// So a later view change of its either has a checkpoint that covers the number,
// or a certificate of a higher view there, or this one.
func (m *ViewChange) Hides(commit *Vote) bool {
	if commit.Sender != m.Sender || commit.View >= m.View || commit.Seq <= m.Stable.Seq {
		return false
	}
	i, found := slices.BinarySearchFunc(m.Prepared, commit.Seq, func(c PreparedCert, seq Seq) int {
		return cmp.Compare(c.Seq, seq)
	})
	if !found {
		return true
	}
	cert := &m.Prepared[i]
	return cert.View < commit.View || cert.View == commit.View && cert.Digest != commit.Digest
}

// CommitOf returns the commit of a replica that is in the certificate, or nil;
// the nil certificate has none.
func (m *CommitCert) CommitOf(id ReplicaID) *Commit {
	if m == nil {
		return nil
	}
	for i := range m.Commits {
		if s := &m.Commits[i]; s.Sender == id {
			return &Commit{Vote: Vote{View: m.View, Seq: m.Seq, Digest: m.Digest, Sender: id, Signature: s.Signature}}
		}
	}
	return nil
}

// statements returns the kinds of the messages that evidence of this kind is
// about; 0 for the second where there may be none, and for both if there is no
// such kind of evidence.
func (k EvidenceKind) statements() (first, second Kind) {
	switch k {
	case EvidencePrePrepares:
		return KindPrePrepare, KindPrePrepare
	case EvidencePrepares:
		return KindPrepare, KindPrepare
	case EvidenceCommits:
		return KindCommit, KindCommit
	case EvidenceCheckpoints:
		return KindCheckpoint, KindCheckpoint
	case EvidenceViewChanges:
		return KindViewChange, KindViewChange
	case EvidenceNewViews:
		return KindNewView, KindNewView
	case EvidenceHidden:
		return KindCommit, KindViewChange
	case EvidenceUnsigned:
		return KindPrePrepare, 0
	case EvidenceChoices:
		return KindNewView, 0
	default:
		return 0, 0
	}
}

// String names the kind of evidence as the documents do.
func (k EvidenceKind) String() string {
	switch first, second := k.statements(); {
	case k == EvidenceHidden:
		return "a view-change that hides a commit"
	case k == EvidenceUnsigned:
		return "a pre-prepare of an unsigned request"
	case k == EvidenceChoices:
		return "a new-view of wrong choices"
	case second != 0:
		return "two different " + first.String() + " messages"
	default:
		return fmt.Sprintf("evidence %d", byte(k))
	}
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
	m := r.evidenceHead()
	if n := r.count("attachments", r.lim.Replicas, countBytes); n > 0 {
		m.Attached = make([][]byte, n)
	}
	for i := range m.Attached {
		m.Attached[i] = r.bytes("bytes of an attachment", r.lim.attachmentBytesMax())
	}
	if r.err == nil {
		r.err = m.Check(r.lim.Replicas)
	}
	return m
}

// evidenceHead reads what is before the attachments.
func (r *reader) evidenceHead() *Evidence {
	return &Evidence{Proof: EvidenceKind(r.u8()), Culprit: r.id(), First: r.statement(), Second: r.statement()}
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

// Place returns the view and the number that e's first statement is for; either
// is 0 where the kind of message has none. e must have passed Check(n).
func (e *Evidence) Place(n int) (View, Seq) {
	m, err := e.First.parse(anyLimits(n))
	if err != nil {
		return 0, 0
	}
	at := placeOf(m)
	return at.view, at.seq
}

// Led returns the view in which the culprit lied as its primary, or when it
// asked for it, and false if it lied as a backup. What the statements say else is
// not looked at: e may come from PeekEvidence.
func (e *Evidence) Led(n int) (View, bool) {
	if e.Proof == EvidencePrepares || e.Proof == EvidenceCommits || e.Proof == EvidenceCheckpoints {
		return 0, false
	}
	body := e.First.Body
	if e.Proof == EvidenceHidden {
		body = e.Second.Body
	}
	r := &reader{data: body, lim: anyLimits(n)}
	view := r.view() // with it begins what these kinds are about
	return view, r.err == nil && view.Primary(n) == e.Culprit
}

// PeekEvidence returns what a frame of evidence says that it is, without
// attachments, or nil if it is none. Nothing of it was checked, and next to
// nothing was read: it is for who decides whether to do that.
func PeekEvidence(frame []byte, lim *Limits) *Evidence {
	if k, err := FrameKind(frame); err != nil || k != KindEvidence || len(frame) > lim.KindBytesMax(k) {
		return nil
	}
	r := &reader{data: frame, at: headerBytes, lim: lim}
	e := r.evidenceHead()
	if first, _ := e.Proof.statements(); r.err != nil || first == 0 {
		return nil
	}
	return e
}
