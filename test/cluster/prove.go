package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// Proof is what Prove found to be true.
type Proof struct {
	// Replicas are those that were compared: all that were live.
	Replicas []wire.ReplicaID
	// Checkpoint is the one whose State all of them hold. It lies above every
	// operation of the history.
	Checkpoint wire.Seq
	State      crypto.Digest
	// Executed is the number up to which all of them have executed.
	Executed wire.Seq
	Checked
}

// Lines returns the proof for people: pairs of what holds and why.
func (p Proof) Lines() [][2]string {
	return [][2]string{
		{"same state", fmt.Sprintf("%s: %s at checkpoint %d", names(p.Replicas), p.State.Short(), p.Checkpoint)},
		{"nothing lost", fmt.Sprintf("%d acknowledged, %d open; %d writes read back",
			p.Acknowledged, p.Pending, p.Present)},
		{"nothing twice", fmt.Sprintf("%d operations would show it, none does", p.Once)},
		{"linearizable", fmt.Sprintf("%d operations on %d keys, by porcupine; %d reads outside of the order",
			p.Operations, p.Keys, p.Unordered)},
	}
}

// String returns the lines of the proof.
func (p Proof) String() string {
	var b strings.Builder
	for _, l := range p.Lines() {
		fmt.Fprintf(&b, "%-14s %s\n", l[0], l[1])
	}
	return b.String()
}

// Prove shows, for a cluster whose load has ended and whose live replicas may
// take part again, that it kept its promises: what every acknowledged operation
// did is there, nothing was done twice, the history is linearizable, and every
// live replica came to the same state. The error is a *Violation, which carries
// evidence, or says why there is no proof; ctx bounds the wait for replicas.
func Prove(ctx context.Context, c *Cluster, h History) (Proof, error) {
	p := Proof{Replicas: c.Live()}
	if err := c.died(c.all()); err != nil { // or its state would go unseen
		return p, err
	}
	client, err := c.Client(ctx)
	if err != nil {
		return p, err
	}
	defer client.Close() //nolint:errcheck // it has nothing to lose
	if p.Checked, err = CheckHistory(ctx, client, h); err != nil {
		return p, c.withEvidence(h, err)
	}
	if err := p.agree(ctx, c, client); err != nil {
		return p, c.withEvidence(h, err)
	}
	return p, nil
}

// agree drives the cluster to its next checkpoint, and compares there.
func (p *Proof) agree(ctx context.Context, c *Cluster, client Submitter) error {
	target, err := drive(ctx, c.Interval(), client)
	if err != nil {
		return err
	}
	var violation error
	err = c.Await(ctx, "the same state everywhere", func(status []pbft.ReplicaStatus) bool {
		all, ok := reports(status, p.Replicas)
		if !ok {
			return false
		}
		violation = diverged(all)
		return violation != nil || p.settled(all, target)
	})
	return errors.Join(violation, err)
}

// drive submits operations until the order reaches a checkpoint above all that
// was there, and returns its number.
func drive(ctx context.Context, interval wire.Seq, client Submitter) (wire.Seq, error) {
	var target wire.Seq
	for i := 0; ; i++ {
		got, err := client.Submit(ctx, kv.Put(ownPrefix+"turn", fmt.Append(nil, i)))
		if err != nil {
			return 0, fmt.Errorf("drive to a checkpoint: %w", err)
		}
		if target == 0 {
			target = (got.Seq + interval - 1) / interval * interval
		}
		if got.Seq >= target {
			return target, nil
		}
	}
}

// settled tells whether all replicas have executed the same numbers and hold the
// same stable checkpoint, of target or later. It notes which.
func (p *Proof) settled(all []*wire.Report, target wire.Seq) bool {
	first := all[0]
	for _, r := range all {
		if r.Executed != first.Executed || r.Checkpoint < target ||
			r.Checkpoint != first.Checkpoint || r.Stable != r.Checkpoint {
			return false
		}
	}
	p.Executed, p.Checkpoint, p.State = first.Executed, first.Checkpoint, first.State
	return true
}

// diverged returns a *Violation if two replicas hold different states at one
// number.
func diverged(all []*wire.Report) error {
	states := make(map[wire.Seq]*wire.Report)
	for _, r := range all {
		other, ok := states[r.Checkpoint]
		if ok && other.State != r.State {
			return &Violation{What: fmt.Sprintf("replicas %d and %d hold different states at checkpoint %d: %s and %s",
				other.Sender, r.Sender, r.Checkpoint, other.State, r.State)}
		}
		states[r.Checkpoint] = r
		if r.Stable == r.Checkpoint && r.StableState != r.State {
			return &Violation{What: fmt.Sprintf("replica %d holds state %s at checkpoint %d, where a quorum signed %s",
				r.Sender, r.State, r.Checkpoint, r.StableState)}
		}
	}
	return nil
}

// withEvidence saves what shows a violation. Other errors it returns as they
// are.
func (c *Cluster) withEvidence(h History, err error) error {
	var v *Violation
	if !errors.As(err, &v) {
		return err
	}
	dir, trouble := os.MkdirTemp("", "quorate-violation-")
	if trouble != nil {
		return errors.Join(err, trouble)
	}
	v.Dir = dir
	if v.operations != nil {
		h.Operations = v.operations
	}
	errs := []error{err, h.Save(filepath.Join(dir, "history.jsonl"))}
	if v.Key != "" {
		path := filepath.Join(dir, "history.html")
		errs = append(errs, draw(byKey(h.Operations)[v.Key], drawTimeMax, path))
	}
	for i := range c.genesis.Members {
		path := filepath.Join(dir, replicaName(i)+".log")
		errs = append(errs, os.WriteFile(path, []byte(c.Logs(i)), 0o600))
	}
	return errors.Join(errs...)
}

// drawTimeMax bounds the search for the partial linearizations of a picture.
const drawTimeMax = 5 * time.Second
