package pbft

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/pbft/wire"
)

// How an operation ends without a result of the application. The first group
// are outcomes that the cluster agreed on: errors.Is finds them in an
// *OutcomeError, which carries the proof.
var (
	// ErrPanicked says that the operation panicked, or exceeded a bound of package app,
	// and was rolled back whole. The error's words say which bound. With what it panicked,
	// and where, the replicas' logs say from level warn on, which an embedder has to set:
	// see the documentation of this package.
	ErrPanicked = errors.New("the operation panicked and was rolled back")
	// ErrSessionOld says that the client's key is used in a newer session, or that the
	// cluster knows as many clients as it can, and has forgotten this one, or others with
	// sessions no older, for newer ones. It is an outcome, and the reason of some refusals.
	// What was sent before may have been executed.
	ErrSessionOld = errors.New("the client key has a newer session, or the cluster forgot it for newer clients: dial again")
	// ErrTableFull says that the cluster knows as many clients as it can, none of which has
	// an older session than this new one (GenesisLimits.Clients).
	ErrTableFull = errors.New("the cluster's client table is full of newer sessions: dial again, by a clock that is right, " +
		"or reuse a key that it knows")
	// ErrForgotten says that the operation was executed, or given up, and its
	// result is kept no more.
	ErrForgotten = errors.New("the identity is executed or given up, and its result forgotten")
	// ErrReadOnly says that a read tried to write, or that the application has
	// no reads.
	ErrReadOnly = errors.New("a read may not write: submit it, or implement app.Querier")
	// ErrWindow says that the number was too far ahead of what the client
	// acknowledged. SubmitWith returns it, and then nothing was sent; in a proof it says
	// that the operation was not executed then.
	ErrWindow = errors.New("the number lies beyond the client's window: retry older operations first")
	// ErrTooLarge says that the result was too large, or that too many long ones of all
	// clients wait to be acknowledged; the operation was rolled back.
	ErrTooLarge = errors.New("the result is too large, and the operation was rolled back: ask for less at once")
	// errOutcome stands for outcomes that this version does not know.
	errOutcome = errors.New("an outcome that this version does not know")

	// ErrRefused says that the cluster will not order the operation.
	ErrRefused = errors.New("refused")
	// ErrOverload says that there is no room for the operation now: try again later.
	// Only a client that does not wait returns it (DialConfig.NoWait).
	ErrOverload = errors.New("overloaded: try again later")
	// ErrOperation says that the operation cannot be sent.
	ErrOperation = errors.New("bad operation")
	// ErrIdentity says that an identity was misused, or that there is none left.
	ErrIdentity = errors.New("bad identity")
	// ErrClosed says that the client is closed. In an *UnfinishedError it was not yet
	// when the operation was sent, which may still be executed.
	ErrClosed = errors.New("the client is closed")
	// ErrProof says that a certificate proves nothing.
	ErrProof = errors.New("no proof")
)

// Result is what f+1 replicas signed about one operation.
type Result struct {
	// Value is what the application returned. It is the caller's.
	Value []byte
	// Outcome tells how the operation ended. Submit returns a Result without an
	// error only for wire.OutcomeOK.
	Outcome wire.Outcome
	// Client and Identity name the operation.
	Client   wire.ClientID
	Identity Identity
	// Seq is where in the order it was executed; 0 where it was not.
	Seq wire.Seq
	// View is the lowest view that a signer was in: a correct replica had
	// reached it.
	View wire.View
	// Signers are the replicas that signed, ascending: f+1 of them, or q where it was not
	// ordered.
	Signers []wire.ReplicaID

	// What Certificate is made of, ascending by sender: votes where the result came
	// to a Client, or replies where a Certificate proved it.
	votes   []vote
	replies []*wire.Reply
}

// Certificate proves one result: it holds the frames of the replies of f+1
// replicas.
type Certificate [][]byte

// Certificate returns what proves the Result to others: see VerifyResult. It costs
// some microseconds, and is made anew by each call. For that the Result holds
// on to what f+1 replicas sent, which may answer many operations: to keep proofs for
// long, keep Certificates, not Results. The zero Result has none.
func (r Result) Certificate() Certificate {
	cert := make(Certificate, 0, len(r.votes)+len(r.replies))
	for _, v := range r.votes {
		cert = append(cert, wire.Encode(v.reply()))
	}
	for _, m := range r.replies {
		cert = append(cert, wire.Encode(m))
	}
	return cert
}

// resultOf returns what replicas agree on, without who they are.
func resultOf(told *wire.Told) Result {
	return Result{
		Value: bytes.Clone(told.Result), Outcome: told.Outcome, Client: told.Client,
		Identity: Identity{told.Session, told.Number}, Seq: told.Seq,
	}
}

// again returns the same result with a value and signers of its own.
func (r Result) again() Result {
	r.Value, r.Signers = bytes.Clone(r.Value), slices.Clone(r.Signers)
	return r
}

// signedBy adds a signer, who was in view v.
func (r *Result) signedBy(id wire.ReplicaID, v wire.View) {
	if len(r.Signers) == 0 || v < r.View {
		r.View = v
	}
	r.Signers = append(r.Signers, id)
}

