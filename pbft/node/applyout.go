package node

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of the outputs that are kept for subscribers: beyond them the oldest go. They
// are rules of the execution, as unsavedBytesMax is.
const (
	outputsKeptMax      = 1 << 16
	outputsKeptBytesMax = 64 << 20
)

// emittedFixedBytes is what the value of an output has beside its payload.
const emittedFixedBytes = 8

// Output is something that an operation emitted to the outside world. Outputs
// are numbered from 1, without gaps, alike on all replicas. After a restart, a
// replica may deliver again what it delivered since its last checkpoint; after a
// transfer it may skip some.
type Output struct {
	Number  uint64
	Seq     wire.Seq
	Payload []byte
}

// emittedSoFar is how many outputs there were, and how many of the last ones are kept,
// whose payloads have so many bytes.
type emittedSoFar struct{ all, kept, bytes uint64 }

// first returns the lowest number kept, or the next one if none is.
func (e *emittedSoFar) first() uint64 { return e.all - e.kept + 1 }

// full tells whether the oldest is one too many.
func (e *emittedSoFar) full() bool { return e.kept > outputsKeptMax || e.bytes > outputsKeptBytesMax }

func outputKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(outputPrefix), number)
}

// emit numbers and keeps an output, and lets those go for which there is no room any
// more.
func (r *running) emit(payload []byte) error {
	e := &r.next.outputs
	e.all, e.kept, e.bytes = e.all+1, e.kept+1, e.bytes+uint64(len(payload))
	value := binary.BigEndian.AppendUint64(make([]byte, 0, emittedFixedBytes+len(payload)), uint64(r.ex.Seq))
	if err := r.state.Put(outputKey(e.all), append(value, payload...)); err != nil {
		return fmt.Errorf("output %d: %w", e.all, err)
	}
	for e.full() {
		number := e.first()
		oldest, err := r.output(number)
		if err != nil {
			return err
		}
		if err := r.state.Delete(outputKey(number)); err != nil {
			return fmt.Errorf("output %d: %w", number, err)
		}
		e.kept, e.bytes = e.kept-1, e.bytes-uint64(len(oldest.Payload))
	}
	r.applied.Outputs = append(r.applied.Outputs, Output{e.all, r.ex.Seq, payload})
	return nil
}

// output reads one that is kept.
func (a *Applier) output(number uint64) (wire.Emitted, error) {
	value, ok, err := a.state.Get(outputKey(number))
	switch {
	case err != nil:
		return wire.Emitted{}, fmt.Errorf("output %d: %w", number, err)
	case !ok || len(value) < emittedFixedBytes:
		return wire.Emitted{}, fmt.Errorf("output %d has %d bytes in the state, want %d or more", number, len(value), emittedFixedBytes)
	}
	return wire.Emitted{Seq: wire.Seq(binary.BigEndian.Uint64(value)), Payload: value[emittedFixedBytes:]}, nil
}

// Outputs returns the outputs that are kept from number from on, as many as one message
// holds, for whoever acts on them. Nobody may change them.
func (a *Applier) Outputs(from uint64) (wire.Outputs, error) {
	e := &a.meta.outputs
	m := wire.Outputs{From: from, Kept: e.first(), Next: e.all + 1}
	if from < m.Kept {
		return m, nil
	}
	bytes := 0
	for number := from; number < m.Next && len(m.Emitted) < wire.OutputsMax; number++ {
		one, err := a.output(number)
		if err != nil {
			return wire.Outputs{}, fmt.Errorf("node: %w", err)
		}
		if bytes += len(one.Payload); len(m.Emitted) > 0 && bytes > wire.OutputsBytesMax {
			break
		}
		m.Emitted = append(m.Emitted, one)
	}
	return m, nil
}
