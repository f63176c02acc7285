package core

import (
	"cmp"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// propose packs what waits into batches, while fewer than InFlight are open and the
// next is worth its votes: an unloaded primary never waits for a batch to fill, and a
// loaded one fills batches by itself. Batches that need an input wait for one each.
func (r *Replica) propose(fx *Effects) {
	for !r.cfg.Inputs && r.mayPropose() && r.worthwhile() {
		if !r.pack(nil, fx) {
			return
		}
	}
}

// proposeWith packs one batch that has input.
func (r *Replica) proposeWith(input []byte, fx *Effects) {
	if r.cfg.Inputs && r.Proposes() {
		r.pack(input, fx)
	}
}

// Proposes tells whether the replica is a primary that would pack one more batch now,
// if a request waits that may be ordered.
func (r *Replica) Proposes() bool {
	return r.mayPropose() && r.pool.waiting > 0 && r.worthwhile()
}

// pack makes a batch of what waits and proposes it. It returns false if nothing waits
// that may be ordered.
func (r *Replica) pack(input []byte, fx *Effects) bool {
	requests := r.pool.take(&r.cfg, &r.clients)
	if len(requests) == 0 {
		return false
	}
	batch := &wire.Batch{Time: max(r.now, r.time+1), Requests: requests}
	if len(input) > 0 { // or it is nil, as where it is decoded
		batch.Input = input
	}
	pp := &wire.PrePrepare{
		Vote:  wire.Vote{View: r.view, Seq: r.next, Digest: batch.Digest(), Sender: r.id},
		Batch: batch,
	}
	s := r.slot(r.next)
	s.proposal, s.since, s.voted = pp, r.tick, true
	s.keep(pp.Digest, batch)
	r.place(pp)
	r.next++
	r.proposed = r.tick
	fx.persist(AcceptedRecord{pp})
	r.vote(pp.Seq, pp, fx)
	return true
}

// mayPropose tells whether the primary has room for one more batch. After a
// view change it first catches up with the chosen checkpoint and gathers every
// chosen batch: its client table would be stale, and it would propose what is
// executed already.
func (r *Replica) mayPropose() bool {
	return r.active && r.primary() == r.id && r.rejoin == nil && r.transfer == nil && !r.wrong &&
		r.executed >= r.change.chosen && r.change.bodiesMissing == 0 &&
		!r.abstains(r.next) && r.next <= r.high() && r.next > r.executed && int(r.next-1-r.executed) < r.cfg.InFlight //nolint:gosec // < Window
}

// worthwhile tells whether the primary shall open one more batch now, or wait until
// one that is open is executed: a small batch takes as many votes as a large one, and
// under load whoever waits a little shares them with more. As many requests must wait
// as are open, or as fill a batch; but in no case do they wait longer for that than a
// tick for each open batch, for in a slow network it takes long until one is executed.
// So a loaded primary opens one in a tick where it has one open, and one in three where
// it has three. (Nagle, RFC 896.) Where numbers are rationed, only a full batch is worth one
// before its time. And where processors are busy, requests wait for company (company.go).
func (r *Replica) worthwhile() bool {
	open := 0
	for n := r.executed + 1; n < r.next; n++ {
		if s := r.slots.at(n); s != nil && s.proposal != nil && s.proposal.Batch != nil {
			open += len(s.proposal.Batch.Requests)
		}
	}
	if r.pool.waiting >= r.cfg.BatchRequestsMax || r.pool.waitingBytes >= r.cfg.BatchBytesMax {
		return true
	}
	if r.awaitsCompany() {
		return false
	}
	ration := r.ration()
	return ration == 0 && r.pool.waiting >= open || r.tick >= r.proposed+max(ration, uint64(r.next-1-r.executed))
}

// votable tells whether votes for (view, seq) concern this replica now. Early
// ones are kept for later; late ones have no use.
func (r *Replica) votable(ev Received, v *wire.Vote) bool {
	switch {
	case v.View < r.view || v.Seq <= r.low:
		return false
	case v.View > r.view || !r.active || v.Seq > r.high():
		if ev.From == v.Sender { // who relays could fill the room of another
			ev.came = cmp.Or(ev.came, r.tick+1)
			r.early.keep(v.Sender, ev)
		}
		return false
	default:
		return true
	}
}

func (r *Replica) onPrePrepare(ev Received, pp *wire.PrePrepare, fx *Effects) {
	if !r.votable(ev, &pp.Vote) {
		return
	}
	s := r.slot(pp.Seq)
	if s.proposal != nil {
		r.onAgain(s, pp, fx)
		return
	}
	if why := r.refusePrePrepare(pp, ev.Unfit); why != "" {
		fx.observe(Refused{wire.KindPrePrepare, ev.From, why})
		return
	}
	s.proposal, s.since = pp, r.tick
	r.change.heard = r.tick
	r.accept(s, fx)
}

// onAgain takes a pre-prepare for a number that has one: the primary's own that
// comes back signed, the body of one that a new view carried over, a repetition,
// or the proof of a lie.
func (r *Replica) onAgain(s *slot, pp *wire.PrePrepare, fx *Effects) {
	switch {
	case pp.Digest != s.proposal.Digest && isZero(s.proposal.Signature):
		return // signed by another process with this replica's key, before its own came back
	case pp.Digest != s.proposal.Digest:
		r.convict(wire.EvidencePrePrepares, &wire.PrePrepare{Vote: s.proposal.Vote}, &wire.PrePrepare{Vote: pp.Vote}, fx)
		r.leave(r.view+1, "the primary proposed two batches for one number", fx)
	case isZero(s.proposal.Signature):
		s.proposal = pp
		r.progress(s, fx)
	case s.proposal.Batch == nil:
		r.onBatchBody(pp.Digest, pp.Batch, fx)
	}
}

// refusePrePrepare says why a proposal is not accepted. Its signatures, shape
// and digest were checked before, and its input, which is unfit if that is not empty;
// PBFT §4.2 and docs/PROTOCOL.md step 4.2.
func (r *Replica) refusePrePrepare(pp *wire.PrePrepare, unfit string) string {
	switch b := pp.Batch; {
	case pp.Sender == r.id:
		return "it claims to be this replica's own, which proposed nothing there"
	case pp.Seq <= r.change.chosen:
		return "the new view's checkpoint covers its number"
	case r.committedOther(pp):
		return "another batch has committed at its number"
	case len(b.Requests) == 0:
		return "its batch is empty"
	case len(b.Requests) > r.cfg.BatchRequestsMax:
		return fmt.Sprintf("its batch has %d requests, more than %d", len(b.Requests), r.cfg.BatchRequestsMax)
	case r.tooLarge(b):
		return fmt.Sprintf("its batch is larger than %d bytes", r.cfg.BatchBytesMax)
	case b.Time < r.now-r.cfg.DriftMax && pp.Seq <= r.known():
		return "it is old, and others have executed it"
	case b.Time > r.now+r.cfg.DriftMax || b.Time < r.now-r.cfg.DriftMax:
		return fmt.Sprintf("its time is %d ms away from the own clock", (b.Time-r.now)/1e6)
	case !r.cfg.Inputs && len(b.Input) > 0:
		return "its batch has an input, and the application takes none"
	case r.cfg.Inputs && unfit != "":
		return inputRefused + unfit
	case pp.Seq > r.executed && r.repeats(pp):
		return "it holds a request that is in the order of this view already"
	}
	return ""
}

// committedOther tells whether another batch than pp's has committed at its
// number.
func (r *Replica) committedOther(pp *wire.PrePrepare) bool {
	s := r.slots.at(pp.Seq)
	return s != nil && s.committed != nil && s.committed.Digest != pp.Digest
}

// tooLarge counts a batch's bytes; a batch of a single request may have any
// size that a request may.
func (r *Replica) tooLarge(b *wire.Batch) bool {
	bytes := 0
	for _, req := range b.Requests {
		bytes += req.Size()
	}
	return bytes > r.cfg.BatchBytesMax && len(b.Requests) > 1
}

// repeats tells whether a request of pp is also pre-prepared at another open
// number of this view, or twice in pp. A correct primary never does that; what
// was executed before is left to execution, which skips it, because replicas
// may know more or less than the primary about that.
func (r *Replica) repeats(pp *wire.PrePrepare) bool {
	twice := make(map[crypto.Digest]bool, len(pp.Batch.Requests))
	for _, req := range pp.Batch.Requests {
		digest := req.Digest()
		if at, placed := r.placed[digest]; twice[digest] || placed && at != pp.Seq {
			return true
		}
		twice[digest] = true
	}
	return false
}

// place remembers where in the current view's order a batch's requests are,
// until they are executed.
func (r *Replica) place(pp *wire.PrePrepare) {
	if pp.Seq <= r.executed {
		return
	}
	for _, req := range pp.Batch.Requests {
		digest := req.Digest()
		r.placed[digest] = pp.Seq
		r.pool.markProposed(digest)
	}
}

// accept votes for the proposal of s, once its batch is there: a backup sends
// Prepare, durably or reserved.
func (r *Replica) accept(s *slot, fx *Effects) {
	pp := s.proposal
	switch {
	case pp.Batch == nil || s.voted:
		return
	case r.abstains(s.seq):
		r.abstain(s, fx)
		return
	}
	s.voted = true
	if s.body(pp.Digest) != nil {
		fx.persist(VotedRecord{pp.Vote})
	} else {
		s.keep(pp.Digest, pp.Batch)
		fx.persist(AcceptedRecord{pp})
	}
	r.place(pp)
	fx.observe(Accepted{pp.View, pp.Seq, pp.Digest, len(pp.Batch.Requests)})
	if r.primary() != r.id {
		vote := wire.Vote{View: pp.View, Seq: pp.Seq, Digest: pp.Digest, Sender: r.id}
		r.vote(pp.Seq, &wire.Prepare{Vote: vote}, fx)
	}
	r.progress(s, fx)
}

func (r *Replica) onPrepare(ev Received, m *wire.Prepare, fx *Effects) {
	if !r.votable(ev, &m.Vote) {
		return
	}
	if m.Sender == r.primary() {
		fx.observe(Refused{wire.KindPrepare, ev.From, "the primary's pre-prepare is its vote; it sends no prepare"})
		return
	}
	s := r.slot(m.Seq)
	if old, ok := s.prepares.add(r.q.Replicas(), m.Sender, vote{digest: m.Digest, signature: m.Signature}); !ok {
		first := m.Vote
		first.Digest, first.Signature = old.digest, old.signature
		r.convict(wire.EvidencePrepares, &wire.Prepare{Vote: first}, m, fx)
		return
	}
	r.hearPrepare(s, m)
	r.progress(s, fx)
}

func (r *Replica) onCommit(ev Received, m *wire.Commit, fx *Effects) {
	r.searchCommit(&m.Vote, fx)
	if !r.votable(ev, &m.Vote) {
		r.contest(&m.Vote, fx)
		return
	}
	s := r.slot(m.Seq)
	if s.committed != nil && s.committed.Digest != m.Digest {
		r.contest(&m.Vote, fx)
	}
	if old, ok := s.commits.add(r.q.Replicas(), m.Sender, vote{digest: m.Digest, signature: m.Signature}); !ok {
		first := m.Vote
		first.Digest, first.Signature = old.digest, old.signature
		r.convict(wire.EvidenceCommits, &wire.Commit{Vote: first}, m, fx)
		return
	}
	r.progress(s, fx)
}

// progress moves a slot on as far as its votes allow.
func (r *Replica) progress(s *slot, fx *Effects) {
	r.maybePrepared(s, fx)
	r.maybeCommitted(s, fx)
}

// maybePrepared is prepared(v, n, d): the pre-prepare and q−1 prepares of
// different backups (PBFT §4.2, with q for 2f+1). The certificate is durable
// before the Commit leaves.
func (r *Replica) maybePrepared(s *slot, fx *Effects) {
	pp := s.proposal
	if s.promised || pp == nil || !s.voted || isZero(pp.Signature) ||
		s.prepares.count(pp.Digest) < r.q.Strong()-1 {
		return
	}
	s.promised = true
	s.prepared = &wire.PreparedCert{
		View: pp.View, Seq: pp.Seq, Digest: pp.Digest, PrePrepare: pp.Signature,
		Prepares: s.prepares.signers(pp.Digest, r.q.Strong()-1),
	}
	fx.persist(PreparedRecord{*s.prepared})
	r.reserve(pp.Seq, fx)
	fx.observe(BecamePrepared{pp.View, pp.Seq, pp.Digest})
	r.say(&wire.Commit{Vote: wire.Vote{View: pp.View, Seq: pp.Seq, Digest: pp.Digest, Sender: r.id}}, fx)
}

// maybeCommitted makes the commit certificate of q matching commits, and
// executes what has become next. The certificate proves itself, also to a
// replica that did not prepare; it needs the batch.
func (r *Replica) maybeCommitted(s *slot, fx *Effects) {
	if s.committed != nil {
		return
	}
	digest, ok := s.commits.winner(r.q.Strong())
	if !ok || s.body(digest) == nil {
		return
	}
	r.commit(s, &wire.CommitCert{
		View: r.view, Seq: s.seq, Digest: digest, Commits: s.commits.signers(digest, r.q.Strong()),
	}, fx)
}

func (r *Replica) commit(s *slot, cert *wire.CommitCert, fx *Effects) {
	s.committed = cert
	r.contestAll(s, cert, fx)
	r.searchCert(cert, fx)
	fx.persist(CommittedRecord{*cert})
	fx.observe(BecameCommitted{cert.View, cert.Seq, cert.Digest})
	r.execute(fx)
}
