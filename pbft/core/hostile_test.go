package core

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestNoMessageBreaksAReplica mixes a random run with arbitrary messages, signed
// by whomever they claim, certificates of any content included: that is what more
// than f liars can send. No invariant breaks, and memory stays bounded.
func TestNoMessageBreaksAReplica(t *testing.T) {
	taken := map[wire.Kind]int{}
	var most Sizes
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		s.lying = true
		s.after = func(m *member, ev Event, _ *Effects) {
			m.checkBounds(t, ev)
			most.raise(m.r.Sizes())
		}
		for range rapid.IntRange(50, 800).Draw(t, "steps") {
			if s.rng.IntN(3) > 0 {
				s.chance()
				continue
			}
			if kind, legal := s.babble(); legal {
				taken[kind]++
			}
		}
	})
	for kind := wire.KindRequest; kind <= wire.KindEvidence; kind++ {
		others := []wire.Kind{wire.KindRequest, wire.KindReply, wire.KindPiece, wire.KindFetchPieces} // not made here
		if taken[kind] == 0 && !slices.Contains(others, kind) {
			t.Errorf("no %s was ever taken: the test lacks it", kind)
		}
	}
	most.Turns.Entries = 1 // chance seldom fills it; TestClientIsNotServedLastForEver does
	if empty := most.empty(); len(empty) > 0 {
		t.Errorf("nothing ever filled %v: the test of their bounds is void", empty)
	}
}

// TestNothingFollowsFromProposalsOfThePast holds what the driver relies on: it drops
// the proposals of views that were left, and at or below the stable checkpoint.
func TestNothingFollowsFromProposalsOfThePast(t *testing.T) {
	type place struct {
		view wire.View
		low  wire.Seq
	}
	past := 0
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		s.lying = true
		stood := map[*Replica]place{}
		s.after = func(m *member, ev Event, fx *Effects) {
			at := stood[m.r]
			stood[m.r] = place{m.r.view, m.r.low}
			got, is := ev.(Received)
			if !is {
				return
			}
			pp, is := got.Message.Message().(*wire.PrePrepare)
			if !is || pp.View >= at.view && pp.Seq > at.low {
				return
			}
			past++
			if !reflect.DeepEqual(*fx, Effects{}) {
				t.Fatalf("R%d, in view %d above %d: %+v follows from a proposal for %d in view %d, want nothing",
					m.id, at.view, at.low, *fx, pp.Seq, pp.View)
			}
		}
		for range 300 {
			if s.rng.IntN(3) > 0 {
				s.chance()
			} else {
				s.babble()
			}
		}
	})
	if past == 0 {
		t.Error("no proposal of the past was received: the test lacks them")
	}
}

// babble has a replica say anything to some, and returns its kind, and whether anyone
// ever sees it.
func (s *swarm) babble() (wire.Kind, bool) {
	from := wire.ReplicaID(s.rng.IntN(len(s.members))) //nolint:gosec // a cluster is small
	said := wire.Seal(s.signers[from], s.domain, s.nonsense(from))
	sealed, err := s.opener.OpenOne(said.Frame())
	if err != nil {
		return 0, false
	}
	for range 1 + s.rng.IntN(3) {
		s.members[s.rng.IntN(len(s.members))].step(Received{From: from, Message: sealed})
	}
	return sealed.Message().Kind(), true
}

