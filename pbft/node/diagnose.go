package node

// Stage diagnose is sequential: where states differ it finds out at which keys, for the
// log and for reports. Own pages it reads from the State, and others' it asks for of who
// signed them (rival.go). Nothing of it is stored, nothing waits for it, and the core
// does nothing else for it. There is no queue: one division is known at a time.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// compareTimeMax bounds one try to compare two states.
	compareTimeMax = time.Minute
	// compareTriesMax and comparePause bound how long somebody is waited for who has
	// the pages of another state: replicas may be down, or be restarted just now.
	compareTriesMax = 4
	comparePause    = 15 * time.Second
)

// diagnosing is what is known of states that differ. consider belongs to watch, and run is
// the stage; any goroutine may call division.
type diagnosing struct {
	n        *Node
	comparer Comparer // nil if the State is none
	pieces   *pieces  // verify → diagnose
	wake     chan struct{}
	mu       struct {
		sync.Mutex
		known   *diagnosis
		waiting bool // it was not begun
	}

	diverged core.Diverged // watch's: the last, while it is not repaired
}

// diagnosis is one division, and what is known of it. Only run changes it, while it is the
// one that is known and under the lock; the slices, which whoever is told shares, never.
type diagnosis struct{ division wire.Division }

func newDiagnosing(n *Node) *diagnosing {
	g := &diagnosing{n: n, pieces: newPieces(n.cfg.Life), wake: make(chan struct{}, 1)}
	g.comparer, _ = n.cfg.State.(Comparer)
	return g
}

// consider begins a diagnosis where an observation asks for one. A state that a quorum
// contradicts is compared once the right one is here: then both are.
func (g *diagnosing) consider(o core.Observation) {
	switch o := o.(type) { //nolint:gochecksumtype // the others say nothing of states
	case core.Divided:
		g.begin(wire.Division{Seq: o.Seq, Own: o.Own, States: othersOf(o)})
	case core.Diverged:
		g.diverged = o
		g.n.serving.hold(o.Seq)
	case core.CaughtUp:
		if o.Seq == g.diverged.Seq {
			g.begin(wire.Division{
				Seq: o.Seq, Replaced: true, Own: g.diverged.Own,
				States: []wire.OtherState{{State: g.diverged.Quorum, Why: whyNotYet}},
			})
		}
		g.diverged = core.Diverged{}
	}
}

// Why keys are not known.
const (
	whyNotYet  = "the states are being compared"
	whyNoPages = "no replica that signed it gave its pages"
	whyNever   = "this replica keeps its state where it cannot be compared"
)

// othersOf returns the states that differ from the own one, those that most replicas
// signed first.
func othersOf(o core.Divided) []wire.OtherState {
	var others []wire.OtherState
	for _, s := range o.States {
		if s.State == o.Own {
			continue
		}
		at := slices.IndexFunc(others, func(other wire.OtherState) bool { return other.State == s.State })
		if at < 0 {
			at = len(others)
			others = append(others, wire.OtherState{State: s.State, Why: whyNotYet})
		}
		others[at].Replicas = append(others[at].Replicas, s.Replica)
	}
	slices.SortStableFunc(others, func(a, b wire.OtherState) int { return len(b.Replicas) - len(a.Replicas) })
	return others[:min(len(others), wire.DivisionStatesMax)]
}

// begin makes division the one that is known, unless it is a consequence of that: after
// the first checkpoint at which states differ, later ones differ in more.
func (g *diagnosing) begin(division wire.Division) {
	stable := g.n.standing.Load().stable
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.mu.known; known != nil && !division.Replaced && !known.division.Replaced && known.division.Seq > stable {
		return
	}
	g.n.serving.hold(division.Seq)
	g.mu.known, g.mu.waiting = &diagnosis{division}, true
	token(g.wake)
}

// division returns what is known.
func (g *diagnosing) division() wire.Division {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.known == nil {
		return wire.Division{}
	}
	return g.mu.known.division
}

// take returns the diagnosis that is to be begun, or nil.
func (g *diagnosing) take() *diagnosis {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.waiting {
		return nil
	}
	g.mu.waiting = false
	return g.mu.known
}

// learn notes what was found out of the i-th other state, unless another division is known
// by now.
func (g *diagnosing) learn(d *diagnosis, i int, s wire.OtherState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.known == d {
		d.division.States = slices.Clone(d.division.States)
		d.division.States[i] = s
	}
}

