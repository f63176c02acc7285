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

// Kind returns KindReplies.
func (*Replies) Kind() Kind { return KindReplies }

func (*Replies) isMessage() {}

// Kind returns KindAskOutputs.
func (*AskOutputs) Kind() Kind { return KindAskOutputs }

func (*AskOutputs) isMessage() {}

// Kind returns KindOutputs.
func (*Outputs) Kind() Kind { return KindOutputs }

func (*Outputs) isMessage() {}

// Kind returns KindQuery.
func (*Query) Kind() Kind { return KindQuery }

func (*Query) isMessage() {}

// Kind returns KindResults.
func (*Results) Kind() Kind { return KindResults }

func (*Results) isMessage() {}

// String names the kind as the documents do.
func (k Kind) String() string {
	names := [...]string{
		KindRequest:         "request",
		KindPrePrepare:      "pre-prepare",
		KindPrepare:         "prepare",
		KindCommit:          "commit",
		KindCheckpoint:      "checkpoint",
		KindViewChange:      "view-change",
		KindNewView:         "new-view",
		KindReply:           "reply",
		KindStatus:          "status",
		KindFetchBatches:    "fetch-batches",
		KindBatchBody:       "batch-body",
		KindFetchCommitted:  "fetch-committed",
		KindCommitted:       "committed",
		KindFetchViewChange: "fetch-view-change",
		KindStableProof:     "stable-proof",
		KindFetchPieces:     "fetch-pieces",
		KindPiece:           "piece",
		KindEvidence:        "evidence",
		KindAsk:             "ask",
		KindReport:          "report",
		KindRefusal:         "refusal",
		KindPrepared:        "prepared",
		KindCommitProof:     "commit-proof",
		KindReplies:         "replies",
		KindAskOutputs:      "ask-outputs",
		KindOutputs:         "outputs",
		KindQuery:           "query",
		KindResults:         "results",
	}
	if int(k) >= len(names) || names[k] == "" {
		return fmt.Sprintf("kind %d", byte(k))
	}
	return names[k]
}

// Class tells on which stream between replicas messages of this kind travel.
func (k Kind) Class() Class {
	switch k {
	case KindPrepare, KindCommit, KindCheckpoint, KindViewChange, KindNewView, KindStatus, KindStableProof,
		KindFetchBatches, KindFetchCommitted, KindFetchViewChange, KindPrepared, KindCommitProof:
		return ClassVotes
	case KindPrePrepare, KindRequest, KindBatchBody:
		return ClassBatches
	case KindCommitted, KindFetchPieces, KindPiece, KindEvidence:
		return ClassBulk
	case KindReplies, KindReply, KindAsk, KindReport, KindRefusal, KindAskOutputs, KindOutputs,
		KindQuery, KindResults:
		return ClassClients
	default:
		return ClassBulk
	}
}
