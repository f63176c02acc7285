package hostile

import (
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// hastyTimeout is that of clusters whose views are meant to change.
const hastyTimeout = 400 * time.Millisecond

// leads is a cluster whose primary, in view 0, is the liar. It answers every sign of
// life with one of its own: however long a row takes, nobody leaves the view because
// the primary is silent.
func leads(t *testing.T) *puppet {
	t.Helper()
	limits := pbft.DefaultGenesisLimits()
	limits.BatchRequests, limits.BatchBytes = 4, 4096
	c := newCluster(t, options{liar: 0, timeout: calmTimeout, limits: limits})
	c.startHonest(t)
	p := c.puppet(t)
	p.alive.Store(true)
	p.sends(t, p.heartbeat())
	return p
}

// heartbeat returns the sign of life of the primary of view 0.
func (p *puppet) heartbeat() []byte { return p.sign(&wire.Status{Active: true, Sender: p.liar}) }

// badBatches has the liar lead, and propose what nobody may propose. A client
// sends nothing meanwhile; when it does, the view changes, and it is served.
func badBatches(t *testing.T, _ *siege) {
	t.Helper()
	p := leads(t)
	client, forger := newKey(t), newKey(t)
	good := p.signed(t, client, 1)
	forged := p.signed(t, forger, 1)
	forged.Signature[3] ^= 1
	var many []*wire.Request
	for range 5 {
		many = append(many, p.signed(t, newKey(t), 1))
	}
	for _, bad := range []struct {
		batch *wire.Batch // its time is that of sending it, where it has none
		why   string      // empty if it is dropped before the protocol sees it
	}{
		{wire.NullBatch(), "empty"},
		{&wire.Batch{Requests: many}, ""},
		{&wire.Batch{Requests: []*wire.Request{p.filled(t, 2500), p.filled(t, 2500)}}, "larger than"},
		{&wire.Batch{Requests: []*wire.Request{good}, Time: 1}, "own clock"}, // long before there was a genesis
		{&wire.Batch{Requests: []*wire.Request{good, good}}, "in the order of this view already"},
	} {
		b := p.book()
		if batch := bad.batch; batch.Time == 0 && len(batch.Requests) > 0 {
			batch.Time = now()
		}
		p.sends(t, p.proposal(1, bad.batch))
		if bad.why == "" {
			b.scored(t, 1)
			continue
		}
		b.refused(t, wire.KindPrePrepare, bad.why)
		b.scored(t, 0)
	}
	p.repeats(t, good)
	p.dropsOut(t, p.batchOf(t, forged))
	if n := p.executed(t, client.Public()); n != 1 {
		t.Errorf("a request that was proposed twice was executed %d times, want once", n)
	}
}

// proposal returns the frame of a proposal of the liar in view 0.
func (p *puppet) proposal(seq wire.Seq, batch *wire.Batch) []byte {
	return p.sign(&wire.PrePrepare{Vote: wire.Vote{Seq: seq, Digest: batch.Digest(), Sender: p.liar}, Batch: batch})
}

// filled returns a request of so many bytes.
func (p *puppet) filled(t *testing.T, size int) *wire.Request {
	t.Helper()
	key := newKey(t)
	q, ok := wire.Seal(key, p.genesis.Domain(), &wire.Request{
		Client: key.Public(), Session: 1, Number: 1, Ops: [][]byte{make([]byte, size)},
	}).Message().(*wire.Request)
	if !ok {
		t.Fatal("no request")
	}
	return q
}

// repeats proposes a request, and when it is executed proposes it once more. The
// others have all that they need without a vote of the liar.
func (p *puppet) repeats(t *testing.T, good *wire.Request) {
	t.Helper()
	for seq := wire.Seq(1); seq <= 2; seq++ {
		p.sends(t, p.proposal(seq, p.batchOf(t, good)))
		await(t, "the batch is executed", func() bool {
			return !slices.ContainsFunc(p.running(), func(i int) bool { return p.replicas[i].Report().Executed < seq })
		})
	}
}

// dropsOut ends the reign of the liar: it proposes a request that nobody signed,
// which proves that it lies, and the others go on without it. Who finds the lie counts
// it, and tells the others; they may hear of it before the proposal, and then it is one
// of the past to them, of which nothing but the liar's own signature is looked at.
func (p *puppet) dropsOut(t *testing.T, forged *wire.Batch) {
	t.Helper()
	b := p.book()
	p.sends(t, p.proposal(3, forged))
	b.convicted(t, wire.EvidenceUnsigned)
	b.observed(t, "a new view", func(o core.Observation) bool { _, ok := o.(core.EnteredView); return ok })
	p.serves(t, 3)
	found := 0
	for i, before := range b.bad {
		counted := p.replicas[i].BadFrames().Peers[p.liar] - before
		least := uint64(0)
		if slices.ContainsFunc(p.seen[i].since(b.seen[i]), foundUnsigned) {
			found++
			least = 1
		}
		if counted < least || counted > 1 {
			t.Errorf("replica %d counted %d bad frames, want %d to 1", i, counted, least)
		}
	}
	if found == 0 {
		t.Error("no replica left the view for what it found in the proposal: the row tests nothing")
	}
}

// foundUnsigned tells whether o says that a replica itself saw a proposal of a request that
// nobody signed, in the view of the proposal.
func foundUnsigned(o core.Observation) bool {
	left, ok := o.(core.LeftView)
	return ok && left.Why == "the primary proposed a request that nobody signed"
}
