package wire

import "github.com/quorate/quorate/crypto"

// Version is the version of the wire format: the first byte of every frame.
const Version byte = crypto.ProtocolVersion

// Encode returns the frame of m: version, kind and body, as docs/WIRE.md lays
// out. It checks nothing; Decode refuses the frame of an illegal message. A nil
// Batch is encoded as the null batch.
func Encode(m Message) []byte { return Append(nil, m) }

// Append appends the encoding of m to what is there already.
func Append(to []byte, m Message) []byte {
	if need := len(to) + frameBytes(m); cap(to) < need {
		to = append(make([]byte, 0, need), to...)
	}
	b := buf(to).u8(Version).u8(byte(m.Kind()))
	switch m := m.(type) {
	case *PrePrepare:
		return b.vote(&m.Vote).batch(m.Batch)
	case *BatchBody:
		return b.batch(m.Batch)
	case *Committed:
		return b.commitCert(&m.Cert).batch(m.Batch)
	case *StableProof:
		return b.checkpointCert(&m.Cert)
	case *Prepared:
		return b.preparedCert(&m.Cert)
	case *CommitProof:
		return b.commitCert(&m.Cert)
	case *Piece:
		return b.digest(&m.Root).u64(m.Life).bytes(m.Data)
	case *Ask:
		return b.u64(m.Nonce)
	case *AskOutputs:
		return b.u64(m.From)
	case *Evidence:
		return b.evidence(m)
	case *Reply:
		return b.reply(m)
	case *Replies:
		return b.replies(m)
	case *Request, *Prepare, *Commit, *Checkpoint, *ViewChange, *NewView, *Status, *FetchBatches, *FetchCommitted,
		*FetchViewChange, *FetchPieces, *Report, *Refusal, *Outputs, *Query, *Results:
		return b.signed(m)
	}
	return b
}

// signed appends a message whose signature covers all of its body.
func (b buf) signed(m Message) buf {
	s := signatureOf(m)
	if s == nil {
		return b
	}
	return b.body(m).signature(s)
}

// body appends what the signature of m covers, all but for a Reply or Replies,
// whose signature covers a root (see replyBody). It appends nothing for messages
// without a signature.
func (b buf) body(m Message) buf {
	switch m := m.(type) {
	case *Request:
		return b.request(m)
	case *PrePrepare:
		return b.voteBody(&m.Vote)
	case *Prepare:
		return b.voteBody(&m.Vote)
	case *Commit:
		return b.voteBody(&m.Vote)
	case *Checkpoint:
		return b.checkpoint(m)
	case *ViewChange:
		return b.viewChange(m)
	case *NewView:
		return b.newView(m)
	case *Status:
		return b.status(m)
	case *FetchBatches:
		return b.digests(m.Digests).id(m.Sender)
	case *FetchCommitted:
		return b.seq(m.First).seq(m.Last).id(m.Sender)
	case *FetchViewChange:
		return b.view(m.View).refs(m.Refs).id(m.Sender)
	case *FetchPieces:
		return b.seq(m.Seq).digest(&m.Root).digests(m.Digests).u64(m.Life).id(m.Sender)
	case *Report:
		return b.report(m)
	case *Refusal:
		return b.refusal(m)
	case *Outputs:
		return b.outputs(m)
	case *Query:
		return b.query(m)
	case *Results:
		return b.queryResults(m)
	case *Replies, *Reply, *BatchBody, *Committed, *StableProof, *Piece, *Evidence, *Ask, *AskOutputs, *Prepared, *CommitProof:
		return b
	}
	return b
}

// signatureOf returns where m keeps its sender's signature, nil for kinds that
// prove themselves.
func signatureOf(m Message) *crypto.Signature { //nolint:funlen // one case for each kind
	switch m := m.(type) {
	case *Request:
		return &m.Signature
	case *PrePrepare:
		return &m.Signature
	case *Prepare:
		return &m.Signature
	case *Commit:
		return &m.Signature
	case *Checkpoint:
		return &m.Signature
	case *ViewChange:
		return &m.Signature
	case *NewView:
		return &m.Signature
	case *Reply:
		return &m.Signature
	case *Replies:
		return &m.Signature
	case *Status:
		return &m.Signature
	case *FetchBatches:
		return &m.Signature
	case *FetchCommitted:
		return &m.Signature
	case *FetchViewChange:
		return &m.Signature
	case *FetchPieces:
		return &m.Signature
	case *Report:
		return &m.Signature
	case *Refusal:
		return &m.Signature
	case *Outputs:
		return &m.Signature
	case *Query:
		return &m.Signature
	case *Results:
		return &m.Signature
	case *BatchBody, *Committed, *StableProof, *Piece, *Evidence, *Ask, *AskOutputs, *Prepared, *CommitProof:
		return nil
	}
	return nil
}

func (b buf) request(m *Request) buf {
	b = append(b, m.Client[:]...)
	b = b.u64(uint64(m.Session)).u64(uint64(m.Number)).u64(uint64(m.Acked)).flag(m.ReadOnly)
	b = b.count(len(m.Ops))
	for _, op := range m.Ops {
		b = b.bytes(op)
	}
	return b
}

