package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// timeoutDefault bounds a command that asks a cluster.
const timeoutDefault = 10 * time.Second

// clusterFlags tell which cluster to ask, and as whom.
type clusterFlags struct {
	genesis string
	timeout time.Duration
	key     string
	keys    keyFlags
	// patience is how long pbft.Client.Status may wait; not a flag, and zero for the usual.
	patience time.Duration
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.genesis, "genesis", pbft.GenesisFile, "genesis file of the cluster")
	flags.DurationVar(&f.timeout, "timeout", timeoutDefault, "how long to wait for the cluster")
}

// addKey adds the flags of commands that submit operations.
func (f *clusterFlags) addKey(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.key, "key", "", "key file of the client, for one command at a time; the cluster remembers every key that submits, "+
		"so reuse one (default: a new random key)")
	f.keys.add(flags, "plain-key")
}

// loadGenesis reads the genesis that a command line names, or the one that is there.
func loadGenesis(path string) (*pbft.Genesis, error) {
	genesis, err := pbft.LoadGenesis(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: name the genesis of the cluster with --genesis", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return genesis, nil
}

// with calls use with a client of the cluster.
func (f *clusterFlags) with(ctx context.Context, c *console, use func(context.Context, *pbft.Client) error) error {
	if f.timeout <= 0 {
		return usagef("--timeout is %v, want more than 0", f.timeout)
	}
	if f.key == "" && (f.keys.plain || f.keys.file != "") {
		return usagef("--%s and --passphrase-file are of a key file: name that with --key, or drop them", f.keys.plainName)
	}
	genesis, err := loadGenesis(f.genesis)
	if err != nil {
		return err
	}
	cfg := pbft.DialConfig{Genesis: genesis, RequestTimeout: f.requestTimeout()}
	if f.key != "" {
		cfg.Key, err = f.keys.load(ctx, c, f.key)
		if err != nil {
			return err
		}
	}
	client, err := pbft.Dial(ctx, cfg) // which waits for nothing: the timeout is for what does
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	err = use(ctx, client)
	return errors.Join(advise(err, genesis, f.timeout), client.Close())
}

// requestTimeout returns that of a client whose Status, which waits for twice as long, has
// the patience.
func (f *clusterFlags) requestTimeout() time.Duration {
	return min(max(f.patience/2, pbft.RequestTimeoutDefault), pbft.RequestTimeoutMax)
}

// reachPause is how long reach, and poll, wait before they ask again.
const reachPause = 200 * time.Millisecond

// reach waits until f+1 replicas answer, for the timeout at most; ask is pbft.Client.Status.
func (f *clusterFlags) reach(ctx context.Context, genesis *pbft.Genesis,
	ask func(context.Context) ([]pbft.ReplicaStatus, error),
) error {
	quorum, err := genesis.Quorum()
	if err != nil {
		return usageError{err}
	}
	waiting, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	for {
		status, err := ask(waiting)
		if err != nil {
			return err
		}
		var silent []pbft.LinkError
		for _, s := range status {
			if s.Report == nil {
				silent = append(silent, pbft.LinkError{Replica: s.Replica, Err: s.Err})
			}
		}
		answered := len(status) - len(silent)
		if answered >= quorum.Weak() {
			return nil
		}
		select {
		case <-time.After(reachPause):
		case <-waiting.Done():
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil:
			return unreachableError{fmt.Sprintf("%d of %d replicas answered within %v, and %d are needed%s", answered,
				len(status), f.timeout, quorum.Weak(), unreached(silent, genesis))}
		}
	}
}

// proof is how a result is known: part of what every operation prints.
type proof struct {
	Seq     uint64   `json:"seq"`
	View    uint64   `json:"view"`
	Signers []uint32 `json:"signers"`
}

func proofOf(r pbft.Result) proof {
	p := proof{Seq: uint64(r.Seq), View: uint64(r.View)}
	for _, s := range r.Signers {
		p.Signers = append(p.Signers, uint32(s))
	}
	return p
}

// String returns the proof for people.
func (p proof) String() string {
	signers := make([]string, 0, len(p.Signers))
	for _, s := range p.Signers {
		signers = append(signers, strconv.FormatUint(uint64(s), 10))
	}
	return fmt.Sprintf("seq %d, view %d, signed by %s", p.Seq, p.View, strings.Join(signers, " "))
}

// unreachableError says that too few replicas answer.
type unreachableError struct{ why string }

// Error says why the cluster could not be reached.
func (e unreachableError) Error() string { return e.why }

// replicaNames joins the numbers of replicas.
func replicaNames(ids []wire.ReplicaID) string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, strconv.FormatUint(uint64(id), 10))
	}
	return strings.Join(names, " ")
}
