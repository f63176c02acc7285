package golden

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestScriptsCannotDoTheImpossible names what is wrong with a command.
func TestScriptsCannotDoTheImpossible(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"tick 1", "there is no cluster yet"},
		{"cluster n=4\nrestart 0", "crash it before it restarts"},
		{"cluster n=4\ndeliver kind=prepare nth=1", "want 1 more"},
		{"cluster n=4\nsubmit a1\ndeliver kind=pre-prepare nth=1 at=0", "want two of 4"},
		{"cluster n=4\nsubmit a1\ndeliver kind=pre-prepare nth=1 at=9", "want two of 4"},
		{"cluster n=4\nfly 1", "no such command"},
	} {
		if at, how := violation(strings.Split(c.script, "\n")); at >= 0 || !strings.Contains(how, c.want) {
			t.Errorf("%q: got %q, want %q", c.script, how, c.want)
		}
	}
}

// spoken returns the violations that say makes in a new cluster.
func spoken(t *testing.T, say func(w *World)) string {
	t.Helper()
	w := &World{}
	if text := w.Do("cluster n=4"); text != "" {
		t.Fatal(text)
	}
	w.lines = nil
	say(w)
	text := ""
	for _, l := range w.lines {
		text += l.text + "\n"
	}
	return text
}

// TestVotesAgainstACommittedBatchAreViolations lets replicas sign what no core
// would.
func TestVotesAgainstACommittedBatchAreViolations(t *testing.T) {
	sign := func(w *World, from int, m wire.Message) {
		r := w.replicas[from]
		w.signed(r, wire.Seal(r.signer, w.domain, m))
	}
	vote := func(from int, view wire.View, batch *wire.Batch) wire.Vote {
		return wire.Vote{View: view, Seq: 1, Digest: batch.Digest(), Sender: wire.ReplicaID(from)} //nolint:gosec // small
	}
	one, other := wire.NullBatch(), &wire.Batch{Time: 1}
	commits := func(w *World, from ...int) {
		for _, id := range from {
			sign(w, id, &wire.Commit{Vote: vote(id, 1, one)})
		}
	}
	for _, c := range []struct {
		name, want string
		say        func(w *World)
	}{
		{"a later vote", "has committed null in view 1", func(w *World) {
			commits(w, 0, 1, 2)
			sign(w, 3, &wire.Prepare{Vote: vote(3, 2, other)})
		}},
		{"an earlier vote that was for a later view", "has committed null in view 1", func(w *World) {
			sign(w, 3, &wire.Commit{Vote: vote(3, 2, other)})
			commits(w, 0, 1, 2)
		}},
		{"too few commits", "", func(w *World) {
			commits(w, 0, 1)
			commits(w, 0, 1)
			sign(w, 3, &wire.Prepare{Vote: vote(3, 2, other)})
		}},
		{"a vote of before", "", func(w *World) {
			commits(w, 0, 1, 2)
			sign(w, 3, &wire.Prepare{Vote: vote(3, 0, other)})
		}},
		{"a vote of one that lost its data", "", func(w *World) {
			commits(w, 0, 1, 2)
			w.replicas[3].forgot = true
			sign(w, 3, &wire.Prepare{Vote: vote(3, 2, other)})
		}},
		{"a view change that hides a commit", "to view 2 hides n1", func(w *World) {
			commits(w, 0)
			sign(w, 0, &wire.ViewChange{View: 2, Sender: 0})
		}},
		{"a view change that shows it", "", func(w *World) {
			commits(w, 0)
			sign(w, 0, &wire.ViewChange{View: 2, Prepared: []wire.PreparedCert{{Seq: 1, View: 1}}, Sender: 0})
		}},
		{"two checkpoints", "signs two statements: checkpoint", func(w *World) {
			sign(w, 3, &wire.Checkpoint{Seq: 4, Sender: 3})
			sign(w, 3, &wire.Checkpoint{Seq: 4, State: other.Digest(), Sender: 3})
		}},
		{"a new view and another proposal", "signs two statements: new-view", func(w *World) {
			sign(w, 1, &wire.PrePrepare{Vote: vote(1, 1, other), Batch: other})
			sign(w, 1, &wire.NewView{View: 1, Sender: 1, Choices: []wire.Choice{{Seq: 1, Digest: one.Digest()}}})
		}},
	} {
		got := spoken(t, c.say)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestJoinedCommandsSayBoth holds what shorten offers against examples.
func TestJoinedCommandsSayBoth(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"tick 1", "tick 1", "tick 1 n=2"},
		{"tick 1 2 n=3", "tick 3 n=3", "tick 1 2 3 n=3"},
		{"tick 2", "tick 3", "tick 2 3"},
		{"flush 2", "flush 1", "flush 1 2"},
		{"flush 2 own=later", "flush 1", ""},
		{"crash 2 keep=1", "crash 1", ""},
		{"link 1 2", "link 2 3", ""},
		{"deliver from=1 to=2 kind=prepare seq=1", "deliver from=0 to=2 kind=prepare seq=1", "deliver from=0,1 to=2 kind=prepare seq=1"},
		{"deliver from=1 to=2 kind=prepare", "deliver to=3 kind=prepare seq=1", "deliver to=2,3 kind=prepare"},
		{"deliver from=1 kind=prepare", "deliver from=1 kind=commit", ""},
		{"deliver kind=prepare nth=2", "deliver kind=prepare", ""},
	} {
		if got, ok := joined(c.a, c.b); got != c.want || ok != (c.want != "") {
			t.Errorf("%s | %s: got %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// TestShorteningKeepsTheViolation has a script in which two forged certificates
// break agreement among many commands that have no part in it.
func TestShorteningKeepsTheViolation(t *testing.T) {
	long := []string{
		"cluster n=4 K=8 heartbeat=30", "submit a1", "stabilize", "tick 1", "tick 1", "link 1 2", "status",
		"forge committed from=0 v=0 n=2 batch=a2 to=1", "tick 2", "pass n=3",
		"forge committed from=0 v=0 n=2 batch=b2 to=2", "tick 3", "deliver kind=committed", "tick 1",
	}
	at, how := violation(long)
	if at < 0 {
		t.Fatalf("the script breaks nothing: %s", how)
	}
	short := shorten(long[:at+1])
	if again, same := violation(short); again != len(short)-1 || lawOf(same) != lawOf(how) {
		t.Errorf("%q breaks %q, want %q", short, same, how)
	}
	if len(short) > 6 || slices.Contains(short, "status") {
		t.Errorf("too much is left: %q", short)
	}
	text := Scenario("A law.", strings.Join(short, "\n"))
	if !strings.HasPrefix(text, "# A law.\ncluster") || !strings.Contains(text, "----\n") || !strings.Contains(text, "VIOLATION") {
		t.Errorf("no scenario: %s", text)
	}
}
