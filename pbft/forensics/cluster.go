package forensics

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

var (
	// ErrFile says that a file is no evidence file or archive, or a damaged one.
	ErrFile = errors.New("bad file")
	// ErrOtherCluster says that a file belongs to another cluster or epoch.
	ErrOtherCluster = errors.New("of another cluster")
)

// Cluster is what the genesis says, and all that forensics need to know.
type Cluster struct {
	Domain   crypto.Domain
	Keys     []crypto.PublicKey // of the replicas, in the order of their numbers
	Quorum   core.Quorum
	Limits   wire.Limits
	Verifier crypto.Verifier
}

func (c *Cluster) opener() *wire.Opener {
	return wire.NewOpener(c.Domain, c.Keys, c.Limits, c.Verifier).WithLongProofs()
}

// same tells whether a file of this domain is of the cluster.
func (c *Cluster) same(d crypto.Domain) error {
	if d == c.Domain {
		return nil
	}
	return fmt.Errorf("%w: it is of cluster %s, epoch %d, and the genesis describes cluster %s, epoch %d",
		ErrOtherCluster, d.Cluster.Short(), d.Epoch, c.Domain.Cluster.Short(), c.Domain.Epoch)
}
