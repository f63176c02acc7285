package core

import (
	"github.com/quorate/quorate/pbft/wire"
)

// This file is about what cannot happen while at most f replicas lie: two correct
// replicas with commit certificates for different batches at one number, or with
// different stable checkpoints. What both have signed convicts those who broke
// the agreement, so each hands its own certificate to the other (Sheng et al.,
// BFT Protocol Forensics, CCS '21). A lone liar can make a replica hand out a
// certificate as well, but only so often.

// certAt returns the commit certificate of seq that is here, or nil.
func (r *Replica) certAt(seq wire.Seq) *wire.CommitCert {
	if seq <= r.low {
		if entry := r.archive.at(seq); entry != nil {
			return &entry.Cert
		}
		return nil
	}
	if s := r.slots.at(seq); s != nil {
		return s.committed
	}
	return nil
}

// contest hands the own certificate to a replica that votes for something else at
// its number.
func (r *Replica) contest(v *wire.Vote, fx *Effects) {
	if own := r.certAt(v.Seq); own != nil && own.Digest != v.Digest {
		r.handOver(v.Sender, &wire.CommitProof{Cert: *own}, fx)
	}
}

// contestAll is contest for the votes that were here before the certificate.
func (r *Replica) contestAll(s *slot, cert *wire.CommitCert, fx *Effects) {
	for _, b := range [2]*ballot{&s.prepares, &s.commits} {
		for i, v := range b.votes {
			if v.cast && v.digest != cert.Digest {
				r.handOver(wire.ReplicaID(i), &wire.CommitProof{Cert: *cert}, fx) //nolint:gosec // i < n
			}
		}
	}
}

// searchCert looks, in the view changes that are here, for those that hide what
// their senders committed.
func (r *Replica) searchCert(cert *wire.CommitCert, fx *Effects) {
	for i := range cert.Commits {
		s := &cert.Commits[i]
		r.searchCommit(&wire.Vote{
			View: cert.View, Seq: cert.Seq, Digest: cert.Digest, Sender: s.Sender, Signature: s.Signature,
		}, fx)
	}
}

// handOver gives a certificate to a peer, so often and no more.
func (r *Replica) handOver(to wire.ReplicaID, m wire.Message, fx *Effects) {
	if to != r.id && r.mayAnswer(to, func(a *answered) *int { return &a.certs }) {
		fx.Send = append(fx.Send, Send{To: to, Message: m})
	}
}

// onCommitProof takes the certificate that a peer hands over because it
// contradicts this replica's.
func (r *Replica) onCommitProof(from wire.ReplicaID, cert *wire.CommitCert, fx *Effects) {
	if len(cert.Commits) < r.q.Strong() {
		fx.observe(Refused{wire.KindCommitProof, from, "it has too few commits"})
		return
	}
	r.compareCerts(from, cert, fx)
}

// compareCerts holds a certificate of a peer against the own one of its number. If
// they contradict each other it keeps both, convicts whoever signed both, or hid
// the older one in a view change, and hands over its own.
func (r *Replica) compareCerts(from wire.ReplicaID, cert *wire.CommitCert, fx *Effects) {
	own := r.certAt(cert.Seq)
	if own == nil || own.Digest == cert.Digest {
		return
	}
	if pair := (ConflictRecord{Own: *own, Other: *cert}); r.proofs.addConflict(pair) {
		fx.persist(pair)
		fx.observe(Contradicted{Seq: cert.Seq, View: own.View, Other: cert.View, Own: own.Digest, Theirs: cert.Digest})
	}
	for i := range cert.Commits {
		theirs, ours := cert.CommitOf(cert.Commits[i].Sender), own.CommitOf(cert.Commits[i].Sender)
		r.searchCommit(&theirs.Vote, fx)
		if ours == nil {
			continue
		}
		if own.View == cert.View {
			r.convict(wire.EvidenceCommits, ours, theirs, fx)
		}
		r.searchCommit(&ours.Vote, fx)
	}
	r.handOver(from, &wire.CommitProof{Cert: *own}, fx)
}

// disputedMax bounds the certificates of one answer to a peer whose state is
// another one.
const disputedMax = 8

// dispute answers a peer whose checkpoint says another state than the own one:
// with the certificate of the own stable checkpoint, and with commit certificates,
// a few at a time and in turn, from the oldest that is here on. If the two executed
// different batches, one of them contradicts the peer's.
func (r *Replica) dispute(with wire.ReplicaID, fx *Effects) {
	if with == r.id || !r.mayAnswer(with, func(a *answered) *int { return &a.disputes }) {
		return
	}
	if r.stable.Seq > 0 {
		fx.Send = append(fx.Send, Send{To: with, Message: &wire.StableProof{Cert: r.stable}})
	}
	first := r.low + 1
	if len(r.archive.entries) > 0 {
		first = r.archive.entries[0].Cert.Seq
	}
	p := &r.peers[with]
	if p.disputed < first || p.disputed > r.executed {
		p.disputed = first
	}
	for range disputedMax {
		if cert := r.certAt(p.disputed); cert != nil {
			fx.Send = append(fx.Send, Send{To: with, Message: &wire.CommitProof{Cert: *cert}})
		}
		p.disputed++
	}
}

// disputeAll disputes the votes for a checkpoint that were here before the own
// snapshot.
func (r *Replica) disputeAll(seq wire.Seq, fx *Effects) {
	b := r.checkpoints[seq]
	if b == nil {
		return
	}
	for i, v := range b.votes {
		if v.cast && v.digest != r.snapshots[seq] {
			r.dispute(wire.ReplicaID(i), fx) //nolint:gosec // i < n
		}
	}
}

// compareStable holds a certificate of a stable checkpoint against the own one of
// its number, and against the votes for its number, and convicts whoever signed
// two states.
func (r *Replica) compareStable(from wire.ReplicaID, cert *wire.CheckpointCert, fx *Effects) {
	b := r.checkpoints[cert.Seq]
	for _, s := range cert.Signers {
		second := &wire.Checkpoint{Seq: cert.Seq, State: cert.State, Sender: s.Sender, Signature: s.Signature}
		if b != nil && b.votes != nil && b.votes[s.Sender].cast && b.votes[s.Sender].digest != cert.State {
			v := b.votes[s.Sender]
			first := &wire.Checkpoint{Seq: cert.Seq, State: v.digest, Sender: s.Sender, Signature: v.signature}
			r.convict(wire.EvidenceCheckpoints, first, second, fx)
		}
		if cert.Seq != r.stable.Seq || cert.State == r.stable.State {
			continue
		}
		for _, o := range r.stable.Signers {
			if o.Sender == s.Sender {
				first := &wire.Checkpoint{Seq: cert.Seq, State: r.stable.State, Sender: o.Sender, Signature: o.Signature}
				r.convict(wire.EvidenceCheckpoints, first, second, fx)
			}
		}
	}
	if cert.Seq == r.stable.Seq && cert.Seq > 0 && cert.State != r.stable.State {
		r.handOver(from, &wire.StableProof{Cert: r.stable}, fx)
	}
}