// OutcomeError says that the cluster agreed on an outcome other than a result
// of the application.
type OutcomeError struct{ Result Result }

// Error says what the outcome was, and, where replicas said more of it than that, what:
// such as which bound of package app the operation exceeded.
func (e *OutcomeError) Error() string {
	text := fmt.Sprintf("operation %s: %v", e.Result.Identity, e.Unwrap())
	if e.Result.Identity.Number == 0 { // it was not ordered
		text = fmt.Sprintf("query: %v", e.Unwrap())
	}
	if more := string(e.Result.Value); more != "" && e.Result.Outcome != wire.OutcomeOK && !strings.HasSuffix(text, more) {
		text += fmt.Sprintf(": %q", more)
	}
	return text
}

// Unwrap returns the sentinel of the outcome.
func (e *OutcomeError) Unwrap() error {
	switch e.Result.Outcome {
	case wire.OutcomePanicked:
		return ErrPanicked
	case wire.OutcomeSessionOld:
		return ErrSessionOld
	case wire.OutcomeNoRoom:
		return ErrTableFull
	case wire.OutcomeForgotten:
		return ErrForgotten
	case wire.OutcomeReadOnly:
		return ErrReadOnly
	case wire.OutcomeWindow:
		return ErrWindow
	case wire.OutcomeTooLarge:
		return ErrTooLarge
	case wire.OutcomeOK:
		return nil
	default:
		return errOutcome
	}
}

// RefusedError says that f+1 replicas, so a correct one, will not order the
// operation. The client gives its number up. It is ErrRefused, and ErrSessionOld
// where that is the reason. A faulty primary that has the operation may order it all
// the same, and then it is executed: the application must stand that.
type RefusedError struct {
	Identity Identity
	Reason   wire.RefusalReason
	// Detail is what one of the replicas said; it may be the liar among them.
	Detail  string
	Signers []wire.ReplicaID // ascending
}

// Error says why.
func (e *RefusedError) Error() string {
	why := refusalText(e.Reason)
	if e.Detail != "" {
		why += fmt.Sprintf(": %q", e.Detail)
	}
	return fmt.Sprintf("operation %s is refused by replicas %v: %s", e.Identity, e.Signers, why)
}

func refusalText(r wire.RefusalReason) string {
	switch r {
	case wire.RefusalSessionOld:
		return ErrSessionOld.Error()
	case wire.RefusalOverload:
		return "the cluster is overloaded, or this client's clock is ahead of its clocks"
	case wire.RefusalRejoining:
		return "the replicas are rejoining"
	case wire.RefusalInvalid:
	}
	return "the application or a bound refuses it"
}

// Is tells that e is ErrRefused, and ErrSessionOld for that reason.
func (e *RefusedError) Is(target error) bool {
	return target == ErrRefused || target == ErrSessionOld && e.Reason == wire.RefusalSessionOld
}

// UnfinishedError says that the context ended before there was a result, or the client
// did, or that the cluster has no room for the operation now and the client does not
// wait.
type UnfinishedError struct {
	// Identity is what to retry with; its Number is 0 if nothing was ever sent, or of a
	// Read or of Outputs.
	Identity Identity
	// Replies is how many replicas replied to the operation, or, of Outputs, answered while
	// the next one was waited for.
	Replies int
	// Divided says that those replies differ more than f faulty replicas explain: the
	// application gives the same operation different results, or more replicas are faulty. To
	// retry it does not help then.
	Divided bool
	// Refused is why f+1 replicas did not take the operation for now, when they last said so:
	// wire.RefusalOverload, which they also say of a session of the future, as of a client
	// whose clock is ahead, or wire.RefusalRejoining. It is 0 if they said neither.
	Refused wire.RefusalReason
	// Links tells, for replicas that could not be reached, or not yet, why.
	Links []LinkError
	// Err is the context's error, ErrOverload, or ErrClosed, perhaps with a reason.
	Err error
}

// LinkError says why there is no connection to a replica.
type LinkError struct {
	Replica wire.ReplicaID
	Err     error
}

// Error says what is known of the cluster.
func (e *UnfinishedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no result yet: %v", e.Err)
	if e.Identity.Number != 0 {
		fmt.Fprintf(&b, "; operation %s has %d replies, and may still be executed: retry it with this identity",
			e.Identity, e.Replies)
	}
	if e.Divided {
		b.WriteString("; but the replies differ, more than f faulty replicas explain: if that happens again, the application " +
			"is not deterministic, which sim.CheckDeterminism of test/sim finds")
	}
	if e.Refused != 0 {
		fmt.Fprintf(&b, "; f+1 replicas did not take it: %s", refusalText(e.Refused))
	}
	const shown = 8
	for i, l := range e.Links {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more replicas cannot be reached", len(e.Links)-shown)
			break
		}
		fmt.Fprintf(&b, "; replica %d: %s", l.Replica, strings.Join(strings.Fields(l.Err.Error()), " "))
	}
	return b.String()
}

// Unwrap returns Err.
func (e *UnfinishedError) Unwrap() error { return e.Err }
