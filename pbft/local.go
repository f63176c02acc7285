package pbft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/network/memory"
	"github.com/quorate/quorate/pbft/wire"
)

// localName is the name of the clusters that StartLocal makes.
const localName = "local"

// localClientsMax is how many clients a replica of such a cluster serves: all of them are
// of this process, and so of one address.
const localClientsMax = 1024

// Local is a whole cluster in this process: real replicas over libp2p on
// loopback, or over a network in memory, with their data in a temporary directory.
type Local struct {
	dir      string
	genesis  *Genesis
	memory   *memory.Network // nil over libp2p
	timeout  time.Duration
	replicas []*Replica
	output   func(wire.ReplicaID, Output) // for tests
	closed   atomic.Bool
}

// LocalConfig tells StartLocalWith what cluster to start. All fields but Replicas
// have a working zero value.
type LocalConfig struct {
	// Replicas is n.
	Replicas int
	// Limits are those of the genesis; the zero value means DefaultGenesisLimits.
	Limits GenesisLimits
	// RequestTimeout is that of replicas and clients; zero means RequestTimeoutDefault.
	RequestTimeout time.Duration
	// Memory connects replicas and clients in memory, not by libp2p: everything else
	// is there, signatures and flushes too, but no sockets, and no encryption. Only
	// Local.Dial and Local.Client reach such a cluster.
	Memory bool
	// Delay is how long each message takes on its way, in memory, between replicas and to
	// and from clients: as if all were that far apart, each from each. LocalDelayMax at most.
	Delay time.Duration
	// Dir is where the temporary directory for the data is made; empty means that of
	// the system. The file system there is the one that is flushed.
	Dir string
}

// LocalDelayMax is the longest LocalConfig.Delay: that of a way around the world and back.
const LocalDelayMax = time.Second

// StartLocal starts n replicas of machine, which all share, and call at the same time: its
// state is in the transaction, not in itself. It is for trying out, for tests and for
// examples; all replicas die together with the process. Close ends it and removes its
// data.
func StartLocal(ctx context.Context, n int, machine app.StateMachine) (*Local, error) {
	return StartLocalWith(ctx, LocalConfig{Replicas: n}, machine)
}

// StartLocalWith is StartLocal of a cluster as cfg says. The error is ErrConfig or
// ErrGenesis where cfg is bad.
func StartLocalWith(ctx context.Context, cfg LocalConfig, machine app.StateMachine) (*Local, error) {
	if err := (Config{Dir: ".", RequestTimeout: cfg.RequestTimeout}).Validate(); err != nil {
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	if cfg.Delay < 0 || cfg.Delay > LocalDelayMax || cfg.Delay > 0 && !cfg.Memory {
		return nil, fmt.Errorf("local cluster: %w: the delay is %v, want 0 to %v, and Memory where it is not 0",
			ErrConfig, cfg.Delay, LocalDelayMax)
	}
	if cfg.Replicas > replicasMax { // before they all have keys
		return nil, fmt.Errorf("local cluster: %w: %d replicas, want at most %d", ErrConfig, cfg.Replicas, replicasMax)
	}
	dir, err := os.MkdirTemp(cfg.Dir, "quorate-local-")
	if err != nil {
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	l := &Local{dir: dir, timeout: cfg.RequestTimeout}
	if err := l.start(ctx, cfg, machine); err != nil {
		return nil, errors.Join(fmt.Errorf("local cluster: %w", err), l.Close())
	}
	return l, nil
}

func (l *Local) start(ctx context.Context, local LocalConfig, machine app.StateMachine) error {
	keys, err := l.makeGenesis(local)
	if err != nil {
		return err
	}
	transports, err := l.connect(keys, local)
	if err != nil {
		return err
	}
	for i, t := range transports {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, closeAll(transports[i:]))
		}
		cfg := Config{Dir: filepath.Join(l.dir, "r"+strconv.Itoa(i)), RequestTimeout: l.timeout}
		if l.output != nil {
			cfg.Output = func(o Output) { l.output(wire.ReplicaID(i), o) } //nolint:gosec // i < n
		}
		r, err := l.launch(ctx, cfg, parts{wire.ReplicaID(i), keys[i], t, machine}) //nolint:gosec // i < n
		if err != nil {
			return errors.Join(err, closeAll(transports[i:]))
		}
		l.replicas = append(l.replicas, r)
	}
	return nil
}

// connect returns a transport for every replica.
func (l *Local) connect(keys []crypto.PrivateKey, local LocalConfig) ([]transport, error) {
	if !local.Memory {
		return l.listen(keys)
	}
	l.memory = memory.NewNetwork(len(keys))
	l.memory.SetFrameBytesMax(l.genesis.WireLimits().FrameBytesMax())
	l.memory.SetDelay(local.Delay)
	var transports []transport
	for i := range keys {
		transports = append(transports, memoryTransport{l.memory.Transport(wire.ReplicaID(i))}) //nolint:gosec // i < n
	}
	return transports, nil
}

