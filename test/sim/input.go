package sim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// sensedKey is where a sensor notes the last input, which so is part of the state.
const sensedKey = "\xffsensed"

// errUnread says that an input is not what any sensor reads.
var errUnread = errors.New("no sensor reads that")

// sensor is the key-value store with an input for every batch, for Options.Inputs: a
// number that no other batch had, and what shows that it was read and not made up.
type sensor struct {
	kv.Machine

	last *uint64 // that any replica of the run read
}

// sensing returns what makes the sensors of one run.
func sensing() func() app.StateMachine {
	var last uint64
	return func() app.StateMachine { return sensor{last: &last} }
}

// ProposeInput reads a number. Once in eight times it cannot be read.
func (s sensor) ProposeInput() ([]byte, error) {
	*s.last++
	if *s.last%8 == 0 {
		return nil, errUnread
	}
	return reading(*s.last), nil
}

// CheckInput recognises what was read. It quotes what was not, as applications do.
func (s sensor) CheckInput(input []byte) error {
	if len(input) < 8 || string(reading(binary.BigEndian.Uint64(input))) != string(input) {
		return fmt.Errorf("%s: %w", input, errUnread)
	}
	return nil
}

// Execute notes the input, tells the outside world of it, and executes.
func (s sensor) Execute(tx *app.Tx, op []byte) []byte {
	tx.Put(sensedKey, tx.Input())
	tx.Emit(append(tx.Input(), op...))
	return s.Machine.Execute(tx, op)
}

func reading(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	proof := crypto.Sum(b)
	return append(b, proof[:8]...)
}

// offer has the application propose inputs, as long as the core would propose batches.
func (n *node) offer() {
	if n.proposer == nil {
		return
	}
	for range n.w.o.InFlight {
		if !n.replica.Proposes() {
			return
		}
		input, err := driver.Propose(n.proposer)
		if err != nil {
			n.w.counters.Inputless++
			return
		}
		n.w.did(n, Step{Do: StepOffer, Input: input})
		n.replica.Step(core.Offered{Input: input}, &n.fx)
	}
}

// received is the event of a message.
func (n *node) received(from wire.ReplicaID, sealed *wire.Sealed) core.Received {
	ev := core.Received{From: from, Message: sealed, Unfit: driver.Unfit(n.proposer, sealed)}
	if ev.Unfit != "" {
		n.w.counters.RefusedInputs++
	}
	return ev
}

// fit checks that the input of an executed batch is one that the application accepts.
func (o *oracle) fit(n *node, ex *core.Execution) {
	switch null := ex.Digest == wire.NullDigest(); {
	case (null || n.proposer == nil) && len(ex.Input) > 0:
		o.w.breach(lawOnce, "batch %d has an input, and none is taken", ex.Seq)
	case o.w.o.Inputs && !null:
		o.w.checked(lawOnce)
		if (sensor{}).CheckInput(ex.Input) != nil {
			o.w.breach(lawOnce, "batch %d has the input %.40q, which no correct replica accepts", ex.Seq, ex.Input)
		}
	}
}
