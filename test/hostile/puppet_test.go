package hostile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// puppet is the liar: a member with its own key, on a transport that works, that
// says what it is told to say.
type puppet struct {
	*cluster
	transport *network.Transport
	key       crypto.PrivateKey
	alive     atomic.Bool // answers a Status with its heartbeat
	heard     struct {
		sync.Mutex
		frames [][]byte
	}
}

// puppet starts the liar, and waits until all that run have a link to it.
func (c *cluster) puppet(t *testing.T) *puppet {
	t.Helper()
	p := &puppet{cluster: c, key: c.keys[c.liar]}
	var members []network.Member
	for _, m := range c.genesis.Members {
		members = append(members, network.Member{Key: m.Key, Addrs: m.Addrs})
	}
	transport, err := network.New(network.Config{
		Self: c.liar, Key: p.key, Cluster: c.genesis.Hash(), Epoch: c.genesis.Epoch, Members: members,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.transport = transport
	links := make(chan wire.ReplicaID, 64)
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		err := transport.Run(ctx, network.Inbound{Peer: p.hear, Link: func(peer wire.ReplicaID, up bool) {
			if up {
				links <- peer
			}
		}})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	for range c.running() {
		select {
		case <-links:
		case <-t.Context().Done():
			t.Fatal("no link")
		}
	}
	return p
}

// hear keeps what the others say to the liar.
func (p *puppet) hear(from wire.ReplicaID, frame []byte) {
	if p.alive.Load() && wire.Kind(frame[1]) == wire.KindStatus {
		p.transport.Send(from, p.heartbeat()) // or the next one is answered
	}
	p.heard.Lock()
	defer p.heard.Unlock()
	p.heard.frames = append(p.heard.frames, frame)
}

// of returns the frames of a kind that were heard.
func (p *puppet) of(kind wire.Kind) [][]byte {
	p.heard.Lock()
	defer p.heard.Unlock()
	var out [][]byte
	for _, f := range p.heard.frames {
		if wire.Kind(f[1]) == kind {
			out = append(out, f)
		}
	}
	return out
}

// sign returns the frame of a message with the liar's signature.
func (p *puppet) sign(m wire.Message) []byte { return wire.Seal(p.key, p.genesis.Domain(), m).Frame() }

// vote returns a vote of the liar for what nobody proposed. It is always the same
// for a place, or it would be the proof of a lie, which some rows are about.
func (p *puppet) vote(view wire.View, seq wire.Seq) wire.Vote {
	return p.voteFor(view, seq, "nothing")
}

// voteFor is vote for something else.
func (p *puppet) voteFor(view wire.View, seq wire.Seq, what string) wire.Vote {
	return wire.Vote{View: view, Seq: seq, Digest: crypto.Sum([]byte(what)), Sender: p.liar}
}

// sends sends frames to all that run.
func (p *puppet) sends(t *testing.T, frames ...[]byte) {
	t.Helper()
	for _, i := range p.running() {
		p.sendsTo(t, i, frames...)
	}
}

// sendsTo sends frames to replica i. What its queue has no room for is tried
// again.
func (p *puppet) sendsTo(t *testing.T, i int, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if !p.transport.Send(wire.ReplicaID(i), f) {
			await(t, "room in the liar's own queue", func() bool { return p.transport.Send(wire.ReplicaID(i), f) })
		}
	}
}

// spreads sends each frame to one replica, in turn.
func (p *puppet) spreads(t *testing.T, frames [][]byte) {
	t.Helper()
	run := p.running()
	for n, f := range frames {
		p.sendsTo(t, run[n%len(run)], f)
	}
}

// book is what the replicas had noticed of the liar at some moment.
type book struct {
	*cluster
	bad  map[int]uint64
	seen map[int]int
}

// book opens it.
func (c *cluster) book() *book {
	b := &book{c, map[int]uint64{}, map[int]int{}}
	for _, i := range c.running() {
		b.bad[i] = c.replicas[i].BadFrames().Peers[c.liar]
		b.seen[i] = c.seen[i].count()
	}
	return b
}

// scored waits until every replica has counted n more bad frames of the liar, and
// no more.
func (b *book) scored(t *testing.T, n int) {
	t.Helper()
	for i, before := range b.bad {
		b.scoredAt(t, i, int(before), n) //nolint:gosec // few
	}
}

// scoredInAll waits until all replicas together have counted n more bad frames.
func (b *book) scoredInAll(t *testing.T, n int) {
	t.Helper()
	have := func() int {
		sum := 0
		for i, before := range b.bad {
			sum += int(b.replicas[i].BadFrames().Peers[b.liar] - before) //nolint:gosec // few
		}
		return sum
	}
	await(t, "bad frames of the liar are counted", func() bool { return have() >= n })
	if got := have(); got != n {
		t.Errorf("%d bad frames were counted, want %d", got, n)
	}
}

func (b *book) scoredAt(t *testing.T, i, before, n int) {
	t.Helper()
	have := func() int { return int(b.replicas[i].BadFrames().Peers[b.liar]) - before } //nolint:gosec // few
	await(t, "bad frames of the liar are counted", func() bool { return have() >= n })
	if got := have(); got != n {
		t.Errorf("replica %d counted %d bad frames, want %d", i, got, n)
	}
}

// refused waits until every replica has refused a message of kind, of the liar,
// for a reason that contains why.
func (b *book) refused(t *testing.T, kind wire.Kind, why string) {
	t.Helper()
	b.observed(t, kind.String()+" refused: "+why, func(o core.Observation) bool {
		r, ok := o.(core.Refused)
		return ok && r.Kind == kind && r.From == b.liar && strings.Contains(r.Why, why)
	})
}

// convicted waits until every replica has proof of a lie of the liar.
func (b *book) convicted(t *testing.T, proof wire.EvidenceKind) {
	t.Helper()
	b.observed(t, "proof of "+proof.String(), func(o core.Observation) bool {
		m, ok := o.(core.Misbehaved)
		return ok && m.Evidence != nil && m.Evidence.Culprit == b.liar && m.Evidence.Proof == proof
	})
}

// observed waits until every replica has observed something.
func (b *book) observed(t *testing.T, what string, fits func(core.Observation) bool) {
	t.Helper()
	for i, from := range b.seen {
		await(t, fmt.Sprintf("replica %d observes %s", i, what), func() bool {
			return slices.ContainsFunc(b.cluster.seen[i].since(from), fits)
		})
	}
}

// none checks that no replica has observed something.
func (b *book) none(t *testing.T, what string, fits func(core.Observation) bool) {
	t.Helper()
	for i, from := range b.seen {
		if all := b.cluster.seen[i].since(from); slices.ContainsFunc(all, fits) {
			t.Errorf("replica %d observed %s: %+v", i, what, all)
		}
	}
}

// changes tells whether o says that a view was left or entered, or is about to be.
func changes(o core.Observation) bool {
	_, suspected := o.(core.Suspected)
	_, left := o.(core.LeftView)
	_, entered := o.(core.EnteredView)
	return suspected || left || entered
}

// fence waits until all that the liar has sent as votes is behind the replicas:
// it sends what each is known to refuse, after it.
func (p *puppet) fence(t *testing.T) {
	t.Helper()
	b := p.book()
	last := p.sign(&wire.Checkpoint{Seq: 1<<40 + 1, Sender: p.liar})
	p.sends(t, last)
	b.refused(t, wire.KindCheckpoint, "multiple")
}
