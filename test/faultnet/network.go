package faultnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// Network is the transport of a replica whose network does as it is told, on the
// transport that the replica had. It is for one Run. Any goroutine may call its
// methods.
type Network struct {
	path     string
	text     string         // that was read last there
	under    node.Transport // these three are set by Interpose
	limits   wire.Limits
	replicas int
	out, in  *pipe
	ended    chan struct{} // closed when it is over

	mu struct {
		sync.Mutex

		orders   Orders
		problem  string // why later orders are not in force
		counts   map[Flow]*Count
		free     map[*Rule]time.Time      // when a slow link will have sent what it has
		streams  map[stream]chan struct{} // held by the one that delivers frames
		revision uint64                   // changes with what Seen returns
	}
}

// stream is where frames come from one after the other.
type stream struct {
	client bool
	id     uint64
	class  wire.Class
}

// Open returns a Network that obeys the orders at path, as they are now and
// whenever they change. The error says what is wrong with them.
func Open(path string) (*Network, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrders, err)
	}
	orders, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n := &Network{path: path, text: string(text), out: newPipe(), in: newPipe(), ended: make(chan struct{})}
	n.mu.counts, n.mu.streams = map[Flow]*Count{}, map[stream]chan struct{}{}
	n.obey(orders)
	return n, nil
}

// Interpose sets the transport of cfg below n, and returns n: for pbft.Config,
// whose Start calls it.
func (n *Network) Interpose(cfg node.Config) node.Transport {
	n.under, n.limits, n.replicas = cfg.Transport, cfg.Limits, cfg.Core.Quorum.Replicas()
	return n
}

// Now is the wall clock as the orders have it: for pbft.Config.
func (n *Network) Now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(time.Duration(n.mu.orders.Clock))
}

// Seen returns what n tells of itself.
func (n *Network) Seen() Seen {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Seen{Number: n.mu.orders.Number, Error: n.mu.problem, Counts: sorted(n.mu.counts)}
}

// obey puts orders in force. What waits goes on as it was.
func (n *Network) obey(o Orders) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.orders, n.mu.problem, n.mu.free = o, "", map[*Rule]time.Time{}
	n.mu.revision++
}

// refuse tells why orders are not in force.
func (n *Network) refuse(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.problem = why.Error()
	n.mu.revision++
}

// begin refuses the orders that n has if they are not for this cluster.
func (n *Network) begin() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known(n.mu.orders)
}

// known refuses orders about replicas that there are not.
func (n *Network) known(o Orders) error {
	for _, r := range slices.Concat(o.Send, o.Hear) {
		for _, p := range r.Peers {
			if int(p) >= n.replicas {
				return fmt.Errorf("%w: there is no %s: the last of %d replicas is R%d", ErrOrders, p, n.replicas, n.replicas-1)
			}
		}
	}
	return nil
}

// Run serves until ctx is done, and follows the orders. What is under way then is
// lost.
func (n *Network) Run(ctx context.Context, in node.Inbound) error {
	if err := n.begin(); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var told error
	running.Go(func() { n.out.run(serving) })
	running.Go(func() { n.in.run(serving) })
	running.Go(func() {
		<-serving.Done()
		close(n.ended)
	})
	running.Go(func() { told = n.follow(serving) })
	err := n.under.Run(ctx, n.wrap(in))
	stop()
	running.Wait()
	return errors.Join(err, told)
}

// wrap returns what the transport below calls.
func (n *Network) wrap(in node.Inbound) node.Inbound {
	wrapped := in
	if in.Peer != nil {
		wrapped.Peer = func(from wire.ReplicaID, frame []byte) {
			s := stream{id: uint64(from), class: classOf(frame)}
			n.hear(Peer(from), s, frame, func(frame []byte) { in.Peer(from, frame) })
		}
	}
	if in.Client != nil {
		wrapped.Client = func(conn uint64, frame []byte) {
			s := stream{client: true, id: conn}
			n.hear(Clients, s, frame, func(frame []byte) { in.Client(conn, frame) })
		}
	}
	wrapped.ClientGone = func(conn uint64) {
		n.mu.Lock()
		delete(n.mu.streams, stream{client: true, id: conn})
		n.mu.Unlock()
		if in.ClientGone != nil {
			in.ClientGone(conn)
		}
	}
	return wrapped
}

func kindOf(frame []byte) Kind {
	if len(frame) < 2 {
		return 0
	}
	return Kind(frame[1])
}

func classOf(frame []byte) wire.Class { return wire.Kind(kindOf(frame)).Class() }

// hear passes on a frame of a stream. Those of one stream are delivered one after
// the other, also if some of them waited.
func (n *Network) hear(from Peer, s stream, frame []byte, deliver func([]byte)) {
	n.mu.Lock()
	turn := n.mu.streams[s]
	if turn == nil {
		turn = make(chan struct{}, 1)
		n.mu.streams[s] = turn
	}
	n.mu.Unlock()
	n.pass(n.in, Flow{Heard: true, Peer: from, Kind: kindOf(frame)}, frame, func(frame []byte) bool {
		if s.client && !n.open(s) {
			return false // its connection ended while the frame was under way
		}
		turn <- struct{}{}
		defer func() { <-turn }()
		deliver(frame)
		return true
	})
}

// open tells whether the connection of a stream has not ended.
func (n *Network) open(s stream) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.streams[s] != nil
}

// Send queues frame, or what becomes of it, for peer to. Who sends cannot tell
// whether a frame was lost.
func (n *Network) Send(to wire.ReplicaID, frame []byte) bool {
	flow := Flow{Peer: Peer(to), Kind: kindOf(frame)}
	return n.pass(n.out, flow, frame, func(frame []byte) bool { return n.under.Send(to, frame) })
}

// Answer queues frame, or what becomes of it, for a client.
func (n *Network) Answer(conn uint64, frame []byte) bool {
	flow := Flow{Peer: Clients, Kind: kindOf(frame)}
	return n.pass(n.out, flow, frame, func(frame []byte) bool { return n.under.Answer(conn, frame) })
}

// pass does to a frame what the orders say. It returns false if deliver did, for
// what does not wait.
func (n *Network) pass(p *pipe, flow Flow, frame []byte, deliver func([]byte) bool) bool {
	nth, copies := n.fate(flow, frame)
	arrive := func(frame []byte) bool {
		n.arrived(flow, nth)
		return deliver(frame)
	}
	ok := true
	for _, c := range copies {
		switch {
		case !c.held.IsZero() && !n.hold(c.held):
			return false
		case c.due.IsZero():
			ok = arrive(c.frame) && ok
		case !p.put(c.due, len(c.frame), func() { arrive(c.frame) }):
			n.overflowed(flow)
		}
	}
	return ok
}

// hold waits until a time, and returns false if all is over before.
func (n *Network) hold(until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.ended:
		return false
	}
}

// arrived notes that the nth frame of a flow is delivered.
func (n *Network) arrived(flow Flow, nth uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.mu.counts[flow]
	if nth < c.last {
		c.Reordered++
		n.mu.revision++
	}
	c.last = max(c.last, nth)
}

func (n *Network) overflowed(flow Flow) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.counts[flow].Overflowed++
	n.mu.revision++
}
