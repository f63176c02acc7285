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

// TestDearFramesThatAreBadAreSoonReadNoMore has a peer send view changes, each with many
// signatures that are none, as fast as they are taken.
func TestDearFramesThatAreBadAreSoonReadNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		verifier := &counting{Verifier: m.configs[0].Verifier}
		m.configs[0].Verifier = verifier
		n, err := New(m.configs[0])
		if err != nil {
			t.Fatal(err)
		}
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
		var batch frames
		var memory wire.Memory
		verify := func() (events []core.Event) {
			for n.lanes.take(&batch) {
				events = append(events, n.open(&batch, &memory)...)
				n.lanes.release(&batch)
			}
			return events
		}
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
