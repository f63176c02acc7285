package core

import (
	"crypto/sha512"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// track is a cluster in lockstep: in every tick, what is due arrives, clients ask
// on, and every replica ticks. Figures in it are ticks.
type track struct {
	t        *testing.T
	rng      *rand.Rand
	cfg      Config
	tick     int
	runners  []*runner
	due      map[int][]parcel
	askers   []*asker
	executed map[wire.ClientID]map[wire.Number]int // by so many replicas
	left     []string                              // why primaries were suspected, and views left
	leaves   int                                   // so often
	rejoins  []Observation                         // what replicas say of rejoining

	// delay returns when a message arrives; negative means never.
	delay func(from, to wire.ReplicaID, m wire.Message) int
	// writing returns how many ticks a replica takes to write a checkpoint; nil is none.
	writing func() int
	// tamper, if set, is called for a replica before it ends its turn.
	tamper func(r *Replica)
}

type runner struct {
	r       *Replica
	state   crypto.Digest
	written map[int][]Event // snapshots, by the tick in which they are on disk
}

type parcel struct {
	from, to wire.ReplicaID
	sealed   *wire.Sealed
	client   bool
}

// asker is a client with so many operations outstanding.
type asker struct {
	id          wire.ClientID
	outstanding int
	pause       int // between operations
	to          []wire.ReplicaID
	size        int
	next        wire.Number
	idle        int // ticks left to pause
	open        []wire.Number
	asked       map[wire.Number]int
	answered    int
	slowest     int
}

type tallySigner struct{ id byte }

func (s tallySigner) Public() crypto.PublicKey { return crypto.PublicKey{s.id + 1} }

func (s tallySigner) Sign(message []byte) crypto.Signature {
	sum := sha512.Sum512(append([]byte{s.id}, message...))
	return crypto.Signature(sum)
}

// newTrack returns a cluster of four with messages that take a tick.
func newTrack(t *testing.T, change func(*Config)) *track {
	t.Helper()
	return newTrackOf(t, 4, change)
}

// newTrackOf returns a cluster of n.
func newTrackOf(t *testing.T, n int, change func(*Config)) *track {
	t.Helper()
	q, err := NewQuorum(n)
	if err != nil {
		t.Fatal(err)
	}
	k := &track{
		t: t, rng: rand.New(rand.NewPCG(7, 7)), due: map[int][]parcel{},
		executed: map[wire.ClientID]map[wire.Number]int{}, cfg: DefaultConfig(0, q),
		delay: func(wire.ReplicaID, wire.ReplicaID, wire.Message) int { return 1 },
	}
	k.cfg.Interval, k.cfg.Window = 16, 32
	if change != nil {
		change(&k.cfg)
	}
	for id := range wire.ReplicaID(n) { //nolint:gosec // few
		cfg := k.cfg
		cfg.ID = id
		r, err := New(cfg, Restored{})
		if err != nil {
			t.Fatal(err)
		}
		k.runners = append(k.runners, &runner{r: r, written: map[int][]Event{}})
		k.step(id, Start{k.now()})
	}
	return k
}

func (k *track) now() wire.Time { return 1e18 + wire.Time(k.tick)*1e7 }

// ask adds clients that ask all replicas, or only those of to.
func (k *track) ask(clients, outstanding int, to ...wire.ReplicaID) []*asker {
	if len(to) == 0 {
		to = k.from(0)
	}
	for range clients {
		k.askers = append(k.askers, &asker{
			id: wire.ClientID{byte(len(k.askers)), byte(len(k.askers) >> 8), 1}, outstanding: outstanding, to: to,
			size: 10, asked: map[wire.Number]int{},
		})
	}
	return k.askers[len(k.askers)-clients:]
}

// from returns the replicas from that one on.
func (k *track) from(first int) (ids []wire.ReplicaID) {
	for id := first; id < k.cfg.Quorum.Replicas(); id++ {
		ids = append(ids, wire.ReplicaID(id)) //nolint:gosec // few
	}
	return ids
}

// say has a replica send what it does not say by itself, which arrives in the next tick.
func (k *track) say(from wire.ReplicaID, m wire.Message, to ...wire.ReplicaID) {
	sealed := wire.Seal(tallySigner{byte(from)}, crypto.Domain{}, m)
	for _, to := range to {
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{from: from, to: to, sealed: sealed})
	}
}

// run lets ticks pass and returns how many operations were answered meanwhile.
func (k *track) run(ticks int) int { return k.runIn(1, ticks) }

