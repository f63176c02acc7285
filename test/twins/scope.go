package twins

import (
	"errors"
	"slices"
)

// Scope is a set of scenarios of four replicas, one of them a twin. Since view v
// is led by replica v mod 4, who is the twin takes the place of who leads. All
// have the same number of rounds, of two alphabets.
//
// A regular round is a partition of the five processes, which keeps the groups
// apart in every class of messages: all Bell(5) = 52, or the 16 of at most two
// groups.
//
// An irregular round treats one of the five phases in its own way:
//
//	{0,1}{0',2,3} but commit            the partition holds for all but that phase
//	{0,1}{0',2,3} only commit           it holds for that phase alone
//	{0,0',1,2,3} commit:drop-to{1,2}    nothing is apart, and a set of processes,
//	                                    any, does not hear that phase
//	{0,1,2}{0',3} commit:drop-to{1,2}   in a group with a quorum, one process, or
//	                                    all but one, does not hear that phase
//
// The last round is regular, for what matters of an irregular round is what later
// ones make of it; and one of its groups has a quorum of replicas, for otherwise it
// changes little before the network is whole.
type Scope struct {
	shape     Scenario
	rounds    int
	irregular int      // so many rounds at most
	letters   []letter // regular ones with a quorum, other regular ones, irregular ones
	quorate   int      // so many of the first kind
	regular   int      // so many of the first two
	counts    [][]int  // of words, by rounds and irregular rounds that are left
}

// quorum is that of four replicas.
const quorum = 3

// letter is one choice of a round's network.
type letter struct {
	round  Round
	mirror int // the letter in which the two copies change places
}

// NewScope returns the scenarios with this twin, of 1 to 4 rounds. Without
// irregular rounds the partitions have any number of groups; with at most 1 or 2
// of them, at most two groups.
func NewScope(twin, rounds, irregular int) (*Scope, error) {
	if twin < 0 || twin > 3 || rounds < 1 || rounds > 4 || irregular < 0 || irregular > 2 {
		return nil, errors.New("twins: a scope has a twin of 0 to 3, 1 to 4 rounds, and 0 to 2 of them irregular")
	}
	s := &Scope{shape: Scenario{Replicas: 4, Twins: []int{twin}}, rounds: rounds, irregular: irregular}
	all := partitions(s.shape.Processes())
	if irregular > 0 {
		all = slices.DeleteFunc(all, func(groups []Set) bool { return len(groups) > 2 })
	}
	slices.SortStableFunc(all, func(a, b []Set) int { return s.lacksQuorum(a) - s.lacksQuorum(b) })
	for _, groups := range all {
		s.letters = append(s.letters, letter{round: plain(groups)})
		s.quorate += 1 - s.lacksQuorum(groups)
	}
	s.regular = len(s.letters)
	for _, groups := range all {
		if irregular > 0 {
			s.addIrregular(groups)
		}
	}
	s.pair()
	s.count()
	return s, nil
}

// addIrregular adds the irregular rounds of one partition.
func (s *Scope) addIrregular(groups []Set) {
	add := func(r Round) { s.letters = append(s.letters, letter{round: r}) }
	for c := range Rest {
		if len(groups) > 1 {
			but, only := plain(groups), Round{Groups: groups}
			but.Cut[c], only.Cut[c] = false, true
			add(but)
			add(only)
		}
		for _, deaf := range s.deaf(groups) {
			r := plain(groups)
			r.Deaf[c] = deaf
			add(r)
		}
	}
}

// deaf returns the sets that may miss one phase within a partition.
func (s *Scope) deaf(groups []Set) []Set {
	var out []Set
	for _, g := range groups {
		for set := Set(1); set <= g; set++ {
			lone := set.Size() == 1 || set.Size() == g.Size()-1
			if set&^g == 0 && (len(groups) == 1 || lone && s.identities(g) >= quorum) {
				out = append(out, set)
			}
		}
	}
	return out
}

// lacksQuorum returns 0 if one of the groups has a quorum, and 1 otherwise.
func (s *Scope) lacksQuorum(groups []Set) int {
	if slices.ContainsFunc(groups, func(g Set) bool { return s.identities(g) >= quorum }) {
		return 0
	}
	return 1
}

// identities returns how many replicas the processes of a group are.
func (s *Scope) identities(g Set) int {
	var ids Set
	for p := range s.shape.Processes() {
		if g.Has(p) {
			ids |= setOf(s.shape.identity(p))
		}
	}
	return ids.Size()
}

