package core

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestRepeatedVotesWereSentBefore watches random runs: an own vote that leaves
// with the signature that it came back with left before, in the present view, or is in
// its new view; and what is heard of oneself is never signed again.
func TestRepeatedVotesWereSentBefore(t *testing.T) {
	repeated := map[wire.Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		sent := map[wire.ReplicaID]map[string]bool{}
		s.after = func(m *member, ev Event, fx *Effects) {
			if sent[m.id] == nil {
				sent[m.id] = map[string]bool{}
			}
			for _, send := range fx.Send {
				sealed := send.Sealed
				if sealed == nil {
					sealed = wire.Seal(s.signers[m.id], s.domain, send.Message)
				}
				signer, _ := wire.SenderOf(sealed.Message())
				view, votes := voteView(sealed.Message())
				if !votes || signer != m.id {
					continue
				}
				frame := string(sealed.Frame())
				switch {
				case send.Sealed == nil && send.To != Everyone && m.heardItself(sealed.Message()):
					t.Fatalf("R%d after %T: signs again: %+v", m.id, ev, send.Message)
				case send.Sealed == nil:
					sent[m.id][frame] = true
				case view != m.r.view || !sent[m.id][frame] && !m.r.carriesOver(sealed.Message()):
					t.Fatalf("R%d after %T, in view %d: repeats what it never sent: %+v", m.id, ev, m.r.view, sealed.Message())
				case !bytes.Equal(frameOf(t, s, sealed), sealed.Frame()):
					t.Fatalf("R%d after %T: repeats what does not open: %+v", m.id, ev, sealed.Message())
				default:
					repeated[sealed.Message().Kind()]++
				}
			}
		}
		run(t, s)
	})
	for _, kind := range []wire.Kind{wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit} {
		if repeated[kind] == 0 {
			t.Errorf("no %s was ever repeated with its signature: the test lacks it", kind)
		}
	}
}

// voteView returns the view of a vote of a batch.
func voteView(m wire.Message) (view wire.View, votes bool) {
	switch m := m.(type) { //nolint:gochecksumtype // the others are no votes
	case *wire.PrePrepare:
		return m.View, true
	case *wire.Prepare:
		return m.View, true
	case *wire.Commit:
		return m.View, true
	default:
		return 0, false
	}
}

// carriesOver tells whether m is a pre-prepare that the new view of this view holds.
func (r *Replica) carriesOver(m wire.Message) bool {
	pp, ok := m.(*wire.PrePrepare)
	return ok && pp.View == r.view && pp.Seq <= r.carried()
}

// heardItself tells whether the replica holds its own signature of a vote.
func (m *member) heardItself(vote wire.Message) bool {
	var signature crypto.Signature
	switch v := vote.(type) { //nolint:gochecksumtype // the others are no votes
	case *wire.PrePrepare:
		signature = m.r.slots.at(v.Seq).proposal.Signature
	case *wire.Prepare:
		signature = m.r.slots.at(v.Seq).prepares.signature(m.id, v.Digest)
	case *wire.Commit:
		signature = m.r.slots.at(v.Seq).commits.signature(m.id, v.Digest)
	default:
	}
	return !isZero(signature)
}

func frameOf(t *rapid.T, s *swarm, sealed *wire.Sealed) []byte {
	opened, err := s.opener.OpenOne(sealed.Frame())
	if err != nil {
		t.Fatal(err)
	}
	return opened.Frame()
}

// TestVotesAreLostAfterTwiceABatch holds the bounds of what is given to a vote.
func TestVotesAreLostAfterTwiceABatch(t *testing.T) {
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(DefaultConfig(0, q), Restored{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ status, took, want int }{
		{10, 0, 10}, {10, 5, 10}, {10, 6, 12}, {10, 12, 24}, {10, 13, 25}, {10, 1000, 25}, {25, 0, 25}, {50, 0, 25}, {50, 20, 25},
	} {
		r.cfg.StatusTicks, r.cfg.RequestTicks, r.pace.agreement = c.status, 100, c.took*fraction
		if got := int(r.lostAfter()); got != c.want { //nolint:gosec // small
			t.Errorf("got %d ticks where a batch takes %d and a status comes every %d, want %d", got, c.took, c.status, c.want)
		}
	}
}

// TestLostVoteComesBeforeAnybodyIsSuspected loses one prepare that a quorum needs, at any
// time between two statuses, which are seldom: it comes again in time.
func TestLostVoteComesBeforeAnybodyIsSuspected(t *testing.T) {
	const status = 55 // ticks, of the 100 of the request timeout
	for offset := range status {
		k := newTrack(t, func(c *Config) { c.StatusTicks, c.HeartbeatTicks = status, 3*status })
		lost := false
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			_, prepare := m.(*wire.Prepare)
			switch {
			case from == 3 || to == 3: // it is dead
				return -1
			case prepare && !lost && from == 1 && to == 2:
				lost = true
				return -1
			default:
				return 1
			}
		}
		k.run(2*status + offset)
		one := k.ask(1, 1)[0]
		one.pause = 10 * status
		k.run(3 * status)
		if !lost || one.answered == 0 || k.leaves > 0 {
			t.Errorf("lost %v %d ticks after a status: %d answered, and left %q", lost, offset, one.answered, k.left)
		}
	}
}
