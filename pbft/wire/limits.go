package wire

import "github.com/quorate/quorate/crypto"

// Bounds that are the same for every cluster.
const (
	// NumberMax is the largest view, sequence number and request number on the
	// wire: the receiver can add a window to it without overflow.
	NumberMax = 1<<62 - 1
	// StatusSlotsMax bounds Status.Slots.
	StatusSlotsMax = 256
	// FetchDigestsMax bounds what one FetchBatches or FetchPieces asks for.
	FetchDigestsMax = 1024
	// RefusalDetailBytesMax bounds Refusal.Detail.
	RefusalDetailBytesMax = 256
	// InputBytesMax bounds Batch.Input: it is the bound of package app.
	InputBytesMax = 64 << 10
	// RepliesMax bounds Replies.Answers: a client has as many operations open at
	// most (core.ClientWindowMax), so one frame has room for all that a batch holds
	// of it.
	RepliesMax = 256
	// RepliesBytesMax bounds the results of a Replies together, if it has several:
	// what waits behind a longer frame waits longer, and less than a hundredth of
	// one of this length is not results.
	RepliesBytesMax = 64 << 10
	// OutputBytesMax bounds an output: it is the bound of package app.
	OutputBytesMax = 256<<10 - 8
	// ResultsBytesMax bounds the results of a Results together, if it has several.
	ResultsBytesMax = 1 << 20
	// OutputsMax bounds Outputs.Emitted, and OutputsBytesMax their payloads together, if
	// there are several.
	OutputsMax      = 256
	OutputsBytesMax = 64 << 10
	// innerPathMax and outerPathMax bound the paths of a reply: in a wide tree of RepliesMax
	// leaves none is longer, nor in a tree of 2^32 groups.
	innerPathMax, outerPathMax = 30, 32
)

// Limits bounds the variable parts of messages. Decoding checks them before it
// allocates. All replicas of a cluster must have the same.
type Limits struct {
	Replicas int // n; Decode knows no others
	// OpBytesMax bounds the operations of one request together, and so each.
	OpBytesMax int
	// OpsMax bounds the number of operations of a request.
	OpsMax int
	// BatchRequestsMax bounds the number of requests of a batch.
	BatchRequestsMax int
	// BatchBytesMax is what a primary fills a batch with requests up to. The last one
	// may pass it: RequestBytesMax on top are accepted.
	BatchBytesMax  int
	ResultBytesMax int // of one operation
	PieceBytesMax  int // of a piece of the state
	// Window bounds how far a view change or new view reaches above its stable
	// checkpoint. It is at least the core's window.
	Window Seq
}

// DefaultLimits returns working limits for n replicas.
func DefaultLimits(n int) Limits {
	return Limits{
		Replicas: n, OpBytesMax: 256 << 10, OpsMax: 64, BatchRequestsMax: 1024, BatchBytesMax: 1 << 20,
		ResultBytesMax: 256 << 10, PieceBytesMax: 512 << 10, Window: 1024,
	}
}

// RequestBytesMax returns the largest Request.Size.
func (l Limits) RequestBytesMax() int { return requestFixedBytes + l.OpsMax*countBytes + l.OpBytesMax }

// batchBytesMax returns the largest Batch.Size.
func (l Limits) batchBytesMax() int {
	return batchFixedBytes + InputBytesMax + l.BatchBytesMax + l.RequestBytesMax()
}

// FrameBytesMax returns the length of the longest legal frame of any kind.
func (l Limits) FrameBytesMax() int {
	longest := 0
	for k := KindRequest; k <= KindLast; k++ {
		longest = max(longest, l.KindBytesMax(k))
	}
	return longest
}

// KindBytesMax returns the length of the longest legal frame of kind k, and 0
// if there is no such kind. A transport can so refuse a frame when it has seen
// its length and its first two bytes.
func (l Limits) KindBytesMax(k Kind) int {
	body := l.bodyBytesMax(k)
	if body == 0 {
		return 0
	}
	return headerBytes + body
}

