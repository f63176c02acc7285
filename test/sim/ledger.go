package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// ledger is a replica's journal on a disk that survives the process.
type ledger interface {
	Append(records []core.Record) error
	Flush() error
	// Rebase may be cut by a crash after some operations of the disk, if until
	// is not negative; it then returns errPower.
	Rebase(base []core.Record, until int) error
	// crash ends the process. What was not flushed survives in part.
	crash(rng *rand.Rand)
	// kill ends the process and leaves the disk's cache alone.
	kill(rng *rand.Rand)
	// fail makes a flush fail and ends the process. It tells if the journal does
	// not say so, or goes on all the same.
	fail(rng *rand.Rand) error
	// fill makes every operation that needs room fail with errFull, or ends that.
	fill(full bool)
	// spoil makes the disk lie from now on: it loses, changes and misplaces what
	// is written, and says that all is well.
	spoil(rng *rand.Rand)
	// copy returns a backup of what is on the disk.
	copy() ledger
	// reopen returns what is there, after a crash.
	reopen() (survival, error)
}

// survival is what a crash left.
type survival struct {
	records []core.Record
	// kept of the open records that were not flushed are there.
	kept, open int
	torn       bool // a flush was cut
	forgot     bool // something that was flushed is missing, on a disk that lies
}

var (
	errPower = errors.New("the power is cut")
	errFull  = errors.New("no space left on device")
	errSync  = errors.New("input/output error")
	errTorn  = errors.New("the journal is damaged")
)

// realLedger is the real journal on a disk in memory, and remembers what it must
// give back.
type realLedger struct {
	*journal.Journal
	disk    *disk.Memory
	id      journal.Identity
	opts    journal.Options
	durable []core.Record // must be there
	open    []core.Record // may be there, in part
	based   []core.Record // or these instead: a crash cut the rebase
	writing []core.Record // what a base that is being written will be, and what was appended since
	cut     bool          // a crash cut a flush
	full    bool
	lies    *rand.Rand             // nil on an honest disk
	ever    map[crypto.Digest]bool // everything appended, on one that lies
}

func newRealLedger(domain crypto.Domain, id wire.ReplicaID, replicas, segmentBytes int) (*realLedger, error) {
	memory := disk.NewMemory()
	l := &realLedger{
		disk: memory, id: journal.Identity{Cluster: domain.Cluster, Replica: id},
		opts: journal.Options{
			Limits: wire.DefaultLimits(replicas), SegmentBytes: int64(segmentBytes), FS: memory, Foreground: true,
			PortionBytes: int64(segmentBytes / 4), // so that some bases are written little by little
		},
	}
	var err error
	l.Journal, err = journal.Create("journal", l.id, l.opts)
	return l, err
}

// Append keeps records, not durably.
func (l *realLedger) Append(records []core.Record) error {
	l.open = append(l.open, records...)
	if l.writing != nil {
		l.writing = append(l.writing, records...)
	}
	l.note(records)
	return l.Journal.Append(records)
}

// Flush makes them durable.
func (l *realLedger) Flush() error {
	err := l.Journal.Flush()
	if err != nil {
		return err
	}
	l.durable = append(l.durable, l.open...)
	l.open = nil
	return l.work()
}

// work goes on with a base that is being written.
func (l *realLedger) work() error {
	if l.writing == nil {
		return nil
	}
	before := l.GivenUp()
	more, err := l.Work()
	switch {
	case err != nil:
		l.based = l.writing // it may have ended well all the same
		return err
	case l.GivenUp() > before:
		l.writing = nil
	case !more:
		l.durable, l.writing = l.writing, nil
	}
	return nil
}

// Rebase begins anew.
func (l *realLedger) Rebase(base []core.Record, until int) error {
	if until >= 0 {
		l.cutAfter(until, nil)
		l.based = base
	}
	l.note(base)
	err := l.Journal.Rebase(base)
	if errors.Is(err, errFull) { // it may have ended well all the same
		l.based = base
	}
	if err != nil {
		return err
	}
	l.durable, l.open, l.based = append(l.durable, l.open...), nil, nil
	l.writing = slices.Clone(base)
	if err := l.work(); err != nil {
		return err // the power went while a long base was written
	}
	l.behave()
	return nil
}

// cutAfter lets so many operations of the disk happen, and of the next one,
// which may be a write, a part.
func (l *realLedger) cutAfter(operations int, rng *rand.Rand) {
	l.disk.Before(func(op disk.Op) *disk.Fault {
		if operations--; operations >= 0 {
			return nil
		}
		fault := &disk.Fault{Err: errPower}
		if rng != nil && op.Bytes > 0 {
			fault.Written = rng.IntN(op.Bytes + 1)
		}
		return fault
	})
}

// crash cuts the power, perhaps in the middle of a flush.
func (l *realLedger) crash(rng *rand.Rand) {
	if l.based == nil && rng.IntN(4) > 0 {
		l.cut = len(l.open) > 0
		l.cutAfter(rng.IntN(2), rng)
		_ = l.Journal.Flush() // fails, or does nothing
	}
	l.behave()
	l.disk.Crash(rng.IntN)
}

// reopen requires that everything flushed comes back, and in order.
func (l *realLedger) reopen() (survival, error) {
	var records []core.Record
	var err error
	l.Journal, records, err = journal.Open("journal", l.id, l.opts)
	if err != nil {
		return survival{}, err
	}
	based, open, cut := l.based, l.open, l.cut
	l.based, l.open, l.cut, l.writing = nil, nil, false, nil
	if l.lies != nil {
		return l.believe(records, len(l.durable))
	}
	if based != nil && equal(records, based) {
		l.durable = records
		return survival{records: records}, nil
	}
	kept := len(records) - len(l.durable)
	if kept < 0 || kept > len(open) || !equal(records, append(l.durable[:len(l.durable):len(l.durable)], open[:kept]...)) {
		return survival{}, fmt.Errorf("the journal gives back %d records, not the %d flushed and some of the %d others",
			len(records), len(l.durable), len(open))
	}
	l.durable = records
	return survival{records: records, kept: kept, open: len(open), torn: cut && kept < len(open)}, nil
}

func equal(a, b []core.Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if digestOf(a[i]) != digestOf(b[i]) {
			return false
		}
	}
	return true
}

// digestOf tells records apart by what they mean: an empty list is as good as
// none.
func digestOf(r core.Record) crypto.Digest {
	var m wire.Message
	switch r := r.(type) {
	case core.AcceptedRecord:
		m = r.PrePrepare
	case core.BatchRecord:
		return crypto.Sum(fmt.Append(nil, "batch", r.Seq), wire.Encode(&wire.BatchBody{Batch: r.Batch}))
	case core.PreparedRecord:
		m = &wire.Prepared{Cert: r.Cert}
	case core.CommittedRecord:
		m = &wire.CommitProof{Cert: r.Cert}
	case core.ViewChangeRecord:
		m = r.ViewChange
	case core.NewViewRecord:
		m = r.NewView
	case core.StableRecord:
		if r.Cert.Seq > 0 {
			m = &wire.StableProof{Cert: r.Cert}
		}
	case core.EvidenceRecord:
		m = r.Evidence
	case core.ViewRecord, core.VotedRecord, core.ReservationRecord, core.CheckpointRecord, core.RejoinRecord, core.ConflictRecord:
	}
	if m == nil {
		return crypto.Sum(fmt.Appendf(nil, "%T %+v", r, r))
	}
	return crypto.Sum(fmt.Appendf(nil, "%T", r), wire.Encode(m))
}
