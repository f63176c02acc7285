package picture

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/test/sim"
)

const (
	// anchorsMax bounds the moments around which a long run is shown.
	anchorsMax = 24
	// stateShare is the share of the picture that may go to what the lanes' lives
	// are made of.
	stateShare = 4
)

// keep returns what is shown: where that is too much, first without what is not
// shown at first, and then what happens around moments of note. It returns what
// is left out between them, and says so.
func (p Picture) keep() (kept []sim.Moment, cuts [][3]int64, cut string) {
	most := p.Max
	if most <= 0 {
		most = MomentsMax
	}
	total := len(p.Moments) + p.Missing
	if total <= most {
		return p.Moments, nil, ""
	}
	cut = "without status messages and transfers"
	for _, m := range p.Moments {
		if !isMessage(m) || !isQuiet(m.Kind) {
			kept = append(kept, m)
		}
	}
	if len(kept) > most {
		kept, cuts = around(kept, most)
		cut += ", and around moments of note"
	}
	return kept, cuts, fmt.Sprintf("The picture shows %d of %d moments: %s.", len(kept), total, cut)
}

// around returns at most so many of the moments: those near the first ones of
// each kind of note, and all that changes how a replica is.
func around(all []sim.Moment, most int) (kept []sim.Moment, cuts [][3]int64) {
	c := choice{chosen: make([]bool, len(all)), left: most}
	for i, m := range all {
		if isState(m) && c.left > most-most/stateShare {
			c.choose(i)
		}
	}
	// Wider and wider around each anchor, twice as much after it as before.
	near := anchors(all)
	for width := 0; c.left > 0 && width < len(all); width++ {
		for _, i := range near {
			c.choose(i + 2*width)
			c.choose(i + 2*width + 1)
			c.choose(i - width)
		}
	}
	return c.split(all)
}

// choice is which moments are shown.
type choice struct {
	chosen []bool
	left   int
}

func (c *choice) choose(i int) {
	if i >= 0 && i < len(c.chosen) && !c.chosen[i] && c.left > 0 {
		c.chosen[i] = true
		c.left--
	}
}

// split returns what is chosen, and what is left out between that.
func (c *choice) split(all []sim.Moment) (kept []sim.Moment, cuts [][3]int64) {
	for i, from := 0, -1; i <= len(all); i++ {
		in := i == len(all) || c.chosen[i]
		switch {
		case !in && from < 0:
			from = i
		case in && from >= 0:
			cuts = append(cuts, [3]int64{all[from].At.Microseconds(), all[i-1].At.Microseconds(), int64(i - from)})
			from = -1
		}
		if in && i < len(all) {
			kept = append(kept, all[i])
		}
	}
	return kept, cuts
}

// anchors returns the places of the moments of note: the begin, the first of each
// kind at each process, and the end where something broke.
func anchors(all []sim.Moment) []int {
	type kind struct {
		what sim.What
		node int
	}
	found := []int{0}
	seen := map[kind]bool{}
	for i, m := range all {
		k := kind{m.What, m.Node}
		if isNote(m) && !seen[k] {
			seen[k] = true
			found = append(found, i)
		}
	}
	if last := found[len(found)-1]; len(found) > anchorsMax {
		found = append(found[:anchorsMax-1:anchorsMax-1], last)
	}
	return slices.Compact(found)
}

// isNote tells whether m is worth to be looked at.
func isNote(m sim.Moment) bool {
	switch m.What {
	case sim.LeftView, sim.EnteredView, sim.Accused, sim.Faulted, sim.Noted, sim.Crashed, sim.Violated:
		return true
	default:
		return false
	}
}

// isState tells whether m changes how a replica is.
func isState(m sim.Moment) bool {
	switch m.What {
	case sim.Started, sim.Crashed, sim.LeftView, sim.EnteredView, sim.Calm, sim.Violated:
		return true
	default:
		return false
	}
}
