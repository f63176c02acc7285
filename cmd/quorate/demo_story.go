package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// tone is how a line looks on a terminal: an escape sequence, or nothing.
type tone string

// The widths of the columns of a story: time, and what happened.
const (
	storyTimeWidth = 6
	storyWhatWidth = 10
)

// story tells what happens as it happens: a line for each event, with the time
// since the start.
type story struct {
	out   io.Writer
	json  bool
	start time.Time
	// The tones, all empty without a terminal.
	plain, good, bad, dim, reset tone
	err                          error // the first of writing
}

// storyEvent is an event in JSON.
type storyEvent struct {
	Seconds float64 `json:"at_s"`
	Event   string  `json:"event"`
	Text    string  `json:"text"`
}

func newStory(c *console) *story {
	s := &story{out: c.out, json: c.format == "json", start: time.Now()}
	if o, ok := c.out.(*output); ok && c.takesEscapes(o.File) && c.env("NO_COLOR") == "" {
		s.plain, s.good, s.bad = "\x1b[36m", "\x1b[32m", "\x1b[1;31m"
		s.dim, s.reset = "\x1b[2m", "\x1b[0m"
	}
	return s
}

// takesEscapes tells whether f is a terminal that understands escape sequences.
func (c *console) takesEscapes(f *os.File) bool { return isTerminal(f) && c.env("TERM") != "dumb" }

// tell tells an event; lines after the first are put under it.
func (s *story) tell(what string, t tone, lines ...string) {
	err := s.write(time.Since(s.start).Seconds(), what, t, lines)
	if s.err == nil {
		s.err = err
	}
}

func (s *story) write(at float64, what string, t tone, lines []string) error {
	if s.json {
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		return e.Encode(storyEvent{float64(int(at*1000)) / 1000, what, strings.Join(lines, "\n")})
	}
	between := "\n" + strings.Repeat(" ", storyTimeWidth+storyWhatWidth+3)
	_, err := fmt.Fprintf(s.out, "%s%*.1fs%s  %s%-*s%s %s\n", s.dim, storyTimeWidth-1, at, s.reset,
		t, storyWhatWidth, what, s.reset, strings.Join(lines, between))
	return err
}
