package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
)

// behave makes the disk what it is between crashes: full, or lying, or honest.
func (l *realLedger) behave() {
	switch {
	case l.full:
		l.disk.Before(func(op disk.Op) *disk.Fault {
			if op.Kind == disk.OpWrite || op.Kind == disk.OpCreate {
				return &disk.Fault{Err: errFull, Written: op.Bytes / 2}
			}
			return nil
		})
	case l.lies != nil:
		l.disk.Before(l.lie)
	default:
		l.disk.Before(nil)
	}
}

// lie does something else than a write or a sync says, now and then.
func (l *realLedger) lie(op disk.Op) *disk.Fault {
	if op.Kind != disk.OpWrite && op.Kind != disk.OpSync || l.lies.IntN(8) > 0 {
		return nil
	}
	fault := &disk.Fault{Silent: true, Data: op.Data, At: op.Offset}
	switch l.lies.IntN(4) {
	case 0: // lost
		fault.Data = nil
	case 1: // misplaced
		fault.At = max(0, op.Offset+int64(l.lies.IntN(9)-4)*disk.SectorBytes)
	default:
		fault.Data = slices.Clone(op.Data)
		for range 1 + l.lies.IntN(4) {
			if len(fault.Data) > 0 {
				fault.Data[l.lies.IntN(len(fault.Data))] ^= 1 << l.lies.IntN(8)
			}
		}
	}
	return fault
}

func (l *realLedger) fill(full bool) {
	l.full = full
	l.behave()
}

func (l *realLedger) spoil(rng *rand.Rand) {
	l.lies, l.ever = rng, map[crypto.Digest]bool{}
	l.note(l.durable)
	l.note(l.open)
	l.note(l.based)
	l.note(l.writing) // it may end after the disk has begun to lie
	l.behave()
}

// note remembers what was appended, where that may come back in any part.
func (l *realLedger) note(records []core.Record) {
	if l.lies == nil {
		return
	}
	for _, r := range records {
		l.ever[digestOf(r)] = true
	}
}

// believe takes what a lying disk gives back, if each of it was once written: a
// journal may miss that something is lost, and never invents.
func (l *realLedger) believe(records []core.Record, want int) (survival, error) {
	for _, r := range records {
		if !l.ever[digestOf(r)] {
			return survival{}, fmt.Errorf("%w: a %T that was never appended", errInvented, r)
		}
	}
	l.durable = records
	return survival{records: records, forgot: len(records) < want}, nil
}

var errInvented = errors.New("the journal gives back what it was never given")

// kill ends the process alone: what was written is there, durable or not.
func (l *realLedger) kill(*rand.Rand) {
	l.cut = len(l.open) > 0
	l.disk.Kill()
}

// fail lets a flush fail in its sync, after which the system shows what it will
// never write, or in its write.
func (l *realLedger) fail(rng *rand.Rand) error {
	kind, waits := disk.OpSync, len(l.open) > 0
	if rng.IntN(2) == 0 {
		kind = disk.OpWrite
	}
	l.disk.Before(func(op disk.Op) *disk.Fault {
		if op.Kind != kind {
			return nil
		}
		return &disk.Fault{Err: errSync, Written: rng.IntN(op.Bytes + 1)}
	})
	err := l.Journal.Flush()
	l.behave()
	if waits && err == nil {
		return errors.New("a flush that failed is taken for done")
	}
	if waits && (l.Journal.Flush() == nil || l.Journal.Append([]core.Record{core.ViewRecord{}}) == nil) {
		return errors.New("the journal goes on after a flush that failed")
	}
	l.kill(rng)
	return nil
}

// copy returns a backup of the disk.
func (l *realLedger) copy() ledger {
	c := *l
	c.Journal, c.disk = nil, l.disk.Clone()
	c.opts.FS = c.disk
	c.durable, c.open, c.based = slices.Clone(l.durable), slices.Clone(l.open), l.based
	return &c
}
