package wire

import (
	"bytes"

	"github.com/quorate/quorate/crypto"
)

// Message is one of the messages of the protocol: exactly the types of this
// package that implement it.
//
//sumtype:decl
type Message interface {
	// Kind tells the type of the message on the wire.
	Kind() Kind
	isMessage()
	// bodyBytes returns the length of the body of the message's frame.
	bodyBytes() int
}

// Kind is the type of a message: the second byte of every frame, and part of
// what every signature covers.
type Kind byte

// The kinds of messages. Their numbers are part of the wire format.
const (
	KindRequest         Kind = 1
	KindPrePrepare      Kind = 2 // a signing kind and, with its batch, a frame
	KindPrepare         Kind = 3
	KindCommit          Kind = 4
	KindCheckpoint      Kind = 5
	KindViewChange      Kind = 6
	KindNewView         Kind = 7
	KindReply           Kind = 8
	KindStatus          Kind = 9
	KindFetchBatches    Kind = 10
	KindBatchBody       Kind = 11
	KindFetchCommitted  Kind = 12
	KindCommitted       Kind = 13
	KindFetchViewChange Kind = 14
	KindStableProof     Kind = 15
	KindFetchPieces     Kind = 16
	KindPiece           Kind = 17
	KindEvidence        Kind = 18
	KindAsk             Kind = 19
	KindReport          Kind = 20
	KindRefusal         Kind = 21
	KindPrepared        Kind = 22
	KindCommitProof     Kind = 23
	KindReplies         Kind = 24 // signed as KindReply
	KindAskOutputs      Kind = 25
	KindOutputs         Kind = 26
	KindQuery           Kind = 27
	KindResults         Kind = 28
)

// KindLast is the highest number of a kind.
const KindLast = KindResults

// Class tells on which of a peer's streams a message travels, so that votes
// overtake bulk.
type Class byte

// The classes of streams, the most urgent first.
const (
	ClassVotes   Class = 0 // small and urgent: votes, checkpoints, view changes, status
	ClassBatches Class = 1 // proposals and forwarded requests
	ClassBulk    Class = 2 // catching up and state transfer
	ClassClients Class = 3 // what clients and replicas say to each other
)

// Classes is the number of classes between replicas (clients have their own
// protocol).
const Classes = 3

// Signed is one signer's part of a certificate.
type Signed struct {
	Sender    ReplicaID
	Signature crypto.Signature
}

// Request asks to execute operations of one client. Operation i has number
// Number+i. Its identity is the digest of its body without the signature.
type Request struct {
	Client  ClientID
	Session Session
	Number  Number // of the first operation; at least 1
	// Acked says that the client has the results of every number up to and
	// including it: replicas may forget them.
	Acked     Number
	ReadOnly  bool // executed by app.Querier, in order; may change nothing
	Ops       [][]byte
	Signature crypto.Signature // the client's, KindRequest

	digested digested
}

// digested is the digest of a request that an Opener computed. It holds for the very
// Request that it names: a copy, which may be changed, has another address.
type digested struct {
	of     *Request
	digest crypto.Digest
}

// Batch is what one sequence number orders.
type Batch struct {
	Time     Time   // proposed by the primary
	Input    []byte // proposed by the primary's application, see app.Proposer
	Requests []*Request
}

// Vote is the fixed layout of the three phases' votes. What is signed is
// (kind, view, seq, digest, sender) in the cluster's domain, so a certificate is
// the common part and pairs of sender and signature.
type Vote struct {
	View      View
	Seq       Seq
	Digest    crypto.Digest // of the batch
	Sender    ReplicaID
	Signature crypto.Signature
}

// PrePrepare proposes Batch as number Seq of View; its sender is the primary.
// The signature covers the vote alone, with Digest the batch's.
type PrePrepare struct {
	Vote
	Batch *Batch
}

// Prepare says that its sender accepted the pre-prepare.
type Prepare struct{ Vote }

// Commit says that its sender holds a prepared certificate, durably.
type Commit struct{ Vote }

// Checkpoint says that its sender holds a durable snapshot of the state after
// Seq, with this digest.
type Checkpoint struct {
	Seq       Seq
	State     crypto.Digest
	Sender    ReplicaID
	Signature crypto.Signature
}

// CheckpointCert proves a stable checkpoint: a quorum of signatures
// (KindCheckpoint) in ascending order of sender. Number 0 has no signatures.
type CheckpointCert struct {
	Seq     Seq
	State   crypto.Digest
	Signers []Signed
}

