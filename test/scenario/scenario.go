package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrUnknown says that there is no scenario with a name.
var ErrUnknown = errors.New("no such scenario")

// Scenario is one attack. R0 is the primary of view 0 of a cluster of four, and
// T is the request timeout.
type Scenario struct {
	Name string
	// Faulty is who is faulty, and what they do.
	Faulty string
	// Stake names the properties at stake: AG agreement, TO total order, VA
	// validity, IN integrity, EO exactly once, LIN linearizability, LV liveness,
	// MEM bounded memory, SLO bounded slowdown, ACC accountability.
	Stake string
	// Seen is what must be seen, beside the oracles.
	Seen string
	// Sim sets the simulated run up.
	Sim func(*Play)
	// Real plays it on real processes. It is nil if that makes no sense, and
	// WhyNotReal says why.
	Real       func(context.Context, *Stage) error
	WhyNotReal string
}

// All returns the table.
func All() []Scenario {
	return slices.Concat(
		primaryRows(), slowRows(), unfairRows(), proposalRows(), malformedRows(), backupRows(), floodRows(), staleRows(),
		viewChangeRows(), newViewRows(), dataRows(), transferRows(), networkRows(), clientRows(), floodingRows(), readRows(),
		coalitionRows(),
	)
}

// Find returns the scenario with this name. The error, an ErrUnknown, proposes
// names that are near.
func Find(name string) (Scenario, error) {
	var near []string
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
		if isNear(name, s.Name) {
			near = append(near, s.Name)
		}
	}
	if len(near) == 0 {
		return Scenario{}, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	return Scenario{}, fmt.Errorf("%w: %q; did you mean %s?", ErrUnknown, name, strings.Join(near, " or "))
}

// isNear tells whether somebody who typed name may have meant other.
func isNear(name, other string) bool {
	if len(name) >= 3 && (strings.Contains(other, name) || strings.Contains(name, other)) {
		return true
	}
	return distance(name, other) <= max(2, len(other)/4)
}

// distance returns how many letters must be inserted, deleted or changed to make
// b of a (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
