package pbft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/multiformats/go-multiaddr"
	"github.com/pelletier/go-toml/v2"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of a genesis.
const (
	genesisBytesMax = 1 << 20
	nameBytesMax    = 64
	replicasMax     = 100
	addrsMax        = 16
)

// ErrGenesis is in every error about a genesis.
var ErrGenesis = errors.New("bad genesis")

// Genesis is what all replicas and clients of a cluster agree on before its
// first message. Its hash is the cluster's identity, which every signature
// covers.
type Genesis struct {
	// Name is for people: 1 to 64 of a–z, 0–9 and hyphens.
	Name  string
	Epoch wire.Epoch
	// Faults is f, the number of replicas that may be Byzantine; 0 means the most
	// that the number of replicas tolerates, ⌊(n−1)/3⌋.
	Faults  int
	Limits  GenesisLimits
	Members []GenesisReplica // in the order of their numbers
}

// GenesisReplica is one replica in a genesis.
type GenesisReplica struct {
	ID  wire.ReplicaID
	Key crypto.PublicKey
	// Addrs are where it listens, as multiaddresses. They are not part of the
	// cluster's identity: a replica may move.
	Addrs []string
}

// GenesisLimits are the limits that all replicas must agree on.
type GenesisLimits struct {
	CheckpointInterval int // K, numbers between two checkpoints
	Window             int // L, numbers open at once
	BatchesInFlight    int // W, batches that a primary has open
	BatchRequests      int // requests of a batch
	BatchBytes         int // bytes of a batch
	OpBytes            int // bytes of an operation
	ResultBytes        int // bytes of a result
	Clients            int // clients in the client table
}

// DefaultGenesisLimits returns working limits.
func DefaultGenesisLimits() GenesisLimits {
	return GenesisLimits{
		CheckpointInterval: 128, Window: 256, BatchesInFlight: 16, BatchRequests: 512, BatchBytes: 1 << 20,
		OpBytes: 256 << 10, ResultBytes: 256 << 10, Clients: 10000,
	}
}

// genesisText is the layout of a genesis file.
type genesisText struct {
	Name     string        `toml:"name"`
	Epoch    uint64        `toml:"epoch"`
	Faults   int           `toml:"faults"`
	Limits   limitsText    `toml:"limits"`
	Replicas []replicaText `toml:"replica"`
}

type limitsText struct {
	CheckpointInterval *int `toml:"checkpoint_interval"`
	Window             *int `toml:"window"`
	BatchesInFlight    *int `toml:"batches_in_flight"`
	BatchRequests      *int `toml:"batch_requests"`
	BatchBytes         *int `toml:"batch_bytes"`
	OpBytes            *int `toml:"op_bytes"`
	ResultBytes        *int `toml:"result_bytes"`
	Clients            *int `toml:"clients"`
}

type replicaText struct {
	ID    uint32   `toml:"id"`
	Key   string   `toml:"key"`
	Addrs []string `toml:"addrs"`
}

// LoadGenesis reads and validates the genesis file at path. The error names
// every problem.
func LoadGenesis(path string) (*Genesis, error) {
	data, err := readBounded(path, genesisBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: make one with quorate init, or copy the cluster's here", ErrGenesis, err)
	}
	g, err := ParseGenesis(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// ParseGenesis is LoadGenesis of a text.
func ParseGenesis(data []byte) (*Genesis, error) {
	if len(data) > genesisBytesMax {
		return nil, fmt.Errorf("%w: it has %d bytes, want at most %d", ErrGenesis, len(data), genesisBytesMax)
	}
	var text genesisText
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&text)
	var unknown *toml.StrictMissingError
	if err != nil && !errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, located(err))
	}
	g, problems := text.genesis()
	problems = append(problems, g.Validate())
	if unknown != nil {
		problems = append(problems, unknownKeys(unknown))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return g, nil
}

// genesis converts the text, with the problems that only the text can have.
func (t *genesisText) genesis() (*Genesis, []error) {
	g := &Genesis{Name: t.Name, Epoch: wire.Epoch(t.Epoch), Faults: t.Faults, Limits: t.Limits.limits()}
	var problems []error
	for i, r := range t.Replicas {
		key, err := crypto.ParsePublicKeyHex(r.Key)
		if err != nil {
			problems = append(problems, fmt.Errorf("%w: replica %d: key %q: %w: it is what quorate keys show prints",
				ErrGenesis, i, r.Key, err))
		}
		g.Members = append(g.Members, GenesisReplica{wire.ReplicaID(r.ID), key, r.Addrs})
	}
	return g, problems
}

