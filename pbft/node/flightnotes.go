package node

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// what an entry is.
type what uint8

const (
	turnStep what = iota + 1
	turnSettle
	turnExecute
	turnWork
	turnVerify
	turnSnapshot

	eventStart
	eventTick
	eventReceived
	eventSubmitted
	eventSnapshotted
	eventTransferred
	eventTransferFailed
	eventLinked
	eventUnlinked
	eventExposed
	eventMeasured

	sawRefused
	sawProposed // its own pre-prepare, which has left
	sawAccepted
	sawAbstained
	sawPrepared
	sawCommitted
	sawRare // the note says what
)

// The parts of turns. A turn ends when its stage is idle again. In what is queued
// another stage had handed over, and this one had not begun: its longest, of all that
// the turn took.
const (
	partIdle = 0

	stepBlocked = 1 // its turn is full, and settle has all the others
	stepEvents  = 2
	stepPropose = 3 // core.TurnEnded: a primary packs batches
	stepPass    = 4 // what waits for nothing is passed on, and the turn

	partQueued = 1 // of turnSettle and turnExecute

	settleAppend = 2
	settleRebase = 3 // the journal begins anew
	settleEarly  = 4
	settleFlush  = 5
	settleSend   = 6

	executeRun     = 2
	executeReply   = 3
	executeDurable = 4 // waits for the flush of what the snapshot holds
	executeFreeze  = 5

	workAnswer = 1
	workFetch  = 2
	workQuery  = 3

	verifyOpen    = 1
	verifyBlocked = 2 // step has not taken what was verified before

	partWrite = 1

	// Of an event.
	eventTook   = 0
	tickLate    = 1 // since it was due
	tickStarved = 2 // of that, while step waited for it: it had no processor
)

// form is what the numbers of an entry mean.
type form struct {
	stage  string
	name   string
	parts  [partsMax]string
	counts [countsMax]string
}

// form returns w's: of a turn; an event or observation has a name alone.
func (w what) form() form {
	switch w {
	case turnStep:
		return form{"step", "turn", [...]string{"idle", "blocked", "events", "propose", "pass", "", ""}, [...]string{"events", "held", ""}}
	case turnSettle:
		return form{
			"settle", "turn",
			[...]string{"idle", "queued", "append", "rebase", "early", "flush", "send"},
			[...]string{"turns", "records", "bytes"},
		}
	case turnExecute:
		return form{
			"apply", "batch",
			[...]string{"idle", "queued", "execute", "reply", "durable", "freeze", ""},
			[...]string{"operations", "", ""},
		}
	case turnWork:
		return form{"apply", "other", [...]string{"idle", "answer", "fetch", "query", "", "", ""}, [countsMax]string{}}
	case turnVerify:
		return form{"verify", "turn", [...]string{"idle", "verify", "blocked", "", "", "", ""}, [...]string{"frames", "bytes", "events"}}
	case turnSnapshot:
		return form{"state", "snapshot", [...]string{"", "write", "", "", "", "", ""}, [countsMax]string{}}
	default:
		return form{}
	}
}

// queued tells which part of a turn of w is none: 0 for none is none.
func (w what) queued() int {
	if w == turnSettle || w == turnExecute {
		return partQueued
	}
	return 0
}

// name returns what w is called.
func (w what) name() string {
	names := [...]string{
		eventStart: "start", eventTick: "tick", eventReceived: "received", eventSubmitted: "submitted",
		eventSnapshotted: "snapshotted", eventTransferred: "transferred", eventTransferFailed: "transfer-failed",
		eventLinked: "linked", eventUnlinked: "unlinked", eventExposed: "exposed",
		eventMeasured: "measured",
		sawRefused:    "refused", sawProposed: "proposed", sawAccepted: "accepted", sawAbstained: "abstained", sawPrepared: "prepared",
		sawCommitted: "committed", sawRare: "observed",
	}
	if int(w) < len(names) && names[w] != "" {
		return names[w]
	}
	return w.form().name
}

// stage returns who did it.
func (w what) stage() string {
	switch {
	case w >= sawRefused:
		return "core"
	case w >= eventStart:
		return "event"
	default:
		return w.form().stage
	}
}

