package wire

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
	case *Replies:
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
	case *Outputs:
		return m.Sender, true
	case *Results:
		return m.Sender, true
	case *Request, *Query, *BatchBody, *Committed, *StableProof, *Piece, *Evidence, *Ask, *AskOutputs, *Prepared, *CommitProof:
		return 0, false
	}
	return 0, false
}
