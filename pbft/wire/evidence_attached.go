package wire

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// evidenceBytesMax bounds the view changes that are attached to evidence, all of
// them together: what is larger stays where it was found, in the archive of a
// replica, and is proven there.
const evidenceBytesMax = 8 << 20

// Unsigned is a pre-prepare that its primary signed, of a batch in which a
// request has no valid signature of its client. Only Opener makes one.
type Unsigned struct{ proposal *PrePrepare }

// Proposal returns the pre-prepare. Nobody may change it.
func (u *Unsigned) Proposal() *PrePrepare { return u.proposal }

// NewUnsignedEvidence returns the proof that the primary of a view proposed a
// request that nobody signed. A new primary signs again, unseen, what earlier
// views prepared, so the proof needs its new view, which must say that the number
// is not one of those; in view 0 opened is nil. Errors wrap ErrNoEvidence.
func NewUnsignedEvidence(u *Unsigned, opened *NewView) (*Evidence, error) {
	pp := u.proposal
	e := &Evidence{
		Proof: EvidenceUnsigned, Culprit: pp.Sender, First: statementOf(&PrePrepare{Vote: pp.Vote}),
		Attached: [][]byte{make(buf, 0, pp.Batch.Size()).batch(pp.Batch)},
	}
	var second Message
	if opened != nil {
		e.Second, second = statementOf(opened), opened
	}
	if err := e.ownProposal(pp, second); err != nil {
		return nil, err
	}
	return e, nil
}

// proposes checks EvidenceUnsigned, but for what Opener does: whose signature is
// bad.
func (e *Evidence) proposes(n int, first, second Message) error {
	if err := e.signed(first, KindPrePrepare); err != nil {
		return err
	}
	pp, _ := first.(*PrePrepare)
	if err := e.ownProposal(pp, second); err != nil {
		return err
	}
	batch, digest, err := e.batch(anyLimits(n))
	switch {
	case err != nil:
		return fmt.Errorf("%w: batch: %w", ErrNoEvidence, err)
	case digest != pp.Digest:
		return fmt.Errorf("%w: the batch is %s, the pre-prepare is of %s", ErrNoEvidence, digest.Short(), pp.Digest.Short())
	case batch.IsNull():
		return fmt.Errorf("%w: there is no request in the batch", ErrNoEvidence)
	}
	return nil
}

// ownProposal checks that the primary proposed pp by itself.
func (e *Evidence) ownProposal(pp *PrePrepare, second Message) error {
	if second == nil {
		if pp.View > 0 {
			return fmt.Errorf("%w: the new view of view %d is wanted", ErrNoEvidence, pp.View)
		}
		return nil
	}
	if err := e.signed(second, KindNewView); err != nil {
		return err
	}
	nv, _ := second.(*NewView)
	if nv.View != pp.View || pp.Seq <= nv.Stable+Seq(len(nv.Choices)) {
		return fmt.Errorf("%w: the new view does not say that its primary chose the batch itself", ErrNoEvidence)
	}
	return nil
}

// Fits tells whether a batch that is attached to e is within lim. Who finds the lie
// has decoded the proposal by the limits of the cluster: what does not fit no correct
// replica sends, though it may be true. e must have passed Check.
func (e *Evidence) Fits(lim *Limits) bool {
	if e.Proof != EvidenceUnsigned {
		return true
	}
	_, _, err := e.batch(lim)
	return err == nil
}

// batch reads the attached batch of EvidenceUnsigned, and computes its digest.
func (e *Evidence) batch(lim *Limits) (*Batch, crypto.Digest, error) {
	if len(e.Attached) != 1 {
		return nil, crypto.Digest{}, fmt.Errorf("%d attachments, want one batch", len(e.Attached))
	}
	r := &reader{data: e.Attached[0], lim: lim}
	b := r.batch()
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes follow its end", r.left())
	}
	return b, crypto.Sum([]byte(tagBatch), e.Attached[0]), r.err
}

// NewChoicesEvidence returns the proof that a new view does not follow from the
// view changes that it names: changes, in the order of their names. Errors wrap
// ErrNoEvidence.
func NewChoicesEvidence(nv *NewView, changes []*ViewChange) (*Evidence, error) {
	e := &Evidence{Proof: EvidenceChoices, Culprit: nv.Sender, First: statementOf(nv)}
	bytes := 0
	for _, vc := range changes {
		body := make(buf, 0, frameBytes(vc)).viewChange(vc)
		if bytes += len(body); bytes > evidenceBytesMax {
			return nil, fmt.Errorf("%w: its view changes have more than %d bytes", ErrNoEvidence, evidenceBytesMax)
		}
		e.Attached = append(e.Attached, body)
	}
	if err := strays(nv, changes); err != nil {
		return nil, err
	}
	return e, nil
}

