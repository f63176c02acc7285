package golden

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// violation plays a script in a new world. It returns where a property breaks, -1
// if none does, and how. A script with an error breaks nothing.
func violation(lines []string) (at int, how string) {
	kept, at, how := play(lines)
	if at < 0 || len(kept) == at+1 {
		return at, how
	}
	return -1, "error: a command could not be carried out"
}

// play plays a script in a new world until a property breaks. It returns the
// commands so far but those that were errors, where it breaks, and how; or -1, and
// the first error.
func play(lines []string) (kept []string, at int, how string) {
	w := &World{}
	for i, line := range lines {
		bad := false
		for _, said := range strings.Split(w.Do(line), "\n") {
			if strings.HasPrefix(said, "error:") {
				bad = true
				how = cmp.Or(how, said)
			}
			if _, what, ok := strings.Cut(said, "VIOLATION: "); ok {
				return append(kept, line), i, what
			}
		}
		if !bad {
			kept = append(kept, line)
		}
	}
	return kept, -1, how
}

// playsMax bounds how often shorten plays a script, and commandsMax how many
// commands it plays in all.
const (
	playsMax    = 10_000
	commandsMax = 5_000_000
)

// shortening is a search for the shortest script that breaks the same.
type shortening struct {
	lines    []string
	law      string
	plays    int
	commands int
}

// shorten leaves out what has no part in the violation at the end of a script,
// and says the rest in fewer words.
func shorten(lines []string) []string {
	_, how := violation(lines)
	s := &shortening{lines: lines, law: lawOf(how)}
	s.leaveOutKinds()
	for before := ""; before != s.text(); {
		before = s.text()
		s.leaveOut()
		s.join()
		s.generalize()
		s.wait()
	}
	return s.lines
}

func (s *shortening) text() string { return strings.Join(s.lines, "\n") }

// lawOf returns the first words of a violation, which name no replica.
func lawOf(how string) string {
	words := strings.Fields(how)
	for i, word := range words {
		if strings.ContainsAny(word, "0123456789[:") {
			words = words[:i]
			break
		}
	}
	if len(words) == 0 {
		return "committed"
	}
	return strings.Join(words, " ")
}

// try takes a shorter script, if it breaks the same law.
func (s *shortening) try(lines []string) bool {
	if s.plays >= playsMax || s.commands >= commandsMax {
		return false
	}
	s.plays++
	s.commands += len(lines)
	kept, at, how := play(lines)
	if at < 0 || lawOf(how) != s.law {
		return false
	}
	if len(kept) < at+1 { // without what could not be carried out; it may have done something
		if again, same := violation(kept); again != len(kept)-1 || lawOf(same) != s.law {
			return false
		}
	}
	s.lines = kept
	return true
}

// leaveOutKinds removes commands of one kind, all at once.
func (s *shortening) leaveOutKinds() {
	kinds := map[string]bool{}
	for _, line := range s.lines[1:] {
		kinds[kindOfCommand(line)] = true
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		s.try(slices.DeleteFunc(slices.Clone(s.lines), func(line string) bool { return kindOfCommand(line) == kind }))
	}
}

// kindOfCommand returns the name of a command, or the kind of what it delivers.
func kindOfCommand(line string) string {
	c := parse(line)
	return c.name + " " + c.options["kind"]
}

// leaveOut removes parts, large ones first (Zeller, Hildebrandt: Simplifying and
// Isolating Failure-Inducing Input, 2002).
func (s *shortening) leaveOut() {
	for size := len(s.lines) / 2; size > 0; size /= 2 {
		for at := len(s.lines) - size; at > 0; at -= size {
			if at+size <= len(s.lines) {
				s.try(slices.Concat(s.lines[:at], s.lines[at+size:]))
			}
		}
	}
}

// join makes one command of two neighbours that differ in one option or in their
// words.
func (s *shortening) join() {
	for at := 1; at < len(s.lines)-1; {
		one, ok := joined(s.lines[at], s.lines[at+1])
		if !ok || !s.try(slices.Concat(s.lines[:at], []string{one}, s.lines[at+2:])) {
			at++
		}
	}
}

