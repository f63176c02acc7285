package wire

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Decode returns the message of a frame. It accepts exactly what Encode gives
// for a legal message within lim: of every value one encoding, nothing before
// or after. Legal is what can be seen without keys and state: who may send what,
// order, bounds, and that a batch has the digest that its vote or certificate
// names. Signatures, the limits of a batch within evidence, quorum sizes and repeated
// requests are not checked here; Opener checks the first two, package core the others.
//
// The message's operations, results, pieces and statements alias frame, which
// may not be changed afterwards. Its requests share memory: whoever keeps one
// keeps all of its batch. Errors wrap ErrMalformed and say what is wrong.
func Decode(frame []byte, lim *Limits) (Message, error) {
	m, _, err := decode(frame, lim)
	return m, err
}

// decode is Decode, and returns the message's digest too, for kinds that have
// one.
func decode(frame []byte, lim *Limits) (Message, crypto.Digest, error) {
	m, covered, err := parse(frame, lim)
	if err != nil {
		return nil, crypto.Digest{}, err
	}
	d := digestCovering(m.Kind(), covered)
	if want, ok := namedBatch(m); ok && want != d {
		return nil, d, fmt.Errorf("%w: %s: batch %s is not the one that is named, %s",
			ErrMalformed, m.Kind(), d.Short(), want.Short())
	}
	return m, d, nil
}

// FrameKind returns the kind of a frame from its first two bytes, so that
// length and kind can be checked before the rest is read.
func FrameKind(frame []byte) (Kind, error) {
	if len(frame) < headerBytes {
		return 0, fmt.Errorf("%w: %d bytes, a frame has at least %d", ErrMalformed, len(frame), headerBytes)
	}
	if frame[0] != Version {
		return 0, fmt.Errorf("%w: version %d, this is version %d", ErrMalformed, frame[0], Version)
	}
	k := Kind(frame[1])
	if k < KindRequest || k > KindLast {
		return 0, fmt.Errorf("%w: unknown %s", ErrMalformed, k)
	}
	return k, nil
}

// parse takes a frame apart and returns the bytes that the digest covers.
func parse(frame []byte, lim *Limits) (Message, []byte, error) {
	k, err := FrameKind(frame)
	if err != nil {
		return nil, nil, err
	}
	if longest := lim.KindBytesMax(k); len(frame) > longest {
		return nil, nil, fmt.Errorf("%w: %s of %d bytes, at most %d are allowed", ErrMalformed, k, len(frame), longest)
	}
	r := &reader{data: frame, at: headerBytes, lim: lim}
	m := r.message(k)
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes follow its end", r.left())
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, k, r.err)
	}
	return m, frame[r.from:r.to], nil
}

// message reads the body of a frame of kind k.
func (r *reader) message(k Kind) Message {
	switch k {
	case KindRequest:
		return r.request(new(Request))
	case KindPrePrepare:
		return r.prePrepare()
	case KindPrepare:
		m := &Prepare{Vote: r.vote()}
		r.need(r.err != nil || m.Sender != m.View.Primary(r.lim.Replicas), "the primary of a view prepares nothing in it")
		return m
	case KindCommit:
		return &Commit{Vote: r.vote()}
	case KindCheckpoint:
		return &Checkpoint{Seq: r.someSeq(), State: r.digest(), Sender: r.id(), Signature: r.signature()}
	case KindViewChange:
		m := r.viewChange()
		m.Signature = r.signature()
		return m
	case KindNewView:
		m := r.newView()
		m.Signature = r.signature()
		return m
	case KindStatus:
		return r.status()
	case KindFetchBatches, KindFetchCommitted, KindFetchViewChange, KindFetchPieces:
		return r.fetch(k)
	case KindReply, KindReplies, KindReport, KindRefusal, KindOutputs, KindQuery, KindResults:
		return r.withClient(k)
	case KindBatchBody, KindCommitted, KindStableProof, KindPiece, KindEvidence, KindAsk, KindAskOutputs, KindPrepared,
		KindCommitProof:
		return r.selfProving(k)
	}
	r.err = errors.New("unknown kind")
	return nil
}

