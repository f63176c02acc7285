package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// errDiverged says that status found a violation, which it has printed.
var errDiverged = errors.New("replicas diverged: their states differ at the same number; stop writing, and see the " +
	"logs of the replicas named above")

// statusInfo is what status prints.
type statusInfo struct {
	Cluster  string `json:"cluster"`
	Hash     string `json:"hash"`
	Headline string `json:"headline"`
	Faults   int    `json:"tolerated_faults"`
	Used     int    `json:"used"`
	View     uint64 `json:"view"`
	Primary  uint32 `json:"primary"`
	// Divided is the first checkpoint of which f+1 replicas say that no state of it can
	// have a quorum.
	Divided  uint64        `json:"divided,omitempty"`
	Replicas []replicaInfo `json:"replicas"`
}

type replicaInfo struct {
	ID         uint32 `json:"id"`
	Answered   bool   `json:"answered"`
	Error      string `json:"error,omitempty"`
	View       uint64 `json:"view"`
	Active     bool   `json:"active"`
	Rejoining  bool   `json:"rejoining"`
	Primary    bool   `json:"primary"`
	Executed   uint64 `json:"executed"`
	Stable     uint64 `json:"stable"`
	Checkpoint uint64 `json:"checkpoint"`
	State      string `json:"state,omitempty"`
	Diverged   bool   `json:"diverged"`
	Behind     uint64 `json:"behind"`

	Division *divisionInfo `json:"division,omitempty"`
}

func newStatus(c *console) *cobra.Command {
	f := &clusterFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask every replica where it stands, and compare",
		Long: `Status asks every replica for its view, what it executed, and its last
checkpoints, and compares them: replicas that hold the same number of batches
must hold the same state. Each line is what that replica says of itself.

A replica that lost its data follows, and does not vote until the others have
gone on far enough: it is "rejoining", and uses the tolerance like a silent one.
One that left the view alone is "changing view" until the others leave it, too.

Where states differed at a checkpoint, the replicas compare them, and status
tells at which keys: the first ones, and how long both values are. "Here" is what
the replicas have that are named first, and "there" what the others have.

While too few answer and vote for the cluster to work, it asks again, until
--timeout. Once enough do, the others have two seconds from the question, or
longer if those took longer, so one that is down costs no more.

It ends with exit code 1 if replicas diverged or are divided, and with 3 if too
few answer and vote by then.`,
		Example: "  quorate status --genesis cluster/genesis.toml\n  quorate status -o json --timeout 3s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			genesis, err := loadGenesis(f.genesis)
			if err != nil {
				return err
			}
			replica, err := genesis.CoreConfig(0) // all replicas have the same quorums
			if err != nil {
				return usageError{err}
			}
			f.patience = f.timeout
			return f.with(cmd.Context(), c, func(ctx context.Context, client *pbft.Client) error {
				h, err := poll(ctx, replica.Quorum, client.Status)
				if err != nil {
					return err
				}
				return showStatus(c, genesis, h)
			})
		},
	}
	f.add(cmd)
	return cmd
}

// pollPatience is how long poll waits for answers to its first question.
const pollPatience = 2 * time.Second

// poll asks every replica by ask, pbft.Client.Status, and again as long as fewer answer and
// vote than the cluster needs, until ctx ends. Where answers took too long to come it waits
// longer for the next ones, for those to an earlier question count no more.
func poll(ctx context.Context, q core.Quorum, ask func(context.Context) ([]pbft.ReplicaStatus, error)) (health, error) {
	known := make([]pbft.ReplicaStatus, q.Replicas())
	for patience := pollPatience; ; {
		round, cancel := context.WithTimeout(ctx, patience)
		status, err := ask(round)
		if round.Err() != nil {
			patience *= 2
		}
		cancel()
		if err != nil {
			return health{}, err
		}
		learn(known, status)
		h := judge(known, q)
		if h.voting() < q.Strong() && h.answered() < q.Replicas() && pause(ctx) {
			continue
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return health{}, ctx.Err()
		}
		return h, nil
	}
}

