package wire

import "github.com/quorate/quorate/crypto"

// Encoded sizes in bytes of the fixed parts of what has variable ones.
const (
	requestFixedBytes        = len(ClientID{}) + 8 + 8 + 8 + 1 + countBytes + signatureBytes
	batchFixedBytes          = 8 + countBytes + countBytes
	voteBytes                = voteBodyBytes + signatureBytes
	checkpointBytes          = 8 + crypto.DigestSize + 4 + signatureBytes
	checkpointCertFixedBytes = 8 + crypto.DigestSize + countBytes
	commitCertFixedBytes     = 8 + 8 + crypto.DigestSize + countBytes
	preparedCertFixedBytes   = commitCertFixedBytes + signatureBytes
	choiceBytes              = 8 + crypto.DigestSize + signatureBytes
	refBytes                 = 4 + crypto.DigestSize
	slotBytes                = 8 + 4
	viewChangeFixedBytes     = 8 + checkpointCertFixedBytes + countBytes + 4 + signatureBytes
	newViewFixedBytes        = 8 + countBytes + 8 + crypto.DigestSize + countBytes + 4 + signatureBytes
	answerHeadBytes          = 8 + 8 + 1
	placeFixedBytes          = 4 + 4 + countBytes
	replyFixedBytes          = 8 + len(ClientID{}) + 8 + repliesEntryBytes + 2*placeFixedBytes + 4 + signatureBytes
	repliesFixedBytes        = 8 + len(ClientID{}) + 8 + countBytes + placeFixedBytes + 4 + signatureBytes
	repliesEntryBytes        = answerHeadBytes + countBytes // of each answer, before the results
	statusFixedBytes         = 8 + 1 + 1 + 1 + 8 + 8 + countBytes + countBytes + 8 + 8 + 4 + signatureBytes
	reportFixedBytes         = 8 + 8 + 1 + 1 + 8 + 8 + crypto.DigestSize + 8 + crypto.DigestSize + 4 + signatureBytes
	refusalFixedBytes        = len(ClientID{}) + 8 + 8 + 1 + countBytes + 4 + signatureBytes
	fetchBatchesFixedBytes   = countBytes + 4 + signatureBytes
	fetchCommittedBytes      = 8 + 8 + 4 + signatureBytes
	fetchViewChangeFixed     = 8 + countBytes + 4 + signatureBytes
	divisionFixedBytes       = 8 + 1 + crypto.DigestSize + countBytes
	otherStateFixedBytes     = crypto.DigestSize + countBytes + countBytes + 4 + countBytes
	differingKeyFixedBytes   = 1 + countBytes + 4 + 2*(1+4)
	fetchPiecesFixedBytes    = 8 + crypto.DigestSize + countBytes + 8 + 4 + signatureBytes
	pieceFixedBytes          = crypto.DigestSize + 8 + countBytes
	statementFixedBytes      = 1 + countBytes + signatureBytes
	evidenceFixedBytes       = 1 + 4 + 2*statementFixedBytes + countBytes
	askBytes                 = 8
	outputsFixedBytes        = 8 + 8 + 8 + countBytes + 4 + signatureBytes
	queryFixedBytes          = len(ClientID{}) + 8 + countBytes + signatureBytes
	resultsFixedBytes        = len(ClientID{}) + 8 + 8 + countBytes + 4 + signatureBytes
	queryResultBytes         = 1 + countBytes // of each, before what the application says
	emittedBytes             = 8 + countBytes // of each output, before its payload
)

// frameBytes returns the length of the frame of m.
func frameBytes(m Message) int { return headerBytes + m.bodyBytes() }

// Size returns how many bytes the request takes in a batch.
func (m *Request) Size() int {
	n := requestFixedBytes
	for _, op := range m.Ops {
		n += countBytes + len(op)
	}
	return n
}

// Size returns how many bytes the batch takes in a frame.
func (m *Batch) Size() int {
	n := batchFixedBytes
	if m == nil {
		return n
	}
	n += len(m.Input)
	for _, q := range m.Requests {
		n += q.Size()
	}
	return n
}

