package core

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// stub signs with a keyed hash: nothing in a test forges it without the key.
type stub struct {
	public crypto.PublicKey
	secret [crypto.SeedSize]byte
}

func (s stub) Public() crypto.PublicKey { return s.public }

func (s stub) Sign(message []byte) crypto.Signature {
	h := sha512.New()
	h.Write(s.secret[:])
	h.Write(message)
	return crypto.Signature(h.Sum(nil))
}

// stubs verifies what its members sign.
type stubs map[crypto.PublicKey]stub

func (s stubs) Verify(checks []crypto.Check, ok []bool) bool {
	all := true
	for i, c := range checks {
		signer, known := s[c.Key]
		ok[i] = known && signer.Sign(c.Message) == c.Signature
		all = all && ok[i]
	}
	return all
}

func (s stubs) signer(number uint64) (stub, error) {
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], number+1)
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		return stub{}, err
	}
	one := stub{key.Public(), key.Seed()}
	s[one.public] = one
	return one, nil
}

// swarm is a cluster in one hand: chance delivers, drops, ticks and crashes.
// Every record is durable at once, and every snapshot.
type swarm struct {
	rng     *rand.Rand
	cfg     Config
	domain  crypto.Domain
	opener  *wire.Opener
	signers []stub
	clients []stub
	members []*member
	queue   []packet
	cut     *member // nobody hears it, and it hears nobody
	numbers []wire.Number
	batches []*wire.Batch
	now     wire.Time

	histories map[wire.Seq]crypto.Digest
	lying     bool // more than f may lie: agreement is off
	problem   string
	views     wire.View
	// after, if set, is called after every step.
	after func(m *member, ev Event, fx *Effects)
}

type packet struct {
	from, to wire.ReplicaID
	life     int
	sealed   *wire.Sealed
}

// member is one replica with its disk, and what happened in its present life.
type member struct {
	s        *swarm
	id       wire.ReplicaID
	r        *Replica
	life     int
	journal  []Record
	snapshot Snapshot
	lost     bool
	current  Snapshot
	states   map[wire.ClientID]ClientState
	todo     []Event

	boot   Restored
	events []Event
	told   []Effects
}

func newSwarm(t *rapid.T) *swarm {
	size := rapid.SampledFrom([][2]int{{4, 1}, {4, 1}, {5, 1}, {7, 2}, {1, 0}}).Draw(t, "n, f")
	q, err := NewQuorumWithFaults(size[0], size[1])
	if err != nil {
		t.Fatal(err)
	}
	s := &swarm{
		rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3)), cfg: DefaultConfig(0, q),
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("swarm"))}, now: 1e18, histories: map[wire.Seq]crypto.Digest{},
	}
	s.cfg.Interval, s.cfg.Window, s.cfg.InFlight, s.cfg.BatchRequestsMax = 2, 4, 3, 3
	s.cfg.RequestTicks, s.cfg.StatusTicks, s.cfg.HeartbeatTicks, s.cfg.CatchUpTicks = 10, 3, 20, 3 // no jitter
	s.cfg.PaceTicks, s.cfg.BackoffMax, s.cfg.ClientsMax = 1, 2, 2
	keys := stubs{}
	var public []crypto.PublicKey
	for i := range uint64(size[0]) {
		s.signers = append(s.signers, s.key(t, keys, i))
		public = append(public, s.signers[i].public)
	}
	for i := range uint64(3) {
		s.clients = append(s.clients, s.key(t, keys, 100+i))
	}
	s.numbers = make([]wire.Number, 3)
	lim := wire.DefaultLimits(size[0])
	s.opener = wire.NewOpener(s.domain, public, lim, keys)
	for id := range s.signers {
		m := &member{s: s, id: wire.ReplicaID(id)}
		s.members = append(s.members, m)
		m.start()
	}
	return s
}

