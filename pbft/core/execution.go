package core

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// execute hands over every committed batch that is next, in order (I5). It
// waits while the own snapshots fall a window behind, so that what is handed
// over and not applied is bounded.
func (r *Replica) execute(fx *Effects) {
	for r.transfer == nil && !r.wrong && r.executed < r.taken+r.cfg.Window {
		s := r.slots.at(r.executed + 1)
		if s == nil || s.committed == nil {
			return
		}
		batch := s.body(s.committed.Digest)
		if batch == nil {
			return
		}
		r.run(s.committed, batch, fx)
	}
}

// run executes one batch: it decides what happens to each operation, exactly
// once, and raises the agreed time above the last one's.
func (r *Replica) run(cert *wire.CommitCert, batch *wire.Batch, fx *Effects) {
	assert(cert.Seq == r.executed+1, "(I5) executing %d after %d", cert.Seq, r.executed)
	r.executed = cert.Seq
	r.history = wire.HistoryDigest(r.history, cert.Digest)
	if len(batch.Requests) > 0 {
		r.time = max(batch.Time, r.time+1)
	}
	r.clients.latest = wire.Session(r.time) + sessionLead //nolint:gosec // after 1970
	ops := 0
	for _, req := range batch.Requests {
		ops += len(req.Ops)
	}
	orders := slices.Grow([]Order(nil), ops)
	for _, req := range batch.Requests {
		orders = r.clients.take(req, orders)
		digest := req.Digest()
		if r.pool.remove(digest) {
			r.served(req)
		}
		delete(r.placed, digest)
	}
	r.change.executed()
	r.keepPace(r.slots.at(cert.Seq), orders)
	checkpoint := cert.Seq%r.cfg.Interval == 0
	if checkpoint {
		r.late.begin(cert.Seq, r.tick)
	}
	fx.Execute = append(fx.Execute, Execution{
		Seq: cert.Seq, View: cert.View, Digest: cert.Digest, History: r.history, Time: r.time, Input: batch.Input,
		Orders: orders, Clients: r.clients.states(batch),
		Evicted: r.clients.takeEvicted(), Floor: r.clients.floor, Checkpoint: checkpoint,
	})
}
