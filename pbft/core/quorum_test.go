package core

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

func TestTwoQuorumsShareACorrectReplica(t *testing.T) {
	for n := 1; n <= 100; n++ {
		for f := 0; 3*f+1 <= n; f++ {
			q, err := NewQuorumWithFaults(n, f)
			if err != nil {
				t.Fatalf("n=%d f=%d: %v", n, f, err)
			}
			strong, weak := q.Strong(), q.Weak()
			if shared := 2*strong - n; shared < f+1 {
				t.Errorf("n=%d f=%d: two sets of %d share %d, want at least %d", n, f, strong, shared, f+1)
			}
			if shared := 2*(strong-1) - n; shared >= f+1 {
				t.Errorf("n=%d f=%d: %d would do, got %d", n, f, strong-1, strong)
			}
			if strong > n-f {
				t.Errorf("n=%d f=%d: the %d correct replicas are no quorum of %d", n, f, n-f, strong)
			}
			if weak != f+1 || weak > strong {
				t.Errorf("n=%d f=%d: weak is %d, want %d, at most %d", n, f, weak, f+1, strong)
			}
			if n == 3*f+1 && strong != 2*f+1 {
				t.Errorf("n=%d f=%d: got %d, want the paper's %d", n, f, strong, 2*f+1)
			}
			if q.Replicas() != n || q.Faults() != f {
				t.Errorf("n=%d f=%d: got %d, %d", n, f, q.Replicas(), q.Faults())
			}
		}
	}
}

// TestWhoIsCutOffReachesNoQuorum holds Cut to what it promises: without what f of them
// say, those who cannot reach a replica still leave too few for a quorum with it; a
// correct one is among them; and the correct ones are enough, be the replica faulty itself.
func TestWhoIsCutOffReachesNoQuorum(t *testing.T) {
	for n := 1; n <= 100; n++ {
		for f := 0; 3*f+1 <= n; f++ {
			q, err := NewQuorumWithFaults(n, f)
			if err != nil {
				t.Fatalf("n=%d f=%d: %v", n, f, err)
			}
			cut := q.Cut()
			if left := n - (cut - f); left >= q.Strong() {
				t.Errorf("n=%d f=%d: %d truly cut off leave %d, a quorum", n, f, cut-f, left)
			}
			if left := n - (cut - f - 1); left < q.Strong() {
				t.Errorf("n=%d f=%d: %d would do, got %d", n, f, cut-1, cut)
			}
			if cut <= f || f > 0 && cut < 2*f+1 {
				t.Errorf("n=%d f=%d: with f liars among them, fewer than f+1 of %d are correct", n, f, cut)
			}
			if cut > n-f {
				t.Errorf("n=%d f=%d: the %d correct replicas are not %d", n, f, n-f, cut)
			}
		}
	}
}

func TestQuorumRefusesTooManyFaults(t *testing.T) {
	for _, c := range []struct{ n, f int }{{0, 0}, {-1, 0}, {3, 1}, {6, 2}, {4, -1}, {99, 33}} {
		if q, err := NewQuorumWithFaults(c.n, c.f); err == nil {
			t.Errorf("n=%d f=%d: got %v, want an error", c.n, c.f, q)
		}
	}
	for n := 1; n <= 100; n++ {
		q, err := NewQuorum(n)
		if err != nil || q.Faults() != (n-1)/3 {
			t.Errorf("n=%d: got f=%d, %v, want %d", n, q.Faults(), err, (n-1)/3)
		}
	}
}

func TestValidateReportsAllProblemsAtOnce(t *testing.T) {
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	if err := DefaultConfig(3, q).Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := Config{ID: 9, Quorum: q, BackoffMax: 17}
	err = bad.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"replica 9", "checkpoint interval", "in flight", "requests of a batch", "bytes of a batch", "request timeout",
		"back-off", "status interval", "catch-up interval", "clock drift", "client table", "queue",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to tell of the %s too", err, want)
		}
	}
	if _, err := New(bad, Restored{}); err == nil {
		t.Error("New took a configuration that Validate refuses")
	}
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "quorum") {
		t.Errorf("the zero configuration: got %v, want it to tell of the quorum", err)
	}
	c := DefaultConfig(0, q)
	c.Window, c.HeartbeatTicks = 2*c.Interval-1, 2*c.StatusTicks-1
	err = c.Validate()
	for _, want := range []string{"window", "heartbeat"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to tell of the %s", err, want)
		}
	}
}

func TestEveryObservationHasItsWords(t *testing.T) {
	said := map[string]bool{}
	evidence := &wire.Evidence{Proof: wire.EvidencePrePrepares, Culprit: 2}
	for _, o := range []Observation{
		Refused{Kind: wire.KindCommit, From: 1, Why: "so"},
		Misbehaved{View: 1, Seq: 2, Evidence: evidence},
		Accepted{},
		Abstained{},
		BecamePrepared{},
		BecameCommitted{},
		LeftView{},
		EnteredView{},
		BecameStable{},
		Diverged{},
		Divided{},
		FellBehind{},
		CaughtUp{},
		AwaitsView{},
		Rejoined{},
	} {
		text := Describe(o)
		if said[text] || strings.Contains(text, "core.") {
			t.Errorf("%T: got %q, want words of its own", o, text)
		}
		said[text] = true
	}
}
