package core

import (
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Observation tells what happened: exactly the types of this file. Logs,
// metrics and golden tests are made from observations; nothing decides by them.
//
//sumtype:decl
type Observation interface{ isObservation() }

// Refused says that a message from a peer was not taken, and why.
type Refused struct {
	Kind wire.Kind
	From wire.ReplicaID
	Why  string
}

// inputRefused begins why a proposal was refused that the application did not accept.
const inputRefused = "the application does not accept its input: "

// Unfit returns why the application did not accept the input of the proposal that was
// refused, or nothing if it was not for that.
func (o Refused) Unfit() string {
	const words = len(inputRefused)
	if o.Kind != wire.KindPrePrepare || len(o.Why) < words || o.Why[:words] != inputRefused {
		return ""
	}
	return o.Why[words:]
}

// untimely ends why a proposal was refused whose time is too far from the own clock.
const untimely = " away from the own clock"

// Untimely tells whether the proposal was refused because its time is too far from the
// clock of this replica.
func (o Refused) Untimely() bool {
	at := len(o.Why) - len(untimely)
	return o.Kind == wire.KindPrePrepare && o.Unfit() == "" && at >= 0 && o.Why[at:] == untimely
}

// Misbehaved says that a replica lied, with the proof.
type Misbehaved struct {
	View     wire.View
	Seq      wire.Seq
	Evidence *wire.Evidence
}

// Accepted says that a pre-prepare was accepted.
type Accepted struct {
	View     wire.View
	Seq      wire.Seq
	Digest   crypto.Digest
	Requests int
}

// Abstained says that the replica does not vote on a pre-prepare, because it may
// have voted on another before it restarted.
type Abstained struct {
	View wire.View
	Seq  wire.Seq
}

// BecamePrepared says that a batch has its prepared certificate.
type BecamePrepared struct {
	View   wire.View
	Seq    wire.Seq
	Digest crypto.Digest
}

// BecameCommitted says that a batch has its commit certificate.
type BecameCommitted struct {
	View   wire.View
	Seq    wire.Seq
	Digest crypto.Digest
}

// Suspected says that the replica suspects the primary of View, and why; and how far it had
// executed then, and f+1 others. It votes on, until f+1 replicas suspect that primary.
type Suspected struct {
	View             wire.View
	Why              string
	Executed, Others wire.Seq
}

// LeftView says that the replica left its view and asks for View, and why; and how far it
// had executed then, and f+1 others: where they had executed more, it may be this replica
// that is slow, and not the primary.
type LeftView struct {
	View             wire.View
	Why              string
	Executed, Others wire.Seq
}

// EnteredView says that the replica entered View by its NewView.
type EnteredView struct {
	View    wire.View
	Primary wire.ReplicaID
	Stable  wire.Seq // chosen checkpoint
	Carried int      // numbers carried over
}

// BecameStable says that a checkpoint is stable and h is now Seq.
type BecameStable struct {
	Seq   wire.Seq
	State crypto.Digest
}

// Diverged says that the replica's own state differs from a stable
// certificate: its state is wrong, and it repairs itself.
type Diverged struct {
	Seq         wire.Seq
	Own, Quorum crypto.Digest
}

// Divided says that so many replicas have other states than each other after Seq that
// no quorum will ever sign one: more than f states are wrong, most likely because the
// application is not deterministic. States are the votes that came, by replica.
type Divided struct {
	Seq    wire.Seq
	Own    crypto.Digest
	States SignedStates
}

// SignedState is a state that a replica signed a checkpoint of.
type SignedState struct {
	Replica wire.ReplicaID
	State   crypto.Digest
}

// SignedStates are some of them, ascending by replica.
type SignedStates []SignedState

// String returns them on one line.
func (all SignedStates) String() string {
	var text []byte
	for i, s := range all {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = fmt.Appendf(text, "R%d %s", s.Replica, s.State.Short())
	}
	return string(text)
}

// FellBehind says that the replica fetches the state of stable checkpoint Seq.
type FellBehind struct{ Executed, Seq wire.Seq }

// CaughtUp says that the state of checkpoint Seq is installed.
type CaughtUp struct{ Seq wire.Seq }

// AwaitsView says that a replica that had lost its data would vote again, if it had not
// asked for View before: it promised to vote in none before that. So it waits until the
// others are there.
type AwaitsView struct{ View wire.View }

// Rejoined says that a replica that had lost its data votes again.
type Rejoined struct {
	Seq  wire.Seq
	View wire.View
}

// Contradicted says that another replica has a commit certificate for another
// batch at a number of which this one has one: more than f replicas lied, and the
// agreement is broken. View and Other are the views of the two.
type Contradicted struct {
	Seq         wire.Seq
	View, Other wire.View
	Own, Theirs crypto.Digest
}

func (Refused) isObservation()         {}
func (Misbehaved) isObservation()      {}
func (Accepted) isObservation()        {}
func (Abstained) isObservation()       {}
func (BecamePrepared) isObservation()  {}
func (BecameCommitted) isObservation() {}
func (Suspected) isObservation()       {}
func (LeftView) isObservation()        {}
func (EnteredView) isObservation()     {}
func (BecameStable) isObservation()    {}
func (Diverged) isObservation()        {}
func (Divided) isObservation()         {}
func (FellBehind) isObservation()      {}
func (CaughtUp) isObservation()        {}
func (AwaitsView) isObservation()      {}
func (Rejoined) isObservation()        {}
func (Contradicted) isObservation()    {}