// memoryTransport is a transport in memory: it has no addresses, and no faults.
type memoryTransport struct{ *memory.Transport }

// Addrs implements transport.
func (memoryTransport) Addrs() []string { return nil }

// Faults implements transport.
func (memoryTransport) Faults() []network.FaultCount { return nil }

// Close implements transport.
func (memoryTransport) Close() error { return nil }

func (l *Local) launch(ctx context.Context, cfg Config, p parts) (*Replica, error) {
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := InitData(cfg.Dir); err != nil {
		return nil, err
	}
	return launch(ctx, cfg, l.genesis, p)
}

// makeGenesis makes keys, and a genesis whose addresses are not known yet.
func (l *Local) makeGenesis(cfg LocalConfig) ([]crypto.PrivateKey, error) {
	keys := make([]crypto.PrivateKey, max(0, cfg.Replicas))
	l.genesis = &Genesis{Name: localName, Limits: cmp.Or(cfg.Limits, DefaultGenesisLimits())}
	for i := range keys {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		keys[i] = key
		l.genesis.Members = append(l.genesis.Members, GenesisReplica{
			ID: wire.ReplicaID(i), Key: key.Public(), //nolint:gosec // i < n
			Addrs: []string{"/ip4/127.0.0.1/tcp/" + strconv.Itoa(i+1)},
		})
	}
	return keys, l.genesis.Validate()
}

// listen binds a free port for every replica, and tells all of all.
func (l *Local) listen(keys []crypto.PrivateKey) ([]transport, error) {
	var transports []transport
	var bound []*network.Transport
	for i, key := range keys {
		cfg := l.genesis.networkConfig(wire.ReplicaID(i), key, []string{"/ip4/127.0.0.1/tcp/0"}) //nolint:gosec // i < n
		cfg.ClientsMax, cfg.ClientsPerIPMax = localClientsMax, localClientsMax
		t, err := network.New(cfg)
		if err != nil {
			return nil, errors.Join(err, closeAll(transports))
		}
		transports, bound = append(transports, t), append(bound, t)
		l.genesis.Members[i].Addrs = t.Addrs()
	}
	for _, t := range bound {
		for i, r := range l.genesis.Members {
			if err := t.SetMemberAddrs(wire.ReplicaID(i), r.Addrs); err != nil { //nolint:gosec // i < n
				return nil, errors.Join(err, closeAll(transports))
			}
		}
	}
	return transports, nil
}

func closeAll(transports []transport) error {
	var errs []error
	for _, t := range transports {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// networkConfig returns how replica id connects; listen overrides where.
func (g *Genesis) networkConfig(id wire.ReplicaID, key crypto.PrivateKey, listen []string) network.Config {
	const usual = 1 << 20 // of a client; longer only where its requests may be
	domain, limits := g.Domain(), g.WireLimits()
	longest := limits.FrameBytesMax()
	return network.Config{
		Self: id, Key: key, Cluster: domain.Cluster, Epoch: domain.Epoch,
		Members: g.networkMembers(), Listen: listen, FrameBytesMax: longest,
		ClientFrameBytesMax: min(max(usual, limits.KindBytesMax(wire.KindRequest)), longest),
	}
}

func (g *Genesis) networkMembers() []network.Member {
	members := make([]network.Member, 0, g.Replicas())
	for _, r := range g.Members {
		members = append(members, network.Member{Key: r.Key, Addrs: r.Addrs})
	}
	return members
}

// Client returns a new client of the cluster, with a key of its own.
func (l *Local) Client(ctx context.Context) (*Client, error) { return l.Dial(ctx, DialConfig{}) }

// Dial returns a new client of the cluster, as Dial does: the genesis and, where
// cfg has none, the request timeout are the cluster's.
func (l *Local) Dial(ctx context.Context, cfg DialConfig) (*Client, error) {
	if l.closed.Load() {
		return nil, fmt.Errorf("%w, for its cluster is", ErrClosed)
	}
	cfg.Genesis, cfg.RequestTimeout = l.genesis, cmp.Or(cfg.RequestTimeout, l.timeout)
	if l.memory == nil {
		return Dial(ctx, cfg)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	own, _, err := cfg.clientConfig()
	if err != nil {
		return nil, err
	}
	return newClient(own, l.memory.Clients()), nil //nolint:contextcheck // the client lives until Close
}

// Genesis returns the cluster's genesis, with the addresses of its replicas.
func (l *Local) Genesis() *Genesis { return l.genesis }

// Replicas returns the replicas, also those that were closed, in the order of their numbers.
func (l *Local) Replicas() []*Replica { return l.replicas }

// Close ends all replicas and removes their data. Clients stay open, and get no more answers.
func (l *Local) Close() error {
	l.closed.Store(true)
	var errs []error
	for _, r := range l.replicas {
		r.cancel()
	}
	for _, r := range l.replicas {
		errs = append(errs, r.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}
