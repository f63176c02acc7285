package core

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// BenchmarkStep replays what the primary and a backup of four replicas were told
// while they ordered batches: the protocol alone, without signatures, encoding,
// disks and sockets.
func BenchmarkStep(b *testing.B) {
	const batches = 256 // two checkpoints
	for _, requests := range []int{1, 100} {
		s := orderly(b, batches, requests)
		for id, role := range []string{"primary", "backup"} {
			b.Run(fmt.Sprintf("%s/requests=%d", role, requests), func(b *testing.B) {
				b.ReportAllocs()
				m, fx := s.members[id], new(Effects)
				for b.Loop() {
					r, err := New(m.config(), m.boot)
					if err != nil {
						b.Fatal(err)
					}
					executed := 0
					for _, ev := range m.events {
						fx.Reset()
						r.Step(ev, fx)
						executed += len(fx.Execute)
					}
					if executed != batches {
						b.Fatalf("executed %d batches, want %d", executed, batches)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batches), "ns/batch")
				b.ReportMetric(float64(b.N*len(m.events))/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// orderly is a swarm of four in which nothing went wrong: one batch after the
// other, with a request from each of so many clients.
func orderly(b *testing.B, batches, requests int) *swarm {
	b.Helper()
	q, err := NewQuorumWithFaults(4, 1)
	if err != nil {
		b.Fatal(err)
	}
	s := &swarm{
		cfg: DefaultConfig(0, q), domain: crypto.Domain{Cluster: crypto.Sum([]byte("bench"))}, now: 1e18,
		histories: map[wire.Seq]crypto.Digest{},
	}
	signer := func(number uint64) stub {
		one, err := stubs{}.signer(number)
		if err != nil {
			b.Fatal(err)
		}
		return one
	}
	for i := range uint64(4) {
		s.signers = append(s.signers, signer(i))
		s.members = append(s.members, &member{s: s, id: wire.ReplicaID(i)}) //nolint:gosec // four
	}
	for i := range requests {
		s.clients = append(s.clients, signer(uint64(100+i))) //nolint:gosec // not negative
	}
	for _, m := range s.members {
		m.start()
	}
	s.deliverAll()
	for number := wire.Number(1); int(number) <= batches; number++ {
		primary := s.members[0]
		for _, c := range s.clients {
			primary.todo = append(primary.todo, Submitted{wire.Seal(c, s.domain, &wire.Request{
				Client: c.public, Session: 1, Number: number, Acked: number - 1, Ops: [][]byte{make([]byte, 128)},
			})})
		}
		primary.step(TurnEnded{})
		s.deliverAll()
	}
	if s.problem != "" {
		b.Fatal(s.problem)
	}
	return s
}

// deliverAll hands over everything that is under way, in order.
func (s *swarm) deliverAll() {
	for len(s.queue) > 0 {
		p := s.queue[0]
		s.queue = s.queue[1:]
		s.members[p.to].step(Received{From: p.from, Message: p.sealed})
	}
}

// BenchmarkFullShare refuses a large request that finds no room although all small ones
// of its client gave way to it.
func BenchmarkFullShare(b *testing.B) {
	q, err := NewQuorum(4)
	if err != nil {
		b.Fatal(err)
	}
	cfg, p := DefaultConfig(0, q), newPool()
	last := sizedRequest(1, 20, 262_144).Message().(*wire.Request) //nolint:errcheck // made so
	for i := range wire.Number(cfg.QueueRequestsMax - 1) {         //nolint:gosec // positive
		size, number := 262_100, i+1
		if i >= 15 {
			size, number = int(i)%50, 100+i%100 //nolint:gosec // small
		}
		one := sizedRequest(1, number, size)
		req := one.Message().(*wire.Request) //nolint:errcheck // made so
		if p.full(req, &cfg) {
			b.Fatalf("no room for request %d", i)
		}
		p.add(one, req, 0)
	}
	for b.Loop() {
		if !p.full(last, &cfg) {
			b.Fatal("there is room")
		}
	}
}

// BenchmarkServeManyClients takes and removes a batch of 512 where 65,000 clients wait,
// who come again at once.
func BenchmarkServeManyClients(b *testing.B) {
	cfg := &Config{BatchRequestsMax: 512, BatchBytesMax: 1 << 20}
	table, p := newClientTable(10, nil), newPool()
	come := func(client, number uint64) {
		req := &wire.Request{Session: 1, Number: wire.Number(number), Ops: [][]byte{nil}}
		binary.BigEndian.PutUint64(req.Client[:], client)
		p.add(wire.Reseal(req), req, 0)
	}
	for client := range uint64(65_000) {
		come(client, 1)
	}
	b.ReportAllocs()
	for number := uint64(2); b.Loop(); number++ {
		for _, req := range p.take(cfg, &table) {
			p.remove(req.Digest())
			come(binary.BigEndian.Uint64(req.Client[:]), number)
		}
	}
}