func (t *limitsText) limits() GenesisLimits {
	l := DefaultGenesisLimits()
	set := func(to *int, from *int) {
		if from != nil {
			*to = *from
		}
	}
	set(&l.CheckpointInterval, t.CheckpointInterval)
	set(&l.Window, t.Window)
	set(&l.BatchesInFlight, t.BatchesInFlight)
	set(&l.BatchRequests, t.BatchRequests)
	set(&l.BatchBytes, t.BatchBytes)
	set(&l.OpBytes, t.OpBytes)
	set(&l.ResultBytes, t.ResultBytes)
	set(&l.Clients, t.Clients)
	return l
}

// Validate reports everything that is wrong with g, at once.
func (g *Genesis) Validate() error {
	p := &problems{}
	p.need(validName(g.Name), "name is %q, want 1 to %d of a–z, 0–9 and hyphens", g.Name, nameBytesMax)
	p.need(g.Epoch <= wire.NumberMax, "epoch is %d, want at most %d", g.Epoch, uint64(wire.NumberMax))
	n := len(g.Members)
	p.need(n <= replicasMax, "there are %d replicas, want at most %d", n, replicasMax)
	p.need(n >= 4, "there are %d replicas: tolerating one fault takes at least 4 (n ≥ 3f+1)", n)
	if n >= 4 {
		p.need(g.Faults >= 0 && n >= 3*g.Faults+1, "faults is %d: %d replicas tolerate at most %d (n ≥ 3f+1)",
			g.Faults, n, (n-1)/3)
	}
	g.Limits.validate(p)
	g.validateMembers(p)
	return errors.Join(p.errs...)
}

// problems collects what is wrong with a genesis.
type problems struct{ errs []error }

func (p *problems) need(ok bool, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("%w: "+format, append([]any{ErrGenesis}, args...)...))
	}
}

func validName(name string) bool {
	return name != "" && len(name) <= nameBytesMax && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (l GenesisLimits) validate(p *problems) {
	between := func(name string, v, low, high int) {
		p.need(v >= low && v <= high, "limits: %s is %d, want %d to %d", name, v, low, high)
	}
	between("checkpoint_interval", l.CheckpointInterval, 1, 1<<16)
	between("window", l.Window, 2, 1<<17)
	p.need(l.Window >= 2*l.CheckpointInterval, "limits: window is %d, want at least twice the checkpoint_interval %d",
		l.Window, l.CheckpointInterval)
	between("batches_in_flight", l.BatchesInFlight, 1, 1024)
	between("batch_requests", l.BatchRequests, 1, 1<<16)
	between("batch_bytes", l.BatchBytes, 1024, 16<<20)
	between("op_bytes", l.OpBytes, 1, 1<<20)
	p.need(l.OpBytes < l.BatchBytes, "limits: op_bytes is %d, want less than batch_bytes %d", l.OpBytes, l.BatchBytes)
	between("result_bytes", l.ResultBytes, 1, 1<<20)
	between("clients", l.Clients, 1, 1<<20)
}

func (g *Genesis) validateMembers(p *problems) {
	keys := map[crypto.PublicKey]int{}
	addrs := map[string]int{}
	for i, r := range g.Members {
		p.need(int(r.ID) == i, "replica %d: its id is %d: number the replicas from 0, in order", i, r.ID)
		if (r.Key != crypto.PublicKey{}) { // a zero key was reported by its text
			if _, err := crypto.ParsePublicKey(r.Key[:]); err != nil {
				p.need(false, "replica %d: key %s: %v", i, r.Key, err)
			}
			other, twice := keys[r.Key]
			p.need(!twice, "replica %d: its key %s is replica %d's too: every replica needs its own", i, r.Key, other)
			keys[r.Key] = i
		}
		p.need(len(r.Addrs) > 0, "replica %d: it has no addrs: add one such as /ip4/127.0.0.1/tcp/7000", i)
		p.need(len(r.Addrs) <= addrsMax, "replica %d: it has %d addrs, want at most %d", i, len(r.Addrs), addrsMax)
		for _, a := range r.Addrs[:min(len(r.Addrs), addrsMax)] {
			p.need(validAddr(a), "replica %d: address %q: want one such as /ip4/127.0.0.1/tcp/7000 or /dns/host/tcp/7000", i, a)
			other, twice := addrs[a]
			p.need(!twice, "replica %d: address %s is replica %d's too", i, a, other)
			addrs[a] = i
		}
	}
}

// validAddr tells whether a is a multiaddress of a host and a TCP port.
func validAddr(a string) bool {
	m, err := multiaddr.NewMultiaddr(a)
	if err != nil || len(m) != 2 || m[1].Code() != multiaddr.P_TCP || m[1].Value() == "0" {
		return false
	}
	switch m[0].Code() {
	case multiaddr.P_IP4, multiaddr.P_IP6, multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6:
		return true
	default:
		return false
	}
}

// Encode returns g as the text of a genesis file.
func (g *Genesis) Encode() []byte {
	var b bytes.Buffer
	l := g.Limits
	fmt.Fprintf(&b, "# The genesis of a cluster: the same file for every replica and client.\n"+
		"# Cluster id: %s\n# Everything but the addresses is part of it.\n\n", g.Hash())
	fmt.Fprintf(&b, "name = %q\nepoch = %d\nfaults = %d # replicas that may be Byzantine\n\n", g.Name, g.Epoch, g.Quorum().Faults())
	fmt.Fprintf(&b, "[limits]\ncheckpoint_interval = %d\nwindow = %d\nbatches_in_flight = %d\nbatch_requests = %d\n"+
		"batch_bytes = %d\nop_bytes = %d\nresult_bytes = %d\nclients = %d\n", l.CheckpointInterval, l.Window,
		l.BatchesInFlight, l.BatchRequests, l.BatchBytes, l.OpBytes, l.ResultBytes, l.Clients)
	for _, r := range g.Members {
		fmt.Fprintf(&b, "\n[[replica]]\nid = %d\nkey = %q\naddrs = [", r.ID, r.Key.String())
		for i, a := range r.Addrs {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%q", a)
		}
		b.WriteString("]\n")
	}
	return b.Bytes()
}

// Hash returns the cluster's id: a hash over everything but the addresses.
func (g *Genesis) Hash() crypto.Digest {
	b := []byte("quorate genesis 1\x00")
	b = binary.BigEndian.AppendUint32(b, uint32(len(g.Name))) //nolint:gosec // at most 64
	b = append(b, g.Name...)
	l := g.Limits
	for _, v := range []int{
		int(g.Epoch), g.Quorum().Faults(), l.CheckpointInterval, l.Window, l.BatchesInFlight, l.BatchRequests, //nolint:gosec // Validate
		l.BatchBytes, l.OpBytes, l.ResultBytes, l.Clients, len(g.Members),
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(v)) //nolint:gosec // Validate: not negative
	}
	for _, r := range g.Members {
		b = append(b, r.Key[:]...)
	}
	return crypto.Sum(b)
}