// eventEntry returns the entry of an event, but for its times.
func eventEntry(ev core.Event) entry {
	switch ev := ev.(type) {
	case core.Received:
		m := ev.Message.Message()
		view, seq := placeOf(m)
		return entry{what: eventReceived, kind: m.Kind(), view: view, seq: seq, counts: [countsMax]uint32{uint32(ev.From)}}
	case submitted, core.Submitted:
		return entry{what: eventSubmitted, counts: [countsMax]uint32{1}}
	case core.Tick:
		return entry{what: eventTick}
	case core.Start:
		return entry{what: eventStart}
	case core.Snapshotted:
		return entry{what: eventSnapshotted, seq: ev.Seq}
	case core.Transferred:
		return entry{what: eventTransferred, seq: ev.State.Seq}
	case core.TransferFailed:
		return entry{what: eventTransferFailed, seq: ev.Seq}
	case core.Linked:
		return entry{what: eventLinked, counts: [countsMax]uint32{uint32(ev.Peer)}}
	case core.Unlinked:
		return entry{what: eventUnlinked, counts: [countsMax]uint32{uint32(ev.Peer)}}
	case core.Exposed:
		return entry{what: eventExposed}
	case core.Measured:
		e := entry{what: eventMeasured}
		if ev.Busy {
			e.counts[0] = 1
		}
		return e
	case core.TurnEnded, core.Offered: // a part of the turn, in which the application is asked for inputs, too
	}
	return entry{}
}

// proposed returns what is observed of a batch by who proposed it: the core observes that
// others accept it.
func (n *Node) proposed(ev core.Event) (entry, bool) {
	got, _ := ev.(core.Received)
	if got.From != n.self || got.Message == nil {
		return entry{}, false
	}
	m, ok := got.Message.Message().(*wire.PrePrepare)
	if !ok {
		return entry{}, false
	}
	e := entry{what: sawProposed, view: m.View, seq: m.Seq, counts: [countsMax]uint32{0, short(m.Digest)}}
	if m.Batch != nil {
		e.counts[0] = count(len(m.Batch.Requests))
	}
	return e, true
}

// placeOf returns what a message is about; what it does not name is 0.
func placeOf(m wire.Message) (wire.View, wire.Seq) {
	switch m := m.(type) { //nolint:gochecksumtype // the others have no place in the order
	case *wire.PrePrepare:
		return m.View, m.Seq
	case *wire.Prepare:
		return m.View, m.Seq
	case *wire.Commit:
		return m.View, m.Seq
	case *wire.Checkpoint:
		return 0, m.Seq
	case *wire.ViewChange:
		return m.View, m.Stable.Seq
	case *wire.NewView:
		return m.View, m.Stable
	case *wire.Status:
		return m.View, m.Executed
	case *wire.Committed:
		return m.Cert.View, m.Cert.Seq
	case *wire.StableProof:
		return 0, m.Cert.Seq
	default:
		return 0, 0
	}
}

// observe notes what the core observed at a time.
func (f *flight) observe(at time.Duration, o core.Observation) {
	e := entry{at: at}
	switch o := o.(type) {
	case core.Refused:
		e.what, e.kind, e.counts = sawRefused, o.Kind, [countsMax]uint32{uint32(o.From)}
		f.events.add(e)
	case core.Accepted:
		e.what, e.view, e.seq = sawAccepted, o.View, o.Seq
		e.counts = [countsMax]uint32{count(o.Requests), short(o.Digest)}
		f.milestones.add(e)
	case core.Abstained:
		e.what, e.view, e.seq = sawAbstained, o.View, o.Seq
		f.milestones.add(e)
	case core.BecamePrepared:
		e.what, e.view, e.seq, e.counts = sawPrepared, o.View, o.Seq, [countsMax]uint32{0, short(o.Digest)}
		f.milestones.add(e)
	case core.BecameCommitted:
		e.what, e.view, e.seq, e.counts = sawCommitted, o.View, o.Seq, [countsMax]uint32{0, short(o.Digest)}
		f.milestones.add(e)
	case core.Misbehaved, core.Suspected, core.LeftView, core.EnteredView, core.BecameStable, core.Diverged, core.Divided,
		core.FellBehind, core.CaughtUp, core.AwaitsView, core.Rejoined, core.Contradicted:
		e.what = sawRare
		f.rare.note(e, describe(o))
	}
}

// describe says a rare observation in the words of the core.
func describe(o core.Observation) string {
	const further = "%s; executed %d, others %d"
	if s, ok := o.(core.Suspected); ok {
		return fmt.Sprintf(further, core.Describe(o), s.Executed, s.Others)
	}
	if left, ok := o.(core.LeftView); ok {
		return fmt.Sprintf(further, core.Describe(o), left.Executed, left.Others)
	}
	if m, ok := o.(core.Misbehaved); ok && m.Evidence == nil {
		return ""
	}
	return core.Describe(o)
}

// short is what crypto.Digest.Short shows.
func short(d crypto.Digest) uint32 { return binary.BigEndian.Uint32(d[:4]) }
