package wire

import "fmt"

// Kind returns KindRequest.
func (*Request) Kind() Kind { return KindRequest }

func (*Request) isMessage() {}

// Kind returns KindPrePrepare.
func (*PrePrepare) Kind() Kind { return KindPrePrepare }

func (*PrePrepare) isMessage() {}

// Kind returns KindPrepare.
func (*Prepare) Kind() Kind { return KindPrepare }

func (*Prepare) isMessage() {}

// Kind returns KindCommit.
func (*Commit) Kind() Kind { return KindCommit }

func (*Commit) isMessage() {}

// Kind returns KindCheckpoint.
func (*Checkpoint) Kind() Kind { return KindCheckpoint }

func (*Checkpoint) isMessage() {}

// Kind returns KindViewChange.
func (*ViewChange) Kind() Kind { return KindViewChange }

func (*ViewChange) isMessage() {}

// Kind returns KindNewView.
func (*NewView) Kind() Kind { return KindNewView }

func (*NewView) isMessage() {}

// Kind returns KindReply.
func (*Reply) Kind() Kind { return KindReply }

func (*Reply) isMessage() {}

// Kind returns KindStatus.
func (*Status) Kind() Kind { return KindStatus }

func (*Status) isMessage() {}

// Kind returns KindFetchBatches.
func (*FetchBatches) Kind() Kind { return KindFetchBatches }

func (*FetchBatches) isMessage() {}

// Kind returns KindBatchBody.
func (*BatchBody) Kind() Kind { return KindBatchBody }

func (*BatchBody) isMessage() {}

// Kind returns KindFetchCommitted.
func (*FetchCommitted) Kind() Kind { return KindFetchCommitted }

func (*FetchCommitted) isMessage() {}

// Kind returns KindCommitted.
func (*Committed) Kind() Kind { return KindCommitted }

func (*Committed) isMessage() {}

// Kind returns KindFetchViewChange.
func (*FetchViewChange) Kind() Kind { return KindFetchViewChange }

func (*FetchViewChange) isMessage() {}

// Kind returns KindStableProof.
func (*StableProof) Kind() Kind { return KindStableProof }

func (*StableProof) isMessage() {}

// Kind returns KindFetchPieces.
func (*FetchPieces) Kind() Kind { return KindFetchPieces }

func (*FetchPieces) isMessage() {}

// Kind returns KindPiece.
func (*Piece) Kind() Kind { return KindPiece }

func (*Piece) isMessage() {}

// Kind returns KindEvidence.
func (*Evidence) Kind() Kind { return KindEvidence }

func (*Evidence) isMessage() {}

// Kind returns KindAsk.
func (*Ask) Kind() Kind { return KindAsk }

func (*Ask) isMessage() {}

// Kind returns KindReport.
func (*Report) Kind() Kind { return KindReport }

func (*Report) isMessage() {}

// Kind returns KindRefusal.
func (*Refusal) Kind() Kind { return KindRefusal }

func (*Refusal) isMessage() {}

// Kind returns KindPrepared.
func (*Prepared) Kind() Kind { return KindPrepared }

func (*Prepared) isMessage() {}

// Kind returns KindCommitProof.
func (*CommitProof) Kind() Kind { return KindCommitProof }

func (*CommitProof) isMessage() {}

// String names the kind as the documents do.
func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "request"
	case KindPrePrepare:
		return "pre-prepare"
	case KindPrepare:
		return "prepare"
	case KindCommit:
		return "commit"
	case KindCheckpoint:
		return "checkpoint"
	case KindViewChange:
		return "view-change"
	case KindNewView:
		return "new-view"
	case KindReply:
		return "reply"
	case KindStatus:
		return "status"
	case KindFetchBatches:
		return "fetch-batches"
	case KindBatchBody:
		return "batch-body"
	case KindFetchCommitted:
		return "fetch-committed"
	case KindCommitted:
		return "committed"
	case KindFetchViewChange:
		return "fetch-view-change"
	case KindStableProof:
		return "stable-proof"
	case KindFetchPieces:
		return "fetch-pieces"
	case KindPiece:
		return "piece"
	case KindEvidence:
		return "evidence"
	case KindAsk:
		return "ask"
	case KindReport:
		return "report"
	case KindRefusal:
		return "refusal"
	case KindPrepared:
		return "prepared"
	case KindCommitProof:
		return "commit-proof"
	default:
		return fmt.Sprintf("kind %d", byte(k))
	}
}

// Class tells on which stream between replicas messages of this kind travel.
func (k Kind) Class() Class {
	switch k {
	case KindPrepare, KindCommit, KindCheckpoint, KindViewChange, KindNewView, KindStatus, KindStableProof,
		KindFetchBatches, KindFetchCommitted, KindFetchViewChange, KindEvidence, KindPrepared, KindCommitProof:
		return ClassVotes
	case KindPrePrepare, KindRequest, KindBatchBody:
		return ClassBatches
	case KindCommitted, KindFetchPieces, KindPiece:
		return ClassBulk
	case KindReply, KindAsk, KindReport, KindRefusal:
		return ClassClients
	default:
		return ClassBulk
	}
}