// learn adds the answers to a further question to what is known: one that answers only now
// and then has answered.
func learn(known, status []pbft.ReplicaStatus) {
	for i, s := range status {
		if s.Report != nil || known[i].Report == nil {
			known[i] = s
		}
	}
}

// pause waits for reachPause, and tells whether ctx has not ended.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(reachPause):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// showStatus prints h, and returns an error for what is not as it should be.
func showStatus(c *console, genesis *pbft.Genesis, h health) error {
	info := statusInfo{
		Cluster: genesis.Name, Hash: genesis.Hash().String(), Headline: h.headline(),
		Faults: h.quorum.Faults(), Used: h.used(),
		View: uint64(h.view), Primary: uint32(h.view.Primary(h.quorum.Replicas())), Divided: uint64(h.divided()),
	}
	t := table{
		above:  []string{fmt.Sprintf("%s %s: %s", genesis.Name, genesis.Hash().Short(), info.Headline)},
		header: []string{"REPLICA", "ROLE", "VIEW", "EXECUTED", "STABLE", "CHECKPOINT", "STATE", "", ""},
	}
	for _, r := range h.replicas {
		one := replicaInfoOf(r, h)
		info.Replicas = append(info.Replicas, one)
		t.rows = append(t.rows, one.row(r))
	}
	t.below = divisionLines(info.Replicas)
	if err := c.show(t, info); err != nil {
		return err
	}
	if len(h.diverged()) > 0 || h.divided() > 0 {
		return errDiverged
	}
	if voting := h.voting(); voting < h.quorum.Strong() {
		return unreachableError{fmt.Sprintf("%d of %d replicas answered and vote, and %d are needed: start more of them, "+
			"or see above why they do not answer",
			voting, h.quorum.Replicas(), h.quorum.Strong())}
	}
	return nil
}

// answered returns how many replicas answered.
func (h health) answered() int {
	n := 0
	for _, r := range h.replicas {
		if r.Report != nil {
			n++
		}
	}
	return n
}

// voting returns how many replicas answered and do not say that they rejoin.
func (h health) voting() int {
	n := 0
	for _, r := range h.replicas {
		if r.Report != nil && !r.Report.Silent {
			n++
		}
	}
	return n
}

func replicaInfoOf(r replicaHealth, h health) replicaInfo {
	one := replicaInfo{ID: uint32(r.Replica), Diverged: r.diverged, Behind: uint64(r.behind)}
	if r.Report == nil {
		one.Error = oneLine(r.Err)
		return one
	}
	one.Answered, one.View, one.Active = true, uint64(r.Report.View), r.Report.Active
	one.Rejoining = r.Report.Silent
	leads := r.Report.View == h.view && h.view.Primary(h.quorum.Replicas()) == r.Replica
	one.Primary = leads && one.Active && !one.Rejoining
	one.Executed, one.Stable = uint64(r.Report.Executed), uint64(r.Report.Stable)
	one.Checkpoint, one.State = uint64(r.Report.Checkpoint), r.Report.State.String()
	one.Division = divisionInfoOf(&r.Report.Division)
	return one
}

// row returns the line of a replica in the table.
func (i replicaInfo) row(r replicaHealth) []string {
	id := strconv.FormatUint(uint64(i.ID), 10)
	if !i.Answered {
		return []string{id, "silent", "-", "-", "-", "-", "-", "-", printable(brief(r.Err))}
	}
	role := "backup"
	switch {
	case i.Primary:
		role = "primary"
	case i.Rejoining:
		role = "rejoining" // it follows and does not vote
	case !i.Active:
		role = "changing view"
	}
	state := "equal"
	if i.Diverged {
		state = "DIVERGED"
	}
	trailing := ""
	if i.Behind > 0 {
		trailing = "behind by " + number(r.behind)
	}
	return []string{
		id, role, strconv.FormatUint(i.View, 10), number(r.Report.Executed), number(r.Report.Stable),
		number(r.Report.Checkpoint), r.Report.State.Short(), state, trailing,
	}
}

func number(s wire.Seq) string { return strconv.FormatUint(uint64(s), 10) }