// checkBounds holds what a replica keeps against its bounds.
func (m *member) checkBounds(t *rapid.T, ev Event) {
	r := m.r
	bad := func(what string, got, most int) {
		if got > most {
			t.Fatalf("R%d after %T: %d %s, want at most %d", m.id, ev, got, what, most)
		}
	}
	if over := r.Sizes().Over(r.cfg.Bounds(m.s.opener.Limits())); len(over) > 0 {
		t.Fatalf("R%d after %T: %s", m.id, ev, over)
	}
	for i, s := range r.slots {
		bad("bodies", len(s.bodies), bodiesMax)
		if s.seq <= r.low || i > 0 && s.seq <= r.slots[i-1].seq {
			t.Fatalf("R%d after %T: slot %d is number %d, above %d", m.id, ev, i, s.seq, r.low)
		}
		if s.prepared != nil && s.prepared.View > r.view {
			t.Fatalf("R%d after %T: prepared in view %d, being in %d", m.id, ev, s.prepared.View, r.view)
		}
	}
	for _, w := range r.early.senders {
		bad("early messages", len(w.messages), earlyMessagesMax)
		bad("early bytes", w.bytes, earlyBytesMax)
	}
	for sender, c := range r.change.candidates {
		if c != nil && int(c.message.Sender) != sender {
			t.Fatalf("R%d after %T: a new view of R%d in the place of R%d", m.id, ev, c.message.Sender, sender)
		}
	}
	if r.next <= r.low || r.active && r.change.own != nil {
		t.Fatalf("R%d after %T: next %d above %d, active %v", m.id, ev, r.next, r.low, r.active)
	}
}

func (s *swarm) anyView() wire.View {
	if s.rng.IntN(40) == 0 {
		return wire.NumberMax - wire.View(s.rng.IntN(3))
	}
	if s.rng.IntN(2) == 0 {
		return s.members[0].r.view + wire.View(s.rng.IntN(3))
	}
	return wire.View(s.rng.IntN(6))
}

func (s *swarm) anySeq() wire.Seq {
	if s.rng.IntN(40) == 0 {
		return wire.NumberMax - wire.Seq(s.rng.IntN(3))
	}
	return s.members[s.rng.IntN(len(s.members))].r.low + wire.Seq(s.rng.IntN(9))
}

func (s *swarm) anyBatch() *wire.Batch {
	if len(s.batches) > 0 && s.rng.IntN(3) > 0 {
		return s.batches[len(s.batches)-1-s.rng.IntN(min(8, len(s.batches)))]
	}
	b := &wire.Batch{Time: s.now + wire.Time(s.rng.IntN(3))}
	for range s.rng.IntN(4) {
		b.Requests = append(b.Requests, s.request().Message().(*wire.Request)) //nolint:errcheck // made there
	}
	if len(b.Requests) == 0 {
		b.Time = 0
	}
	s.batches = append(s.batches, b)
	return b
}

func (s *swarm) anyState(seq wire.Seq) crypto.Digest {
	for _, m := range s.members {
		if m.snapshot.Seq == seq && s.rng.IntN(2) == 0 {
			return m.snapshot.State
		}
	}
	if seq == 0 {
		return s.cfg.StateZero
	}
	return crypto.Digest{byte(s.rng.IntN(3)), 9}
}

// signed makes a certificate's signatures over what say makes of a sender.
func (s *swarm) signed(
	least int, say func(wire.ReplicaID) wire.Message, sign func(wire.Message) crypto.Signature,
) []wire.Signed {
	n := len(s.members)
	ids := s.rng.Perm(n)[:min(n, max(0, least-s.rng.IntN(8)/7+s.rng.IntN(2)))]
	slices.Sort(ids)
	var out []wire.Signed
	for _, id := range ids {
		sender := wire.ReplicaID(id)
		m := wire.Seal(s.signers[id], s.domain, say(sender)).Message()
		out = append(out, wire.Signed{Sender: sender, Signature: sign(m)})
	}
	return out
}

func (s *swarm) anyCheckpointCert() wire.CheckpointCert {
	seq := s.anySeq()
	if s.rng.IntN(4) > 0 {
		seq -= seq % s.cfg.Interval
	}
	cert := wire.CheckpointCert{Seq: seq, State: s.anyState(seq)}
	if seq > 0 {
		cert.Signers = s.signed(s.cfg.Quorum.Strong(), func(id wire.ReplicaID) wire.Message {
			return &wire.Checkpoint{Seq: seq, State: cert.State, Sender: id}
		}, func(m wire.Message) crypto.Signature { return m.(*wire.Checkpoint).Signature }) //nolint:errcheck // made above
	}
	return cert
}

