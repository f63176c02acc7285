package main

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app/bank"
	"github.com/quorate/quorate/pbft"
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

// every is a subscription of so many outputs, each that long after it is asked for, and of
// nothing more.
func every(pause time.Duration, count int) subscription {
	return func(ctx context.Context, from uint64) iter.Seq2[pbft.Output, error] {
		return func(yield func(pbft.Output, error) bool) {
			for n := from; ; n++ {
				next := time.NewTimer(pause)
				if n >= from+uint64(count) { //nolint:gosec // not negative
					next.Stop()
				}
				select {
				case <-next.C:
				case <-ctx.Done():
					yield(pbft.Output{}, ctx.Err())
					return
				}
				if !yield(pbft.Output{Number: n}, nil) {
					return
				}
			}
		}
	}
}

// slow takes what is printed, and its time.
type slow struct {
	pause time.Duration
	lines int
}

func (s *slow) Write(b []byte) (int, error) {
	s.lines++
	<-time.After(s.pause)
	return len(b), nil
}

// TestOutputsAreLateOnlyWhereTheyAreWaitedFor has each output come, and be printed, in its
// time, with a timeout of one second for the next of three.
func TestOutputsAreLateOnlyWhereTheyAreWaitedFor(t *testing.T) {
	const second = time.Second
	for name, c := range map[string]struct {
		outputs     subscription
		count       uint64
		print       time.Duration
		interrupted bool
		lines       int
		want        string // in the error
	}{
		"in time, and slowly read":       {outputs: every(second/2, 5), count: 3, print: 5 * second, lines: 3},
		"in time, and late in all":       {outputs: every(second*2/3, 5), count: 3, lines: 3},
		"the first one late":             {outputs: every(second*3/2, 5), count: 3, want: "within 1s: 0 of 3 came"},
		"the last one never, as is said": {outputs: every(0, 2), count: 3, lines: 2, want: "within 1s: 2 of 3 came"},
		"none is counted":                {outputs: every(second*3/2, 3), lines: 3, interrupted: true},
		"interrupted while one is late":  {outputs: every(0, 2), count: 3, lines: 2, interrupted: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.interrupted {
					after := 10 * second
					if c.count > 0 {
						after = second / 2
					}
					defer time.AfterFunc(after, cancel).Stop()
				}
				out := &slow{pause: c.print}
				f := &outputsFlags{from: 1, count: c.count}
				f.timeout = second
				err := f.print(ctx, &console{out: out}, c.outputs)
				var unreachable unreachableError
				late := errors.As(err, &unreachable) && strings.Contains(err.Error(), c.want)
				if out.lines != c.lines || c.want == "" && err != nil || c.want != "" && !late {
					t.Errorf("got %d lines and %v, want %d and %q", out.lines, err, c.lines, c.want)
				}
			})
		})
	}
}
