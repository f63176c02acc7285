package twins

import (
	"fmt"
	"slices"
	"sync"

	"github.com/quorate/quorate/crypto"
)

// Explorer runs all scenarios of a scope. Two things make it less work than one
// run for each of them: of two scenarios in which only the copies have changed
// places it runs one; and scenarios whose beginnings leave the world in the same
// state (see World.key) go on as one.
type Explorer struct {
	cast  *Cast
	scope *Scope

	mu struct {
		sync.Mutex
		seen  map[crypto.Digest]int // states, and how many irregular rounds were left there
		stats Stats
	}
}

// Stats counts the work of an exploration.
type Stats struct {
	Rounds int // played
	Merged int // worlds that came to a state which had been there already
	Ends   int // scenarios that were played to the end
	Tasks  int // beginnings that were finished, of Of
	Of     int
	// Failed are the scenarios that broke a law, at most failedMax.
	Failed []Failure
}

// failedMax bounds the failures that are kept.
const failedMax = 20

// Failure is a scenario that broke a law.
type Failure struct {
	Scenario string
	Err      error
	Ends     int // scenarios played to the end before it was found
}

// node is the state after the first rounds of a word.
type node struct {
	world     *World
	word      []int
	irregular int  // rounds that may still be so
	symmetric bool // the word is its own mirror so far
}

// NewExplorer returns an explorer of scope.
func NewExplorer(cast *Cast, scope *Scope) *Explorer {
	e := &Explorer{cast: cast, scope: scope}
	e.mu.seen = map[crypto.Digest]int{}
	return e
}

// Stats returns the work done so far. It may be called at any time.
func (e *Explorer) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.mu.stats
	out.Failed = slices.Clone(out.Failed)
	return out
}

// Begin plays the first round of every scenario and returns what remains to be
// done, as tasks that may run at once.
func (e *Explorer) Begin() ([]func() error, error) {
	world, err := NewWorld(e.cast, &e.scope.shape)
	if err != nil {
		return nil, err
	}
	root := &node{world: world, irregular: e.scope.irregular, symmetric: true}
	var tasks []func() error
	err = e.expand(root, func(n *node) error {
		tasks = append(tasks, func() error {
			defer e.add(func(s *Stats) { s.Tasks++ })
			return e.descend(n)
		})
		return nil
	})
	e.add(func(s *Stats) { s.Of = len(tasks) })
	return tasks, err
}

func (e *Explorer) add(change func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.mu.stats)
}

// descend plays all rounds after n.
func (e *Explorer) descend(n *node) error { return e.expand(n, e.descend) }

// expand plays the next round of n in all ways, and gives each new state to next.
func (e *Explorer) expand(n *node, next func(*node) error) error {
	following := e.scope.rounds - len(n.word) - 1
	if following < 0 {
		return nil
	}
	for l := range e.scope.choices(following, n.irregular) {
		mirror := e.scope.letters[l].mirror
		if n.symmetric && mirror < l {
			continue
		}
		world, err := n.world.again()
		if err != nil {
			return err
		}
		child := &node{
			world: world, word: append(slices.Clip(n.word), l),
			irregular: n.irregular - e.scope.spends(l), symmetric: n.symmetric && mirror == l,
		}
		if !e.play(child, following) {
			continue
		}
		if err := next(child); err != nil {
			return err
		}
	}
	return nil
}

// play plays the last round of n's word, and tells whether its state is new and
// there is more to play.
func (e *Explorer) play(n *node, following int) bool {
	w := n.world
	w.Round(&e.scope.letters[n.word[len(n.word)-1]].round)
	e.add(func(s *Stats) { s.Rounds++ })
	if w.Violation() != nil || following == 0 {
		e.end(n)
		return false
	}
	w.expire()
	if w.Violation() != nil {
		e.end(n)
		return false
	}
	if !e.remember(w.key(), n.irregular) {
		return false
	}
	// A shorter scenario ends here. It is played afresh, for this world has gone
	// on to the timeouts already.
	short := e.scope.scenario(n.word)
	err := Run(e.cast, short, nil)
	e.finished(short, err)
	return true
}

// end plays a scenario from its last round to its end.
func (e *Explorer) end(n *node) {
	if n.world.Violation() == nil {
		n.world.Mend()
	}
	e.finished(e.scope.scenario(n.word), n.world.Violation())
}

func (e *Explorer) finished(s *Scenario, err error) {
	e.add(func(stats *Stats) {
		stats.Ends++
		if err != nil && len(stats.Failed) < failedMax {
			stats.Failed = append(stats.Failed, Failure{s.String(), err, stats.Ends})
		}
	})
}

// remember tells whether a state is new, or was only met with less freedom.
func (e *Explorer) remember(key crypto.Digest, irregular int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, seen := e.mu.seen[key]; seen && old >= irregular {
		e.mu.stats.Merged++
		return false
	}
	e.mu.seen[key] = irregular
	return true
}

// String says the numbers in one line.
func (s Stats) String() string {
	return fmt.Sprintf("%d of %d beginnings, %d rounds played, %d states met again, %d scenarios to the end, %d failed",
		s.Tasks, s.Of, s.Rounds, s.Merged, s.Ends, len(s.Failed))
}
