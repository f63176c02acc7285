package twins

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// ErrScenario says that a text is no scenario.
var ErrScenario = errors.New("twins: no scenario")

// Class is a class of messages that the network may treat in its own way.
type Class int

// The classes: the five phases, and everything else, which is requests that are
// forwarded, checkpoints, evidence, questions and answers.
const (
	PrePrepares Class = iota
	Prepares
	Commits
	ViewChanges
	NewViews
	Rest

	classes
)

func classNames() []string {
	return []string{"pre-prepare", "prepare", "commit", "view-change", "new-view", "rest"}
}

// String names the class as scenarios do.
func (c Class) String() string { return classNames()[c] }

// processesMax bounds the processes of a scenario.
const processesMax = 16

// Set is a set of processes. Process i < n is replica i, and process n+i the
// copy of the i-th twin.
type Set uint16

func setOf(members ...int) Set {
	var s Set
	for _, p := range members {
		s |= 1 << p
	}
	return s
}

// Has tells whether p is in s.
func (s Set) Has(p int) bool { return s>>p&1 == 1 }

// Size returns the number of processes in s.
func (s Set) Size() int { return bits.OnesCount16(uint16(s)) }

// Round is the network while one view is made and works.
type Round struct {
	// Groups is the partition, in ascending order of the least members.
	Groups []Set
	// Cut tells for each class whether the partition keeps its messages apart;
	// otherwise they reach everyone.
	Cut [classes]bool
	// Deaf holds, for each class, those that hear its messages from nobody else.
	Deaf [classes]Set
	// Crash holds those that crash, and restart from their journals, before the
	// round.
	Crash Set
}

// plain returns the round that a partition keeps apart in all classes.
func plain(groups []Set) Round {
	r := Round{Groups: groups}
	for c := range r.Cut {
		r.Cut[c] = true
	}
	return r
}

// passes tells whether a message gets from one process to another.
func (r *Round) passes(c Class, from, to int) bool {
	if from == to {
		return true
	}
	return !r.Deaf[c].Has(to) && (!r.Cut[c] || r.group(from) == r.group(to))
}

// group returns the place of p's group.
func (r *Round) group(p int) int {
	return slices.IndexFunc(r.Groups, func(s Set) bool { return s.Has(p) })
}

// Scenario is one attack: which replicas are twins, and the network round by
// round. Its String is its name, and Parse takes that back.
type Scenario struct {
	Replicas int
	Twins    []int
	Rounds   []Round
}

// Processes returns how many processes run.
func (s *Scenario) Processes() int { return s.Replicas + len(s.Twins) }

// identity returns the replica that process p is, or is a copy of.
func (s *Scenario) identity(p int) int {
	if p < s.Replicas {
		return p
	}
	return s.Twins[p-s.Replicas]
}

// name returns "2" for replica 2, and "2'" for its copy.
func (s *Scenario) name(p int) string {
	if p < s.Replicas {
		return strconv.Itoa(p)
	}
	return strconv.Itoa(s.identity(p)) + "'"
}

// String returns the scenario's name, for example
//
//	twin=0 | {0,1}{0',2,3} commit:drop-to{2} | {0,0',1,2}{3} only view-change
func (s *Scenario) String() string {
	var text strings.Builder
	if s.Replicas != 4 {
		fmt.Fprintf(&text, "n=%d ", s.Replicas)
	}
	for i, t := range s.Twins {
		if i > 0 {
			text.WriteString(" ")
		}
		fmt.Fprintf(&text, "twin=%d", t)
	}
	for i := range s.Rounds {
		text.WriteString(" | " + s.roundName(&s.Rounds[i]))
	}
	return text.String()
}

func (s *Scenario) roundName(r *Round) string {
	var text strings.Builder
	for _, g := range r.Groups {
		text.WriteString(s.setName(g))
	}
	var cut, whole []string
	for c, name := range classNames() {
		if r.Cut[c] {
			cut = append(cut, name)
		} else {
			whole = append(whole, name)
		}
	}
	switch {
	case len(whole) == 0:
	case len(cut) <= len(whole):
		text.WriteString(" only " + strings.Join(cut, ","))
	default:
		text.WriteString(" but " + strings.Join(whole, ","))
	}
	for c, name := range classNames() {
		if r.Deaf[c] != 0 {
			text.WriteString(" " + name + ":drop-to" + s.setName(r.Deaf[c]))
		}
	}
	if r.Crash != 0 {
		text.WriteString(" crash" + s.setName(r.Crash))
	}
	return text.String()
}

// order returns the processes with a replica's copy next to it.
func (s *Scenario) order() []int {
	var out []int
	for id := range s.Replicas {
		out = append(out, id)
		if i := slices.Index(s.Twins, id); i >= 0 {
			out = append(out, s.Replicas+i)
		}
	}
	return out
}

func (s *Scenario) setName(set Set) string {
	var names []string
	for _, p := range s.order() {
		if set.Has(p) {
			names = append(names, s.name(p))
		}
	}
	return "{" + strings.Join(names, ",") + "}"
}
