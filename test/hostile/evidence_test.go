package hostile

import (
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func evidenceRows() []row {
	return []row{{
		61, "evidence without end", "true evidence against the liar itself, with as many requests as a batch may have " +
			"and all signatures bad, again and again; and once with many more requests",
		"the first is proof of the lie; the rest is not looked at, and counted; the long one is dropped, counted",
		evidenceWithoutEnd, false,
	}}
}

// unsigned returns the frame of evidence that the liar proposed requests that nobody
// signed, in the first view that it leads.
func (p *puppet) unsigned(t *testing.T, requests int) []byte {
	t.Helper()
	client := newKey(t).Public()
	batch := &wire.Batch{Time: 1}
	for i := range requests {
		batch.Requests = append(batch.Requests, &wire.Request{
			Client: client, Session: 1, Number: wire.Number(i + 1), Ops: [][]byte{nil}, //nolint:gosec // small
		})
	}
	vote := wire.Vote{View: wire.View(p.liar), Seq: 1, Digest: batch.Digest(), Sender: p.liar}
	proposal, _ := wire.Seal(p.key, p.genesis.Domain(), &wire.PrePrepare{Vote: vote, Batch: batch}).Message().(*wire.PrePrepare)
	named := []wire.ViewChangeRef{{Sender: 0}}
	opened, _ := wire.Seal(p.key, p.genesis.Domain(),
		&wire.NewView{View: vote.View, ViewChanges: named, Sender: p.liar}).Message().(*wire.NewView)
	// A vote's body is what the signature of a pre-prepare covers.
	said := func(k wire.Kind, m wire.Message, s crypto.Signature) wire.Statement {
		frame := wire.Encode(m)
		return wire.Statement{Kind: k, Body: frame[2 : len(frame)-len(s)], Signature: s}
	}
	return wire.Encode(&wire.Evidence{
		Proof: wire.EvidenceUnsigned, Culprit: p.liar,
		First:    said(wire.KindPrePrepare, &wire.Commit{Vote: vote}, proposal.Signature),
		Second:   said(wire.KindNewView, opened, opened.Signature),
		Attached: [][]byte{wire.Encode(&wire.BatchBody{Batch: batch})[2:]},
	})
}

// evidenceWithoutEnd has the liar accuse itself as fast as its queues take it. To verify
// each time what is in that would leave the replicas time for an operation in a second; a
// client that is alone has hundreds.
func evidenceWithoutEnd(t *testing.T, _ *siege) {
	t.Helper()
	const operations, slower = 200, 20
	c := newCluster(t, options{liar: 3, timeout: calmTimeout})
	c.startHonest(t)
	p := c.puppet(t)
	c.serves(t, operations)
	began := time.Now()
	c.serves(t, operations)
	calm := time.Since(began)

	b := c.book()
	p.sends(t, p.unsigned(t, 10*c.genesis.Limits.BatchRequests))
	b.scored(t, 1)
	legal := p.unsigned(t, c.genesis.Limits.BatchRequests)
	p.sends(t, legal)
	b.convicted(t, wire.EvidenceUnsigned)

	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() { p.floods(legal, stop) })
	defer flood.Wait()
	defer close(stop)
	began = time.Now()
	for i := range operations {
		c.serves(t, 1)
		if took := time.Since(began); took > slower*calm {
			t.Fatalf("%d operations took %v while evidence came, and %d took %v before", i+1, took, operations, calm)
		}
	}
	for i := range b.bad {
		await(t, "evidence that tells nothing new is counted", func() bool {
			return c.replicas[i].BadFrames().Peers[c.liar] > b.bad[i]+1
		})
	}
	b.none(t, "another view", changes)
}

// floods sends a frame to all that run, as often as there is room for it.
func (p *puppet) floods(frame []byte, stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, i := range p.running() {
			for p.transport.Send(wire.ReplicaID(i), frame) {
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}