func (g *diagnosing) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if d := g.take(); d != nil {
			g.diagnose(ctx, d)
			continue
		}
		select {
		case <-ctx.Done():
		case <-g.wake:
		}
	}
	return nil
}

// diagnose compares the own state with all others of a division. It ends early when
// another is to be begun.
func (g *diagnosing) diagnose(ctx context.Context, d *diagnosis) {
	division := d.division
	rivals := make([]*rival, len(division.States))
	for i := range rivals {
		rivals[i] = newRival(g, division, i)
	}
	for try := 1; ; try++ {
		open := false
		for _, r := range rivals {
			r.done = r.done || g.try(ctx, d, r, try == compareTriesMax)
			open = open || !r.done
		}
		if !open || !g.pause(ctx) {
			return
		}
	}
}

// try compares the own state with another one, and returns false if that is to be tried
// again.
func (g *diagnosing) try(ctx context.Context, d *diagnosis, r *rival, last bool) (done bool) {
	s, values, err := g.compare(ctx, r)
	switch {
	case ctx.Err() != nil:
		return true
	case errors.Is(err, errNoPages) && !last:
		return false
	}
	g.learn(d, r.at, s)
	for _, line := range divisionLines(r.division, s, values) {
		g.n.log.Error(line)
	}
	return true
}

// pause waits for a while, and returns false if there is something else to do.
func (g *diagnosing) pause(ctx context.Context) bool {
	timer := time.NewTimer(comparePause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-g.wake:
		}
		if g.superseded() {
			return false
		}
	}
}

// superseded tells whether a diagnosis is to be begun.
func (g *diagnosing) superseded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.waiting
}

// compare finds out at which keys one other state differs, and the digests of both
// values of each, for the log. The error tells why not, and so does the state.
func (g *diagnosing) compare(ctx context.Context, r *rival) (s wire.OtherState, values [][2]string, err error) {
	s = r.state()
	if g.comparer == nil {
		s.Why = whyNever
		return s, nil, errors.New(whyNever)
	}
	ctx, cancel := context.WithTimeout(ctx, compareTimeMax)
	defer cancel()
	r.open()
	defer g.pieces.close()
	fetch := func(digests []crypto.Digest) ([][]byte, error) { return r.fetch(ctx, digests) }
	more, err := g.comparer.Compare(r.division.Own, s.State, wire.DivisionKeysMax, fetch, func(key, own, other []byte) {
		s.Keys = append(s.Keys, differing(key, own, other))
		values = append(values, [2]string{shortOf(own), shortOf(other)})
	})
	switch {
	case err == nil:
		s.Why, s.More = "", uint32(min(more, math.MaxUint32)) //nolint:gosec // it is in the range
	case errors.Is(err, errNoPages):
		s.Why = whyNoPages
	default:
		why := err.Error()
		s.Why = why[:min(len(why), wire.DivisionWhyBytesMax)]
	}
	return s, values, err
}

// divisionLines are the lines of the log about one other state, with the digests of both
// values of each key.
func divisionLines(division wire.Division, s wire.OtherState, values [][2]string) []string {
	word, advice := "DIVIDED", "see which operations write them, and what these depend on beside the state and their own bytes"
	if division.Replaced {
		word, advice = "DIVERGED", "they were wrong here and are replaced; check memory and disk, and the operations that write them"
	}
	about := fmt.Sprintf("seq=%d own=%s other=%s", division.Seq, division.Own.Short(), s.State.Short())
	if len(s.Replicas) > 0 {
		about += fmt.Sprintf(" replicas=%d", s.Replicas)
	}
	if s.Why != "" {
		return []string{fmt.Sprintf("%s: at which keys the states differ is not known %s why=%q", word, about, s.Why)}
	}
	lines := []string{fmt.Sprintf("%s: the states differ at these keys: %s %s keys=%d more=%d",
		word, advice, about, len(s.Keys), s.More)}
	for i := range s.Keys {
		k := &s.Keys[i]
		lines = append(lines, fmt.Sprintf("%s: %s own_value=%q other_value=%q seq=%d other=%s", word, k.Name(),
			k.Own.String()+values[i][0], k.Other.String()+values[i][1], division.Seq, s.State.Short()))
	}
	return lines
}