// Domain returns what separates the cluster's signatures from all others.
func (g *Genesis) Domain() crypto.Domain {
	return crypto.Domain{Cluster: g.Hash(), Epoch: uint64(g.Epoch)}
}

// Quorum returns the cluster's quorums; g must be valid.
func (g *Genesis) Quorum() core.Quorum {
	n, f := len(g.Members), g.Faults
	if f == 0 {
		f = (n - 1) / 3
	}
	q, _ := core.NewQuorumWithFaults(n, f) // the zero Quorum for one that is not valid
	return q
}

// Replicas returns n.
func (g *Genesis) Replicas() int { return len(g.Members) }

// Keys returns the replicas' public keys, in the order of their numbers.
func (g *Genesis) Keys() []crypto.PublicKey {
	keys := make([]crypto.PublicKey, 0, len(g.Members))
	for _, r := range g.Members {
		keys = append(keys, r.Key)
	}
	return keys
}

// Find returns the number of the replica with this key.
func (g *Genesis) Find(key crypto.PublicKey) (wire.ReplicaID, bool) {
	for _, r := range g.Members {
		if r.Key == key {
			return r.ID, true
		}
	}
	return 0, false
}

// CoreConfig returns how replica id of the cluster is configured.
func (g *Genesis) CoreConfig(id wire.ReplicaID) (core.Config, error) {
	c := core.DefaultConfig(id, g.Quorum())
	l := g.Limits
	c.Interval, c.Window = wire.Seq(l.CheckpointInterval), wire.Seq(l.Window) //nolint:gosec // Validate: positive
	c.InFlight, c.BatchRequestsMax, c.BatchBytesMax = l.BatchesInFlight, l.BatchRequests, l.BatchBytes
	c.ClientsMax = l.Clients
	return c, c.Validate()
}

// WireLimits returns the bounds of the cluster's messages.
func (g *Genesis) WireLimits() wire.Limits {
	lim := wire.DefaultLimits(g.Replicas())
	l := g.Limits
	lim.OpBytesMax, lim.BatchRequestsMax, lim.BatchBytesMax = l.OpBytes, l.BatchRequests, l.BatchBytes
	lim.ResultBytesMax, lim.Window = l.ResultBytes, wire.Seq(l.Window) //nolint:gosec // Validate: positive
	return lim
}