// withClient reads the body of what replicas and clients tell each other.
func (r *reader) withClient(k Kind) Message {
	switch k {
	case KindReply:
		return r.reply()
	case KindReplies:
		return r.replies()
	case KindReport:
		return r.report()
	case KindRefusal:
		return r.refusal()
	case KindOutputs:
		return r.outputs()
	case KindQuery:
		return r.query()
	default:
		return r.queryResults()
	}
}

// selfProving reads the body of a kind without a signature of its own.
func (r *reader) selfProving(k Kind) Message {
	switch k {
	case KindBatchBody:
		return &BatchBody{Batch: r.batch()}
	case KindCommitted:
		return &Committed{Cert: r.commitCert(), Batch: r.batch()}
	case KindStableProof:
		m := &StableProof{Cert: r.checkpointCert()}
		r.need(m.Cert.Seq > 0, "number 0 needs no proof")
		return m
	case KindPiece:
		return &Piece{Root: r.digest(), Life: r.u64(), Data: r.bytes("bytes of a piece", r.lim.PieceBytesMax)}
	case KindEvidence:
		return r.evidence()
	case KindAsk:
		return &Ask{Nonce: r.u64()}
	case KindAskOutputs:
		return &AskOutputs{From: r.outputNumber()}
	case KindPrepared:
		return &Prepared{Cert: r.preparedCert()}
	default:
		return &CommitProof{Cert: r.commitCert()}
	}
}

// fetch reads the body of a question to a peer.
func (r *reader) fetch(k Kind) Message {
	switch k {
	case KindFetchBatches:
		m := &FetchBatches{Digests: r.digests("digests", FetchDigestsMax), Sender: r.id(), Signature: r.signature()}
		r.need(len(m.Digests) > 0, "asks for nothing")
		return m
	case KindFetchCommitted:
		m := &FetchCommitted{First: r.someSeq(), Last: r.someSeq(), Sender: r.id(), Signature: r.signature()}
		r.need(m.First <= m.Last, "the last number is below the first")
		return m
	case KindFetchViewChange:
		return &FetchViewChange{View: r.nextView(), Refs: r.refs(), Sender: r.id(), Signature: r.signature()}
	default:
		m := &FetchPieces{Seq: r.someSeq(), Root: r.digest(), Digests: r.digests("digests", FetchDigestsMax)}
		m.Life = r.u64()
		m.Sender, m.Signature = r.id(), r.signature()
		r.need(len(m.Digests) > 0, "asks for nothing")
		return m
	}
}

func (r *reader) vote() Vote {
	v := r.voteBody()
	v.Signature = r.signature()
	return v
}

func (r *reader) voteBody() Vote {
	return Vote{View: r.view(), Seq: r.someSeq(), Digest: r.digest(), Sender: r.id()}
}

func (r *reader) prePrepare() Message {
	m := r.proposal()
	if r.err == nil {
		m.Batch = r.batch()
	}
	return m
}

// proposal reads a pre-prepare without its batch.
func (r *reader) proposal() *PrePrepare {
	m := &PrePrepare{Vote: r.vote()}
	r.needPrimary(m.Sender, m.View)
	return m
}

// needPrimary refuses what only the primary of v may send.
func (r *reader) needPrimary(sender ReplicaID, v View) {
	if r.err != nil {
		return
	}
	if p := v.Primary(r.lim.Replicas); sender != p {
		r.fail("sender is %d, the primary of view %d is %d", sender, v, p)
	}
}

func (r *reader) checkpointCert() CheckpointCert {
	c := CheckpointCert{Seq: r.seq(), State: r.digest(), Signers: r.signers("checkpoint signatures")}
	r.need(c.Seq > 0 || len(c.Signers) == 0, "nobody signs the checkpoint of number 0")
	return c
}

