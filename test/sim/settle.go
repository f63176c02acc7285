package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// sort lets go, of what a step sends, what waits for no flush, as the real driver
// does: votes that a durable reservation covers. The rest waits.
func (n *node) sort() {
	n.dirty = n.dirty || n.fx.MustFlush()
	n.reserves = n.reserves || n.fx.Reserves()
	early := n.early[:0]
	for _, s := range n.fx.Send {
		if s.Early && !n.reserves {
			early = append(early, s)
		} else {
			n.held = append(n.held, s)
		}
	}
	if len(early) > 0 {
		for i, rec := range n.fx.Persist {
			switch rec.(type) { //nolint:gochecksumtype // no early vote waits for the others
			case core.AcceptedRecord, core.VotedRecord:
				n.risked = n.appended + i + 1
			}
		}
	}
	n.appended += len(n.fx.Persist)
	n.let(early)
	clear(early)
	n.early = early[:0]
}

// durable notes that everything appended is. What waited for that is sent before anything
// early overtakes it, as the real driver does: a vote of a view that was left since would
// follow one of the next.
func (n *node) durable() {
	n.dirty, n.appended, n.risked = false, 0, 0
	n.reserves = n.reserves && len(n.held) > 0
	n.cover()
}

// cover lets the snapshots become durable of which all records are, as far as the
// core wants that.
func (n *node) cover() {
	n.covered = n.frozen
	for ; n.overdue > 0; n.overdue-- {
		n.state.persist()
	}
}

// proves checks that a state that the replica itself has executed is one whose batches
// it can still prove to others: nobody else may be able to.
func (n *node) proves(state wire.Seq, records []core.Record) {
	stable, committed := wire.Seq(0), wire.Seq(0)
	for _, rec := range records {
		switch rec := rec.(type) { //nolint:gochecksumtype // the others prove nothing committed
		case core.StableRecord:
			stable = rec.Cert.Seq
		case core.CommittedRecord:
			committed = max(committed, rec.Cert.Seq)
		}
	}
	n.w.checked(lawDriver)
	if n.fault == "" && state != n.fetched && max(stable, committed) < state {
		n.w.fail(fmt.Errorf("replica %d: its state is of %d, and its records prove no more than %d", n.id, state, max(stable, committed)))
	}
}

// holds checks that a replica's records hold, at every moment, the batch of each of its votes,
// and, all together, that of each of its prepared certificates: it may be the only one that
// has it.
func (n *node) holds(records []core.Record) {
	type numbered struct {
		seq    wire.Seq
		digest crypto.Digest
	}
	low := wire.Seq(0)
	held := map[numbered]bool{}
	wants := map[wire.Seq]crypto.Digest{} // of the last prepared certificate
	for _, rec := range records {
		switch rec := rec.(type) { //nolint:gochecksumtype // the others hold and want no batch
		case core.AcceptedRecord:
			held[numbered{rec.PrePrepare.Seq, rec.PrePrepare.Digest}] = true
		case core.BatchRecord:
			held[numbered{rec.Seq, rec.Batch.Digest()}] = true
		case core.VotedRecord:
			if v := rec.Vote; v.Digest != wire.NullDigest() && !held[numbered{v.Seq, v.Digest}] {
				n.w.fail(fmt.Errorf("replica %d: its records hold a vote for %d, and not its batch", n.id, v.Seq))
			}
		case core.PreparedRecord:
			wants[rec.Cert.Seq] = rec.Cert.Digest
		case core.StableRecord:
			low = max(low, rec.Cert.Seq)
		}
	}
	n.w.checked(lawDriver)
	for _, seq := range slices.Sorted(maps.Keys(wants)) {
		if digest := wants[seq]; seq > low && digest != wire.NullDigest() && !held[numbered{seq, digest}] {
			n.w.fail(fmt.Errorf("replica %d: its records hold a prepared certificate of %d, and not its batch", n.id, seq))
		}
	}
}

// scheduleFlush makes what is appended durable, and sends what waits for that.
func (n *node) scheduleFlush() {
	if !n.dirty {
		n.cover()
		if n.report(); n.down {
			return
		}
	}
	if n.flushes || len(n.held) == 0 && !n.dirty {
		return
	}
	n.flushes = true
	n.w.after(n.w.between(time.Microsecond, n.flushMax()), n.onFlush)
}

func (n *node) flush() {
	if n.paused {
		n.surely(n.onFlush)
		return
	}
	n.flushes = false
	if n.failing { // who cannot keep its word must stop
		n.failFlush()
		return
	}
	if n.doom == doomFlush && n.w.rng.IntN(2) == 0 {
		n.crashFor(2 * time.Second)
		return
	}
	if n.dirty && !n.stored("flush", n.journal.Flush()) {
		return
	}
	if n.dirty {
		n.durable()
	}
	if n.doom == doomFlush && len(n.held) > 0 {
		n.crashFor(2 * time.Second)
		return
	}
	n.w.did(n, Step{Do: StepFlush})
	n.release()
	n.report()
}

// release sends what waited for the flush.
func (n *node) release() {
	held := n.held
	n.reserves = n.reserves && n.dirty
	n.held, n.free = n.free[:0], nil
	n.let(held)
	clear(held)
	n.free = held[:0]
}

// let signs and sends what may leave now, unless the process ends on the way.
func (n *node) let(sends []core.Send) {
	for _, s := range sends {
		if n.down {
			return
		}
		sealed := s.Sealed
		if sealed == nil {
			sealed = wire.Seal(n.signer, n.w.domain, s.Message)
			n.w.oracle.signed(n, sealed)
		}
		if s.To != core.Everyone {
			n.send(s.To, sealed)
			continue
		}
		n.sendAll(sealed)
	}
}

// sendAll sends a message to every replica, unless the process ends on the way.
func (n *node) sendAll(sealed *wire.Sealed) {
	kind := sealed.Message().Kind()
	for to := range n.w.o.Replicas {
		if n.down || len(n.w.snipes) > 0 && n.sniped(kind, to) {
			return
		}
		n.send(wire.ReplicaID(to), sealed) //nolint:gosec // small
	}
}
