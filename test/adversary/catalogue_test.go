package adversary_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

func TestCatalogueIsSortedAndSaysWhatEachDoes(t *testing.T) {
	var names []string
	for _, entry := range adversary.Catalogue() {
		names = append(names, entry.Name)
		if strings.Trim(entry.Name, "abcdefghijklmnopqrstuvwxyz-") != "" || len(entry.Does) < 10 {
			t.Errorf("%q does %q: want a plain name and a line about it", entry.Name, entry.Does)
		}
		a, b := entry.New(), entry.New()
		if a == nil || a == b {
			t.Errorf("%s: New returns one strategy twice", entry.Name)
		}
		if found, ok := adversary.Find(entry.Name); !ok || found.Does != entry.Does {
			t.Errorf("%s is not found by its name", entry.Name)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the names are not sorted, or not unique: %q", names)
	}
	if _, ok := adversary.Find("no such strategy"); ok {
		t.Error("what is not there is found")
	}
}

// play gives a strategy all that a core says and hears in a life with changes of
// view, and time to act by itself.
func (e *stage) play(s adversary.Strategy) (changed []*wire.Sealed, muted int) {
	e.tb.Helper()
	for seq := wire.Seq(6); seq < 9; seq++ {
		for _, samples := range [][]wire.Message{e.samples(wire.View(4*(seq-5)), seq), e.samples(wire.View(4*(seq-5)+3), seq)} {
			lies, silence := e.scene(s, samples)
			changed, muted = append(changed, lies...), muted+silence
		}
		e.pass(s, 2*e.Timeout())
		s.Hear(e, 1, wire.Seal(e.signers[1], e.domain, &wire.FetchViewChange{View: 50, Sender: 1}))
	}
	return changed, muted
}

// TestEveryStrategyLies shows every strategy of the catalogue a core's whole
// repertoire: it must change, withhold or add something, and say so.
func TestEveryStrategyLies(t *testing.T) {
	for _, entry := range adversary.Catalogue() {
		e := newStage(t, 0, 1)
		changed, muted := e.play(entry.New())
		if len(changed)+muted+len(e.sent) == 0 || len(e.notes) == 0 {
			t.Errorf("%s: %d messages changed, %d withheld, %d added, %d notes", entry.Name, len(changed), muted, len(e.sent), len(e.notes))
		}
		e.checkForgeries(entry.Name, changed)
		if len(e.notes) > 200 {
			t.Errorf("%s makes %d notes: that is no bound", entry.Name, len(e.notes))
		}
		t.Logf("%-27s %4d changed %3d withheld %5d added, e.g. %q", entry.Name, len(changed), muted, len(e.sent), e.notes[:min(1, len(e.notes))])
	}
	e := newStage(t, 0, 1)
	if changed, muted := e.play(adversary.Honest{}); len(changed)+muted+len(e.sent) > 0 {
		t.Errorf("an honest replica changes %d messages, withholds %d and adds %d", len(changed), muted, len(e.sent))
	}
}

// checkForgeries opens what a strategy says: nobody's signature but its own is
// ever good under what others did not say.
func (e *stage) checkForgeries(name string, changed []*wire.Sealed) {
	e.tb.Helper()
	for _, m := range changed {
		opened, err := e.opener.OpenOne(m.Frame())
		if err != nil {
			continue
		}
		if sender, personal := wire.SenderOf(opened.Message()); personal && sender != e.id {
			e.tb.Errorf("%s signs a %s of replica %d", name, m.Message().Kind(), sender)
		}
	}
}

func TestBombsAreRefusedBeforeTheyExplode(t *testing.T) {
	e := newStage(t, 0, 1)
	limits := e.opener.Limits()
	for i, frame := range adversary.Bombs() {
		allocated := testing.AllocsPerRun(1, func() {
			if m, err := wire.Decode(frame, &limits); err == nil {
				t.Errorf("bomb %d is a legal %s: %x", i, m.Kind(), frame)
			}
		})
		if allocated > 50 {
			t.Errorf("bomb %d makes %v allocations", i, allocated)
		}
	}
}

func TestSlowPrimariesDelayProposalsOnly(t *testing.T) {
	e := newStage(t, 0, 1)
	s := adversary.AlmostTimeoutPrimary(0.9)
	_, muted := e.scene(s, e.samples(4, 6))
	if muted != 3 || len(e.sent) != 0 {
		t.Fatalf("%d messages are withheld and %d sent at once, want 3 proposals and none", muted, len(e.sent))
	}
	if e.pass(s, 440*time.Millisecond); len(e.sent) != 0 {
		t.Errorf("%d proposals are early", len(e.sent))
	}
	if e.pass(s, 20*time.Millisecond); len(e.sent) != 3 {
		t.Errorf("%d proposals come after 0.9 of the timeout, want 3", len(e.sent))
	}
}
