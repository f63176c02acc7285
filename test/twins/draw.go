package twins

import "math/rand/v2"

// Draw returns a random scenario of n replicas, so many rounds, and these twins:
// any partition of few groups, any class of messages whole or cut, any set deaf,
// and with crashes now and then a process that restarts.
func Draw(rng *rand.Rand, n int, twins []int, rounds int, crashes bool) *Scenario {
	s := &Scenario{Replicas: n, Twins: twins}
	for range rounds {
		s.Rounds = append(s.Rounds, s.draw(rng, crashes))
	}
	return s
}

func (s *Scenario) draw(rng *rand.Rand, crashes bool) Round {
	everyone := s.Processes()
	groups := make([]Set, 1+rng.IntN(3))
	for p := range everyone {
		groups[rng.IntN(len(groups))] |= setOf(p)
	}
	filled := groups[:0]
	for _, g := range groups {
		if g != 0 {
			filled = append(filled, g)
		}
	}
	r := plain(canonical(filled))
	for c := range r.Cut {
		r.Cut[c] = rng.IntN(5) > 0
		if rng.IntN(4) == 0 {
			r.Deaf[c] = Set(rng.IntN(1 << everyone)) //nolint:gosec // at most processesMax bits
		}
	}
	if crashes && rng.IntN(2) == 0 {
		r.Crash = setOf(rng.IntN(everyone), rng.IntN(everyone))
	}
	return r
}
