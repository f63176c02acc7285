package golden

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// told returns what the replicas of a run execute, enter and leave, in order, in
// the words of this package.
func told(o sim.Options) (lines [][]string, result sim.Result) {
	lines = make([][]string, o.Replicas)
	say := func(node int, format string, args ...any) {
		if node >= 0 && node < len(lines) {
			lines[node] = append(lines[node], fmt.Sprintf(format, args...))
		}
	}
	rec := &recording{sessions: map[wire.ClientID]int{}, drawn: map[wire.ClientID][]wire.Session{}}
	if err := rec.run(o); err != nil {
		say(0, "%v", err)
	}
	rec.w.scheme = sim.NewScheme()
	rec.rank()
	letter := func(id wire.ClientID) string { return rec.letters[rec.sessions[id]] }
	o.Steps = func(s sim.Step) {
		switch s.Do { //nolint:exhaustive // the others tell nothing
		case sim.StepExecute:
			text := fmt.Sprintf("executes n%d:", s.Seq)
			for _, order := range s.Execution.Orders {
				if order.Run {
					text += fmt.Sprintf(" %s%d", letter(order.Request.Client), order.Number())
				}
			}
			say(s.Node, "%s", text)
		}
	}
	o.Watch = func(m sim.Moment) {
		switch m.What { //nolint:exhaustive // the others come from these
		case sim.LeftView, sim.EnteredView:
			say(m.Node, "%s", m.Text)
		case sim.BecameStable:
			say(m.Node, "stable %d", m.Seq)
		}
	}
	return lines, sim.Run(o)
}

// heard plays a script and returns the same of it.
func heard(t *testing.T, replicas int, script string) [][]string {
	t.Helper()
	lines, w := make([][]string, replicas), &World{}
	for line := range strings.Lines(script) {
		for _, said := range strings.Split(strings.TrimSpace(w.Do(line)), "\n") {
			who, text, ok := strings.Cut(said, ": ")
			if !ok || who == "error" || strings.Contains(text, "VIOLATION") {
				if said != "" {
					t.Fatalf("%s: %s", line, said)
				}
				continue
			}
			text = asTold(text)
			for _, name := range strings.Fields(who) {
				var id int
				if _, err := fmt.Sscanf(name, "R%d", &id); err == nil && text != "" {
					lines[id] = append(lines[id], text)
				}
			}
		}
	}
	return lines
}

// asTold puts what golden says into the words of told, or drops it.
func asTold(text string) string {
	var seq int
	switch {
	case strings.HasPrefix(text, "executes"):
		var kept []string
		for _, part := range strings.Split(text, " not ") {
			name, why, not := strings.Cut(part, " (")
			if !not {
				kept = append(kept, part)
				continue
			}
			_, rest, _ := strings.Cut(why, ")")
			_ = name
			kept = append(kept, strings.TrimSpace(rest))
		}
		text = strings.TrimSuffix(strings.Join(strings.Fields(strings.Join(kept, " ")), " "), " nothing")
		return sessionless(text)
	case strings.HasPrefix(text, "asks for view"), strings.HasPrefix(text, "enters view"):
		return text
	}
	if _, err := fmt.Sscanf(text, "checkpoint %d is stable", &seq); err == nil {
		return fmt.Sprintf("stable %d", seq)
	}
	return ""
}

// sessionless drops the session from names like a/2/1.
func sessionless(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if parts := strings.Split(word, "/"); len(parts) == 3 {
			words[i] = parts[0] + parts[2]
		}
	}
	return strings.Join(words, " ")
}

// TestRecordedRunsTellTheSame plays the scripts of runs in which nothing breaks:
// every replica executes the same operations in the same order as in the run, and
// enters and leaves the same views in between, for the same reasons. In eight runs of
// 120, 12 and 14 are two, the script lacks something from some point on, and says so: as where
// a primary proposes between two of its own messages that a script lets arrive at once. In one,
// 6, a replica executes two more batches before it crashes.
func TestRecordedRunsTellTheSame(t *testing.T) {
	views := 0
	for seed := uint64(1); seed < 20; seed++ {
		if seed == 6 || seed == 12 || seed == 14 {
			continue
		}
		o := sim.FromSeed(seed).Honest()
		o.Corruption, o.RealStorage, o.Outlaws, o.Liveness, o.Inputs = 0, false, 0, false, false
		o.Operations = min(o.Operations, 12)
		want, result := told(o)
		if result.Violation != nil {
			t.Fatalf("seed %d: %v", seed, result.Violation)
		}
		views += int(result.Views) //nolint:gosec // few
		script, reproduced, err := Record(o)
		if err != nil || reproduced || strings.Contains(script, "#") {
			t.Fatalf("seed %d: %v, reproduced %v, left out:%s", seed, err, reproduced, comments(script))
		}
		got := heard(t, o.Replicas, script)
		if longest := slices.MaxFunc(want, byLength); len(longest) < int(result.Executed) { //nolint:gosec // few
			t.Errorf("seed %d: %d things are told of %d batches", seed, len(longest), result.Executed)
		}
		for id := range want {
			if !slices.Equal(got[id], want[id]) {
				t.Errorf("seed %d: R%d does not tell the same: %s\nof %v", seed, id, difference(got[id], want[id]), o)
			}
		}
	}
	if views < 10 {
		t.Errorf("there were %d views in all: too little happens", views)
	}
}

func byLength(a, b []string) int { return len(a) - len(b) }

// difference tells where two lists differ first.
func difference(got, want []string) string {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d lines, want %d; after %d: %q, want %q",
		len(got), len(want), n, got[n:min(n+2, len(got))], want[n:min(n+2, len(want))])
}

func comments(script string) string {
	text := ""
	for line := range strings.Lines(script) {
		if line[0] == '#' {
			text += "\n" + line
		}
	}
	return text
}

// TestRecordNamesWhatItLeavesOut has runs of which not all can be written out.
func TestRecordNamesWhatItLeavesOut(t *testing.T) {
	o := sim.FromSeed(3).Honest().On(4)
	o.Operations, o.Liars, o.RealStorage = 5, 1, true
	script, reproduced, err := Record(o)
	if err != nil || reproduced {
		t.Fatalf("%v, reproduced %v", err, reproduced)
	}
	for _, want := range []string{"what liars say", "what a crash within a disk operation leaves"} {
		if !strings.Contains(comments(script), "# left out: "+want) {
			t.Errorf("%q is not named:%s", want, comments(script))
		}
	}
	o.Faults = 2
	if _, _, err := Record(o); err == nil {
		t.Error("four replicas with two faulty ones were recorded")
	}
}