// joined returns a command that does what two do, or something like it.
func joined(a, b string) (string, bool) {
	x, y := strings.Fields(a), strings.Fields(b)
	switch {
	case x[0] != y[0] || x[0] == "cluster":
		return "", false
	case x[0] == "tick":
		n, m := parse(a).count("n", 1), parse(b).count("n", 1)
		same := slices.Equal(parse(a).words, parse(b).words)
		if same || n != m {
			return tickLine(slices.Concat(parse(a).words, parse(b).words), n+m), true
		}
		return tickLine(slices.Concat(parse(a).words, parse(b).words), n), true
	case x[0] != "deliver" && !strings.Contains(a+b, "=") && x[0] != "link":
		return strings.Join(slices.Concat(x[:1], union(x[1:], y[1:])), " "), true
	case x[0] != "deliver":
		return "", false
	}
	return joinedFilters(x, y)
}

// union returns what is in either list, in order and once.
func union(a, b []string) []string {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

func tickLine(words []string, n int) string {
	line := "tick " + strings.Join(union(words, nil), " ")
	if n > 1 {
		line += fmt.Sprintf(" n=%d", n)
	}
	return line
}

// joinedFilters makes one filter of two with the same kind, in which every option
// takes what either takes.
func joinedFilters(x, y []string) (string, bool) {
	a, b := parse(strings.Join(x, " ")).options, parse(strings.Join(y, " ")).options
	line := x[0]
	if a["nth"]+b["nth"] != "" || a["kind"] != b["kind"] {
		return "", false
	}
	for _, key := range []string{"from", "to", "kind", "view", "seq"} {
		p, q := a[key], b[key]
		switch {
		case p == "" || q == "":
		case p == q:
			line += " " + key + "=" + p
		case key == "from" || key == "to":
			line += " " + key + "=" + strings.Join(union(splitList(p), splitList(q)), ",")
		}
	}
	return line, true
}

// generalize drops the options that do not matter, the last ones first. The kind
// of a message stays, for readers, and so does everything that tells which of many
// it is.
func (s *shortening) generalize() {
	for at := 0; at < len(s.lines); at++ {
		for _, option := range slices.Backward(strings.Fields(s.lines[at])) {
			line := s.line(at)
			key, _, ok := strings.Cut(option, "=")
			if !ok || key == "kind" || key == "n" || strings.Contains(line, " nth=") && key != "nth" {
				continue
			}
			s.put(at, without(strings.Fields(line), option))
		}
	}
}

// line returns a command, nothing if there are fewer.
func (s *shortening) line(at int) string {
	if at >= len(s.lines) {
		return ""
	}
	return s.lines[at]
}

// put tries other words for a command.
func (s *shortening) put(at int, words []string) bool {
	if at >= len(s.lines) {
		return false
	}
	return s.try(slices.Concat(s.lines[:at], []string{strings.Join(words, " ")}, s.lines[at+1:]))
}

func without(words []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == word })
}

// wait lets less time pass, and fewer replicas do something at once.
func (s *shortening) wait() {
	for at := 0; at < len(s.lines); at++ {
		c := parse(s.lines[at])
		for _, word := range c.words {
			if now := strings.Fields(s.line(at)); len(parse(s.line(at)).words) > 1 && slices.Contains(now, word) {
				s.put(at, without(now, word))
			}
		}
		for s.hurry(at) {
		}
	}
}

// hurry lets fewer ticks pass in one command.
func (s *shortening) hurry(at int) bool {
	c := parse(s.line(at))
	n := c.count("n", 1)
	if c.name != "tick" || n < 2 {
		return false
	}
	return s.put(at, strings.Fields(tickLine(c.words, n/2))) || s.put(at, strings.Fields(tickLine(c.words, n-1)))
}

// blockLines is how many commands of a scenario stand before their output.
const blockLines = 8

// Scenario plays a script on the present core and returns both as a file of
// testdata: what the replicas say stands behind every few commands. law says, in a
// sentence, what must hold.
func Scenario(law, script string) string {
	w := &World{}
	var out strings.Builder
	out.WriteString("# " + law + "\n")
	var block []string
	said := ""
	end := func() {
		if len(block) > 0 {
			fmt.Fprintf(&out, "%s\n----\n%s\n", strings.Join(block, "\n"), said)
		}
		block, said = nil, ""
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if line[0] == '#' && len(block) == 0 {
			out.WriteString(line + "\n")
			continue
		}
		block, said = append(block, line), said+w.Do(line)
		if len(block) == blockLines {
			end()
		}
	}
	if len(block) == blockLines {
		end()
	}
	block, said = append(block, "status"), said+w.Do("status")
	end()
	return strings.TrimRight(out.String(), "\n") + "\n"
}
