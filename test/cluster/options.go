package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// Defaults of Options.
const (
	replicasDefault       = 4
	appDefault            = "kv"
	nameDefault           = "test"
	requestTimeoutDefault = time.Second
	intervalDefault       = 32 // small, so that a proof needs few operations to reach a checkpoint
)

// Options describes a cluster. Binary and Dir must be set; all else has a
// default.
type Options struct {
	// Binary is the quorate executable.
	Binary string
	// Dir is where everything goes. It must be empty or not there, and is the
	// caller's to remove.
	Dir string
	// Name is the cluster's name in the genesis.
	Name string
	// Replicas is n; 0 means 4.
	Replicas int
	// Faults is f; 0 means as many as the replicas tolerate.
	Faults int
	// App is the application: kv, counter or bank; empty means kv. Only kv has a
	// load and a proof.
	App string
	// RequestTimeout is that of the replicas and clients; 0 means a second.
	RequestTimeout time.Duration
	// CheckpointInterval is K; 0 means 32. The window is four of them.
	CheckpointInterval uint64
	// Clients is how many clients on this machine the replicas must serve at once;
	// 0 leaves it to them.
	Clients int
	// LogLevel is that of the replicas; empty means info.
	LogLevel string
	// ArchiveBytes bounds what each replica keeps for audits; 0 leaves it to them.
	ArchiveBytes int64
	// Args are further arguments for the first quorate node of some replicas.
	Args map[int][]string
	// Orders lets the replicas take orders of this process: see Cluster.Stats and
	// StartProfile. They come and are answered over pipes.
	Orders bool
	// Purpose is that of the genesis: pbft.PurposeTest if replicas are to lie.
	Purpose string
}

func (o Options) withDefaults() (Options, error) {
	o.Name, o.App, o.LogLevel = cmp.Or(o.Name, nameDefault), cmp.Or(o.App, appDefault), cmp.Or(o.LogLevel, "info")
	o.Replicas = cmp.Or(o.Replicas, replicasDefault)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, requestTimeoutDefault)
	o.CheckpointInterval = cmp.Or(o.CheckpointInterval, intervalDefault)
	if o.Binary == "" || o.Dir == "" {
		return o, errors.New("cluster: set Binary and Dir")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("cluster: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return o, fmt.Errorf("cluster: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return o, fmt.Errorf("cluster: %w", err)
	}
	if len(entries) > 0 {
		return o, fmt.Errorf("cluster: %s is not empty: give a new directory", dir)
	}
	return o, nil
}

// write makes the files of the whole cluster, with keys and ports of its own.
func (o Options) write() (*pbft.Genesis, error) {
	limits := pbft.DefaultGenesisLimits()
	limits.CheckpointInterval = o.CheckpointInterval
	limits.Window = max(2*o.CheckpointInterval, min(4*o.CheckpointInterval, limits.Window))
	genesis := &pbft.Genesis{Name: o.Name, Faults: o.Faults, Limits: limits, Purpose: o.Purpose}
	addrs, err := freeAddrs(o.Replicas)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	for i, addr := range addrs {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
		if err := o.writeReplica(filepath.Join(o.Dir, replicaName(i)), key); err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
		genesis.Members = append(genesis.Members, pbft.GenesisReplica{
			ID: wire.ReplicaID(i), Key: key.Public(), Addrs: []string{addr}, //nolint:gosec // i is the index of a replica
		})
	}
	if err := genesis.Validate(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return genesis, os.WriteFile(filepath.Join(o.Dir, pbft.GenesisFile), genesis.Encode(), 0o600)
}

func replicaName(i int) string { return "r" + strconv.Itoa(i) }

// writeReplica makes the directory of one replica that never ran.
func (o Options) writeReplica(dir string, key crypto.PrivateKey) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := crypto.SavePlainKey(filepath.Join(dir, pbft.KeyFile), key); err != nil {
		return err
	}
	config := fmt.Sprintf("genesis = %q\nplain_key = true\nrequest_timeout = %q\napp = %q\nlog_level = %q\n",
		"../"+pbft.GenesisFile, o.RequestTimeout, o.App, o.LogLevel)
	if o.Clients > 0 {
		config += fmt.Sprintf("clients_max = %d\nclients_per_address_max = %d\n", o.Clients, o.Clients)
	}
	if o.ArchiveBytes > 0 {
		config += fmt.Sprintf("archive_bytes = %d\n", o.ArchiveBytes)
	}
	if err := os.WriteFile(filepath.Join(dir, pbft.ConfigFile), []byte(config), 0o600); err != nil {
		return err
	}
	return pbft.InitData(dir)
}

// Ports are chosen from here: below those that systems give to outgoing
// connections, or a connection could take the port of a replica that is down,
// and one to that port could even connect to itself.
const (
	portMin   = 10000
	portsFrom = 22000 // how many
	portTries = 1000
)

// freeAddrs returns n addresses on loopback that nobody listened on a moment ago.
func freeAddrs(n int) ([]string, error) {
	var (
		addrs []string
		err   error
	)
	host := ownHost()
	for range portTries {
		if len(addrs) == n {
			return addrs, nil
		}
		port := strconv.Itoa(portMin + rand.IntN(portsFrom)) //nolint:gosec // it need not be secret
		var l net.Listener
		if l, err = net.Listen("tcp4", host+":"+port); err != nil { //nolint:noctx // it ends at once
			continue
		}
		defer l.Close() //nolint:errcheck,gocritic // all are open until all are chosen, so that they differ
		addrs = append(addrs, "/ip4/"+host+"/tcp/"+port)
	}
	return nil, fmt.Errorf("no free ports on loopback: %w", err)
}

// loopbackHost is one that every system has.
const loopbackHost = "127.0.0.1"

// ownHost returns an address of loopback that nobody else uses, for it is one of four
// million: at 127.0.0.1 another process could take a port before the replica does, or while
// that is down. Where the system has no such addresses, it is 127.0.0.1 all the same.
func ownHost() string {
	host := fmt.Sprintf("127.%d.%d.%d", 128+rand.IntN(64), rand.IntN(256), rand.IntN(256)) //nolint:gosec // the same
	l, err := net.Listen("tcp4", host+":0")                                                //nolint:noctx // it ends at once
	if err != nil {
		return loopbackHost
	}
	l.Close() //nolint:errcheck,gosec // nobody has connected
	return host
}
