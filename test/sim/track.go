package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// mark names what happened.
type mark byte

const (
	markStart mark = iota + 1
	markCrash
	markLoss
	markReceive
	markSubmit
	markAnswer
	markExecute
	markSnapshot
	markObserve
	markFault
	markQuery
)

// track is the hash of everything that happened: what makes two runs the same.
// It takes numbers, not text, because text cost a sixth of a run.
type track struct {
	hash   hasher
	buffer []byte
	events int
}

const trackBytes = 8 << 10

func newTrack() track { return track{buffer: make([]byte, 0, trackBytes)} }

// note adds an event.
func (w *world) note(what mark, who wire.ReplicaID, a, b uint64) {
	t := &w.track
	t.events++
	if len(t.buffer)+29 > trackBytes {
		t.hash.write(t.buffer)
		t.buffer = t.buffer[:0]
	}
	t.buffer = append(t.buffer, byte(what))
	t.buffer = binary.LittleEndian.AppendUint64(t.buffer, uint64(w.now)) //nolint:gosec // not negative
	t.buffer = binary.LittleEndian.AppendUint32(t.buffer, uint32(who))
	t.buffer = binary.LittleEndian.AppendUint64(t.buffer, a)
	t.buffer = binary.LittleEndian.AppendUint64(t.buffer, b)
}

func (t *track) digest() crypto.Digest {
	t.hash.write(t.buffer)
	t.buffer = t.buffer[:0]
	var d crypto.Digest
	t.hash.sum(d[:])
	return d
}

// tell adds a line to the trace, if there is one. Where it would be called
// often, tracing is asked first.
func (w *world) tell(format string, args ...any) {
	if w.tracing() {
		w.o.Trace(w.now, fmt.Sprintf(format, args...))
	}
}

func (w *world) tracing() bool { return w.o.Trace != nil }

// short returns the first bytes of a digest.
func short(d crypto.Digest) uint64 { return binary.LittleEndian.Uint64(d[:]) }

// tag tells messages apart: a hash of the frame would cost more than it is
// worth, and its last bytes are of a signature, or of content.
func tag(sealed *wire.Sealed) uint64 {
	frame := sealed.Frame()
	if len(frame) < 8 {
		return uint64(len(frame))
	}
	return binary.LittleEndian.Uint64(frame[len(frame)-8:]) ^ uint64(len(frame))
}
