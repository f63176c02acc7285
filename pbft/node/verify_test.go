package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// counting counts the signatures that it verifies.
type counting struct {
	crypto.Verifier

	checks int
}

func (c *counting) Verify(checks []crypto.Check, ok []bool) bool {
	c.checks += len(checks)
	return c.Verifier.Verify(checks, ok)
}

// newCounting returns node 0, which does not run, and its verifier.
func newCounting(t *testing.T, m *members) (*Node, *counting) {
	t.Helper()
	verifier := &counting{Verifier: m.configs[0].Verifier}
	m.configs[0].Verifier = verifier
	n, err := New(m.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	return n, verifier
}

// verifyAll does the work of the verifiers of n, which does not run.
func verifyAll(n *Node) (events []core.Event) {
	var batch frames
	var memory wire.Memory
	for n.lanes.take(&batch) {
		events = append(events, n.open(&batch, &memory)...)
		n.lanes.release(&batch)
	}
	return events
}

// TestRequestsInProposalsOfThePastAreNotVerified has a peer send proposals for numbers
// and views around where the replica stands.
func TestRequestsInProposalsOfThePastAreNotVerified(t *testing.T) {
	const requests = 64
	m := newMembers(t, 4)
	client := keyOf(t, 100)
	batch := &wire.Batch{Time: 1}
	for i := range wire.Number(requests) {
		q := &wire.Request{Client: client.Public(), Session: 1, Number: i + 1, Ops: [][]byte{{byte(i)}}}
		batch.Requests = append(batch.Requests, wire.Seal(client, testDomain(), q).Message().(*wire.Request)) //nolint:errcheck,forcetypeassert // it is
	}
	for name, at := range map[string]struct {
		view wire.View
		seq  wire.Seq
		past bool
	}{
		"of the view before":                       {1, 20, true},
		"at the stable checkpoint":                 {2, 16, true},
		"above the stable checkpoint":              {2, 17, false},
		"of a later view":                          {5, 17, false},
		"of a later view at the stable checkpoint": {5, 16, true},
	} {
		n, verifier := newCounting(t, m)
		n.standing.Store(&standing{view: 2, active: true, executed: 18, stable: 16})
		primary := at.view.Primary(4)
		vote := wire.Vote{View: at.view, Seq: at.seq, Digest: batch.Digest(), Sender: primary}
		good := wire.Seal(m.keys[primary], testDomain(), &wire.PrePrepare{Vote: vote, Batch: batch}).Frame()
		checks, events := requests+1, 1
		if at.past {
			checks, events = 1, 0
		}
		n.fromPeer(t.Context(), 3, good)
		if got := len(verifyAll(n)); got != events || verifier.checks != checks {
			t.Errorf("%s: %d signatures verified and %d events, want %d and %d", name, verifier.checks, got, checks, events)
		}
		bad := wire.Seal(m.keys[0], testDomain(), &wire.PrePrepare{Vote: vote, Batch: batch}).Frame()
		n.fromPeer(t.Context(), 3, bad)
		if got := len(verifyAll(n)); got != 0 || n.BadFrames().Peers[3] != 1 {
			t.Errorf("%s, signed by another: %d events and %v bad frames, want none and one of 3", name, got, n.BadFrames())
		}
	}
}

// TestDearFramesThatAreBadAreSoonReadNoMore has a peer send view changes, each with many
// signatures that are none, as fast as they are taken.
func TestDearFramesThatAreBadAreSoonReadNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, verifier := newCounting(t, m)
		const liar, honest = 1, 2
		window := int(m.configs[0].Core.Window)
		vc := &wire.ViewChange{View: 9, Sender: liar}
		for i := range window {
			p := wire.PreparedCert{View: 8, Seq: wire.Seq(i) + 1} //nolint:gosec // small
			for id := range wire.ReplicaID(4) {
				if id != p.View.Primary(4) {
					p.Prepares = append(p.Prepares, wire.Signed{Sender: id})
				}
			}
			vc.Prepared = append(vc.Prepared, p)
		}
		bad := wire.Seal(m.keys[liar], testDomain(), vc).Frame()
		good := wire.Seal(m.keys[honest], testDomain(), &wire.Status{Sender: honest}).Frame()
		verify := func() []core.Event { return verifyAll(n) }
		const rounds = 600
		for range rounds { // a minute
			for n.penalties.wait(peerSource(liar)) == 0 {
				for range batchFramesMax { // it is read before what is wrong with it is known
					n.fromPeer(t.Context(), liar, bad)
				}
				verify()
			}
			n.fromPeer(t.Context(), honest, good)
			if got := len(verify()); got != 1 {
				t.Fatalf("%d events of an honest peer's message, want 1", got)
			}
			<-time.After(100 * time.Millisecond)
		}
		each := 4*window + 1
		if got, most := verifier.checks-rounds, 2*batchFramesMax*each; got > most {
			t.Errorf("%d signatures of the liar were verified, want %d or fewer: those of %d frames",
				got, most, 2*batchFramesMax)
		}
		<-time.After(2 * time.Minute)
		n.fromPeer(t.Context(), liar, wire.Seal(m.keys[liar], testDomain(), &wire.Status{Sender: liar}).Frame())
		if got := len(verify()); got != 1 {
			t.Errorf("%d events after the liar's silence, want 1: it is forgiven", got)
		}
	})
}

// gullible takes every signature for good.
type gullible struct{}

func (gullible) Verify(checks []crypto.Check, ok []bool) bool {
	for i := range checks {
		ok[i] = true
	}
	return true
}

// TestVotesWaitForFewSignaturesOfOthers has a peer send batches on two of its streams, which
// nobody asked for and in which all is signed, as many as are read, and one peer vote.
func TestVotesWaitForFewSignaturesOfOthers(t *testing.T) {
	const liar, honest = 1, 2
	m := newMembers(t, 4)
	m.configs[0].Verifier = gullible{}
	n, verifier := newCounting(t, m)
	client, number := m.keys[0].Public(), wire.Number(0)
	full := func() *wire.Batch { // of requests that were never seen
		b := &wire.Batch{Time: 1}
		for range m.configs[0].Limits.BatchRequestsMax {
			number++
			b.Requests = append(b.Requests, &wire.Request{Client: client, Number: number, Ops: [][]byte{{1}}})
		}
		return b
	}
	flood := func(frame func() []byte) {
		for bytes := 0; bytes < laneBytesMax; {
			f := frame()
			n.fromPeer(t.Context(), liar, f)
			bytes += len(f)
		}
	}
	flood(func() []byte { return wire.Encode(&wire.BatchBody{Batch: full()}) })
	flood(func() []byte {
		b := full()
		return wire.Encode(&wire.Committed{Cert: wire.CommitCert{Seq: 1, Digest: b.Digest()}, Batch: b})
	})
	vote := &wire.Commit{Vote: wire.Vote{Seq: 1, Sender: honest}}
	n.fromPeer(t.Context(), honest, wire.Seal(m.keys[honest], testDomain(), vote).Frame())
	var batch frames
	for came := false; !came && n.lanes.take(&batch); n.lanes.release(&batch) {
		for _, ev := range n.open(&batch, new(wire.Memory)) {
			r, is := ev.(core.Received)
			came = came || is && r.From == honest
		}
	}
	most := 2*m.configs[0].Limits.BatchRequestsMax + 1
	if verifier.checks > most {
		t.Errorf("%d signatures were verified before the vote was passed on, want %d at most", verifier.checks, most)
	}
}