// PreparedCert proves that a batch was prepared: the primary's pre-prepare
// signature and q−1 prepares of distinct backups, in ascending order of sender.
type PreparedCert struct {
	View       View
	Seq        Seq
	Digest     crypto.Digest
	PrePrepare crypto.Signature // of the primary of View, KindPrePrepare
	Prepares   []Signed         // KindPrepare
}

// CommitCert proves that a batch committed: q commits of distinct replicas, in
// ascending order of sender.
type CommitCert struct {
	View    View
	Seq     Seq
	Digest  crypto.Digest
	Commits []Signed // KindCommit
}

// ViewChange asks for View and hands over what its sender must not lose.
type ViewChange struct {
	View      View // the new one
	Stable    CheckpointCert
	Prepared  []PreparedCert // ascending Seq, at most one for each
	Sender    ReplicaID
	Signature crypto.Signature
}

// ViewChangeRef names one view-change message of a new view.
type ViewChangeRef struct {
	Sender ReplicaID
	Digest crypto.Digest // ViewChange.Digest
}

// Choice is what a new view carries over at one number, with the new primary's
// pre-prepare signature for it.
type Choice struct {
	Seq       Seq
	Digest    crypto.Digest
	Signature crypto.Signature // of the new primary, KindPrePrepare in the new view
}

// NewView opens View. It is valid only if Stable, StableState and Choices are
// exactly what the named view changes imply.
type NewView struct {
	View        View
	ViewChanges []ViewChangeRef // ascending sender
	Stable      Seq
	StableState crypto.Digest
	Choices     []Choice // ascending Seq, without gaps, from Stable+1
	Sender      ReplicaID
	Signature   crypto.Signature
}

// Outcome tells how an operation ended.
type Outcome byte

// The outcomes. Their numbers are part of the wire format.
const (
	OutcomeOK         Outcome = 0 // executed, Result is the application's
	OutcomePanicked   Outcome = 1 // the operation panicked and was rolled back
	OutcomeSessionOld Outcome = 2 // the client has a newer session
	OutcomeNoRoom     Outcome = 3 // the client table is full
	OutcomeForgotten  Outcome = 4 // executed, and its result acknowledged and dropped
	OutcomeReadOnly   Outcome = 5 // a read-only request tried to write, or the application has no reads
	OutcomeWindow     Outcome = 6 // the number lies beyond the client's window
	OutcomeTooLarge   Outcome = 7 // the result exceeds a limit, alone or with others that wait; the operation was rolled back
)

// Answer tells how one operation of a client ended.
type Answer struct {
	Number  Number
	Seq     Seq // where the operation was executed; 0 where it was not
	Outcome Outcome
	Result  []byte
}

// Told is an Answer with whose operation it was: all that correct replicas agree
// on about an operation.
type Told struct {
	Client  ClientID
	Session Session
	Answer
}

// Equal tells whether t and o say the same of the same operation.
func (t *Told) Equal(o *Told) bool {
	return t.Client == o.Client && t.Session == o.Session && t.Number == o.Number && t.Seq == o.Seq &&
		t.Outcome == o.Outcome && bytes.Equal(t.Result, o.Result)
}

// Place is where something is in a Merkle tree: of groups, crypto.MerkleTree, or of the
// answers of one, crypto.WideTree. The only leaf of its tree has the Place{Leaves: 1}.
type Place struct {
	Index  uint32          // of the leaf
	Leaves uint32          // how many leaves the tree has
	Path   []crypto.Digest // from the leaf's siblings up
}

// Replies answers operations of one client: those of a batch, or kept results.
// One signature covers all that a replica answers at once, to all of its clients:
// it signs (view, number of groups, root, sender), where each Replies is a group,
// and root that of the Merkle tree over the groups. A group's digest is over whose it
// is and the root of the wide tree of its answers, which the receiver computes.
type Replies struct {
	View      View
	Client    ClientID
	Session   Session
	Answers   []Answer // ascending Number, 1 to RepliesMax
	Outer     Place    // of the group
	Sender    ReplicaID
	Signature crypto.Signature // KindReply
}

// Reply is one answer of a Replies with its proof: what f+1 of make a certificate
// that anyone can verify.
type Reply struct {
	View View
	Told
	Inner     Place // of the answer, in its group
	Outer     Place // of the group
	Sender    ReplicaID
	Signature crypto.Signature // that of the Replies
}

// SlotStatus tells what the sender of a Status lacks at one number.
type SlotStatus struct {
	Seq            Seq
	HavePrePrepare bool // holds the pre-prepare and its batch in View
	HavePrepared   bool
	HaveCommitted  bool
	Abstains       bool // does not vote there in View: it may have, before it restarted
}