// pair finds each letter's mirror.
//
// That the copies may change places is the one symmetry of three rounds: they are
// the same program with the same key, and differ in which requests their side
// gets, whose content is nothing to the protocol. The other replicas differ all:
// by when they lead. In one round the three backups could change places, in two
// rounds two of them; but those are only the beginnings of three.
func (s *Scope) pair() {
	at := map[string]int{}
	for i := range s.letters {
		at[s.shape.roundName(&s.letters[i].round)] = i
	}
	for i := range s.letters {
		r := s.shape.mirror(&s.letters[i].round)
		s.letters[i].mirror = at[s.shape.roundName(&r)]
	}
}

// mirror returns the round in which every twin and its copy change places.
func (s *Scenario) mirror(r *Round) Round {
	out := *r
	out.Groups = make([]Set, len(r.Groups))
	for i, g := range r.Groups {
		out.Groups[i] = s.mirrorSet(g)
	}
	out.Groups = canonical(out.Groups)
	for c := range r.Deaf {
		out.Deaf[c] = s.mirrorSet(r.Deaf[c])
	}
	out.Crash = s.mirrorSet(r.Crash)
	return out
}

// Mirror returns the scenario in which every twin and its copy change places.
func (s *Scenario) Mirror() *Scenario {
	out := &Scenario{Replicas: s.Replicas, Twins: s.Twins}
	for i := range s.Rounds {
		out.Rounds = append(out.Rounds, s.mirror(&s.Rounds[i]))
	}
	return out
}

func (s *Scenario) mirrorSet(set Set) Set {
	var out Set
	for p := range s.Processes() {
		if !set.Has(p) {
			continue
		}
		to := p
		if i := slices.Index(s.Twins, p); i >= 0 {
			to = s.Replicas + i
		} else if p >= s.Replicas {
			to = s.identity(p)
		}
		out |= setOf(to)
	}
	return out
}

// partitions returns all partitions of m processes: Bell(m) many.
func partitions(m int) [][]Set {
	out := [][]Set{nil}
	for p := range m {
		var longer [][]Set
		for _, groups := range out {
			for i := range groups {
				with := slices.Clone(groups)
				with[i] |= 1 << p
				longer = append(longer, with)
			}
			longer = append(longer, append(slices.Clone(groups), 1<<p))
		}
		out = longer
	}
	return out
}

// choices returns the letters that a round may have when so many rounds follow
// it and so many more may be irregular: always the first ones.
func (s *Scope) choices(following, irregular int) int {
	switch {
	case following == 0:
		return s.quorate
	case irregular == 0:
		return s.regular
	default:
		return len(s.letters)
	}
}

// spends tells how many irregular rounds a letter is.
func (s *Scope) spends(i int) int {
	if i < s.regular {
		return 0
	}
	return 1
}

// count fills counts.
func (s *Scope) count() {
	irregular := len(s.letters) - s.regular
	for left := range s.rounds + 1 {
		row := make([]int, s.irregular+1)
		for k := range row {
			switch choices := s.choices(left-1, k); {
			case left == 0:
				row[k] = 1
			case choices > s.regular:
				row[k] = s.regular*s.counts[left-1][k] + irregular*s.counts[left-1][k-1]
			default:
				row[k] = choices * s.counts[left-1][k]
			}
		}
		s.counts = append(s.counts, row)
	}
}

// Size returns the number of scenarios.
func (s *Scope) Size() int { return s.counts[s.rounds][s.irregular] }

// At returns the i-th scenario.
func (s *Scope) At(i int) *Scenario {
	return s.scenario(s.word(i))
}

// word returns the letters of the i-th scenario.
func (s *Scope) word(i int) []int {
	var word []int
	k := s.irregular
	for left := s.rounds - 1; left >= 0; left-- {
		for l := range s.choices(left, k) {
			below := s.counts[left][k-s.spends(l)]
			if i < below {
				word = append(word, l)
				k -= s.spends(l)
				break
			}
			i -= below
		}
	}
	return word
}

func (s *Scope) scenario(word []int) *Scenario {
	out := &Scenario{Replicas: s.shape.Replicas, Twins: s.shape.Twins}
	for _, l := range word {
		out.Rounds = append(out.Rounds, s.letters[l].round)
	}
	return out
}

// Classes returns the number of scenarios up to the symmetry of the two copies:
// half of those that are not their own mirror, and all others.
func (s *Scope) Classes() int {
	own := &Scope{rounds: s.rounds, irregular: s.irregular}
	for i, l := range s.letters {
		if l.mirror == i {
			own.letters = append(own.letters, l)
			own.regular += 1 - s.spends(i)
			if i < s.quorate {
				own.quorate++
			}
		}
	}
	own.count()
	return (s.Size() + own.Size()) / 2
}
