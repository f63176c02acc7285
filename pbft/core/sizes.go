package core

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// Size is how much one structure holds: entries, and the bytes of the messages
// and batches in them. Bytes is 0 where all entries have one size.
type Size struct{ Entries, Bytes int }

// Sizes is how much a replica holds of everything whose amount others decide.
type Sizes struct {
	Slots       Size // numbers above the low watermark, with their batches
	Placed      Size // requests in the order of this view
	Early       Size // messages ahead of this replica
	Pool        Size // waiting requests
	Clients     Size // the client table
	Archive     Size // committed batches below the low watermark
	ViewChanges Size // of all senders, and those that new views name
	NewViews    Size // entered, sent, or not entered yet
	Checkpoints Size // numbers with votes for a checkpoint
	Snapshots   Size // own snapshots above the low watermark
	Proofs      Size // of lies
	Turns       Size // clients served while another one waits
	Crowd       Size // clients served lately
}

// slotWindowsMax is how many windows above its low watermark a replica executes
// at most by commit certificates that come late. Beyond, it needs the proof of a
// checkpoint first; without this bound, who withholds those proofs and sends
// batches would make it remember them all.
const slotWindowsMax = 3

// Sizes measures the replica. It looks once at each slot and at each view change
// that is held.
func (r *Replica) Sizes() Sizes {
	s := Sizes{
		Placed:      Size{Entries: len(r.placed)},
		Pool:        Size{len(r.pool.byDigest), r.pool.bytes},
		Clients:     Size{Entries: len(r.clients.clients)},
		Archive:     Size{len(r.archive.entries), r.archive.bytes},
		Checkpoints: Size{Entries: len(r.checkpoints)},
		Snapshots:   Size{Entries: max(len(r.snapshots), len(r.promises))},
		Proofs:      Size{len(r.proofs.kept) + len(r.proofs.conflicts), r.proofs.of.size()},
		Turns:       Size{Entries: len(r.pace.turns)},
		Crowd:       Size{Entries: len(r.company.served)},
	}
	for _, slot := range r.slots {
		s.Slots.add(slot.bytes())
	}
	for i := range r.early.senders {
		s.Early.Entries += len(r.early.senders[i].messages)
		s.Early.Bytes += r.early.senders[i].bytes
	}
	r.change.measure(&s)
	return s
}

func (z *Size) add(bytes int) {
	z.Entries++
	z.Bytes += bytes
}

// bytes counts the batches that a slot keeps.
func (s *slot) bytes() int {
	n := 0
	for i := range s.bodies {
		n += s.bodies[i].bytes
	}
	return n
}

// measure counts what is held of changing views.
func (c *changing) measure(s *Sizes) {
	hold := func(held []*heldChange) {
		for _, h := range held {
			if h != nil {
				s.ViewChanges.add(len(h.sealed.Frame()))
			}
		}
	}
	hold(c.votes)
	hold(c.named)
	for _, one := range c.candidates {
		if one != nil {
			s.NewViews.add(len(one.sealed.Frame()))
			hold(one.have)
		}
	}
	if c.entered != nil {
		s.NewViews.add(len(c.entered.Frame()))
	}
	if c.ownNewView != nil {
		s.NewViews.Entries++ // unsigned: it has no frame
	}
}

// Bounds returns what Sizes stays under whatever others send, if messages are
// opened with limits. The bytes are those of the worst case: every entry as large
// as a message can be.
func (c Config) Bounds(limits wire.Limits) Sizes {
	n, window, interval := c.Quorum.Replicas(), int(c.Window), int(c.Interval) //nolint:gosec // small numbers
	most := func(entries int, kind wire.Kind) Size { return Size{entries, entries * limits.KindBytesMax(kind)} }
	slots := slotWindowsMax * window
	archived := placeBytes + limits.KindBytesMax(wire.KindCommitted)
	return Sizes{
		Slots:       Size{slots, bodiesMax * most(slots, wire.KindBatchBody).Bytes},
		Placed:      Size{Entries: window * limits.BatchRequestsMax},
		Early:       Size{n * earlyMessagesMax, n * earlyBytesMax},
		Pool:        Size{poolRequestsMax, poolBytesMax},
		Clients:     Size{Entries: c.ClientsMax},
		Archive:     Size{1 + c.ArchiveBytesMax/committedFixedBytes, max(c.ArchiveBytesMax, archived)},
		ViewChanges: most(n*(n+2), wire.KindViewChange),
		NewViews:    most(n+2, wire.KindNewView),
		Checkpoints: Size{Entries: window / interval},
		Snapshots:   Size{Entries: slots/interval + 1},
		Proofs:      Size{n*int(wire.EvidenceChoices) + conflictsMax, proofsBytesMax + n*firstProofBytesMax},
		Turns:       Size{Entries: turnsMax},
		Crowd:       Size{Entries: c.BatchRequestsMax},
	}
}

// Over names everything in s that passes its bound, with both figures. It is
// empty when all is within.
func (s Sizes) Over(bounds Sizes) []string {
	var over []string
	compare := func(name string, got, most Size) {
		if got.Entries > most.Entries || got.Bytes > most.Bytes {
			over = append(over, fmt.Sprintf("%s: %d entries, %d bytes, want at most %d, %d",
				name, got.Entries, got.Bytes, most.Entries, most.Bytes))
		}
	}
	compare("slots", s.Slots, bounds.Slots)
	compare("placed requests", s.Placed, bounds.Placed)
	compare("early messages", s.Early, bounds.Early)
	compare("pool", s.Pool, bounds.Pool)
	compare("clients", s.Clients, bounds.Clients)
	compare("archive", s.Archive, bounds.Archive)
	compare("view changes", s.ViewChanges, bounds.ViewChanges)
	compare("new views", s.NewViews, bounds.NewViews)
	compare("checkpoints", s.Checkpoints, bounds.Checkpoints)
	compare("snapshots", s.Snapshots, bounds.Snapshots)
	compare("proofs", s.Proofs, bounds.Proofs)
	compare("turns", s.Turns, bounds.Turns)
	compare("crowd", s.Crowd, bounds.Crowd)
	return over
}
