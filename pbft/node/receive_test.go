package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TestCertificatesThatAreHandedOverAreHeard lets a replica hand over a commit
// certificate, as the core does to who has voted for another batch.
func TestCertificatesThatAreHandedOverAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		if got := m.caller(1).call([]int{0, 1, 2, 3}, 4, "op"); got != "0 1" {
			t.Fatalf("got %q", got)
		}
		// More than f have lied, or there would be no such certificate.
		v := wire.Vote{Seq: 1, Digest: crypto.Sum([]byte("another batch"))}
		proof := &wire.CommitProof{Cert: wire.CommitCert{Seq: v.Seq, Digest: v.Digest}}
		for id := range wire.ReplicaID(3) {
			v.Sender = id
			commit, _ := wire.Seal(m.keys[id], testDomain(), &wire.Commit{Vote: v}).Message().(*wire.Commit)
			proof.Cert.Commits = append(proof.Cert.Commits, wire.Signed{Sender: id, Signature: commit.Signature})
		}
		if !m.hub.ports[1].Send(3, wire.Encode(proof)) {
			t.Fatal("no room")
		}
		synctest.Wait()
		if got := m.nodes[3].BadFrames().Peers[1]; got > 0 {
			t.Errorf("replica 1 is blamed for %d bad frames, want none: it sent what the protocol asks for", got)
		}
		contradicted := 0
		m.seen[3].mu.Lock()
		defer m.seen[3].mu.Unlock()
		for _, o := range m.seen[3].all {
			if _, ok := o.(core.Contradicted); ok {
				contradicted++
			}
		}
		if contradicted != 1 {
			t.Errorf("the certificate contradicts %d times what was executed, want once", contradicted)
		}
	})
}

// TestPrimaryIsLeftWhenItsConnectionsBreak ends the primary, and has the transports of
// the others tell of it: the next view begins long before a timeout.
func TestPrimaryIsLeftWhenItsConnectionsBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		<-time.After(time.Second) // of virtual time: all know that they are in company
		if err := m.stop[0](); err != nil {
			t.Fatal(err)
		}
		for _, n := range m.nodes[1:] {
			n.linked(t.Context(), 0, false)
		}
		<-time.After(50 * time.Millisecond)
		for i := 1; i < 4; i++ {
			entered := m.saw(i, func(o core.Observation) bool { e, ok := o.(core.EnteredView); return ok && e.View == 1 })
			if !entered {
				t.Errorf("replica %d is not in view 1", i)
			}
		}
	})
}

// TestLinksOfNobodyAndOfAnEndingReplicaAreNoEvents holds what linked passes on.
func TestLinksOfNobodyAndOfAnEndingReplicaAreNoEvents(t *testing.T) {
	m := newMembers(t, 4)
	n, err := New(m.configs[1])
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	n.linked(t.Context(), 1, false)
	n.linked(t.Context(), 4, false)
	n.linked(over, 0, false)
	if events := n.own.take(nil); len(events) > 0 {
		t.Errorf("got %v, want nothing", events)
	}
	n.linked(t.Context(), 0, false)
	if events := n.own.take(nil); len(events) != 1 || events[0] != (core.Unlinked{Peer: 0}) {
		t.Errorf("got %v, want that replica 0 is gone", events)
	}
}