func (r *reader) commitCert() CommitCert {
	return CommitCert{View: r.view(), Seq: r.someSeq(), Digest: r.digest(), Commits: r.signers("commits")}
}

func (r *reader) preparedCert() PreparedCert {
	c := PreparedCert{
		View: r.view(), Seq: r.someSeq(), Digest: r.digest(),
		PrePrepare: r.signature(), Prepares: r.signers("prepares"),
	}
	if r.err != nil {
		return c
	}
	p := c.View.Primary(r.lim.Replicas)
	for i := range c.Prepares {
		if c.Prepares[i].Sender == p {
			r.fail("replica %d prepares in view %d, of which it is the primary", p, c.View)
		}
	}
	return c
}

// viewChange reads a view change without its signature.
func (r *reader) viewChange() *ViewChange {
	r.from = r.at
	m := &ViewChange{View: r.nextView(), Stable: r.checkpointCert()}
	n := r.count("prepared certificates", r.window(), preparedCertFixedBytes)
	if n > 0 {
		m.Prepared = make([]PreparedCert, n)
	}
	above := m.Stable.Seq
	for i := range m.Prepared {
		c := r.preparedCert()
		if r.err != nil {
			return m
		}
		if c.Seq <= above {
			r.fail("prepared number %d follows %d, want ascending order", c.Seq, above)
		}
		if c.Seq > m.Stable.Seq && c.Seq-m.Stable.Seq > r.lim.Window {
			r.fail("prepared number %d is more than %d above the checkpoint %d", c.Seq, r.lim.Window, m.Stable.Seq)
		}
		if c.View >= m.View {
			r.fail("prepared in view %d, not before the new view %d", c.View, m.View)
		}
		m.Prepared[i], above = c, c.Seq
	}
	m.Sender = r.id()
	r.to = r.at
	return m
}

// window returns the window as the length of a list.
func (r *reader) window() int { return int(min(r.lim.Window, 1<<31-1)) } //nolint:gosec // fits

// newView reads a new view without its signature.
func (r *reader) newView() *NewView {
	m := &NewView{View: r.nextView(), ViewChanges: r.refs(), Stable: r.seq(), StableState: r.digest()}
	n := r.count("choices", r.window(), choiceBytes)
	if n > 0 {
		m.Choices = make([]Choice, n)
	}
	above := m.Stable
	for i := range m.Choices {
		c := Choice{Seq: r.someSeq(), Digest: r.digest(), Signature: r.signature()}
		if r.err != nil {
			return m
		}
		if c.Seq != above+1 {
			r.fail("choice %d follows number %d, want no gap", c.Seq, above)
			return m
		}
		m.Choices[i], above = c, c.Seq
	}
	m.Sender = r.id()
	r.needPrimary(m.Sender, m.View)
	return m
}

func (r *reader) reply() Message {
	m := &Reply{View: r.view()}
	copy(m.Client[:], r.take(len(m.Client)))
	m.Session = Session(r.u64())
	m.Answer = r.answerHead()
	m.Result = r.bytes("bytes of a result", r.lim.ResultBytesMax)
	m.Inner, m.Outer = r.inner(), r.outer()
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}

func (r *reader) someNumber() Number {
	v := Number(r.number("request number"))
	r.need(v > 0, "request number is 0, they start at 1")
	return v
}

func (r *reader) status() Message {
	m := &Status{
		View: r.view(), Active: r.flag(), LostPrimary: r.flag(), Suspects: r.flag(),
		Stable: r.seq(), Executed: r.seq(),
	}
	if n := r.count("slots", StatusSlotsMax, slotBytes); n > 0 {
		m.Slots = make([]SlotStatus, n)
	}
	above := m.Executed
	for i := range m.Slots {
		s := SlotStatus{
			Seq: r.seq(), HavePrePrepare: r.flag(), HavePrepared: r.flag(), HaveCommitted: r.flag(), Abstains: r.flag(),
		}
		if r.err == nil && s.Seq <= above {
			r.fail("slot %d follows %d, want ascending order above the last executed", s.Seq, above)
		}
		m.Slots[i], above = s, s.Seq
	}
	if n := r.count("view changes", r.lim.Replicas, 4); n > 0 {
		m.ViewChanges = make([]ReplicaID, n)
	}
	for i := range m.ViewChanges {
		m.ViewChanges[i] = r.id()
		r.need(i == 0 || m.ViewChanges[i] > m.ViewChanges[i-1], "view changes are not in ascending order of sender")
	}
	m.Asks, m.Answers = r.u64(), r.u64()
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}

