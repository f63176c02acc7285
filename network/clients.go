package network

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

// ClientConfig tells Clients whom to connect to.
type ClientConfig struct {
	// Key is the identity on the network; a random one if it is zero. It need
	// not be the key that signs requests.
	Key      crypto.PrivateKey
	Cluster  crypto.Digest
	Epoch    uint64
	Replicas []Member // in the order of the genesis
	// FrameBytesMax bounds the frames of replicas; 8 MiB.
	FrameBytesMax int
	// ClientFrameBytesMax bounds the frames sent to them; 1 MiB.
	ClientFrameBytesMax int
	Timeouts            Timeouts
}

// Clients is the client's end: a connection to every replica, made anew
// whenever it breaks. Its methods may be called by many goroutines at once.
type Clients struct {
	cfg    ClientConfig
	own    *assembly
	roster *roster
	faults *ledger
	queues []*outbox.Queue // by replica

	mu struct {
		sync.Mutex
		started, closed bool
	}
}

// NewClients makes a Clients. It connects to nobody before Run. Whoever does not
// call Run must call Close.
func NewClients(cfg ClientConfig) (*Clients, error) {
	c, err := newClients(cfg)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return c, nil
}

func newClients(cfg ClientConfig) (*Clients, error) {
	if cfg.FrameBytesMax == 0 {
		cfg.FrameBytesMax = frameBytesMax
	}
	if cfg.ClientFrameBytesMax == 0 {
		cfg.ClientFrameBytesMax = min(clientFrameBytesMax, cfg.FrameBytesMax)
	}
	if len(cfg.Replicas) == 0 {
		return nil, errors.New("no replicas: give those of the genesis")
	}
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Key.Equal(crypto.PrivateKey{}) {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		cfg.Key = key
	}
	roster, err := newRoster(cfg.Replicas)
	if err != nil {
		return nil, err
	}
	key, err := identity(cfg.Key)
	if err != nil {
		return nil, err
	}
	c := &Clients{cfg: cfg, roster: roster, faults: newLedger()}
	for range cfg.Replicas {
		c.queues = append(c.queues, outbox.New(queueLimits(wire.ClassClients, cfg.ClientFrameBytesMax)))
	}
	c.own, err = assemble(parts{
		key:      key,
		gater:    newDoor(roster, c.faults, doorLimits{}), // nobody gets in: there is no listener
		limits:   clientResources(roster.members),
		timeouts: cfg.Timeouts,
	})
	return c, err
}

// clientResources are what a client's host may take.
func clientResources(members []member) rcmgr.ConcreteLimitConfig { return resourceLimits(members, 0) }

// SetReplicaAddrs sets where a replica listens, before Run.
func (c *Clients) SetReplicaAddrs(id wire.ReplicaID, addrs []string) error {
	if int(id) >= len(c.roster.members) {
		return fmt.Errorf("network: there is no replica %d of %d", id, len(c.roster.members))
	}
	parsed, err := parseAddrs(addrs)
	if err != nil {
		return fmt.Errorf("network: replica %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.started {
		return errRunning
	}
	c.roster.members[id].addrs = parsed
	return nil
}

// Run connects to every replica until ctx is done, and then ends all that it
// started. It calls in with every frame, from one goroutine for each replica,
// and link when a connection came up, went down, or could not be made: err says
// why, and errors.As finds a *GenesisError in it if the replica belongs to
// another cluster. An error of in is what is wrong with the replica: its stream ends
// with it, and is made anew after a pause that grows each time. Either may be nil. It can
// be called once.
func (c *Clients) Run(
	ctx context.Context, in func(from wire.ReplicaID, frame []byte) error,
	link func(peer wire.ReplicaID, up bool, err error),
) error {
	if !c.start() {
		return errRunTwice
	}
	if in == nil {
		in = func(wire.ReplicaID, []byte) error { return nil }
	}
	if link == nil {
		link = func(wire.ReplicaID, bool, error) {}
	}
	var couriers sync.WaitGroup
	for _, m := range c.roster.members {
		remember(c.own, m.peer, m.addrs)
		one := c.courier(m, in, link)
		couriers.Go(func() { one.run(ctx) })
	}
	couriers.Wait()
	return c.Close()
}

func (c *Clients) start() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.started || c.mu.closed {
		return false
	}
	c.mu.started = true
	return true
}

func (c *Clients) courier(
	m member, in func(wire.ReplicaID, []byte) error, link func(wire.ReplicaID, bool, error),
) *courier {
	return &courier{
		host: c.own,
		peer: m.peer,
		who:  m.id,
		hello: hello{
			version: protocolVersion, cluster: c.cfg.Cluster, epoch: c.cfg.Epoch, sender: outsider, class: wire.ClassClients,
		},
		timeouts: c.cfg.Timeouts,
		queue:    c.queues[m.id],
		faults:   c.faults,
		read: func(s network.Stream) error {
			r := newFrameReader(s, c.cfg.FrameBytesMax, c.cfg.Timeouts.Frame)
			for {
				frame, err := r.next()
				if err != nil {
					return err
				}
				if err := in(m.id, frame); err != nil {
					_ = s.Reset() // the writer shall not wait for a peer like that
					return fmt.Errorf("%w: %w", errRubbish, err)
				}
			}
		},
		state: func(up bool, err error) { link(m.id, up, err) },
		kin:   &kin{}, // it has none
	}
}

// Send queues frame for a replica and returns whether it did: there is such a
// replica, and room. It never waits (N1).
func (c *Clients) Send(to wire.ReplicaID, frame []byte) bool {
	if int(to) >= len(c.queues) || len(frame) == 0 || len(frame) > c.cfg.ClientFrameBytesMax {
		return false
	}
	return c.queues[to].Push(frame)
}

// Faults returns what went wrong with which replica so far.
func (c *Clients) Faults() []FaultCount { return c.faults.snapshot() }

// Close releases what NewClients made, if Run was not called. Run calls it
// itself.
func (c *Clients) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil
	}
	c.mu.closed = true
	return c.own.Close()
}
