package core

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Record is what must survive a crash: exactly the types of this file. The
// journal keeps them in order; New takes them back.
//
//sumtype:decl
type Record interface{ isRecord() }

// ViewRecord says in which view the replica is and whether it has entered it.
type ViewRecord struct {
	View   wire.View
	Active bool
}

// AcceptedRecord is a pre-prepare that the replica sent, or accepted and is to
// send a Prepare for, with its batch. Up to a number that is reserved it may be lost:
// the replica then abstains.
type AcceptedRecord struct{ PrePrepare *wire.PrePrepare }

// VotedRecord is an AcceptedRecord without its batch, which an earlier record of the same
// number holds, if it is not the null batch: most of what a new view carries over is on the
// disk already, and to write it once more would hold up the votes that wait for that. Vote
// is the pre-prepare's.
type VotedRecord struct{ Vote wire.Vote }

// ReservationRecord says that the replica may have voted in View up to Seq without a
// record of it.
type ReservationRecord struct {
	View wire.View
	Seq  wire.Seq
}

// BatchRecord is a batch that the replica holds and has not voted for in its view: one that
// came with its commit certificate, or that a new view is to carry over.
type BatchRecord struct {
	Seq   wire.Seq
	Batch *wire.Batch
}

// PreparedRecord is a prepared certificate, written before the Commit.
type PreparedRecord struct{ Cert wire.PreparedCert }

// CommittedRecord is a commit certificate. It may be lost: the protocol makes
// it again.
type CommittedRecord struct{ Cert wire.CommitCert }

// ViewChangeRecord is the view change that the replica sends.
type ViewChangeRecord struct{ ViewChange *wire.ViewChange }

// NewViewRecord is the new view that the replica sends, or enters.
type NewViewRecord struct{ NewView *wire.NewView }

// CheckpointRecord is the snapshot that the replica promises in a Checkpoint.
type CheckpointRecord struct {
	Seq   wire.Seq
	State crypto.Digest
}

// StableRecord is the certificate of the last stable checkpoint.
type StableRecord struct{ Cert wire.CheckpointCert }

// RejoinRecord says that the replica lost its data and stays silent until the
// stable checkpoint Until, in view View or above. Open says that Until and View
// are not known yet, Over that the silence has ended.
type RejoinRecord struct {
	Open  bool
	Over  bool
	Until wire.Seq
	View  wire.View
}

// EvidenceRecord is a proof that a replica lied. It may be lost: it protects
// nobody.
type EvidenceRecord struct{ Evidence *wire.Evidence }

// ConflictRecord is two commit certificates for different batches at one number,
// the replica's own and one that it was handed: more than f replicas lied. It may
// be lost.
type ConflictRecord struct{ Own, Other wire.CommitCert }

func (ViewRecord) isRecord()        {}
func (AcceptedRecord) isRecord()    {}
func (VotedRecord) isRecord()       {}
func (ReservationRecord) isRecord() {}
func (BatchRecord) isRecord()       {}
func (PreparedRecord) isRecord()    {}
func (CommittedRecord) isRecord()   {}
func (ViewChangeRecord) isRecord()  {}
func (NewViewRecord) isRecord()     {}
func (CheckpointRecord) isRecord()  {}
func (StableRecord) isRecord()      {}
func (RejoinRecord) isRecord()      {}
func (EvidenceRecord) isRecord()    {}
func (ConflictRecord) isRecord()    {}

// Archived returns what of a record proves something to others later: messages of
// the past, and those to keep for good. The replica's own view changes and new
// views are not signed in the records of what it sends; they come again, signed,
// when a new view names them.
func Archived(r Record) (past, kept []wire.Message) {
	switch r := r.(type) {
	case CommittedRecord:
		past = []wire.Message{&wire.CommitProof{Cert: r.Cert}}
	case StableRecord:
		if r.Cert.Seq > 0 {
			past = []wire.Message{&wire.StableProof{Cert: r.Cert}}
		}
	case ViewChangeRecord:
		if !isZero(r.ViewChange.Signature) {
			past = []wire.Message{r.ViewChange}
		}
	case NewViewRecord:
		if !isZero(r.NewView.Signature) {
			past = []wire.Message{r.NewView}
		}
	case EvidenceRecord:
		kept = []wire.Message{r.Evidence}
	case ConflictRecord:
		kept = []wire.Message{&wire.CommitProof{Cert: r.Own}, &wire.CommitProof{Cert: r.Other}}
	case ViewRecord, AcceptedRecord, VotedRecord, ReservationRecord, BatchRecord, PreparedRecord, CheckpointRecord, RejoinRecord:
	}
	return past, kept
}
