package sim

import (
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Do names a kind of Step.
type Do string

// What a process does.
const (
	StepStart    Do = "start"    // from its disk, which kept Kept records and the state of Seq
	StepCrash    Do = "crash"    // and loses what the next start does not find
	StepLose     Do = "lose"     // all its data
	StepRot      Do = "rot"      // its state changes by itself
	StepTick     Do = "tick"     //
	StepTake     Do = "take"     // Message from Peer, or its own next one, with Message 0
	StepSubmit   Do = "submit"   // a request of a client
	StepOffer    Do = "offer"    // the application has Input for the next batch
	StepSnapshot Do = "snapshot" // the one of Seq is durable
	StepTransfer Do = "transfer" // the state of Seq is installed
	StepGiveUp   Do = "give up"  // the transfer
	StepLink     Do = "link"     // to Peer is up
	StepUnlink   Do = "unlink"   // to Peer is down
	StepBusy     Do = "busy"     // its processors are, or, where Seq is 0, are so no more
	StepFlush    Do = "flush"    // what was appended is durable
	StepRebase   Do = "rebase"   // the journal begins anew
	StepSend     Do = "send"     // Message to Peer
	StepRepeat   Do = "repeat"   // the network sends Old once more, or something damaged if that is 0
	StepExecute  Do = "execute"  // the batch of Seq
)

// Step is one thing that a process does: enough of them make the same run
// elsewhere, event by event (package golden does). StepTick to StepBusy are the
// events of its core.
type Step struct {
	At   time.Duration
	Do   Do
	Node int // the process; the first ones are the replicas
	// Peer is the replica that a message goes to or comes from, or is said to.
	Peer wire.ReplicaID
	// Message joins where it is sent and where it is taken.
	Message, Old uint64
	Sealed       *wire.Sealed
	Seq          wire.Seq
	Input        []byte
	Kept         int
	Wall         wire.Time // what the process takes for the time, at a tick
	Execution    *core.Execution
}

// Config returns how the replica with id 0 is configured in a run of o.
func (o Options) Config() (core.Config, error) {
	o = o.withDefaults()
	q, err := core.NewQuorumWithFaults(o.Replicas, o.Faults)
	return o.config(0, q), err
}

// did tells whoever wants to know.
func (w *world) did(n *node, s Step) {
	if w.o.Steps == nil {
		return
	}
	s.At, s.Node = w.now, n.index
	w.o.Steps(s)
}

// stepped tells of an event of n's core.
func (w *world) stepped(n *node, ev core.Event) {
	if w.o.Steps == nil {
		return
	}
	var s Step
	switch ev := ev.(type) {
	case core.Start, core.TurnEnded, core.Offered, core.Exposed:
		return // a start is told when it has read the disk, an offer by itself, and only liars expose
	case core.Tick:
		s = Step{Do: StepTick, Wall: ev.Now}
	case core.Received:
		s = Step{Do: StepTake, Peer: ev.From, Message: n.message, Sealed: ev.Message}
	case core.Submitted:
		s = Step{Do: StepSubmit, Sealed: ev.Request}
	case core.Snapshotted:
		s = Step{Do: StepSnapshot, Seq: ev.Seq}
	case core.Transferred:
		s = Step{Do: StepTransfer, Seq: ev.State.Seq}
	case core.TransferFailed:
		s = Step{Do: StepGiveUp, Seq: ev.Seq}
	case core.Linked:
		s = Step{Do: StepLink, Peer: ev.Peer}
	case core.Unlinked:
		s = Step{Do: StepUnlink, Peer: ev.Peer}
	case core.Measured:
		s = Step{Do: StepBusy}
		if ev.Busy {
			s.Seq = 1
		}
	}
	w.did(n, s)
}
