package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/cluster"
)

func newTestStory(format string) (*story, *bytes.Buffer) {
	var out bytes.Buffer
	return newStory(&console{out: &out, format: format, env: func(string) string { return "" }}), &out
}

func TestStoryIsPlainAndAlignedWithoutATerminal(t *testing.T) {
	s, out := newTestStory("table")
	for _, err := range []error{
		s.write(0.04, "replicas", s.good, []string{"r0", "r1"}),
		s.write(12.3, "SIGKILL", s.bad, []string{"r0, the primary"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "" +
		"  0.0s  replicas   r0\n" +
		"                   r1\n" +
		" 12.3s  SIGKILL    r0, the primary\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

func TestStoryInJSONIsOneObjectALine(t *testing.T) {
	s, out := newTestStory("json")
	if err := s.write(1.2345, "replicas", s.good, []string{"r0", "r1"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"at_s":1.234,"event":"replicas","text":"r0\nr1"}` + "\n"; out.String() != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

func TestWhateverKeepsTheDemoFromItsProofIsAFailure(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a case of the test
		err  error
		want string
		told string
	}{
		"violation":   {t.Context(), fmt.Errorf("x: %w", &cluster.Violation{What: "lost", Dir: "/e"}), "lost", "VIOLATION"},
		"no time":     {t.Context(), fmt.Errorf("waiting: %w", context.DeadlineExceeded), "waiting", ""},
		"no result":   {t.Context(), &pbft.UnfinishedError{Err: context.DeadlineExceeded}, "no result yet", ""},
		"interrupted": {done, context.Canceled, "interrupted", ""},
	} {
		s, out := newTestStory("table")
		d := &demo{story: s}
		err := d.failure(test.ctx, test.err)
		if code := exitCode(err); code != exitFailure || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: exit code %d of %v, want %d and %q", name, code, err, exitFailure, test.want)
		}
		if !strings.Contains(out.String(), test.told) || test.told == "" && out.Len() > 0 {
			t.Errorf("%s: it told %q, want %q", name, out, test.told)
		}
	}
}

func TestDemoRefusesTooFewReplicas(t *testing.T) {
	err := runDemo(t.Context(), &console{}, demoOptions{replicas: 3})
	var usage usageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "4 to 100") {
		t.Errorf("got %v, want a usage error with the bounds", err)
	}
}
