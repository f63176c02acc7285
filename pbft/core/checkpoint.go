package core

import (
	"maps"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// onSnapshotted promises the own snapshot to the others, durably.
func (r *Replica) onSnapshotted(ev Snapshotted, fx *Effects) {
	if ev.Seq <= r.low || ev.Seq > r.executed || ev.Seq <= r.taken || r.wrong || r.transfer != nil {
		return
	}
	r.snapshots[ev.Seq], r.taken = ev.State, ev.Seq
	if r.mayPromise(ev.Seq) {
		r.promises[ev.Seq] = ev.State
		fx.persist(CheckpointRecord(ev))
		r.say(&wire.Checkpoint{Seq: ev.Seq, State: ev.State, Sender: r.id}, fx)
	}
	r.disputeAll(ev.Seq, fx)
	r.maybeStable(ev.Seq, fx)
	if r.ahead != nil {
		r.learn(r.ahead, fx)
	}
	r.execute(fx)
}

// mayPromise tells whether the replica may sign a checkpoint of its snapshot of
// seq. One whose state was wrong, and was replaced, may have signed another there:
// the right one then comes from the others, for two would prove a lie.
func (r *Replica) mayPromise(seq wire.Seq) bool {
	promised, ok := r.promises[seq]
	return !ok || promised == r.snapshots[seq]
}

func (r *Replica) onCheckpoint(ev Received, m *wire.Checkpoint, fx *Effects) {
	switch {
	case m.Seq <= r.low:
		if m.Seq == r.stable.Seq && m.State != r.stable.State {
			r.dispute(m.Sender, fx)
		}
		return
	case m.Seq%r.cfg.Interval != 0:
		fx.observe(Refused{wire.KindCheckpoint, ev.From, "its number is no multiple of the checkpoint interval"})
		return
	case m.Seq > r.high():
		return // Status brings the certificate once there is one
	}
	b := r.checkpoints[m.Seq]
	if b == nil {
		b = &ballot{}
		r.checkpoints[m.Seq] = b
	}
	if old, ok := b.add(r.q.Replicas(), m.Sender, vote{digest: m.State, signature: m.Signature}); !ok {
		first := *m
		first.State, first.Signature = old.digest, old.signature
		r.convict(wire.EvidenceCheckpoints, &first, m, fx)
		return
	}
	if own, have := r.snapshots[m.Seq]; have && own != m.State {
		r.dispute(m.Sender, fx)
	}
	r.maybeStable(m.Seq, fx)
}

// maybeStable makes a certificate of q matching checkpoints.
func (r *Replica) maybeStable(seq wire.Seq, fx *Effects) {
	b := r.checkpoints[seq]
	if b == nil || seq <= r.low {
		return
	}
	if state, ok := b.winner(r.q.Strong()); ok {
		r.learn(&wire.CheckpointCert{Seq: seq, State: state, Signers: b.signers(state, r.q.Strong())}, fx)
		return
	}
	r.maybeDivided(seq, b, fx)
}

// maybeDivided tells, once, that no state of seq can have a quorum any more, whoever is
// still to vote: so more than f replicas have another state than the others, and nothing
// will be stable. Liars alone cannot make it so, for all correct replicas are a quorum.
func (r *Replica) maybeDivided(seq wire.Seq, b *ballot, fx *Effects) {
	own, have := r.snapshots[seq]
	if !have || seq <= r.divided || !b.divided(r.q.Strong()) {
		return
	}
	r.divided = seq
	var states SignedStates
	for i, v := range b.votes {
		if v.cast {
			states = append(states, SignedState{wire.ReplicaID(i), v.digest}) //nolint:gosec // one of few replicas
		}
	}
	fx.observe(Divided{seq, own, states})
}

// learn takes a valid certificate. It is stable here once the own snapshot
// agrees with it; a replica that has not executed so far remembers that it is
// behind, and one whose snapshot differs knows that its own state is wrong.
// Only certificates move a replica.
func (r *Replica) learn(cert *wire.CheckpointCert, fx *Effects) {
	if cert.Seq <= r.low {
		return
	}
	own, have := r.snapshots[cert.Seq]
	switch {
	case have && own == cert.State:
		r.stabilise(cert, fx)
	case have:
		r.wrong = true
		fx.observe(Diverged{cert.Seq, own, cert.State})
		if r.transfer == nil || r.transfer.Seq < cert.Seq { // or who repeats old certificates makes it begin anew for ever
			r.fetch(cert, fx)
		}
	case r.ahead == nil || cert.Seq > r.ahead.Seq:
		r.ahead = cert
	}
}

// provenBy tells whether a certificate has its quorum. The signatures were
// checked before.
func (r *Replica) provenBy(cert *wire.CheckpointCert) bool {
	if cert.Seq == 0 {
		return len(cert.Signers) == 0 && cert.State == r.cfg.StateZero
	}
	return cert.Seq%r.cfg.Interval == 0 && len(cert.Signers) >= r.q.Strong()
}

// stabilise moves the low watermark: everything at or below it is collected.
func (r *Replica) stabilise(cert *wire.CheckpointCert, fx *Effects) {
	fx.persist(StableRecord{*cert})
	r.settle(cert)
	fx.Stable = append(fx.Stable, *cert)
	fx.observe(BecameStable{cert.Seq, cert.State})
	r.change.progressed()
	r.maybeRejoined(fx)
	r.adopt(fx)
	r.replayEarly(fx)
	r.execute(fx)
}

// settle is stabilise without effects.
func (r *Replica) settle(cert *wire.CheckpointCert) {
	r.low, r.stable = cert.Seq, *cert
	r.late.end(cert.Seq, r.tick)
	r.next = max(r.next, r.low+1)
	for _, s := range r.slots {
		if s.seq > r.low {
			break
		}
		r.archive.add(s, r.cfg.ArchiveBytesMax)
	}
	r.slots.dropTo(r.low)
	r.countMissing()
	upTo := func(seq wire.Seq) bool { return seq <= r.low }
	maps.DeleteFunc(r.placed, func(_ crypto.Digest, seq wire.Seq) bool { return upTo(seq) })
	maps.DeleteFunc(r.checkpoints, func(seq wire.Seq, _ *ballot) bool { return upTo(seq) })
	maps.DeleteFunc(r.snapshots, func(seq wire.Seq, _ crypto.Digest) bool { return upTo(seq) })
	maps.DeleteFunc(r.promises, func(seq wire.Seq, _ crypto.Digest) bool { return upTo(seq) })
	if r.ahead != nil && upTo(r.ahead.Seq) {
		r.ahead = nil
	}
}

// fetch asks for the state of a stable checkpoint, and stops executing until
// it is there.
func (r *Replica) fetch(cert *wire.CheckpointCert, fx *Effects) {
	if r.transfer != nil && r.transfer.Seq == cert.Seq {
		return
	}
	r.transfer = cert
	var from []wire.ReplicaID
	for _, s := range cert.Signers {
		if s.Sender != r.id {
			from = append(from, s.Sender)
		}
	}
	fx.Fetch = append(fx.Fetch, Target{*cert, from})
	fx.observe(FellBehind{r.executed, cert.Seq})
}

// onTransferred goes on from an installed state.
func (r *Replica) onTransferred(s Snapshot, fx *Effects) {
	if r.transfer == nil || r.transfer.Seq != s.Seq {
		return
	}
	cert := r.transfer
	r.transfer, r.wrong = nil, false
	r.install(s)
	r.pool.giveUp(&r.clients)
	fx.observe(CaughtUp{s.Seq})
	if cert.Seq > r.low {
		r.stabilise(cert, fx)
	}
	r.change.executed()
	r.execute(fx)
	r.sendStatus(Everyone, fx)
}

func (r *Replica) onTransferFailed(seq wire.Seq) {
	if r.transfer == nil || r.transfer.Seq != seq {
		return
	}
	if r.ahead == nil || r.ahead.Seq < seq {
		r.ahead = r.transfer
	}
	r.transfer = nil
	r.catchUp.tries, r.catchUp.goal = 0, 0
}

// install makes a snapshot the replica's replicated memory.
func (r *Replica) install(s Snapshot) {
	r.executed, r.history, r.time = s.Seq, s.History, s.Time
	r.clients = newClientTable(r.cfg.ClientsMax, s.Clients)
	r.clients.floor = s.Floor
	r.taken = s.Seq
	maps.DeleteFunc(r.snapshots, func(seq wire.Seq, _ crypto.Digest) bool { return seq >= s.Seq })
	if s.Seq > 0 {
		r.snapshots[s.Seq] = s.State
	}
}