// Status tells where its sender stands, so that others send what it lacks. An
// active primary's Status is also its heartbeat.
type Status struct {
	View   View
	Active bool // has entered View
	// LostPrimary says that the sender had a connection to the primary of View, and
	// has lost it.
	LostPrimary bool
	Suspects    bool // that the primary of View is faulty, and still votes in View
	Stable      Seq
	Executed    Seq
	// Slots are numbers above Executed, ascending, bounded by StatusSlotsMax.
	Slots []SlotStatus
	// ViewChanges names, while not active, the senders whose view changes for
	// View are held, ascending.
	ViewChanges []ReplicaID
	// Asks, if it is not 0, names a life of the sender, which has lost its data: what others
	// said before tells it nothing, and they answer with a Status that Answers it.
	Asks uint64
	// Answers is what the receiver asked, to whom alone such a Status goes, or 0.
	Answers   uint64
	Sender    ReplicaID
	Signature crypto.Signature
}

// FetchBatches asks for batches by digest.
type FetchBatches struct {
	Digests   []crypto.Digest
	Sender    ReplicaID
	Signature crypto.Signature
}

// BatchBody answers FetchBatches. It proves itself by its digest, which the
// receiver computes.
type BatchBody struct{ Batch *Batch }

// FetchCommitted asks for committed batches First to Last.
type FetchCommitted struct {
	First, Last Seq
	Sender      ReplicaID
	Signature   crypto.Signature
}

// Committed is one committed batch with its proof. It needs no signature of
// its own, for it proves itself.
type Committed struct {
	Cert  CommitCert
	Batch *Batch
}

// FetchViewChange asks for the view changes that a new view names.
type FetchViewChange struct {
	View      View
	Refs      []ViewChangeRef
	Sender    ReplicaID
	Signature crypto.Signature
}

// StableProof tells those behind of a stable checkpoint. It proves itself.
type StableProof struct{ Cert CheckpointCert }

// FetchPieces asks for pieces of the state tree whose root is Root.
type FetchPieces struct {
	Seq     Seq
	Root    crypto.Digest
	Digests []crypto.Digest
	// Life names this start of the sender among all: what an earlier one asked for may come
	// late, and is nothing that it owes.
	Life      uint64
	Sender    ReplicaID
	Signature crypto.Signature
}

// Piece answers FetchPieces. Its digest is checked by whoever asked.
type Piece struct {
	Root crypto.Digest
	Life uint64 // of the question
	Data []byte
}

// EvidenceKind tells what a piece of evidence proves.
type EvidenceKind byte

// The kinds of evidence: what a replica signed and no correct one does, whatever
// the others do, crash or no crash. docs/PROTOCOL.md step 11 tells why of each.
const (
	EvidencePrePrepares EvidenceKind = 1 // two digests of one primary for (view, seq)
	EvidencePrepares    EvidenceKind = 2
	EvidenceCommits     EvidenceKind = 3
	EvidenceCheckpoints EvidenceKind = 4
	EvidenceViewChanges EvidenceKind = 5
	EvidenceNewViews    EvidenceKind = 6
	EvidenceHidden      EvidenceKind = 7 // a commit, and a later view change that hides its certificate
	EvidenceUnsigned    EvidenceKind = 8 // a pre-prepare of a batch with a request that its client did not sign
	EvidenceChoices     EvidenceKind = 9 // a new view that does not follow from the view changes that it names
)

// Evidence proves that Culprit lied, by what it signed: First and, for most
// kinds, Second. PrePrepares travel in it as bare votes (see Vote), without their
// batches.
type Evidence struct {
	Proof         EvidenceKind
	Culprit       ReplicaID
	First, Second Statement // Second is the zero Statement where the kind needs none
	// Attached is what the statements name by its digest: the batch of
	// EvidenceUnsigned, and of EvidenceChoices the bodies of the view changes, in
	// the order of the new view. Others have none.
	Attached [][]byte
}

// Statement is one side of a piece of evidence: the signed bytes' body and the
// signature over it.
type Statement struct {
	Kind      Kind
	Body      []byte // exactly what was signed, after the domain
	Signature crypto.Signature
}

// Prepared hands over one prepared certificate; the journal keeps it as such.
type Prepared struct{ Cert PreparedCert }

// CommitProof is a commit certificate without its batch; the journal keeps it
// as such.
type CommitProof struct{ Cert CommitCert }
