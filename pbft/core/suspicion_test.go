package core

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// word is the Status of a replica in view that suspects its primary, or does not.
func word(from wire.ReplicaID, view wire.View, suspects bool) Received {
	return Received{From: from, Message: wire.Reseal(&wire.Status{View: view, Active: true, Suspects: suspects, Sender: from})}
}

// doubter returns the last of n replicas, which tolerate f, and hears the others, who suspect
// nobody, in view 0.
func doubter(t *testing.T, n, f int) *Replica {
	t.Helper()
	q, err := NewQuorumWithFaults(n, f)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(DefaultConfig(wire.ReplicaID(n-1), q), Restored{}) //nolint:gosec // small
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	for id := range wire.ReplicaID(n - 1) { //nolint:gosec // small
		r.Step(word(id, 0, false), &fx)
	}
	return r
}

// TestFaultsAndOneSuspectTogether: a replica leaves the view when f others say that they
// suspect its primary, or have left it, too; and neither before, nor if it does not itself.
func TestFaultsAndOneSuspectTogether(t *testing.T) {
	for _, size := range []struct{ n, f int }{{4, 1}, {5, 1}, {7, 2}, {8, 2}, {10, 3}, {4, 0}} {
		for later := range size.f + 1 { // so many of the others have left the view
			t.Run(fmt.Sprintf("%d of %d, %d left", size.f, size.n, later), func(t *testing.T) {
				r := doubter(t, size.n, size.f)
				var fx Effects
				for i := range size.f {
					if r.view != 0 {
						t.Fatalf("it left the view when %d others suspected", i)
					}
					view := wire.View(0)
					if i < later {
						view = 1
					}
					r.Step(word(wire.ReplicaID(i+1), view, i >= later), &fx) //nolint:gosec // small
					r.Step(word(wire.ReplicaID(i+1), view, i >= later), &fx) //nolint:gosec // says it again
				}
				if r.view != 0 {
					t.Fatal("it suspects nobody, and left the view")
				}
				if news := r.suspect("of this test", &fx); !news || r.view != 1 {
					t.Errorf("%d suspect, with itself: it is in view %d, want 1; tells it: %v", size.f+1, r.view, news)
				}
			})
		}
	}
}

// TestSuspicionIsTakenBack has one of four suspect the primary first, and then another one,
// which has taken that back before, or says it of another view.
func TestSuspicionIsTakenBack(t *testing.T) {
	for name, words := range map[string][]Received{
		"never said":         nil,
		"taken back":         {word(1, 0, true), word(1, 0, false)},
		"of an earlier view": {word(1, 2, true)},
		"said of itself":     {word(3, 3, true)},
	} {
		t.Run(name, func(t *testing.T) {
			r := doubter(t, 4, 1)
			r.view = 3
			var fx Effects
			for id := range wire.ReplicaID(3) {
				r.Step(word(id, 3, false), &fx)
			}
			for _, w := range words {
				r.Step(w, &fx)
			}
			r.suspect("of this test", &fx)
			if r.view != 3 || !r.active {
				t.Errorf("it is in view %d, want 3: it is alone", r.view)
			}
			r.suspect("", &fx)
			r.Step(word(1, 3, true), &fx)
			if r.view != 3 {
				t.Error("it left the view for what it took back")
			}
		})
	}
}

// TestWordsOfTheDeadAreForgotten: a replica suspects the primary, and dies. When another one
// suspects the primary much later, it is alone with that; and not while the first is heard.
func TestWordsOfTheDeadAreForgotten(t *testing.T) {
	for name, alive := range map[string]bool{"dead": false, "alive": true} {
		t.Run(name, func(t *testing.T) {
			r := doubter(t, 4, 1)
			var fx Effects
			r.Step(word(2, 0, true), &fx)
			for range r.cfg.HeartbeatTicks + 1 {
				r.Step(word(0, 0, false), &fx)
				r.Step(word(1, 0, false), &fx)
				if alive {
					r.Step(word(2, 0, true), &fx)
				}
				r.Step(Tick{}, &fx)
			}
			if r.suspect("of this test", &fx); (r.view == 1) != alive {
				t.Errorf("it is in view %d, and the one that suspected first is %s", r.view, name)
			}
		})
	}
}

// TestWhoSuspectsVotes: a client asks one replica alone, which the primary never hears. It
// suspects the primary, and says so at once and whenever it says where it stands; but it votes
// for what others ask.
func TestWhoSuspectsVotes(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
	said := 0
	k.delay = func(from, _ wire.ReplicaID, m wire.Message) int {
		if st, is := m.(*wire.Status); is && st.Suspects {
			said++
		}
		if from == 3 && m.Kind() == wire.KindRequest {
			return -1
		}
		return 1
	}
	k.ask(4, 1, 0)
	k.ask(1, 1, 3)
	k.run(3 * k.cfg.RequestTicks)
	r := k.runners[3].r
	if k.leaves == 0 || said < 3*2 || r.view != 0 || r.change.suspects == "" {
		t.Fatalf("%d replicas suspect, one in view %d for %q, and said it to %d", k.leaves, r.view, r.change.suspects, said)
	}
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if from == 2 || to == 2 || from == 3 && m.Kind() == wire.KindRequest {
			return -1
		}
		return 1
	}
	before := k.runners[0].r.executed
	if k.run(20); k.runners[0].r.executed < before+5 || r.view != 0 {
		t.Errorf("without replica 2 %d batches are executed, in view %d: want more, by its votes", k.runners[0].r.executed-before, r.view)
	}
}

// TestOnlyWhoPassesOverIsNotedSlow: what a primary did to a client that has long been served
// does not count when its view is left for another reason.
func TestOnlyWhoPassesOverIsNotedSlow(t *testing.T) {
	for name, idle := range map[string]int{"at once": 0, "long after": 1} {
		t.Run(name, func(t *testing.T) {
			r := doubter(t, 4, 1)
			r.pace.passed = true // as when it was judged last
			var fx Effects
			for range idle {
				r.Step(Tick{}, &fx)
			}
			if r.leave(1, "of this test", &fx); len(r.pace.slow) != 1-idle {
				t.Errorf("primaries noted slow: %v", r.pace.slow)
			}
		})
	}
}

// TestPassingOverIsHeldAgainstThePrimary for a request timeout, though no client waits any more.
func TestPassingOverIsHeldAgainstThePrimary(t *testing.T) {
	r := doubter(t, 4, 1)
	var fx Effects
	r.suspect("it passes over a client", &fx)
	r.pace.grudge = r.tick + uint64(r.cfg.RequestTicks) //nolint:gosec // positive
	held := 0
	for range 2 * r.cfg.RequestTicks {
		for id := range wire.ReplicaID(3) {
			r.Step(word(id, 0, false), &fx)
		}
		if r.Step(Tick{}, &fx); r.change.suspects != "" {
			held++
		}
	}
	if want := r.cfg.RequestTicks - 1; held != want {
		t.Errorf("it is held against it for %d ticks, want %d", held, want)
	}
}