func (s *swarm) anyPreparedCert(view wire.View, seq wire.Seq) wire.PreparedCert {
	n := len(s.members)
	v := wire.Vote{View: view, Seq: seq, Digest: s.anyBatch().Digest(), Sender: view.Primary(n)}
	cert := wire.PreparedCert{View: view, Seq: seq, Digest: v.Digest}
	pp := wire.Seal(s.signers[v.Sender], s.domain, &wire.PrePrepare{Vote: v, Batch: wire.NullBatch()}).Message()
	cert.PrePrepare = pp.(*wire.PrePrepare).Signature //nolint:errcheck // made above
	cert.Prepares = slices.DeleteFunc(s.signed(n, func(id wire.ReplicaID) wire.Message {
		return &wire.Prepare{Vote: wire.Vote{View: view, Seq: seq, Digest: v.Digest, Sender: id}}
	}, func(m wire.Message) crypto.Signature { return m.(*wire.Prepare).Signature }), //nolint:errcheck // made above
		func(one wire.Signed) bool { return one.Sender == v.Sender })
	return cert
}

// nonsense returns any message of a replica. Much of it is almost right.
func (s *swarm) nonsense(from wire.ReplicaID) wire.Message {
	view, seq, batch := s.anyView(), s.anySeq(), s.anyBatch()
	v := wire.Vote{View: view, Seq: seq, Digest: batch.Digest(), Sender: from}
	switch s.rng.IntN(16) {
	case 0:
		return &wire.PrePrepare{Vote: v, Batch: batch}
	case 1:
		return &wire.Prepare{Vote: v}
	case 2:
		return &wire.Commit{Vote: v}
	case 3:
		return &wire.Checkpoint{Seq: seq, State: s.anyState(seq), Sender: from}
	case 4, 5:
		vc := &wire.ViewChange{View: view + 1, Stable: s.anyCheckpointCert(), Sender: from}
		for at := vc.Stable.Seq + 1; at <= vc.Stable.Seq+s.cfg.Window && view > 0; at++ {
			if s.rng.IntN(3) == 0 {
				vc.Prepared = append(vc.Prepared, s.anyPreparedCert(wire.View(s.rng.IntN(int(min(view+1, 9)))), at))
			}
		}
		return vc
	case 6, 7:
		return s.anyNewView(from, view)
	case 8:
		return s.anyStatus(from, view, seq)
	case 9:
		return &wire.FetchBatches{Digests: []crypto.Digest{v.Digest, wire.NullDigest()}, Sender: from}
	case 10:
		return &wire.BatchBody{Batch: batch}
	case 11:
		return &wire.FetchCommitted{First: seq, Last: seq + wire.Seq(s.rng.IntN(100)), Sender: from}
	case 12:
		cert := wire.CommitCert{View: view, Seq: seq, Digest: v.Digest}
		cert.Commits = s.signed(s.cfg.Quorum.Strong(), func(id wire.ReplicaID) wire.Message {
			return &wire.Commit{Vote: wire.Vote{View: view, Seq: seq, Digest: v.Digest, Sender: id}}
		}, func(m wire.Message) crypto.Signature { return m.(*wire.Commit).Signature }) //nolint:errcheck // made above
		return &wire.Committed{Cert: cert, Batch: batch}
	case 13:
		return &wire.FetchViewChange{View: view, Refs: s.anyRefs(view), Sender: from}
	case 14:
		return &wire.StableProof{Cert: s.anyCheckpointCert()}
	default:
		return s.anyEvidence(from, view, seq)
	}
}

