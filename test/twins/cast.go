package twins

import (
	"encoding/binary"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

const (
	wallStart wire.Time = 1_700_000_000_000_000_000
	tickTime  wire.Time = 10_000_000

	clientKeys = 1000 // the number of the first client's key; replicas have those below
	roundsMax  = 8
)

// Cast is what all scenarios of one shape share: keys, clients and their
// requests. It is read only, so that many worlds may use one at once.
type Cast struct {
	replicas int
	quorum   core.Quorum
	domain   crypto.Domain
	signers  []crypto.Signer
	zero     crypto.Digest
	requests [roundsMax][]*wire.Sealed // for each round and group
	last     *wire.Sealed              // asked when all is mended
}

// NewCast returns the cast of clusters of n replicas.
func NewCast(n int) (*Cast, error) {
	q, err := core.NewQuorum(n)
	if err != nil {
		return nil, err
	}
	c := &Cast{
		replicas: n, quorum: q,
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("twins"))},
		zero:   crypto.Sum([]byte("empty")),
	}
	scheme := sim.NewScheme()
	for i := range n {
		signer, err := newSigner(scheme, i)
		if err != nil {
			return nil, err
		}
		c.signers = append(c.signers, signer)
	}
	for group := range processesMax {
		client, err := newSigner(scheme, clientKeys+group)
		if err != nil {
			return nil, err
		}
		for round := range roundsMax {
			c.requests[round] = append(c.requests[round], c.request(client, round))
		}
		c.last = c.request(client, roundsMax)
	}
	return c, nil
}

func newSigner(scheme *sim.Scheme, number int) (crypto.Signer, error) {
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(number)+1) //nolint:gosec // small and not negative
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		return nil, err
	}
	return scheme.Signer(key), nil
}

func (c *Cast) request(client crypto.Signer, round int) *wire.Sealed {
	return wire.Seal(client, c.domain, &wire.Request{
		Client: client.Public(), Session: 1, Number: wire.Number(round + 1), //nolint:gosec // small
		Ops: [][]byte{{byte(round)}},
	})
}

// config returns a replica's settings: timeouts as short as they can be, for a
// round delivers everything between two ticks, and checkpoints within the scope.
func (c *Cast) config(id int) core.Config {
	cfg := core.DefaultConfig(wire.ReplicaID(id), c.quorum) //nolint:gosec // small and not negative
	cfg.Interval, cfg.Window, cfg.InFlight = 2, 4, 2
	cfg.RequestTicks, cfg.StatusTicks, cfg.HeartbeatTicks, cfg.CatchUpTicks = requestTicks, 1, requestTicks, 1
	cfg.StateZero = c.zero
	return cfg
}
