package wire

import "github.com/quorate/quorate/crypto"

// Encoded sizes in bytes of the fixed parts of what has variable ones.
const (
	requestFixedBytes        = len(ClientID{}) + 8 + 8 + 8 + 1 + countBytes + signatureBytes
	batchFixedBytes          = 8 + countBytes
	checkpointCertFixedBytes = 8 + crypto.DigestSize + countBytes
	commitCertFixedBytes     = 8 + 8 + crypto.DigestSize + countBytes
	preparedCertFixedBytes   = commitCertFixedBytes + signatureBytes
	choiceBytes              = 8 + crypto.DigestSize + signatureBytes
	refBytes                 = 4 + crypto.DigestSize
	slotBytes                = 8 + 3
	viewChangeFixedBytes     = 8 + checkpointCertFixedBytes + countBytes + 4 + signatureBytes
	newViewFixedBytes        = 8 + countBytes + 8 + crypto.DigestSize + countBytes + 4 + signatureBytes
	replyFixedBytes          = 8 + 8 + len(ClientID{}) + 8 + 8 + 1 + countBytes + 4 + 4 + countBytes + 4 + signatureBytes
	statusFixedBytes         = 8 + 1 + 8 + 8 + countBytes + countBytes + 4 + signatureBytes
	reportBytes              = 8 + 8 + 1 + 8 + 8 + crypto.DigestSize + 8 + crypto.DigestSize + 4 + signatureBytes
	refusalFixedBytes        = len(ClientID{}) + 8 + 8 + 1 + countBytes + 4 + signatureBytes
	fetchPiecesFixedBytes    = 8 + crypto.DigestSize + countBytes + 4 + signatureBytes
	statementFixedBytes      = 1 + countBytes + signatureBytes
	checkpointBytes          = 8 + crypto.DigestSize + 4 + signatureBytes
)

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
	for _, q := range m.Requests {
		n += q.Size()
	}
	return n
}

// frameBytes returns the length of the frame of m.
func frameBytes(m Message) int {
	switch m := m.(type) {
	case *Request:
		return headerBytes + m.Size()
	case *PrePrepare:
		return headerBytes + voteBodyBytes + signatureBytes + m.Batch.Size()
	case *Prepare, *Commit:
		return headerBytes + voteBodyBytes + signatureBytes
	case *Checkpoint:
		return headerBytes + checkpointBytes
	case *ViewChange:
		return headerBytes + m.size()
	case *NewView:
		return headerBytes + newViewFixedBytes + len(m.ViewChanges)*refBytes + len(m.Choices)*choiceBytes
	case *Reply:
		return headerBytes + replyFixedBytes + len(m.Result) + len(m.Path)*crypto.DigestSize
	case *Status:
		return headerBytes + statusFixedBytes + len(m.Slots)*slotBytes + len(m.ViewChanges)*4
	case *Report:
		return headerBytes + reportBytes
	case *Refusal:
		return headerBytes + refusalFixedBytes + len(m.Detail)
	case *Ask:
		return headerBytes + 8
	case *Evidence:
		return headerBytes + 1 + 4 + 2*statementFixedBytes + len(m.First.Body) + len(m.Second.Body)
	case *FetchBatches, *FetchCommitted, *FetchViewChange, *FetchPieces:
		return headerBytes + fetchBytes(m)
	case *BatchBody, *Committed, *StableProof, *Piece, *Prepared, *CommitProof:
		return headerBytes + proofBytes(m)
	}
	return headerBytes
}

// fetchBytes returns the length of the body of a fetch.
func fetchBytes(m Message) int {
	switch m := m.(type) {
	case *FetchBatches:
		return countBytes + len(m.Digests)*crypto.DigestSize + 4 + signatureBytes
	case *FetchCommitted:
		return 8 + 8 + 4 + signatureBytes
	case *FetchViewChange:
		return 8 + countBytes + len(m.Refs)*refBytes + 4 + signatureBytes
	case *FetchPieces:
		return fetchPiecesFixedBytes + len(m.Digests)*crypto.DigestSize
	default:
		return 0
	}
}

// proofBytes returns the length of the body of what proves itself.
func proofBytes(m Message) int {
	switch m := m.(type) {
	case *BatchBody:
		return m.Batch.Size()
	case *Committed:
		return commitCertFixedBytes + len(m.Cert.Commits)*signedBytes + m.Batch.Size()
	case *StableProof:
		return checkpointCertFixedBytes + len(m.Cert.Signers)*signedBytes
	case *Piece:
		return crypto.DigestSize + countBytes + len(m.Data)
	case *Prepared:
		return preparedCertFixedBytes + len(m.Cert.Prepares)*signedBytes
	case *CommitProof:
		return commitCertFixedBytes + len(m.Cert.Commits)*signedBytes
	default:
		return 0
	}
}

// size returns the length of the encoded view change.
func (m *ViewChange) size() int {
	n := viewChangeFixedBytes + len(m.Stable.Signers)*signedBytes
	for i := range m.Prepared {
		n += preparedCertFixedBytes + len(m.Prepared[i].Prepares)*signedBytes
	}
	return n
}
