package node

import (
	"testing"
	"testing/synctest"

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