func (b buf) batch(m *Batch) buf {
	if m == nil {
		return b.u64(0).bytes(nil).count(0)
	}
	b = b.u64(uint64(m.Time)).bytes(m.Input).count(len(m.Requests)) //nolint:gosec // the same bits
	for _, q := range m.Requests {
		b = b.request(q).signature(&q.Signature)
	}
	return b
}

func (b buf) voteBody(m *Vote) buf {
	return b.view(m.View).seq(m.Seq).digest(&m.Digest).id(m.Sender)
}

func (b buf) vote(m *Vote) buf { return b.voteBody(m).signature(&m.Signature) }

func (b buf) checkpoint(m *Checkpoint) buf {
	return b.seq(m.Seq).digest(&m.State).id(m.Sender)
}

func (b buf) checkpointCert(m *CheckpointCert) buf {
	return b.seq(m.Seq).digest(&m.State).signers(m.Signers)
}

func (b buf) preparedCert(m *PreparedCert) buf {
	return b.view(m.View).seq(m.Seq).digest(&m.Digest).signature(&m.PrePrepare).signers(m.Prepares)
}

func (b buf) commitCert(m *CommitCert) buf {
	return b.view(m.View).seq(m.Seq).digest(&m.Digest).signers(m.Commits)
}

func (b buf) viewChange(m *ViewChange) buf {
	b = b.view(m.View).checkpointCert(&m.Stable).count(len(m.Prepared))
	for i := range m.Prepared {
		b = b.preparedCert(&m.Prepared[i])
	}
	return b.id(m.Sender)
}

func (b buf) newView(m *NewView) buf {
	b = b.view(m.View).refs(m.ViewChanges).seq(m.Stable).digest(&m.StableState).count(len(m.Choices))
	for i := range m.Choices {
		c := &m.Choices[i]
		b = b.seq(c.Seq).digest(&c.Digest).signature(&c.Signature)
	}
	return b.id(m.Sender)
}

func (b buf) reply(m *Reply) buf {
	b = append(b.view(m.View), m.Client[:]...)
	b = b.u64(uint64(m.Session)).answerHead(&m.Answer).bytes(m.Result)
	return b.place(&m.Inner).place(&m.Outer).id(m.Sender).signature(&m.Signature)
}

func (b buf) status(m *Status) buf {
	b = b.view(m.View).flag(m.Active).flag(m.LostPrimary).flag(m.Suspects).seq(m.Stable).seq(m.Executed).count(len(m.Slots))
	for _, s := range m.Slots {
		b = b.seq(s.Seq).flag(s.HavePrePrepare).flag(s.HavePrepared).flag(s.HaveCommitted).flag(s.Abstains)
	}
	b = b.count(len(m.ViewChanges))
	for _, id := range m.ViewChanges {
		b = b.id(id)
	}
	return b.u64(m.Asks).u64(m.Answers).id(m.Sender)
}

func (b buf) report(m *Report) buf {
	b = b.u64(m.Nonce).view(m.View).flag(m.Active).flag(m.Silent).seq(m.Executed).seq(m.Stable).digest(&m.StableState)
	return b.seq(m.Checkpoint).digest(&m.State).division(&m.Division).id(m.Sender)
}

func (b buf) refusal(m *Refusal) buf {
	b = append(b, m.Client[:]...)
	b = b.u64(uint64(m.Session)).u64(uint64(m.Number)).u8(byte(m.Reason)).text(m.Detail)
	return b.id(m.Sender)
}

func (b buf) outputs(m *Outputs) buf {
	b = b.u64(m.From).u64(m.Kept).u64(m.Next).count(len(m.Emitted))
	for i := range m.Emitted {
		b = b.seq(m.Emitted[i].Seq).bytes(m.Emitted[i].Payload)
	}
	return b.id(m.Sender)
}

func (b buf) query(m *Query) buf {
	b = append(b, m.Client[:]...)
	b = b.u64(m.Nonce).count(len(m.Ops))
	for _, op := range m.Ops {
		b = b.bytes(op)
	}
	return b
}

func (b buf) queryResults(m *Results) buf {
	b = append(b, m.Client[:]...)
	b = b.u64(m.Nonce).seq(m.Seq).count(len(m.Results))
	for i := range m.Results {
		b = b.u8(byte(m.Results[i].Outcome)).bytes(m.Results[i].Result)
	}
	return b.id(m.Sender)
}

func (b buf) evidence(m *Evidence) buf {
	b = b.u8(byte(m.Proof)).id(m.Culprit).statement(&m.First).statement(&m.Second).count(len(m.Attached))
	for _, a := range m.Attached {
		b = b.bytes(a)
	}
	return b
}

func (b buf) statement(m *Statement) buf {
	return b.u8(byte(m.Kind)).bytes(m.Body).signature(&m.Signature)
}