func (r *reader) report() Message {
	return &Report{
		Nonce: r.u64(), View: r.view(), Active: r.flag(), Silent: r.flag(), Executed: r.seq(),
		Stable: r.seq(), StableState: r.digest(), Checkpoint: r.seq(), State: r.digest(),
		Division: r.division(), Sender: r.id(), Signature: r.signature(),
	}
}

func (r *reader) refusal() Message {
	m := &Refusal{}
	copy(m.Client[:], r.take(len(m.Client)))
	m.Session, m.Number = Session(r.u64()), Number(r.number("request number"))
	m.Reason = RefusalReason(r.u8())
	r.need(m.Reason >= RefusalOverload && m.Reason <= RefusalRejoining, "unknown reason")
	m.Detail = string(r.bytes("bytes of detail", RefusalDetailBytesMax))
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}

// outputNumber reads the number of an output: they start at 1.
func (r *reader) outputNumber() uint64 {
	n := r.number("output number")
	r.need(n > 0, "output number is 0, they start at 1")
	return n
}

func (r *reader) query() Message {
	m := &Query{}
	copy(m.Client[:], r.take(len(m.Client)))
	m.Nonce = r.u64()
	n := r.count("operations", r.lim.OpsMax, countBytes)
	r.need(n > 0, "no operation")
	if r.err != nil {
		return nil
	}
	m.Ops = make([][]byte, n)
	r.ops(m.Ops)
	m.Signature = r.signature()
	return m
}

func (r *reader) queryResults() Message {
	m := &Results{}
	copy(m.Client[:], r.take(len(m.Client)))
	m.Nonce, m.Seq = r.u64(), Seq(r.u64())
	if n := r.count("results", r.lim.OpsMax, queryResultBytes); n > 0 {
		m.Results = make([]QueryResult, n)
	}
	bytes := 0
	for i := range m.Results {
		m.Results[i] = QueryResult{Outcome: r.queryOutcome(), Result: r.bytes("bytes of a result", r.lim.ResultBytesMax)}
		bytes += len(m.Results[i].Result)
	}
	r.need(len(m.Results) <= 1 || bytes <= ResultsBytesMax, "too many bytes of results")
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}

// queryOutcome reads the outcome of an operation that nobody ordered.
func (r *reader) queryOutcome() Outcome {
	o := Outcome(r.u8())
	switch o {
	case OutcomeOK, OutcomePanicked, OutcomeReadOnly, OutcomeTooLarge:
	default:
		r.fail("outcome %d is none of a read", o)
	}
	return o
}

func (r *reader) outputs() Message {
	m := &Outputs{From: r.outputNumber(), Kept: r.outputNumber(), Next: r.outputNumber()}
	r.need(m.Kept <= m.Next, "the lowest number kept is above the next one")
	if n := r.count("outputs", OutputsMax, emittedBytes); n > 0 {
		m.Emitted = make([]Emitted, n)
		r.need(m.From >= m.Kept && m.From+uint64(n) <= m.Next, "outputs that it does not have")
	}
	bytes := 0
	for i := range m.Emitted {
		m.Emitted[i] = Emitted{Seq: r.someSeq(), Payload: r.bytes("bytes of an output", OutputBytesMax)}
		bytes += len(m.Emitted[i].Payload)
	}
	r.need(len(m.Emitted) <= 1 || bytes <= OutputsBytesMax, "too many bytes of outputs")
	m.Sender, m.Signature = r.id(), r.signature()
	return m
}