// runIn does so in finer steps, so many to a tick of the replicas, which all tick at another
// time: what figures of tracks count are these steps then.
func (k *track) runIn(fine, steps int) int {
	before := k.answered()
	for range steps {
		k.tick++
		for _, p := range k.due[k.tick] {
			if p.client {
				k.step(p.to, Submitted{p.sealed})
			} else {
				k.step(p.to, Received{From: p.from, Message: p.sealed})
			}
		}
		delete(k.due, k.tick)
		for _, a := range k.askers {
			k.proceed(a)
		}
		for id, one := range k.runners {
			id := wire.ReplicaID(id) //nolint:gosec // few
			for _, done := range one.written[k.tick] {
				k.step(id, done)
			}
			delete(one.written, k.tick)
			if (k.tick+int(id))%fine == 0 {
				k.step(id, Tick{k.now()})
			}
		}
	}
	return k.answered() - before
}

func (k *track) answered() int {
	n := 0
	for _, a := range k.askers {
		n += a.answered
	}
	return n
}

// proceed takes a client's answers and asks on.
func (k *track) proceed(a *asker) {
	a.open = slices.DeleteFunc(a.open, func(n wire.Number) bool {
		waited := k.tick - a.asked[n]
		a.slowest = max(a.slowest, waited)
		if k.executed[a.id][n] <= k.cfg.Quorum.Faults() {
			return false
		}
		a.answered++
		a.idle = a.pause
		return true
	})
	if a.idle > 0 {
		a.idle--
		return
	}
	for len(a.open) < a.outstanding {
		a.next++
		a.open = append(a.open, a.next)
		a.asked[a.next] = k.tick
		acked := wire.Number(0)
		if len(a.open) > 0 {
			acked = a.open[0] - 1
		}
		sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: a.id, Session: 1, Number: a.next, Acked: acked, Ops: [][]byte{make([]byte, a.size)},
		})
		for _, to := range a.to {
			k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: sealed, client: true})
		}
	}
}

// step gives a replica an event, ends its turn, and carries out what follows.
func (k *track) step(id wire.ReplicaID, ev Event) {
	one := k.runners[id]
	todo := []Event{ev, TurnEnded{}}
	for len(todo) > 0 {
		if k.tamper != nil {
			k.tamper(one.r)
		}
		var fx Effects
		one.r.Step(todo[0], &fx)
		todo = todo[1:]
		for _, ex := range fx.Execute {
			one.state = ex.History
			k.count(ex.Orders)
			switch done := (Snapshotted{ex.Seq, ex.History}); {
			case !ex.Checkpoint:
			case k.writing == nil:
				todo = append(todo, done)
			default:
				at := k.tick + max(1, k.writing())
				one.written[at] = append(one.written[at], done)
			}
		}
		for _, o := range fx.Observe {
			k.observe(o)
		}
		for _, send := range fx.Send {
			k.send(id, send)
		}
	}
}

func (k *track) observe(o Observation) {
	if s, ok := o.(Suspected); ok { // who is right to suspect nobody may not do so alone either
		k.leaves++
		k.left = append(k.left, "suspected: "+s.Why)
	}
	if left, ok := o.(LeftView); ok {
		k.leaves++
		k.left = append(k.left, left.Why)
	}
	_, awaits := o.(AwaitsView)
	if _, rejoined := o.(Rejoined); awaits || rejoined {
		k.rejoins = append(k.rejoins, o)
	}
}

func (k *track) count(orders []Order) {
	for _, o := range orders {
		if !o.Run {
			continue
		}
		if k.executed[o.Request.Client] == nil {
			k.executed[o.Request.Client] = map[wire.Number]int{}
		}
		k.executed[o.Request.Client][o.Number()]++
	}
}

func (k *track) send(from wire.ReplicaID, send Send) {
	sealed := send.Sealed
	if sealed == nil {
		sealed = wire.Seal(tallySigner{byte(from)}, crypto.Domain{}, send.Message)
	}
	for _, to := range k.from(0) {
		if send.To != Everyone && send.To != to {
			continue
		}
		in := 1
		if to != from {
			in = k.delay(from, to, sealed.Message())
		}
		if in >= 0 {
			k.due[k.tick+max(in, 1)] = append(k.due[k.tick+max(in, 1)], parcel{from: from, to: to, sealed: sealed})
		}
	}
}

// view returns the highest view.
func (k *track) view() wire.View {
	top := wire.View(0)
	for _, one := range k.runners {
		top = max(top, one.r.view)
	}
	return top
}
