package node

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/pbft/wire"
)

// portQueue is how many frames wait on one link.
const portQueue = 1 << 12

// hub joins the transports of a cluster. A tamper hook sees every frame.
type hub struct {
	ports []*port
	mu    struct {
		sync.Mutex
		tamper func(from, to wire.ReplicaID, frame []byte) [][]byte
	}
}

// port is one replica's Transport.
type port struct {
	hub     *hub
	id      wire.ReplicaID
	in      []chan []byte // by sender
	clients chan clientFrame
	// answered, if set, takes what clients are answered instead.
	answered func(conn uint64, frame []byte)
	mu       struct {
		sync.Mutex
		sent    int
		answers map[uint64][][]byte
		closed  map[uint64]bool
	}
}

type clientFrame struct {
	conn  uint64
	frame []byte
}

func newHub(n int) *hub {
	h := &hub{}
	for i := range n {
		p := &port{hub: h, id: wire.ReplicaID(i), clients: make(chan clientFrame, portQueue)}
		p.mu.answers, p.mu.closed = map[uint64][][]byte{}, map[uint64]bool{}
		for range n {
			p.in = append(p.in, make(chan []byte, portQueue))
		}
		h.ports = append(h.ports, p)
	}
	return h
}

// tamper sets what becomes of every frame; nil means it arrives.
func (h *hub) tamper(f func(from, to wire.ReplicaID, frame []byte) [][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.tamper = f
}

func (p *port) Send(to wire.ReplicaID, frame []byte) bool {
	p.mu.Lock()
	p.mu.sent++
	p.mu.Unlock()
	p.hub.mu.Lock()
	tamper := p.hub.mu.tamper
	p.hub.mu.Unlock()
	all := [][]byte{frame}
	if tamper != nil {
		all = tamper(p.id, to, frame)
	}
	for _, f := range all {
		select {
		case p.hub.ports[to].in[p.id] <- slices.Clone(f):
		default:
			return false
		}
	}
	return true
}

func (p *port) Answer(conn uint64, frame []byte) bool {
	if p.answered != nil {
		p.answered(conn, frame)
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed[conn] {
		return false
	}
	p.mu.sent++
	p.mu.answers[conn] = append(p.mu.answers[conn], frame)
	return true
}

// answers takes what conn was answered.
func (p *port) answers(conn uint64) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.mu.answers[conn]
	delete(p.mu.answers, conn)
	return a
}

func (p *port) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.sent
}

func (p *port) Run(ctx context.Context, in Inbound) error {
	g, ctx := errgroup.WithContext(ctx)
	for from, c := range p.in {
		if wire.ReplicaID(from) == p.id {
			continue
		}
		in.Link(wire.ReplicaID(from), true)
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case frame := <-c:
					in.Peer(wire.ReplicaID(from), frame)
				}
			}
		})
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case f := <-p.clients:
				in.Client(f.conn, f.frame)
			}
		}
	})
	return g.Wait()
}
