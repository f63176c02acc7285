package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// offer lets the application of a primary propose the inputs of the batches that the
// core would propose now, if it is one that has inputs. One that had none is asked again
// after a tick.
func (s *stepper) offer() {
	if s.n.proposer == nil || s.inputWaits {
		return
	}
	for range s.n.cfg.Core.InFlight {
		if !s.n.engine.Proposes() {
			return
		}
		input, err := Propose(s.n.proposer)
		s.n.reportInput(err)
		if s.inputWaits = err != nil; s.inputWaits {
			return
		}
		s.one(core.Offered{Input: input})
	}
}

// warningsPerSecond and warningsBurst bound each of the warnings about the application: a
// primary or a client that lies has replicas refuse what they check, and panic, as often as
// it likes.
const (
	warningsPerSecond = 1.0 / 30
	warningsBurst     = 4
)

// inputs is what the log says of inputs.
type inputs struct {
	// lacks says that the application had none for the last batch, and refuses that it did
	// not accept the last one in view; of both was warned. They are step's.
	lacks, refuses         bool
	view                   wire.View
	lacksRate, refusesRate bucket
	panics                 panics // of checks
}

func (r *inputs) fill() {
	r.lacksRate = newBucket(warningsPerSecond, warningsBurst)
	r.refusesRate, r.panics = r.lacksRate, newPanics()
}

// reportInput logs that the application has no input, the first time in a row.
func (n *Node) reportInput(err error) {
	r := &n.inputs
	switch {
	case err != nil && !r.lacks && r.lacksRate.take(time.Now(), 1):
		r.lacks = true
		n.log.Warnf("the application has no input for a batch, so this primary proposes none: see to where it reads it err=%q", err)
	case err == nil && r.lacks:
		r.lacks = false
		n.log.Warn("the application has input for batches again") // ends a warning
	}
}

// reportUnfit logs that the application refuses what the primary of the view proposes as
// input, the first time in a row.
func (n *Node) reportUnfit(o core.Observation) {
	r := &n.inputs
	switch o := o.(type) { //nolint:gochecksumtype // the others do not
	case core.Refused:
		if why := o.Unfit(); why != "" {
			n.refusesInput(why)
		}
	case core.Accepted:
		if r.refuses && r.view == o.View {
			r.refuses = false
			n.log.Warnf("the application accepts the inputs of the primary again view=%d", o.View) // ends a warning
		}
	}
}

func (n *Node) refusesInput(why string) {
	r, view := &n.inputs, n.engine.View()
	if r.refuses && r.view == view || !r.refusesRate.take(time.Now(), 1) {
		return
	}
	r.refuses, r.view = true, view
	n.log.Warnf("the application does not accept the input that the primary proposes, so this replica does not vote for "+
		"the batch: if several say so, correct what the application proposes or checks primary=%d view=%d why=%q",
		view.Primary(n.replicas), view, why)
}

// unfit is Unfit of the own application, and logs where that panics.
func (n *Node) unfit(sealed *wire.Sealed) string {
	why, where := checkInput(n.proposer, sealed)
	if where != nil && n.inputs.panics.mayTell() {
		n.log.Warnf("the application panicked while it checked the input of a batch, which refuses it: correct it "+
			"why=%q stack=%q", why, where)
	}
	return why
}

// Propose asks p for the input of a batch. What it returns is the caller's alone. The error
// of a panic has the stack.
func Propose(p app.Proposer) (input []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			input, err = nil, fmt.Errorf("node: proposing an input panicked: %s\n%s", spell(v), stack())
		}
	}()
	input, err = p.ProposeInput()
	switch {
	case err != nil:
		return nil, fmt.Errorf("node: propose an input: %w", err)
	case len(input) > wire.InputBytesMax:
		return nil, fmt.Errorf("node: the input has %d bytes, at most %d are possible", len(input), wire.InputBytesMax)
	default:
		return slices.Clone(input), nil
	}
}

// unfitBytesMax bounds a reason: it may quote an input, which a liar chooses, and waits
// with the proposal until its view comes.
const unfitBytesMax = 256

// Unfit asks p, which may be nil, about the input of the batch that sealed proposes, if
// it proposes one, and returns why it is not to be accepted: core.Received.Unfit.
func Unfit(p app.Proposer, sealed *wire.Sealed) (why string) {
	why, _ = checkInput(p, sealed)
	return why
}

// checkInput is Unfit, and returns where p panicked, if it did.
func checkInput(p app.Proposer, sealed *wire.Sealed) (why string, where []byte) {
	pp, is := sealed.Message().(*wire.PrePrepare)
	if !is || pp.Batch == nil || p == nil {
		return "", nil
	}
	defer func() {
		if v := recover(); v != nil {
			why, where = printable("checking it panicked: "+spell(v)), stack()
		}
	}()
	if err := p.CheckInput(slices.Clone(pp.Batch.Input)); err != nil {
		return printable(err.Error()), nil
	}
	return "", nil
}

// printable returns so much of a reason as may be told. It is never empty, whatever a liar
// had it quote: that would say that there is none.
func printable(why string) string {
	return cmp.Or(strings.ToValidUTF8(why[:min(len(why), unfitBytesMax)], ""), "it gave no reason that can be printed")
}
