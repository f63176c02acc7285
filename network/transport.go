package network

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

var (
	errRunTwice = errors.New("network: Run was called already, or Close; make a new Transport")
	errRunning  = errors.New("network: addresses cannot change once Run was called")
)

// Transport connects one replica with the others and with clients. Its methods
// may be called by many goroutines at once.
type Transport struct {
	cfg    Config
	host   host.Host
	own    *assembly // nil if the host is an embedder's
	door   *door     // nil, too
	roster *roster
	faults *ledger
	queues [][wire.Classes]*outbox.Queue // by member; none for self
	slots  [][wire.Classes]*slot
	served *served

	mu struct {
		sync.Mutex
		started bool
		closed  bool
	}
	handlers gate
}

// New makes a Transport and binds its listening sockets, so that Addrs has their
// ports. Whoever does not call Run must call Close.
func New(cfg Config) (*Transport, error) {
	cfg.setDefaults()
	t, err := newTransport(cfg)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return t, nil
}

func newTransport(cfg Config) (*Transport, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	roster, err := newRoster(cfg.Members)
	if err != nil {
		return nil, err
	}
	t := &Transport{cfg: cfg, roster: roster, faults: newLedger()}
	t.queues = make([][wire.Classes]*outbox.Queue, len(cfg.Members))
	t.slots = make([][wire.Classes]*slot, len(cfg.Members))
	for i := range cfg.Members {
		for class := range wire.Class(wire.Classes) {
			t.queues[i][class] = outbox.New(queueLimits(class, cfg.FrameBytesMax))
			t.slots[i][class] = newSlot()
		}
	}
	if cfg.Host != nil {
		if self := roster.members[cfg.Self].peer; cfg.Host.ID() != self {
			return nil, fmt.Errorf("the host is %s, and this replica's key makes it %s: give the host the replica's key",
				cfg.Host.ID(), self)
		}
		t.host, t.served = cfg.Host, newServed(cfg.ClientsMax, cfg.ClientsMax) // addresses are its gater's business
		return t, nil
	}
	t.served = newServed(cfg.ClientsMax, cfg.ClientsPerIPMax)
	return t, t.assemble()
}

func (t *Transport) assemble() error {
	d := newDoor(t.roster, t.faults, doorLimits{
		halfOpen:      halfOpenMax,
		halfOpenPerIP: halfOpenPerIPMax,
		clients:       t.cfg.ClientsMax,
		clientsPerIP:  t.cfg.ClientsPerIPMax,
		handshake:     t.cfg.Timeouts.Handshake,
	})
	key, err := identity(t.cfg.Key)
	if err != nil {
		return err
	}
	own, err := assemble(parts{
		key:      key,
		gater:    d,
		door:     d,
		limits:   resourceLimits(t.roster.members, t.cfg.ClientsMax),
		timeouts: t.cfg.Timeouts,
	})
	if err != nil {
		return err
	}
	if err := own.listen(t.cfg.Listen); err != nil {
		return errors.Join(err, own.Close())
	}
	t.own, t.door, t.host = own, d, own
	return nil
}

// Addrs returns where the Transport listens, as multiaddresses, with the ports
// that it got.
func (t *Transport) Addrs() []string {
	addrs := t.host.Network().ListenAddresses()
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// SetMemberAddrs sets where a member listens, before Run: for clusters whose
// ports are known only when all have bound theirs.
func (t *Transport) SetMemberAddrs(id wire.ReplicaID, addrs []string) error {
	if int(id) >= len(t.roster.members) {
		return fmt.Errorf("network: there is no member %d of %d", id, len(t.roster.members))
	}
	parsed, err := parseAddrs(addrs)
	if err != nil {
		return fmt.Errorf("network: member %d: %w", id, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.started {
		return errRunning
	}
	t.roster.members[id].addrs = parsed
	return nil
}

// Run serves until ctx is done, and then ends all that New and Run started. It
// can be called once.
func (t *Transport) Run(ctx context.Context, in Inbound) error {
	if !t.start() {
		return errRunTwice
	}
	in = complete(in)
	var couriers sync.WaitGroup
	for _, m := range t.roster.members {
		if m.id == t.cfg.Self {
			continue
		}
		remember(t.host, m.peer, m.addrs)
		l, k := newLink(m.id, t.faults, func(up bool) { in.Link(m.id, up) }), &kin{}
		for class := range wire.Class(wire.Classes) {
			c := t.courier(m, class, l, k)
			couriers.Go(func() { c.run(ctx) })
		}
	}
	t.setHandlers(ctx, in)
	<-ctx.Done()
	couriers.Wait()
	for class := range wire.Class(wire.Classes) {
		t.host.RemoveStreamHandler(protocolOf(class))
	}
	t.host.RemoveStreamHandler(clientProtocol)
	t.handlers.closeAndWait()
	return t.Close()
}

func (t *Transport) start() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.started || t.mu.closed {
		return false
	}
	t.mu.started = true
	return true
}

// Close releases the sockets of a Transport that was never run. Run calls it
// itself.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil
	}
	t.mu.closed = true
	if t.own == nil {
		return nil
	}
	return t.own.Close()
}

