package adversary_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

const (
	startTime wire.Time = 1_700_000_000_000_000_000
	tickTime  wire.Time = 10_000_000

	clientKeys    = 1000    // the number of the first client's key; replicas have those below
	deliveriesMax = 200_000 // a network that is busy for longer never comes to rest
	toldMax       = 25      // observations of one replica that a failure prints
	statusTicks   = 5
)

// packet is one message on its way.
type packet struct {
	from, to wire.ReplicaID
	sealed   *wire.Sealed
}

// host runs one replica and carries out its effects at once. What boot does not
// renew is its disk.
type host struct {
	id      wire.ReplicaID
	replica *core.Replica // nil for a Byzantine one, which the test itself plays

	journal  []core.Record
	snapshot core.Snapshot

	state    core.Snapshot // after the last execution
	clients  map[wire.ClientID]core.ClientState
	executed []core.Execution
	observed []string
}

// lab is a cluster under attack: correct replicas, a network that the test bends,
// and everyone's keys, for what Byzantine replicas sign. When the test ends, it
// checks what holds under any attack: correct replicas agree on every batch, and
// none signs two votes for one place.
type lab struct {
	tb        testing.TB
	quorum    core.Quorum
	domain    crypto.Domain
	scheme    *sim.Scheme
	signers   []crypto.Signer // of the replicas
	opener    *wire.Opener
	byzantine map[wire.ReplicaID]bool
	hosts     []*host
	now       wire.Time

	net  []packet // in flight, the next to be delivered first
	sent []packet // all that correct replicas ever sent

	betrayed  bool               // more than f lie: agreement may break
	configure func(*core.Config) // nil, or changes every replica's configuration
	passes    func(packet) bool  // nil, or tells what the network delivers between replicas
	spy       func(packet)       // nil, or is shown all that correct replicas send, as they do
}

// newLab returns a cluster of n replicas that is not started yet.
func newLab(tb testing.TB, n int, byzantine ...wire.ReplicaID) *lab {
	tb.Helper()
	q, err := core.NewQuorum(n)
	if err != nil {
		tb.Fatal(err)
	}
	l := &lab{
		tb: tb, quorum: q, now: startTime,
		domain:    crypto.Domain{Cluster: crypto.Sum([]byte("lab"))},
		scheme:    sim.NewScheme(),
		byzantine: map[wire.ReplicaID]bool{},
	}
	keys := make([]crypto.PublicKey, n)
	for i := range n {
		l.signers = append(l.signers, l.signer(i))
		keys[i] = l.signers[i].Public()
	}
	l.opener = wire.NewOpener(l.domain, keys, wire.DefaultLimits(n), l.scheme)
	for _, id := range byzantine {
		l.byzantine[id] = true
	}
	tb.Cleanup(l.judge)
	return l
}

// signer returns the signer of a key: of a replica, or from clientKeys up of a
// client.
func (l *lab) signer(number int) crypto.Signer {
	l.tb.Helper()
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(number)+1)
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		l.tb.Fatal(err)
	}
	return l.scheme.Signer(key)
}

// zero returns the certificate of the state that every replica starts from.
func (l *lab) zero() wire.CheckpointCert {
	return wire.CheckpointCert{State: crypto.Sum([]byte("empty"))}
}

func (l *lab) config(id wire.ReplicaID) core.Config {
	c := core.DefaultConfig(id, l.quorum)
	c.Interval, c.Window, c.InFlight = 4, 8, 4
	c.RequestTicks, c.StatusTicks, c.HeartbeatTicks, c.CatchUpTicks = 50, statusTicks, 40, 5
	c.StateZero = l.zero().State
	if l.configure != nil {
		l.configure(&c)
	}
	return c
}

// start boots every replica that is not Byzantine.
func (l *lab) start() {
	l.tb.Helper()
	for i := range l.quorum.Replicas() {
		h := &host{id: wire.ReplicaID(i)}
		l.hosts = append(l.hosts, h)
		if !l.byzantine[h.id] {
			l.boot(h)
		}
	}
}

// boot starts a replica, or starts it again, from what its disk holds.
func (l *lab) boot(h *host) {
	l.tb.Helper()
	h.state = h.snapshot
	h.clients = map[wire.ClientID]core.ClientState{}
	for _, c := range h.snapshot.Clients {
		h.clients[c.Client] = c
	}
	restored := core.Restored{Snapshot: h.snapshot, Records: slices.Clone(h.journal)}
	var err error
	if h.replica, err = core.New(l.config(h.id), restored); err != nil {
		l.tb.Fatal(err)
	}
	l.step(h, core.Start{Now: l.now})
}

// step gives one event to a replica and carries out what follows.
func (l *lab) step(h *host, ev core.Event) {
	l.tb.Helper()
	if h.replica == nil {
		return
	}
	var fx core.Effects
	h.replica.Step(ev, &fx)
	h.replica.Step(core.TurnEnded{}, &fx)
	h.journal = append(h.journal, fx.Persist...)
	for _, o := range fx.Observe {
		h.observed = append(h.observed, core.Describe(o))
	}
	for _, s := range fx.Send {
		l.send(h, s)
	}
	var taken []core.Event
	for _, ex := range fx.Execute {
		h.execute(ex)
		if ex.Checkpoint {
			taken = append(taken, core.Snapshotted{Seq: ex.Seq, State: h.snapshot.State})
		}
	}
	for _, ev := range taken {
		l.step(h, ev)
	}
}

