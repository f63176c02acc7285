package cluster

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReplicasCarryOutOrders asks real processes how much they hold, and for profiles.
func TestReplicasCarryOutOrders(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{Orders: true})
	before, err := c.Stats(ctx, 1)
	must(t, err)
	if before.Goroutines < 10 || before.Counts.FromPeers.Frames == 0 {
		t.Errorf("got %+v, want the goroutines of a replica, and counts", before)
	}
	path := filepath.Join(t.TempDir(), "a file", "r0.pprof")
	if err := c.StartProfile(ctx, 0, path); err == nil {
		t.Error("a profile in no directory: got nil, want an error")
	}
	must(t, os.Mkdir(filepath.Dir(path), 0o700), c.StartProfile(ctx, 0, path))
	if err := c.StartProfile(ctx, 0, path); err == nil || !strings.Contains(err.Error(), "replica 0") {
		t.Errorf("a second profile: got %v, want an error that names the replica", err)
	}
	must(t, c.EndProfile(ctx, 0))
	if text, err := os.ReadFile(path); err != nil || len(text) == 0 {
		t.Errorf("the profile has %d bytes: %v", len(text), err)
	}
	if err := c.EndProfile(ctx, 0); err == nil {
		t.Error("the end of no profile: got nil, want an error")
	}
	if log := c.Logs(1); !strings.Contains(log, "ready replica=1") || strings.Contains(log, AnswerPrefix) {
		t.Errorf("the log is %q, want what was printed, without the answers", log)
	}
	must(t, c.Kill(1))
	if _, err := c.Stats(ctx, 1); err == nil {
		t.Error("stats of a dead process: got nil, want an error")
	}
}

// TestOrdersAreAnsweredInTurn has another end in this process.
func TestOrdersAreAnsweredInTurn(t *testing.T) {
	fromOrders, to := io.Pipe()
	log := &tail{}
	o := &orders{to: to, answers: make(chan string, 1)}
	out := &sorter{log: log, answers: o.answers}
	var got []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.WriteString(out, "ready\nansw")
		_, _ = io.WriteString(out, "er 7 {}\n") // to nobody
		err := ReadOrders(fromOrders, out, func(order, argument string) OrderOutcome {
			got = append(got, order+"|"+argument)
			if order == "fail" {
				return OrderOutcome{Error: "it failed"}
			}
			return OrderOutcome{Stats: &Stats{Goroutines: len(got)}}
		})
		if err != nil {
			t.Error(err)
		}
	}()
	first, err := o.give(t.Context(), ended, "stats")
	must(t, err)
	_, failed := o.give(t.Context(), ended, "fail a path/with spaces")
	if first.Stats == nil || first.Stats.Goroutines != 1 || failed == nil || failed.Error() != "it failed" {
		t.Errorf("got %+v and %v", first.Stats, failed)
	}
	must(t, to.Close())
	<-ended
	if diff := cmp.Diff(got, []string{"stats|", "fail|a path/with spaces"}); diff != "" {
		t.Error(diff)
	}
	if log.String() != "ready\n" {
		t.Errorf("the log is %q, want what is no answer", log)
	}
	if _, err := o.give(t.Context(), ended, "stats"); err == nil {
		t.Error("an order to one that has ended: got nil, want an error")
	}
	if _, err := (*orders)(nil).give(t.Context(), ended, "stats"); !errors.Is(err, errNoOrders) {
		t.Errorf("got %v, want %v", err, errNoOrders)
	}
}

// TestAnswersReplaceThoseThatNobodyTook has an answer come before anybody has taken the one
// to an order that nobody waited for any more.
func TestAnswersReplaceThoseThatNobodyTook(t *testing.T) {
	o := &orders{answers: make(chan string, 1)}
	out := &sorter{log: &tail{}, answers: o.answers}
	o.to = writerFunc(func([]byte) { // the answer is there before anybody waits for it
		_, _ = io.WriteString(out, AnswerPrefix+"7 {}\n"+AnswerPrefix+"1 {\"stats\":{\"goroutines\":3}}\n")
	})
	got, err := o.give(t.Context(), nil, "stats")
	must(t, err)
	if got.Stats == nil || got.Stats.Goroutines != 3 {
		t.Errorf("got %+v, want 3 goroutines", got)
	}
}

// writerFunc is told what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// TestOrdersAreNotWaitedForForEver has nobody answer.
func TestOrdersAreNotWaitedForForEver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := &orders{to: io.Discard, answers: make(chan string, 1)}
	o.answers <- "0 {}"
	if _, err := o.give(ctx, make(chan struct{}), "stats"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// TestLongLinesAreNoAnswers keeps the memory for a line bounded.
func TestLongLinesAreNoAnswers(t *testing.T) {
	log := &tail{}
	s := &sorter{log: log, answers: make(chan string)}
	_, _ = s.Write([]byte(strings.Repeat("x", answerBytesMax+1)))
	_, _ = s.Write([]byte("y\n" + AnswerPrefix + "1 {}\n")) // which nobody waits for
	if got := log.String(); len(got) != answerBytesMax+3 || len(s.line) != 0 {
		t.Errorf("the log has %d bytes and %d are kept, want %d and none", len(got), len(s.line), answerBytesMax+3)
	}
}