// Send queues frame for member to, on the stream of its kind's class, and
// returns whether it did: there is such a member, other than self, and room. It
// never waits (N1). While the link is down frames wait in the queue: when it is
// full of votes the oldest go, and of other classes the newest are refused.
func (t *Transport) Send(to wire.ReplicaID, frame []byte) bool {
	if int(to) >= len(t.queues) || to == t.cfg.Self || len(frame) < 2 || len(frame) > t.cfg.FrameBytesMax {
		return false
	}
	class := min(wire.Kind(frame[1]).Class(), wire.ClassBulk)
	return t.queues[to][class].Push(frame)
}

// Answer queues frame for the client connection conn, and returns whether it
// did. A client whose queue is full may have asked for more than it can read at once,
// and asks again for what it lacks; one that does not read is disconnected when
// Timeouts.Write has passed.
func (t *Transport) Answer(conn uint64, frame []byte) bool {
	if len(frame) == 0 || len(frame) > t.cfg.FrameBytesMax {
		return false
	}
	c := t.served.find(conn)
	if c == nil {
		return false
	}
	return c.queue.Push(frame)
}

// Faults returns what went wrong with whom so far.
func (t *Transport) Faults() []FaultCount { return t.faults.snapshot() }

func (t *Transport) hello(class wire.Class) hello {
	return hello{
		version: protocolVersion,
		cluster: t.cfg.Cluster,
		epoch:   t.cfg.Epoch,
		sender:  t.cfg.Self,
		class:   class,
	}
}

func (t *Transport) courier(m member, class wire.Class, l *link, k *kin) *courier {
	return &courier{
		host:     t.host,
		peer:     m.peer,
		who:      m.id,
		hello:    t.hello(class),
		timeouts: t.cfg.Timeouts,
		queue:    t.queues[m.id][class],
		faults:   t.faults,
		read:     watch,
		wake:     t.slots[m.id][class].seen,
		state:    l.stream(),
		kin:      k,
	}
}

func (t *Transport) setHandlers(ctx context.Context, in Inbound) {
	for class := range wire.Class(wire.Classes) {
		t.host.SetStreamHandler(protocolOf(class), t.handlers.guard(func(s network.Stream) {
			t.servePeer(ctx, in, class, s)
		}))
	}
	t.host.SetStreamHandler(clientProtocol, t.handlers.guard(func(s network.Stream) {
		t.serveClient(ctx, in, s)
	}))
}

// complete makes in's functions callable.
func complete(in Inbound) Inbound {
	if in.Peer == nil {
		in.Peer = func(wire.ReplicaID, []byte) {}
	}
	if in.Client == nil {
		in.Client = func(uint64, []byte) {}
	}
	if in.Link == nil {
		in.Link = func(wire.ReplicaID, bool) {}
	}
	if in.ClientGone == nil {
		in.ClientGone = func(uint64) {}
	}
	return in
}

// gate lets stream handlers in until it is closed, and then waits for them.
type gate struct {
	mu struct {
		sync.Mutex
		closed bool
	}
	inside sync.WaitGroup
}

func (g *gate) guard(handle network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		g.mu.Lock()
		if g.mu.closed {
			g.mu.Unlock()
			_ = s.Reset()
			return
		}
		g.inside.Add(1)
		g.mu.Unlock()
		defer g.inside.Done()
		handle(s)
	}
}

func (g *gate) closeAndWait() {
	g.mu.Lock()
	g.mu.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}
