package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// reportInput logs that the application has no input, the first time in a row.
func (n *Node) reportInput(err error) {
	if err != nil && !n.inputless {
		n.log.Warnf("the application has no input for a batch, so this primary proposes none: see to where it reads it err=%q", err)
	}
	if err == nil && n.inputless {
		n.log.Warn("the application has input for batches again") // ends a warning
	}
	n.inputless = err != nil
}

// Propose asks p for the input of a batch. What it returns is the caller's alone.
func Propose(p app.Proposer) (input []byte, err error) {
	defer func() {
		if recover() != nil {
			input, err = nil, errors.New("node: proposing an input panicked")
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
	pp, is := sealed.Message().(*wire.PrePrepare)
	if !is || pp.Batch == nil || p == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			why = "checking it panicked"
		}
	}()
	if err := p.CheckInput(slices.Clone(pp.Batch.Input)); err != nil {
		return printable(err.Error())
	}
	return ""
}

// printable returns so much of a reason as may be told. It is never empty, whatever a liar
// had it quote: that would say that there is none.
func printable(why string) string {
	return cmp.Or(strings.ToValidUTF8(why[:min(len(why), unfitBytesMax)], ""), "it gave no reason that can be printed")
}
