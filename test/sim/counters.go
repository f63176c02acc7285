package sim

import (
	"reflect"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Counters tell how often what happened in a run. Zero over many runs means
// that something is not tested.
type Counters struct {
	// Suspicions, LeftViews and EnteredViews count over all replicas; CarriedOver those
	// entered views that carried numbers over, Nulls the executions of null
	// batches.
	Suspicions, LeftViews, EnteredViews, CarriedOver, Nulls int
	// Checkpoints counts numbers, Fetches begun and Transfers finished transfers,
	// BrokenTransfers those that a crash cut, GivenUp those that led nowhere, and
	// Pieces what was of use.
	Checkpoints, Fetches, Transfers, BrokenTransfers, GivenUp, Pieces int
	// CaughtUp counts batches executed by a commit certificate that came late.
	CaughtUp int
	// Crashes counts all; Unsent those between the flush and the sending, Torn
	// those that kept a part of a flush, LostSnapshots those that lost one that
	// was being written, and HalfRebases those in the middle of a rebase.
	Crashes, Unsent, Torn, LostSnapshots, HalfRebases int
	// EarlyLost counts crashes that lost the record of a vote that had left, Abstained
	// the proposals on which a replica did not vote because of such a crash, Abdicated
	// the views that a primary left because of one, and Deserted those that were left
	// because too many abstained.
	EarlyLost, Abstained, Abdicated, Deserted int
	// Unlinked counts connections that somebody was told had broken, Flaps those of them
	// that had not, Abandoned the views that were left because no quorum reached the
	// primary.
	Unlinked, Flaps, Abandoned int
	// HalfSent counts crashes among the messages of one flush, Unanswered those
	// between an execution and its answers, HalfStable those between the effects
	// of a stable checkpoint.
	HalfSent, Unanswered, HalfStable int
	// Waited counts messages that waited, at their sender, for who was down or cut off.
	Waited int
	// Replayed counts old messages that the network repeated, Corrupted frames
	// that it damaged, Overflowed what a full link dropped, Clogged what one held
	// up, Cuts links cut in one direction, Shunned messages of a view that was
	// kept from somebody.
	Replayed, Corrupted, Overflowed, Clogged, Cuts, Shunned int
	// Pauses counts processes stopped, Jumps wall clocks, BurstTicks ticks that
	// came too late, Strains replicas whose processors were busy, Drifting runs in which clocks drift.
	Pauses, Jumps, BurstTicks, Strains, Drifting int
	// FailedFlushes counts flushes that failed, Filled processes that a full disk
	// ended, Corroded journals whose damage was noticed, Forgot those whose was
	// not, Restored starts from an old copy.
	FailedFlushes, Filled, Corroded, Forgot, Restored int
	// Deaths counts replicas that ended for good. Dead, CutOff, Lossy, Slow and
	// Turned count the roles at the end of liveness runs.
	Deaths, Dead, CutOff, Lossy, Slow, Turned int
	// Crimes counts acts of Byzantine clients, Unfit requests of theirs that nobody
	// opens.
	Crimes, Unfit int
	// Snipes counts crashes at the sending of a message of some kind, or at the
	// entry of a view.
	Snipes int
	// Rebases counts journals begun anew, Early messages ahead of their receiver.
	Rebases, Early int
	// Lost counts replicas that lost their data and Rejoined those that vote
	// again, Diverged replicas whose state turned out wrong, HalfRepaired crashes of
	// those before they had another one.
	Lost, Rejoined, Diverged, HalfRepaired int
	// NewSessions counts new sessions of clients, Reads read-only operations
	// answered, Refusals requests refused.
	NewSessions, Reads, Refusals int
	// RolledBack counts operations that were rolled back because too many results wait for
	// a checkpoint.
	RolledBack int
	// FastReads counts reads that a quorum answered alike outside of the order, FallenBack
	// those that were then asked in it; HeldQueries the queries that waited at a replica for
	// what it had prepared, Unread those that it would not answer, and LostQueries those
	// that waited when it crashed.
	FastReads, FallenBack, HeldQueries, Unread, LostQueries int
	// Lies counts messages that liars changed or withheld, Echoes those that they
	// sent besides, Unopened those that nobody would open, Accusations the
	// observations of proven lies.
	Lies, Echoes, Unopened, Accusations int
	// Audited counts messages in the archives that were audited at the end, and Convicted the
	// lies that were found in them.
	Audited, Convicted int
	// RefusedInputs counts proposals whose input the application refused, Inputless the times that
	// it had none to propose.
	RefusedInputs, Inputless int
	// Outputs counts what executed operations emitted, at each replica.
	Outputs int
	// Operations counts what the agreed order executed, each operation once, and Panicked
	// those of them that were rolled back because the application panicked or exceeded a
	// bound of package app: all replicas do so alike, and no oracle minds.
	Operations, Panicked int
}

// unreachable is why a view is left whose primary no quorum reaches.
const unreachable = "no quorum reaches its primary"

// Add adds other to c.
func (c *Counters) Add(other Counters) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(other)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// Zero returns the names of the counters that are zero, but not Panicked, which stays so
// where the application is well.
func (c Counters) Zero() []string {
	var names []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Panicked" {
			names = append(names, name)
		}
	}
	return names
}

// observe counts one observation.
func (c *Counters) observe(obs core.Observation) {
	switch obs := obs.(type) {
	case core.Suspected:
		c.Suspicions++
	case core.LeftView:
		c.LeftViews++
		switch obs.Why {
		case "it leads it, and may have proposed what it has forgotten":
			c.Abdicated++
		case unreachable:
			c.Abandoned++
		case "so many abstain that no quorum votes":
			c.Deserted++
		}
	case core.Abstained:
		c.Abstained++
	case core.EnteredView:
		c.EnteredViews++
		if obs.Carried > 0 {
			c.CarriedOver++
		}
	case core.Rejoined:
		c.Rejoined++
	case core.CaughtUp:
		c.Transfers++
	case core.Diverged:
		c.Diverged++
	case core.Misbehaved:
		c.Accusations++
	case core.Refused, core.Accepted, core.BecamePrepared, core.BecameCommitted, core.BecameStable, core.FellBehind,
		core.AwaitsView, core.Contradicted, core.Divided:
	}
}

// early tells whether a message is ahead of its receiver, which must keep it.
func early(r *core.Replica, window wire.Seq, sealed *wire.Sealed) bool {
	var vote wire.Vote
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others are never early
	case *wire.PrePrepare:
		vote = m.Vote
	case *wire.Prepare:
		vote = m.Vote
	case *wire.Commit:
		vote = m.Vote
	default:
		return false
	}
	return vote.View > r.View() || vote.View == r.View() && (!r.Active() || vote.Seq > r.Stable().Seq+window)
}
