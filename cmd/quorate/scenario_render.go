package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/test/scenario"
)

// The widths of a report: of a terminal, and of the columns of its events.
const (
	reportWidth   = 80
	reportTime    = 8
	reportWho     = 3
	reportEvents  = 12 // of each list, at most
	reportVerdict = 18
)

// sheet writes a report for people.
type sheet struct {
	*story

	c *console
}

func newScenarioSheet(c *console) *sheet {
	s := newStory(c)
	return &sheet{s, c}
}

// print writes a line. The first error is kept.
func (s *sheet) print(format string, args ...any) {
	if s.json || s.err != nil {
		return
	}
	line := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	_, s.err = fmt.Fprintln(s.out, line)
}

// paint returns text in a tone.
func (s *sheet) paint(t tone, text string) string { return string(t) + text + string(s.reset) }

// mark returns a sign for a verdict.
func (s *sheet) mark(v scenario.Verdict) string {
	switch {
	case v.Error != "" && v.Excused:
		return s.paint(s.dim, "~")
	case v.Error != "":
		return s.paint(s.bad, "✗")
	case v.Held:
		return s.paint(s.good, "✓")
	default:
		return s.paint(s.dim, "–")
	}
}

// showReport prints a report.
func (c *console) showReport(r scenario.Report) error {
	if c.format == "json" {
		return c.show(table{}, r)
	}
	s := newScenarioSheet(c)
	mode := "simulated"
	if r.Mode == "real" {
		mode = "four real processes"
	}
	s.print("%s  %s", s.paint(s.plain, r.Scenario), s.paint(s.dim, fmt.Sprintf("%s, seed %d", mode, r.Seed)))
	s.fact("faulty", r.Faulty)
	s.fact("at stake", r.Stake)
	s.fact("to be seen", r.Seen)
	s.events("what the faulty party did", s.bad, r.Did)
	s.events("what the others noticed", s.plain, r.Noticed)
	s.print("")
	s.print("%s", s.paint(s.dim, "oracles"))
	for _, v := range r.Oracles {
		s.verdict(v, reportVerdict)
	}
	s.print("")
	s.print("%s", s.paint(s.dim, "expected of this scenario"))
	for _, v := range r.Expected {
		s.verdict(v, 0)
	}
	s.print("")
	s.conclude(r)
	return s.err
}

func (s *sheet) fact(name, text string) {
	for i, line := range wrapped(text, reportWidth-14) {
		if i > 0 {
			name = ""
		}
		s.print("  %s%s", s.paint(s.dim, fmt.Sprintf("%-12s", name)), line)
	}
}

// events prints a list of events, the first ones.
func (s *sheet) events(title string, t tone, list []scenario.Event) {
	if len(list) == 0 {
		return
	}
	s.print("")
	s.print("%s", s.paint(s.dim, title))
	for _, e := range list[:min(len(list), reportEvents)] {
		text := printable(e.Text)
		if e.Times > 1 {
			text += fmt.Sprintf(" (%d times the like)", e.Times)
		}
		for i, line := range wrapped(text, reportWidth-reportTime-reportWho-4) {
			at, who := fmt.Sprintf("%*.3fs", reportTime-1, e.Seconds), e.Who
			if i > 0 {
				who = ""
			}
			if i > 0 || e.Seconds == 0 {
				at = ""
			}
			s.print("%s  %s  %s", s.paint(s.dim, fmt.Sprintf("%*s", reportTime, at)), s.paint(t, fmt.Sprintf("%-*s", reportWho-1, who)), line)
		}
	}
	if more := len(list) - reportEvents; more > 0 {
		s.print("%*s      … and %d more, with -o json", reportTime, "", more)
	}
}

// verdict prints a verdict, with its checks where there is a column for them.
func (s *sheet) verdict(v scenario.Verdict, column int) {
	if column > 0 && v.Error == "" {
		looked := thousands(v.Checks) + " checks"
		if v.Checks == 0 {
			looked = "nothing to check"
		}
		s.print("  %s %-*s %s", s.mark(v), column, v.Name, looked)
		return
	}
	text := v.Name
	if v.Error != "" {
		text += ": " + v.Error
	}
	if v.Excused && v.Error != "" {
		text += " (more than f lie)"
	}
	for i, line := range wrapped(printable(text), reportWidth-4) {
		if i == 0 {
			s.print("  %s %s", s.mark(v), line)
			continue
		}
		s.print("    %s", line)
	}
}

func (s *sheet) conclude(r scenario.Report) {
	verdict := s.paint(s.good, "PASSED")
	if !r.Passed {
		verdict = s.paint(s.bad, "FAILED")
	}
	s.print("%s  %s", verdict, strings.Join(figures(r), ", "))
	for _, f := range r.Failures {
		for i, line := range wrapped(printable(f), reportWidth-8) {
			if i == 0 {
				s.print("        %s", s.paint(s.bad, line))
				continue
			}
			s.print("          %s", line)
		}
	}
	s.print("%s  %s", s.paint(s.dim, "replay"), r.Replay)
}

// figures returns the numbers of a report.
func figures(r scenario.Report) []string {
	took := time.Duration(r.Numbers.Took * float64(time.Second)).Round(time.Millisecond)
	list := []string{fmt.Sprintf("%.1f s", r.Numbers.Seconds)}
	if r.Mode == "sim" {
		list = []string{fmt.Sprintf("%.1f s of virtual time in %s", r.Numbers.Seconds, took)}
	}
	list = append(list, fmt.Sprintf("view %d", r.Numbers.Views), thousands(r.Numbers.Operations)+" operations")
	if r.Numbers.Events > 0 {
		list = append(list, thousands(r.Numbers.Events)+" events")
	}
	if r.Numbers.Memory > 0 {
		list = append(list, fmt.Sprintf("%d MiB at most", r.Numbers.Memory>>20))
	}
	return list
}

// row prints a report as a row of a table.
func (s *sheet) row(r scenario.Report) {
	mark := s.mark(scenario.Verdict{Held: r.Passed, Error: strings.Join(r.Failures, " ")})
	s.print("%s %-26s %-10s %7.1fs  view %-3d %6s operations", mark, r.Scenario, r.Stake, r.Numbers.Seconds, r.Numbers.Views,
		thousands(r.Numbers.Operations))
	for _, f := range r.Failures {
		for _, line := range wrapped(printable(f), reportWidth-6) {
			s.print("      %s", s.paint(s.bad, line))
		}
	}
	if !r.Passed {
		s.print("      %s", r.Replay)
	}
}

// skipped prints that a scenario is not played.
func (s *sheet) skipped(row scenario.Scenario) {
	for i, line := range wrapped(row.WhyNotReal, reportWidth-29) {
		name, mark := row.Name, "–"
		if i > 0 {
			name, mark = "", " "
		}
		s.print("%s", s.paint(s.dim, fmt.Sprintf("%s %-26s %s", mark, name, line)))
	}
}

// end prints the sum.
func (s *sheet) end(passed, played int) {
	t := s.good
	if passed < played {
		t = s.bad
	}
	s.print("%s", s.paint(t, fmt.Sprintf("%d of %d passed", passed, played)))
}

// wrapped breaks text at spaces into lines of at most width characters.
func wrapped(text string, width int) []string {
	var lines []string
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		size := len([]rune(word))
		if length > 0 && length+1+size > width {
			lines = append(lines, line)
			line, length = "", 0
		}
		if length > 0 {
			line += " "
			length++
		}
		line += word
		length += size
	}
	return append(lines, line)
}

// thousands writes a number with separators.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