// bodyBytesMax returns the length of the longest body of kind k.
func (l Limits) bodyBytesMax(k Kind) int {
	switch k {
	case KindRequest:
		return l.RequestBytesMax()
	case KindPrePrepare:
		return voteBytes + l.batchBytesMax()
	case KindPrepare, KindCommit:
		return voteBytes
	case KindCheckpoint:
		return checkpointBytes
	case KindViewChange:
		return l.viewChangeBytesMax()
	case KindNewView:
		return newViewFixedBytes + l.Replicas*refBytes + int(l.Window)*choiceBytes //nolint:gosec // a small number
	case KindReply:
		return replyFixedBytes + l.ResultBytesMax + (innerPathMax+outerPathMax)*crypto.DigestSize
	case KindReplies:
		return repliesFixedBytes + l.answersBytesMax() + outerPathMax*crypto.DigestSize
	case KindStatus:
		return statusFixedBytes + StatusSlotsMax*slotBytes + l.Replicas*4
	case KindEvidence:
		return evidenceFixedBytes + l.proofBytesMax()
	case KindAsk, KindAskOutputs:
		return askBytes
	case KindOutputs:
		return outputsFixedBytes + max(emittedBytes+OutputBytesMax, OutputsMax*emittedBytes+OutputsBytesMax)
	case KindQuery:
		return queryFixedBytes + l.OpsMax*countBytes + l.OpBytesMax
	case KindResults:
		return resultsFixedBytes + max(queryResultBytes+l.ResultBytesMax, l.OpsMax*queryResultBytes+ResultsBytesMax)
	case KindReport:
		return reportFixedBytes + l.divisionBytesMax()
	case KindRefusal:
		return refusalFixedBytes + RefusalDetailBytesMax
	case KindFetchBatches, KindFetchCommitted, KindFetchViewChange, KindFetchPieces:
		return l.fetchBytesMax(k)
	default:
		return l.answerBytesMax(k)
	}
}

// fetchBytesMax is bodyBytesMax for what asks a peer.
func (l Limits) fetchBytesMax(k Kind) int {
	switch k {
	case KindFetchBatches:
		return fetchBatchesFixedBytes + FetchDigestsMax*crypto.DigestSize
	case KindFetchCommitted:
		return fetchCommittedBytes
	case KindFetchViewChange:
		return fetchViewChangeFixed + l.Replicas*refBytes
	default:
		return fetchPiecesFixedBytes + FetchDigestsMax*crypto.DigestSize
	}
}

// answerBytesMax is bodyBytesMax for what proves itself.
func (l Limits) answerBytesMax(k Kind) int {
	signers := l.Replicas * signedBytes
	switch k {
	case KindBatchBody:
		return l.batchBytesMax()
	case KindCommitted:
		return commitCertFixedBytes + signers + l.batchBytesMax()
	case KindStableProof:
		return checkpointCertFixedBytes + signers
	case KindPiece:
		return pieceFixedBytes + l.PieceBytesMax
	case KindPrepared:
		return preparedCertFixedBytes + signers
	case KindCommitProof:
		return commitCertFixedBytes + signers
	default:
		return 0
	}
}

// answersBytesMax returns how many bytes the answers of a Replies take at most: one
// with the largest result, or many.
func (l Limits) answersBytesMax() int {
	return max(repliesEntryBytes+l.ResultBytesMax,
		RepliesMax*repliesEntryBytes+min(RepliesBytesMax, RepliesMax*l.ResultBytesMax))
}

func (l Limits) viewChangeBytesMax() int {
	signers := l.Replicas * signedBytes
	return viewChangeFixedBytes + signers + int(l.Window)*(preparedCertFixedBytes+signers) //nolint:gosec // a small number
}

// statementBytesMax returns the length of the longest body that can be part of
// evidence.
func (l Limits) statementBytesMax() int {
	return max(l.bodyBytesMax(KindViewChange), l.bodyBytesMax(KindNewView)) - signatureBytes
}

// proofBytesMax returns the length of the longest statements and attachments of
// evidence together.
func (l Limits) proofBytesMax() int {
	newView := l.bodyBytesMax(KindNewView)
	changes := l.Replicas*countBytes + min(l.Replicas*l.viewChangeBytesMax(), evidenceBytesMax)
	return max(
		2*l.statementBytesMax(),
		voteBodyBytes+newView+countBytes+l.batchBytesMax(),
		newView+changes,
	)
}

// attachmentBytesMax returns the length of the longest attachment of evidence.
func (l Limits) attachmentBytesMax() int {
	return max(l.batchBytesMax(), min(l.viewChangeBytesMax(), evidenceBytesMax))
}