func (m *Request) bodyBytes() int { return m.Size() }

func (m *Vote) bodyBytes() int { return voteBytes }

func (m *PrePrepare) bodyBytes() int { return voteBytes + m.Batch.Size() }

func (m *Checkpoint) bodyBytes() int { return checkpointBytes }

func (m *CheckpointCert) bodyBytes() int {
	return checkpointCertFixedBytes + len(m.Signers)*signedBytes
}

func (m *PreparedCert) bodyBytes() int { return preparedCertFixedBytes + len(m.Prepares)*signedBytes }

func (m *CommitCert) bodyBytes() int { return commitCertFixedBytes + len(m.Commits)*signedBytes }

func (m *ViewChange) bodyBytes() int {
	n := viewChangeFixedBytes + len(m.Stable.Signers)*signedBytes
	for i := range m.Prepared {
		n += m.Prepared[i].bodyBytes()
	}
	return n
}

func (m *NewView) bodyBytes() int {
	return newViewFixedBytes + len(m.ViewChanges)*refBytes + len(m.Choices)*choiceBytes
}

func (m *Reply) bodyBytes() int {
	return replyFixedBytes + len(m.Result) + (len(m.Inner.Path)+len(m.Outer.Path))*crypto.DigestSize
}

func (m *Replies) bodyBytes() int {
	n := repliesFixedBytes + len(m.Answers)*repliesEntryBytes + len(m.Outer.Path)*crypto.DigestSize
	for i := range m.Answers {
		n += len(m.Answers[i].Result)
	}
	return n
}

func (m *Status) bodyBytes() int {
	return statusFixedBytes + len(m.Slots)*slotBytes + len(m.ViewChanges)*4
}

func (m *FetchBatches) bodyBytes() int {
	return fetchBatchesFixedBytes + len(m.Digests)*crypto.DigestSize
}

func (m *BatchBody) bodyBytes() int { return m.Batch.Size() }

func (m *FetchCommitted) bodyBytes() int { return fetchCommittedBytes }

func (m *Committed) bodyBytes() int { return m.Cert.bodyBytes() + m.Batch.Size() }

func (m *FetchViewChange) bodyBytes() int { return fetchViewChangeFixed + len(m.Refs)*refBytes }

func (m *StableProof) bodyBytes() int { return m.Cert.bodyBytes() }

func (m *FetchPieces) bodyBytes() int {
	return fetchPiecesFixedBytes + len(m.Digests)*crypto.DigestSize
}

func (m *Piece) bodyBytes() int { return pieceFixedBytes + len(m.Data) }

func (e *Evidence) bodyBytes() int {
	n := evidenceFixedBytes + len(e.First.Body) + len(e.Second.Body)
	for _, a := range e.Attached {
		n += countBytes + len(a)
	}
	return n
}

func (m *Ask) bodyBytes() int { return askBytes }

func (m *AskOutputs) bodyBytes() int { return askBytes }

func (m *Outputs) bodyBytes() int {
	n := outputsFixedBytes + len(m.Emitted)*emittedBytes
	for i := range m.Emitted {
		n += len(m.Emitted[i].Payload)
	}
	return n
}

func (m *Query) bodyBytes() int {
	n := queryFixedBytes + len(m.Ops)*countBytes
	for _, op := range m.Ops {
		n += len(op)
	}
	return n
}

func (m *Results) bodyBytes() int {
	n := resultsFixedBytes + len(m.Results)*queryResultBytes
	for i := range m.Results {
		n += len(m.Results[i].Result)
	}
	return n
}

func (m *Report) bodyBytes() int { return reportFixedBytes + m.Division.bytes() }

func (m *Refusal) bodyBytes() int { return refusalFixedBytes + len(m.Detail) }

func (m *Prepared) bodyBytes() int { return m.Cert.bodyBytes() }

func (m *CommitProof) bodyBytes() int { return m.Cert.bodyBytes() }
