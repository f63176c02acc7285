package pbft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/wire"
)

// localName is the name of the clusters that StartLocal makes.
const localName = "local"

// Local is a whole cluster in this process: real replicas over libp2p on
// loopback, with their data in a temporary directory.
type Local struct {
	dir      string
	genesis  *Genesis
	replicas []*Replica
	output   func(wire.ReplicaID, Output) // for tests
}

// StartLocal starts n replicas of machine, which all share: its state is in the
// transaction, not in itself. It is for trying out, for tests and for examples;
// all replicas die together with the process. Close ends it and removes its
// data.
func StartLocal(ctx context.Context, n int, machine app.StateMachine) (*Local, error) {
	dir, err := os.MkdirTemp("", "quorate-local-")
	if err != nil {
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	l := &Local{dir: dir}
	if err := l.start(ctx, n, machine); err != nil {
		return nil, errors.Join(fmt.Errorf("local cluster: %w", err), l.Close())
	}
	return l, nil
}

func (l *Local) start(ctx context.Context, n int, machine app.StateMachine) error {
	keys, err := l.makeGenesis(n)
	if err != nil {
		return err
	}
	transports, err := l.listen(keys)
	if err != nil {
		return err
	}
	for i, t := range transports {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, closeAll(transports[i:]))
		}
		cfg := Config{Dir: filepath.Join(l.dir, "r"+strconv.Itoa(i))}
		if l.output != nil {
			cfg.Output = func(o Output) { l.output(wire.ReplicaID(i), o) } //nolint:gosec // i < n
		}
		//nolint:gosec,contextcheck // i < n; the replicas outlive the start
		r, err := l.launch(cfg, parts{wire.ReplicaID(i), keys[i], t, machine})
		if err != nil {
			return errors.Join(err, closeAll(transports[i:]))
		}
		l.replicas = append(l.replicas, r)
	}
	return nil
}

func (l *Local) launch(cfg Config, p parts) (*Replica, error) {
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := InitData(cfg.Dir); err != nil {
		return nil, err
	}
	return launch(cfg, l.genesis, p)
}

// makeGenesis makes keys, and a genesis whose addresses are not known yet.
func (l *Local) makeGenesis(n int) ([]crypto.PrivateKey, error) {
	keys := make([]crypto.PrivateKey, n)
	l.genesis = &Genesis{Name: localName, Limits: DefaultGenesisLimits()}
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
func (l *Local) listen(keys []crypto.PrivateKey) ([]*network.Transport, error) {
	var transports []*network.Transport
	for i, key := range keys {
		cfg := l.genesis.networkConfig(wire.ReplicaID(i), key, []string{"/ip4/127.0.0.1/tcp/0"}) //nolint:gosec // i < n
		t, err := network.New(cfg)
		if err != nil {
			return nil, errors.Join(err, closeAll(transports))
		}
		transports = append(transports, t)
		l.genesis.Members[i].Addrs = t.Addrs()
	}
	for _, t := range transports {
		for i, r := range l.genesis.Members {
			if err := t.SetMemberAddrs(wire.ReplicaID(i), r.Addrs); err != nil { //nolint:gosec // i < n
				return nil, errors.Join(err, closeAll(transports))
			}
		}
	}
	return transports, nil
}

func closeAll(transports []*network.Transport) error {
	var errs []error
	for _, t := range transports {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// networkConfig returns how replica id connects; listen overrides where.
func (g *Genesis) networkConfig(id wire.ReplicaID, key crypto.PrivateKey, listen []string) network.Config {
	domain := g.Domain()
	return network.Config{
		Self: id, Key: key, Cluster: domain.Cluster, Epoch: domain.Epoch,
		Members: g.networkMembers(), Listen: listen, FrameBytesMax: g.WireLimits().FrameBytesMax(),
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
func (l *Local) Client(ctx context.Context) (*Client, error) {
	return Dial(ctx, DialConfig{Genesis: l.genesis})
}

// Genesis returns the cluster's genesis, with the addresses of its replicas.
func (l *Local) Genesis() *Genesis { return l.genesis }

// Replicas returns the running replicas, in the order of their numbers.
func (l *Local) Replicas() []*Replica { return l.replicas }

// Close ends all replicas and removes their data.
func (l *Local) Close() error {
	var errs []error
	for _, r := range l.replicas {
		r.cancel()
	}
	for _, r := range l.replicas {
		errs = append(errs, r.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}