func (s *swarm) anyRefs(view wire.View) []wire.ViewChangeRef {
	var refs []wire.ViewChangeRef
	for id, h := range s.members[s.rng.IntN(len(s.members))].r.change.votes {
		ref := wire.ViewChangeRef{Sender: wire.ReplicaID(id), Digest: crypto.Digest{1}}
		if h != nil && (h.message.View == view || s.rng.IntN(4) == 0) {
			ref.Digest = h.sealed.Digest()
		}
		if s.rng.IntN(8) > 0 {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (s *swarm) anyNewView(from wire.ReplicaID, view wire.View) *wire.NewView {
	n := wire.View(len(s.members))
	view = view - view%n + wire.View(from) // one that from leads
	stable := s.anySeq()
	nv := &wire.NewView{
		View: view, ViewChanges: s.anyRefs(view), Stable: stable, StableState: s.anyState(stable), Sender: from,
	}
	for range s.rng.IntN(4) {
		stable++
		nv.Choices = append(nv.Choices, wire.Choice{Seq: stable, Digest: s.anyBatch().Digest()})
	}
	return nv
}

func (s *swarm) anyStatus(from wire.ReplicaID, view wire.View, seq wire.Seq) *wire.Status {
	perhaps := func() bool { return s.rng.IntN(2) == 0 }
	st := &wire.Status{View: view, Active: perhaps(), Stable: min(seq, s.anySeq()), Executed: seq, Sender: from}
	st.Asks, st.Answers = uint64(s.rng.IntN(3)), uint64(s.rng.IntN(3)) //nolint:gosec // lives are few
	for at := seq; s.rng.IntN(3) > 0 && at < wire.NumberMax; {
		at++
		st.Slots = append(st.Slots, wire.SlotStatus{
			Seq: at, HavePrePrepare: perhaps(), HavePrepared: perhaps(), HaveCommitted: perhaps(), Abstains: perhaps(),
		})
	}
	return st
}

func (s *swarm) anyEvidence(culprit wire.ReplicaID, view wire.View, seq wire.Seq) wire.Message {
	n := len(s.members)
	var said [2]wire.Message
	proof := wire.EvidencePrePrepares
	if s.rng.IntN(2) == 0 {
		proof = wire.EvidencePrepares
	}
	if proof == wire.EvidencePrePrepares {
		culprit = view.Primary(n)
	}
	for i := range said {
		v := wire.Vote{View: view, Seq: seq, Digest: crypto.Digest{byte(i)}, Sender: culprit}
		if said[i] = wire.Message(&wire.Prepare{Vote: v}); proof == wire.EvidencePrePrepares {
			said[i] = &wire.PrePrepare{Vote: v, Batch: wire.NullBatch()}
		}
		said[i] = wire.Seal(s.signers[culprit], s.domain, said[i]).Message()
	}
	e, err := wire.NewEvidence(proof, culprit, said[0], said[1])
	if err != nil {
		return &wire.Evidence{}
	}
	return e
}

// TestASilentReplicaSignsNothing restarts a replica without its data in random
// runs: until it has rejoined, it sends no vote of its own.
func TestASilentReplicaSignsNothing(t *testing.T) {
	rejoined := 0
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		if len(s.members) == 1 {
			return
		}
		steps := rapid.IntRange(400, 1200).Draw(t, "steps")
		victim := s.members[s.rng.IntN(len(s.members))]
		silent := false
		s.after = func(m *member, ev Event, fx *Effects) {
			if m != victim || !silent {
				return
			}
			for _, send := range fx.Send {
				if why := voteIn(send, m); why != "" && m.r.Rejoining() {
					t.Fatalf("R%d after %T: sends a %s", m.id, ev, why)
				}
			}
			for _, o := range fx.Observe {
				if _, ok := o.(Rejoined); ok {
					silent = false
					rejoined++
				}
			}
		}
		for i := range steps {
			if i == steps/4 {
				silent = true
				victim.lose()
			}
			s.chance()
		}
		for i := 0; i < 20_000 && rejoined == 0; i++ { // the silence of one run must end
			s.chance()
		}
		if s.problem != "" {
			t.Fatal(s.problem)
		}
	})
	if rejoined == 0 {
		t.Error("no replica ever rejoined: the test tests half")
	}
}

// voteIn names a message that a silent replica must not sign.
func voteIn(send Send, m *member) string {
	if send.Message == nil {
		return ""
	}
	switch send.Message.Kind() {
	case wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit,
		wire.KindCheckpoint, wire.KindViewChange, wire.KindNewView:
		return fmt.Sprintf("%s of R%d", send.Message.Kind(), m.id)
	default:
		return ""
	}
}

// lose empties the disk and restarts.
func (m *member) lose() {
	m.journal, m.snapshot, m.lost = nil, Snapshot{}, true
	m.start()
}
