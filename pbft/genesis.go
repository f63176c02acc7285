package pbft

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// ErrGenesis is in every error about a genesis.
var ErrGenesis = errors.New("bad genesis")

// Genesis is what all replicas and clients of a cluster must agree on before
// anything else: who the replicas are, and the limits. The same file goes to
// all of them. Its Hash names the cluster.
type Genesis struct {
	// Name is for people, and part of the hash: 1 to 64 of a-z, 0-9 and -.
	Name string
	// Epoch numbers the configurations of a cluster.
	Epoch uint64
	// Purpose is empty for a cluster that serves, and PurposeTest for one that
	// exists to be attacked. It is part of the hash: neither can be made the other.
	// Replicas of the latter warn when they start.
	Purpose string
	// Faults is f, how many replicas may be Byzantine; 0 means as many as their
	// number allows, ⌊(n−1)/3⌋.
	Faults int
	// Limits are what all replicas bound alike.
	Limits GenesisLimits
	// Members are the replicas, in the order of their numbers.
	Members []GenesisReplica
}

// PurposeTest is the Purpose of a cluster whose replicas may play Byzantine ones:
// see Config.Interpose.
const PurposeTest = "test"

// GenesisLimits are the bounds that are part of the protocol: replicas that
// differ in them would refuse each other's messages.
type GenesisLimits struct {
	// CheckpointInterval is how many batches lie between two checkpoints.
	CheckpointInterval uint64
	// Window is how many batches may be open above the last stable checkpoint:
	// at least twice CheckpointInterval.
	Window uint64
	// BatchRequests and BatchBytes bound a batch.
	BatchRequests int
	BatchBytes    int
	// OpBytes bounds an operation, ResultBytes its result: to app.ValueBytesMax at most, of
	// which nine bytes are not the application's, for it is kept as a value.
	OpBytes     int
	ResultBytes int
	// Clients bounds how many client keys the cluster remembers. Beyond it, the one with
	// the oldest session is forgotten for one with a newer session, and its client must dial
	// again (ErrSessionOld), also if it was never idle.
	Clients int
}

// GenesisReplica is one replica.
type GenesisReplica struct {
	// ID is its number, from 0.
	ID wire.ReplicaID
	// Key verifies its signatures, and is its identity in the network.
	Key crypto.PublicKey
	// Addrs are where it can be reached, as multiaddresses: an address and a TCP
	// port, such as /ip4/192.0.2.1/tcp/4001 or /dns/r0.example.org/tcp/4001.
	Addrs []string
}

// DefaultGenesisLimits returns working limits.
func DefaultGenesisLimits() GenesisLimits {
	return GenesisLimits{
		CheckpointInterval: 128, Window: 256, BatchRequests: 512, BatchBytes: 1 << 20,
		OpBytes: 256 << 10, ResultBytes: 256 << 10, Clients: 10000,
	}
}

// Replicas returns n, the number of replicas.
func (g *Genesis) Replicas() int { return len(g.Members) }