// misleads checks EvidenceChoices. The view changes need no signatures: a correct
// primary names, by their digests, only view changes that it has verified, and
// computes its choice from exactly those.
func (e *Evidence) misleads(n int, first Message) error {
	if err := e.signed(first, KindNewView); err != nil {
		return err
	}
	nv, _ := first.(*NewView)
	if !e.Second.absent() || len(e.Attached) != len(nv.ViewChanges) {
		return fmt.Errorf("%w: %d view changes are attached, the new view names %d",
			ErrNoEvidence, len(e.Attached), len(nv.ViewChanges))
	}
	changes := make([]*ViewChange, 0, len(e.Attached))
	for i, body := range e.Attached {
		ref := &nv.ViewChanges[i]
		vc, err := namedChange(ref, body, n)
		if err != nil {
			return fmt.Errorf("%w: view change of replica %d: %w", ErrNoEvidence, ref.Sender, err)
		}
		changes = append(changes, vc)
	}
	return strays(nv, changes)
}

// namedChange reads the body of the view change that ref names.
func namedChange(ref *ViewChangeRef, body []byte, n int) (*ViewChange, error) {
	if crypto.Sum([]byte(tagViewChange), body) != ref.Digest {
		return nil, errors.New("its digest is not the one that is named")
	}
	s := Statement{Kind: KindViewChange, Body: body}
	m, err := s.parse(anyLimits(n))
	if err != nil {
		return nil, err
	}
	vc, ok := m.(*ViewChange)
	if !ok || vc.Sender != ref.Sender {
		return nil, errors.New("it is of another replica")
	}
	return vc, nil
}

// strays returns an error if nv is what its view changes imply: then it proves
// nothing. A view change for another view implies nothing at all, and no correct
// primary names one.
func strays(nv *NewView, changes []*ViewChange) error {
	for _, vc := range changes {
		if vc.View != nv.View {
			return nil
		}
	}
	if nv.Follows(changes) {
		return fmt.Errorf("%w: the new view follows from its view changes", ErrNoEvidence)
	}
	return nil
}

// evidence gathers the signatures of evidence.
func (c *collector) evidence(m *Evidence) error {
	for _, s := range [2]*Statement{&m.First, &m.Second} {
		if !s.absent() {
			c.statement(m.Culprit, s)
		}
	}
	if m.Proof != EvidenceUnsigned {
		return nil
	}
	lim := &c.opener.lim
	if c.opener.longProofs {
		lim = anyLimits(lim.Replicas)
	}
	batch, _, err := m.batch(lim)
	if err != nil {
		return fmt.Errorf("%w: batch: %w", ErrMalformed, err)
	}
	c.doubts = append(c.doubts, doubt{c.frame, batch.Requests})
	return nil
}

// doubt is a frame with evidence of an unsigned request, and the requests of which
// one is to be bad.
type doubt struct {
	frame    int
	requests []*Request
}

// doubtsTogether is how many signatures that may be bad are verified at once: enough to
// have most of what a batch saves, and few of those after the first bad one.
const doubtsTogether = 32

// settleDoubts looks for the unsigned request in evidence whose statements are signed,
// and refuses evidence without one. What comes after the first bad signature is nobody's
// concern: its primary decides how much that is.
func (c *collector) settleDoubts(out []Opened) {
	for _, d := range c.doubts {
		o := &out[d.frame]
		if o.Err != nil {
			continue
		}
		c.frame = d.frame
		proven := false
		for some := range slices.Chunk(d.requests, doubtsTogether) {
			if proven = c.unsigned(some, o); proven {
				break
			}
		}
		if !proven {
			o.Sealed, o.Err = nil, fmt.Errorf("%s: %w: none is bad, so it proves nothing", KindEvidence, ErrSignature)
		}
	}
}

// unsigned tells whether one of a few requests has no valid signature. The good ones that
// it had to verify to know that are remembered.
func (c *collector) unsigned(some []*Request, o *Opened) bool {
	had := len(c.checks)
	defer c.forgetFrom(had)
	for _, q := range some {
		if c.request(q) != nil {
			return true // its client has no key that could sign
		}
	}
	checks := c.checks[had:]
	if len(checks) == 0 {
		return false // all of them were verified before
	}
	var good [doubtsTogether]bool
	all := c.opener.verifier.Verify(checks, good[:len(checks)])
	o.Checks += len(checks)
	for i := range checks {
		if good[i] {
			c.remember(&c.claims[had+i])
		}
	}
	return !all
}

// expose tells of the frames that were refused for a signature, which of them are
// pre-prepares that their primary did sign: that is a proof against it.
func (o *Opener) expose(frames [][]byte, out []Opened) {
	for i := range out {
		if out[i].Err == nil || !errors.Is(out[i].Err, ErrSignature) || Kind(frames[i][1]) != KindPrePrepare {
			continue
		}
		if o.past(frames[i]) != nil {
			continue // its primary did not sign it, or it were not refused
		}
		m, _, err := decode(frames[i], &o.lim)
		if err != nil {
			continue
		}
		pp, _ := m.(*PrePrepare)
		c := collector{Memory: new(Memory), opener: o}
		c.vote(KindPrePrepare, &pp.Vote)
		var good [1]bool
		if len(c.checks) == 0 || o.verifier.Verify(c.checks, good[:]) {
			out[i].Unsigned = &Unsigned{pp}
		}
	}
}
