package main

import (
	"context"
	"strings"
	"testing"

	"github.com/quorate/quorate/app/bank"
)

// TestOutputsPrintsWhatTheBankPays pays three times, and prints that.
func TestOutputsPrintsWhatTheBankPays(t *testing.T) {
	_, genesis := startCluster(t, bank.Machine{})
	for _, step := range []struct {
		line string
		code int
		want string // in the output
	}{
		{"bank open alice --mint 100", exitDone, "balance of alice: 100"},
		{"bank pay alice 30", exitDone, "balance of alice: 70"},
		{"bank pay alice 71", exitRefused, "insufficient funds"},
		{"bank pay alice 5", exitDone, "balance of alice: 65"},
		{"bank pay alice 1", exitDone, "balance of alice: 64"},
		{"outputs --count 3", exitDone, "pay alice 30\n2  seq "},
		{"outputs --from 2 --count 1 -o json", exitDone, `{"number":2,"seq":5,"payload":"pay alice 5"}`},
		{"outputs --from 2 --count 3 --timeout 300ms", exitUnreachable, "no further output within 300ms: 2 of 3 came"},
		{"outputs --from 0", exitUsage, "numbered from 1"},
		{"outputs --timeout 0s", exitUsage, "want more than 0"},
	} {
		args := strings.Fields(step.line)
		if !strings.Contains(step.line, "--timeout") {
			args = append(args, "--timeout", "30s")
		}
		code, out, errs := command(t, append(args, "--genesis", genesis)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: exit code %d and\n%s%s\nwant %d and %q", step.line, code, out, errs, step.code, step.want)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	out := &seen{want: "pay alice 1", then: interrupt}
	c := &console{out: out, err: out, env: func(string) string { return "" }}
	if code := run(ctx, c, []string{"outputs", "--genesis", genesis}); code != exitDone {
		t.Errorf("interrupted: exit code %d and\n%s", code, out.text.String())
	}
}

// seen takes what is printed, and does something once it has seen a text.
type seen struct {
	text strings.Builder
	want string
	then func()
}

func (s *seen) Write(b []byte) (int, error) {
	n, err := s.text.Write(b)
	if strings.Contains(s.text.String(), s.want) {
		s.then()
	}
	return n, err
}