// Quorum returns the quorums of the cluster. It is an error if there are too
// few replicas for the faults, which Validate tells as well.
func (g *Genesis) Quorum() (core.Quorum, error) {
	q, err := core.NewQuorumWithFaults(g.Replicas(), g.faults())
	if err != nil {
		return q, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return q, nil
}

// faults returns f.
func (g *Genesis) faults() int {
	if g.Faults == 0 {
		return max(0, (g.Replicas()-1)/3)
	}
	return g.Faults
}

// Keys returns the replicas' keys, in the order of their numbers.
func (g *Genesis) Keys() []crypto.PublicKey {
	keys := make([]crypto.PublicKey, 0, len(g.Members))
	for _, r := range g.Members {
		keys = append(keys, r.Key)
	}
	return keys
}

// Find returns the replica that has key.
func (g *Genesis) Find(key crypto.PublicKey) (wire.ReplicaID, bool) {
	for _, r := range g.Members {
		if r.Key == key {
			return r.ID, true
		}
	}
	return 0, false
}

// Hash names the cluster: signatures, journals and connections of clusters with
// different hashes never mix. It covers everything but the addresses, for a
// replica may move. The layout: a tag, then the name, padded with zeros to 64
// bytes; then, big endian, 8 bytes each, the epoch, f, checkpoint interval,
// window, requests and bytes of a batch, bytes of an operation and of a result,
// clients and n; then n keys in the order of the numbers; then the purpose.
// docs/STORAGE.md.
func (g *Genesis) Hash() crypto.Digest {
	name := make([]byte, nameBytesMax)
	copy(name, g.Name)
	var numbers []byte
	for _, v := range []uint64{
		g.Epoch, unsigned(g.faults()), g.Limits.CheckpointInterval, g.Limits.Window,
		unsigned(g.Limits.BatchRequests), unsigned(g.Limits.BatchBytes), unsigned(g.Limits.OpBytes),
		unsigned(g.Limits.ResultBytes), unsigned(g.Limits.Clients), unsigned(g.Replicas()),
	} {
		numbers = binary.BigEndian.AppendUint64(numbers, v)
	}
	keys := make([]byte, 0, g.Replicas()*crypto.PublicKeySize)
	for _, r := range g.Members {
		keys = append(keys, r.Key[:]...)
	}
	return crypto.Sum([]byte("quorate/genesis/1"), name, numbers, keys, []byte(g.Purpose))
}

// unsigned converts what Validate found not to be negative.
func unsigned(v int) uint64 { return uint64(v) } //nolint:gosec // see above

// Domain returns what every signature in the cluster covers.
func (g *Genesis) Domain() crypto.Domain {
	return crypto.Domain{Cluster: g.Hash(), Epoch: g.Epoch}
}

// WireLimits returns the bounds of messages.
func (g *Genesis) WireLimits() wire.Limits {
	l := wire.DefaultLimits(g.Replicas())
	l.OpBytesMax, l.ResultBytesMax = g.Limits.OpBytes, g.Limits.ResultBytes
	l.BatchRequestsMax, l.BatchBytesMax = g.Limits.BatchRequests, g.Limits.BatchBytes
	l.Window = wire.Seq(g.Limits.Window)
	return l
}

// Forensics returns what verifying evidence needs to know of the cluster.
func (g *Genesis) Forensics() (forensics.Cluster, error) {
	quorum, err := g.Quorum()
	return forensics.Cluster{
		Domain: g.Domain(), Keys: g.Keys(), Quorum: quorum, Limits: g.WireLimits(),
		Verifier: crypto.NewVerifier(verifierKeys),
	}, err
}

// CoreConfig returns the configuration of replica id. The caller sets StateZero,
// and may set the timeouts, which are no part of a genesis.
func (g *Genesis) CoreConfig(id wire.ReplicaID) (core.Config, error) {
	quorum, err := g.Quorum()
	if err != nil {
		return core.Config{}, err
	}
	c := core.DefaultConfig(id, quorum)
	c.Interval, c.Window = wire.Seq(g.Limits.CheckpointInterval), wire.Seq(g.Limits.Window)
	c.BatchRequestsMax, c.BatchBytesMax = g.Limits.BatchRequests, g.Limits.BatchBytes
	c.ClientsMax = g.Limits.Clients
	hash := g.Hash()
	seed := crypto.Sum([]byte("quorate/jitter"), hash[:], binary.BigEndian.AppendUint32(nil, uint32(id)))
	c.Seed = binary.BigEndian.Uint64(seed[:])
	if err := c.Validate(); err != nil {
		return core.Config{}, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return c, nil
}

// order sorts the members by number.
func (g *Genesis) order() {
	slices.SortStableFunc(g.Members, func(a, b GenesisReplica) int { return cmp.Compare(a.ID, b.ID) })
}
