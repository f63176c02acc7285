package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app/bank"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
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
		{"outputs --from 2 --count 3 --timeout 2s", exitUnreachable, "no further output within 2s: 2 of 3 came"},
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
				err := f.print(ctx, &console{out: out}, testGenesis(), c.outputs)
				var unreachable unreachableError
				late := errors.As(err, &unreachable) && strings.Contains(err.Error(), c.want)
				if out.lines != c.lines || c.want == "" && err != nil || c.want != "" && !late {
					t.Errorf("got %d lines and %v, want %d and %q", out.lines, err, c.lines, c.want)
				}
			})
		})
	}
}

// TestOutputsSayWhatIsWrong has a subscription end by itself, or never yield anything while a
// replica cannot be reached.
func TestOutputsSayWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code int
		want string
	}{
		"gone":   {&pbft.OutputsGoneError{Asked: 1, Kept: 8}, exitFailure, "--from 8 skips what is gone"},
		"differ": {pbft.ErrOutputsDiffer, exitFailure, "more than f replicas differ"},
		"cut off": {
			&pbft.UnfinishedError{Links: []pbft.LinkError{{Replica: 2, Err: errors.New("refused")}}}, exitUnreachable,
			"no further output within 1s: 0 of 1 came\nreplica 2 cannot be reached: refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outputs := func(ctx context.Context, _ uint64) iter.Seq2[pbft.Output, error] {
					return func(yield func(pbft.Output, error) bool) {
						if c.code == exitUnreachable {
							<-ctx.Done()
						}
						yield(pbft.Output{}, c.err)
					}
				}
				f := &outputsFlags{from: 1, count: 1}
				f.timeout = time.Second
				err := f.print(t.Context(), &console{}, testGenesis(), outputs)
				if err == nil || exitCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want exit code %d and %q", err, c.code, c.want)
				}
			})
		})
	}
}

// TestClustersAreWaitedForAndThenSaidNotToAnswer has so many replicas answer from a time on.
func TestClustersAreWaitedForAndThenSaidNotToAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer  int
		from    time.Duration
		why     error
		timeout time.Duration
		want    []string // in the error; none if there is none
	}{
		"at once":       {answer: 2, timeout: time.Second},
		"after a while": {answer: 2, from: 800 * time.Millisecond, timeout: time.Second},
		"too late":      {answer: 4, from: 2 * time.Second, timeout: time.Second, want: []string{"0 of 4 replicas answered"}},
		"too few": {answer: 1, timeout: time.Second, want: []string{
			"1 of 4 replicas answered within 1s, and 2 are needed\nreplica 1 cannot be reached: refused\nreplica 2",
		}},
		"another genesis": {
			why: &network.GenesisError{Ours: crypto.Digest{1}, Theirs: crypto.Digest{2}}, timeout: time.Second,
			want: []string{"replica 3 cannot be reached: its genesis is 02000000", "give theirs with --genesis"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ask := func(context.Context) (status []pbft.ReplicaStatus, err error) {
					for id := range wire.ReplicaID(4) {
						one := pbft.ReplicaStatus{Replica: id, Report: &wire.Report{}}
						if int(id) >= c.answer || time.Since(began) < c.from {
							why := cmp.Or(c.why, errors.New("refused"))
							one.Report, one.Err = nil, fmt.Errorf("cannot be reached: %w", why)
						}
						status = append(status, one)
					}
					return status, nil
				}
				f := &clusterFlags{timeout: c.timeout}
				err := f.reach(t.Context(), testGenesis(), ask)
				if len(c.want) == 0 && err != nil || len(c.want) > 0 && (err == nil || exitCode(err) != exitUnreachable) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q", err, want)
					}
				}
				interrupted, interrupt := context.WithCancel(t.Context())
				interrupt()
				c.answer = 0
				if err := f.reach(interrupted, testGenesis(), ask); !errors.Is(err, context.Canceled) {
					t.Errorf("interrupted: got %v", err)
				}
			})
		})
	}
}
