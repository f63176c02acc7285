package twins

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse returns the scenario of a name. Errors wrap ErrScenario.
func Parse(name string) (*Scenario, error) {
	parts := strings.Split(name, "|")
	s := &Scenario{Replicas: 4}
	if err := s.parseHead(strings.Fields(parts[0])); err != nil {
		return nil, err
	}
	for _, part := range parts[1:] {
		r, err := s.parseRound(strings.Fields(part))
		if err != nil {
			return nil, err
		}
		s.Rounds = append(s.Rounds, r)
	}
	return s, nil
}

func (s *Scenario) parseHead(words []string) error {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		number, err := strconv.Atoi(value)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %q, want n=4 or twin=0", ErrScenario, word)
		case key == "n":
			s.Replicas = number
		case key == "twin":
			s.Twins = append(s.Twins, number)
		default:
			return fmt.Errorf("%w: %q, want n=4 or twin=0", ErrScenario, word)
		}
	}
	if s.Replicas < 1 || s.Processes() > processesMax {
		return fmt.Errorf("%w: %d processes, want 1 to %d", ErrScenario, s.Processes(), processesMax)
	}
	for i, t := range s.Twins {
		if t < 0 || t >= s.Replicas || slices.Contains(s.Twins[:i], t) {
			return fmt.Errorf("%w: replica %d cannot be a twin of %d replicas, or is one already", ErrScenario, t, s.Replicas)
		}
	}
	return nil
}

func (s *Scenario) parseRound(words []string) (Round, error) {
	if len(words) == 0 {
		return Round{}, fmt.Errorf("%w: an empty round", ErrScenario)
	}
	groups, err := s.parseGroups(words[0])
	if err != nil {
		return Round{}, err
	}
	r := plain(groups)
	for i := 1; i < len(words); i++ {
		word := words[i]
		if word == "only" || word == "but" {
			i++
			if i == len(words) {
				return Round{}, fmt.Errorf("%w: %q ends the round, want classes of messages after it", ErrScenario, word)
			}
			err = r.parseCut(word == "only", words[i])
		} else {
			err = s.parseFault(&r, word)
		}
		if err != nil {
			return Round{}, err
		}
	}
	return r, nil
}

// parseGroups reads a partition of all processes.
func (s *Scenario) parseGroups(word string) ([]Set, error) {
	var groups []Set
	var seen Set
	for _, text := range strings.SplitAfter(word, "}") {
		if text == "" {
			continue
		}
		g, err := s.parseSet(text)
		if err != nil {
			return nil, err
		}
		if g == 0 || g&seen != 0 {
			return nil, fmt.Errorf("%w: group %s is empty or shares a process with another", ErrScenario, text)
		}
		seen |= g
		groups = append(groups, g)
	}
	if seen.Size() != s.Processes() {
		return nil, fmt.Errorf("%w: %s does not place all of %s", ErrScenario, word, s.setName(1<<s.Processes()-1))
	}
	return canonical(groups), nil
}

// parseCut reads after "only" the classes that are cut, and after "but" those
// that are not.
func (r *Round) parseCut(only bool, word string) error {
	for c := range r.Cut {
		r.Cut[c] = !only
	}
	for name := range strings.SplitSeq(word, ",") {
		c := slices.Index(classNames(), name)
		if c < 0 {
			return fmt.Errorf("%w: %q is no class of messages, want one of %v", ErrScenario, name, classNames())
		}
		r.Cut[c] = only
	}
	return nil
}

// parseFault reads "commit:drop-to{1}" or "crash{1}".
func (s *Scenario) parseFault(r *Round, word string) error {
	head, _, _ := strings.Cut(word, "{")
	set, err := s.parseSet(strings.TrimPrefix(word, head))
	if err != nil {
		return err
	}
	if head == "crash" {
		r.Crash = set
		return nil
	}
	name, drops := strings.CutSuffix(head, ":drop-to")
	c := slices.Index(classNames(), name)
	if !drops || c < 0 {
		return fmt.Errorf("%w: %q, want for example commit:drop-to{1} or crash{1}", ErrScenario, word)
	}
	r.Deaf[c] = set
	return nil
}

func (s *Scenario) parseSet(text string) (Set, error) {
	inner, opened := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !opened || !closed {
		return 0, fmt.Errorf("%w: %q, want a set like {0,1}", ErrScenario, text)
	}
	var set Set
	for name := range strings.SplitSeq(inner, ",") {
		p := slices.IndexFunc(s.order(), func(p int) bool { return s.name(p) == name })
		if p < 0 {
			return 0, fmt.Errorf("%w: no process is called %q", ErrScenario, name)
		}
		set |= setOf(s.order()[p])
	}
	return set, nil
}

// canonical returns the groups in ascending order of their least members.
func canonical(groups []Set) []Set {
	out := slices.Clone(groups)
	slices.SortFunc(out, func(a, b Set) int { return int(a&-a) - int(b&-b) })
	return out
}