func (s *swarm) key(t *rapid.T, keys stubs, number uint64) stub {
	one, err := keys.signer(number)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func (m *member) config() Config {
	cfg := m.s.cfg
	cfg.ID = m.id
	return cfg
}

// start begins a life from the disk.
func (m *member) start() {
	m.life++
	m.boot = Restored{Snapshot: m.snapshot, Records: slices.Clone(m.journal), Rejoin: m.lost, Life: uint64(m.life)}
	m.lost = false
	m.events, m.told, m.todo = nil, nil, nil
	m.current = m.snapshot
	m.states = map[wire.ClientID]ClientState{}
	for _, c := range m.snapshot.Clients {
		m.states[c.Client] = c
	}
	var err error
	if m.r, err = New(m.config(), m.boot); err != nil {
		m.s.problem = err.Error()
		return
	}
	m.step(Start{m.s.now})
}

// step takes one event, and the turn's end.
func (m *member) step(ev Event) {
	m.todo = append(m.todo, ev, TurnEnded{})
	for len(m.todo) > 0 {
		ev := m.todo[0]
		m.todo = m.todo[1:]
		var fx Effects
		m.r.Step(ev, &fx)
		m.events, m.told = append(m.events, ev), append(m.told, fx)
		m.carryOut(&fx)
		if m.s.after != nil {
			m.s.after(m, ev, &fx)
		}
	}
}

func (m *member) carryOut(fx *Effects) {
	s := m.s
	m.journal = append(m.journal, fx.Persist...)
	for _, ex := range fx.Execute {
		m.execute(ex)
	}
	for _, target := range fx.Fetch {
		s.transfer(m, target)
	}
	for _, send := range fx.Send {
		sealed := send.Sealed
		if sealed == nil {
			sealed = wire.Seal(s.signers[m.id], s.domain, send.Message)
		}
		if pp, ok := sealed.Message().(*wire.PrePrepare); ok {
			s.batches = append(s.batches, pp.Batch)
		}
		for id, to := range s.members {
			if send.To == Everyone || int(send.To) == id {
				s.queue = append(s.queue, packet{m.id, to.id, m.life, sealed})
			}
		}
	}
	s.views = max(s.views, m.r.view)
}

func (m *member) execute(ex Execution) {
	s := m.s
	if old, ok := s.histories[ex.Seq]; ok && old != ex.History && !s.lying {
		s.problem = fmt.Sprintf("R%d executes another %d", m.id, ex.Seq)
	}
	if ex.Seq != m.current.Seq+1 {
		s.problem = fmt.Sprintf("R%d executes %d after %d", m.id, ex.Seq, m.current.Seq)
	}
	s.histories[ex.Seq] = ex.History
	m.current = Snapshot{
		Seq: ex.Seq, History: ex.History, Time: ex.Time, Floor: ex.Floor, State: crypto.Sum(ex.History[:]),
	}
	for _, id := range ex.Evicted {
		delete(m.states, id)
	}
	for _, c := range ex.Clients {
		m.states[c.Client] = c
	}
	if ex.Checkpoint {
		m.snapshot = m.current
		m.snapshot.Clients = slices.SortedFunc(maps.Values(m.states), func(a, b ClientState) int {
			return slices.Compare(a.Client[:], b.Client[:])
		})
		m.todo = append(m.todo, Snapshotted{ex.Seq, m.current.State})
	}
}

// transfer installs a state at once, from any member that has it; where nobody
// does, for the certificate is forged, the state is what the certificate says.
func (s *swarm) transfer(m *member, target Target) {
	snapshot := Snapshot{Seq: target.Cert.Seq, State: target.Cert.State, Time: s.now}
	for _, other := range s.members {
		if other.snapshot.Seq == target.Cert.Seq && other.snapshot.State == target.Cert.State {
			snapshot = other.snapshot
		}
	}
	if snapshot.History.IsZero() && !s.lying || s.rng.IntN(4) == 0 {
		m.todo = append(m.todo, TransferFailed{target.Cert.Seq})
		return
	}
	m.snapshot, m.current = snapshot, snapshot
	m.states = map[wire.ClientID]ClientState{}
	for _, c := range snapshot.Clients {
		m.states[c.Client] = c
	}
	m.todo = append(m.todo, Transferred{snapshot})
}

// chance makes one thing happen.
func (s *swarm) chance() {
	m := s.members[s.rng.IntN(len(s.members))]
	switch p := s.rng.IntN(100); {
	case p < 62 && len(s.queue) > 0:
		for range min(len(s.queue), 6) {
			at := s.rng.IntN(min(len(s.queue), 12))
			one := s.queue[at]
			if s.rng.IntN(20) > 0 { // or else it comes again
				s.queue = slices.Delete(s.queue, at, at+1)
			}
			s.deliver(one)
		}
	case p < 66 && len(s.queue) > 0:
		at := s.rng.IntN(len(s.queue))
		if s.queue[at].from != s.queue[at].to {
			s.queue = slices.Delete(s.queue, at, at+1)
		}
	case p < 89:
		s.now += 1e7
		m.step(Tick{s.now})
	case p < 98:
		m.step(Submitted{s.request()})
	case p < 99 && s.rng.IntN(3) > 0: // somebody is cut off, mostly the primary, or nobody any more
		s.cut = nil
		if s.rng.IntN(4) > 0 {
			s.cut = s.members[m.r.primary()]
		}
	case p < 99:
		m.step(Linked{s.members[s.rng.IntN(len(s.members))].id})
	default:
		m.start()
	}
}

func (s *swarm) deliver(one packet) {
	to := s.members[one.to]
	if one.from != one.to && (s.cut == to || s.cut == s.members[one.from]) {
		return
	}
	if one.from != one.to || one.life == to.life {
		to.step(Received{From: one.from, Message: one.sealed})
	}
}

func (s *swarm) request() *wire.Sealed {
	i := s.rng.IntN(len(s.clients))
	number := s.numbers[i] + 1
	if s.rng.IntN(4) > 0 {
		s.numbers[i] = number
	} else if number > 1 {
		number--
	}
	return wire.Seal(s.clients[i], s.domain, &wire.Request{
		Client: s.clients[i].public, Session: wire.Session(i + 1), Number: number,
		Acked: number / 2, Ops: [][]byte{{byte(number)}},
	})
}

// TestReplicasAreDeterministic replays what every replica of a random run was
// told: equal events give equal effects.
func TestReplicasAreDeterministic(t *testing.T) {
	views, stable := wire.View(0), wire.Seq(0)
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		for range rapid.IntRange(300, 1000).Draw(t, "steps") {
			s.chance()
		}
		if s.problem != "" {
			t.Fatal(s.problem)
		}
		for _, m := range s.members {
			r, err := New(m.config(), m.boot)
			if err != nil {
				t.Fatal(err)
			}
			for i, ev := range m.events {
				var fx Effects
				r.Step(ev, &fx)
				sameEffects(t, fmt.Sprintf("R%d, event %d: %T", m.id, i, ev), &m.told[i], &fx)
			}
			stable = max(stable, m.r.low)
		}
		views = max(views, s.views)
	})
	if views == 0 || stable == 0 {
		t.Errorf("the runs came to view %d and checkpoint %d: they test too little", views, stable)
	}
}