// flood gives one message to a replica so many times in one tick, and returns
// what it asks for without carrying it out.
func (l *lab) flood(h *host, from wire.ReplicaID, sealed *wire.Sealed, times int) *core.Effects {
	fx := &core.Effects{}
	for range times {
		h.replica.Step(core.Received{From: from, Message: sealed}, fx)
	}
	return fx
}

// send takes a message through its encoding: what nobody opens is a defect of
// its sender.
func (l *lab) send(h *host, s core.Send) {
	l.tb.Helper()
	sealed := s.Sealed
	if sealed == nil {
		sealed = wire.Seal(l.signers[h.id], l.domain, s.Message)
	}
	opened, err := l.opener.OpenOne(sealed.Frame())
	if err != nil {
		l.tb.Errorf("R%d sends a %s that nobody opens: %v", h.id, sealed.Message().Kind(), err)
		return
	}
	for _, to := range l.hosts {
		if s.To != core.Everyone && s.To != to.id {
			continue
		}
		p := packet{h.id, to.id, opened}
		l.sent, l.net = append(l.sent, p), append(l.net, p)
		if l.spy != nil {
			l.spy(p)
		}
	}
}

// execute is the application: its state is the history of its batches. A
// snapshot is durable at once.
func (h *host) execute(ex core.Execution) {
	h.executed = append(h.executed, ex)
	h.state.Seq, h.state.History, h.state.Time = ex.Seq, ex.History, ex.Time
	for _, c := range ex.Clients {
		h.clients[c.Client] = c
	}
	if !ex.Checkpoint {
		return
	}
	h.state.State = crypto.Sum([]byte("state"), ex.History[:])
	h.state.Clients = slices.SortedFunc(maps.Values(h.clients), func(a, b core.ClientState) int {
		return bytes.Compare(a.Client[:], b.Client[:])
	})
	h.snapshot = h.state
}

// deliver takes the next packet off the network.
func (l *lab) deliver() {
	l.tb.Helper()
	p := l.net[0]
	l.net = l.net[1:]
	if p.from == p.to || l.passes == nil || l.passes(p) {
		l.step(l.hosts[p.to], core.Received{From: p.from, Message: p.sealed})
	}
}

// run delivers until nothing is in flight.
func (l *lab) run() {
	l.tb.Helper()
	for i := 0; len(l.net) > 0; i++ {
		if i == deliveriesMax {
			l.tb.Fatalf("%d packets were delivered, and the network is busy still", i)
		}
		l.deliver()
	}
}

// wait lets one tick pass at every replica, and what follows happen.
func (l *lab) wait() {
	l.tb.Helper()
	l.now += tickTime
	for _, h := range l.hosts {
		l.step(h, core.Tick{Now: l.now})
	}
	l.run()
}

// submit hands a request to replicas as its client does.
func (l *lab) submit(request *wire.Sealed, to ...*host) {
	l.tb.Helper()
	for _, h := range to {
		l.step(h, core.Submitted{Request: request})
	}
}

// judge checks the laws that hold under any attack, and tells of a failed test
// where every replica stands.
func (l *lab) judge() {
	if !l.betrayed {
		l.checkAgreement()
	}
	l.checkVotes()
	if !l.tb.Failed() {
		return
	}
	for _, h := range l.hosts {
		if r := h.replica; r != nil {
			l.tb.Logf("R%d is in view %d (active %v), executed %d, stable %d; it last told:",
				h.id, r.View(), r.Active(), r.Executed(), r.Stable().Seq)
			for _, line := range h.observed[max(0, len(h.observed)-toldMax):] {
				l.tb.Logf("   %s", line)
			}
		}
	}
}

// checkAgreement reports two batches that correct replicas executed as one
// number.
func (l *lab) checkAgreement() {
	l.tb.Helper()
	at := map[wire.Seq]crypto.Digest{}
	for _, h := range l.hosts {
		for _, ex := range h.executed {
			if old, known := at[ex.Seq]; known && old != ex.Digest {
				l.tb.Errorf("R%d executed %s as number %d, another %s", h.id, ex.Digest.Short(), ex.Seq, old.Short())
			}
			at[ex.Seq] = ex.Digest
		}
	}
}

// checkVotes reports two votes of one correct replica for one place.
func (l *lab) checkVotes() {
	l.tb.Helper()
	type place struct {
		kind wire.Kind
		vote wire.Vote // without digest and signature
	}
	at := map[place]crypto.Digest{}
	for _, p := range l.sent {
		v, ok := voteOf(p.sealed.Message())
		if !ok {
			continue
		}
		here := place{p.sealed.Message().Kind(), wire.Vote{View: v.View, Seq: v.Seq, Sender: v.Sender}}
		if old, known := at[here]; known && old != v.Digest && !l.byzantine[v.Sender] {
			l.tb.Errorf("R%d signed two %ss of view %d and number %d: for %s and %s",
				v.Sender, here.kind, v.View, v.Seq, old.Short(), v.Digest.Short())
		}
		at[here] = v.Digest
	}
}
