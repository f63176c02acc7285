package adversary_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// kindsOf returns which kinds messages have.
func kindsOf(messages []*wire.Sealed) map[wire.Kind]int {
	out := map[wire.Kind]int{}
	for _, m := range messages {
		out[m.Message().Kind()]++
	}
	return out
}

// signedByAll returns all kinds of messages that e's core sends, as the primary
// and as a backup.
func (e *stage) allSamples() []wire.Message {
	return slices.Concat(e.samples(4, 6), e.samples(5, 6))
}

func TestMutatorsLieInEveryKindOfMessage(t *testing.T) {
	changed := map[wire.Kind]int{}
	muted, echoed, opened := 0, 0, 0
	for seed := range uint64(60) {
		e := newStage(t, 0, seed)
		lies, silence := e.scene(adversary.Mutator(), e.allSamples())
		for kind, n := range kindsOf(lies) {
			changed[kind] += n
		}
		for _, lie := range lies {
			if _, err := e.opener.OpenOne(lie.Frame()); err == nil {
				opened++
			}
		}
		muted, echoed = muted+silence, echoed+len(e.sent)
	}
	e := newStage(t, 0, 0)
	for _, m := range e.allSamples() {
		if kind := m.Kind(); kind != wire.KindRequest && changed[kind] == 0 {
			t.Errorf("no %s was changed", kind)
		}
	}
	if muted == 0 || echoed == 0 || opened < 100 {
		t.Errorf("%d messages withheld, %d echoed, %d lies can be opened: too few", muted, echoed, opened)
	}
}

func TestSmallScopeChangesReachEveryField(t *testing.T) {
	fields := map[string]bool{}
	opened, lies := 0, 0
	for seed := range uint64(200) {
		e := newStage(t, 0, seed)
		changed, _ := e.scene(adversary.SmallScope(0.5), e.allSamples())
		for _, lie := range changed {
			lies++
			if _, err := e.opener.OpenOne(lie.Frame()); err == nil {
				opened++
			}
		}
		for _, note := range e.notes {
			words := strings.Fields(note) // changes FIELD of a KIND to replica N
			fields[words[4]+" "+words[1]] = true
		}
	}
	for _, want := range []string{
		"commit View", "commit Seq", "commit Digest", "prepare Digest", "pre-prepare View", "pre-prepare Time", "pre-prepare Requests",
		"checkpoint State", "view-change Prepared", "view-change Sender", "view-change Prepares", "view-change Signature",
		"new-view Choices", "new-view ViewChanges", "new-view Digest", "status Executed", "committed Commits", "replies Outcome", "piece Data",
	} {
		if !fields[want] {
			t.Errorf("nothing changed %s", want)
		}
	}
	if opened < lies/4 {
		t.Errorf("%d of %d lies can be opened: the others reach no core", opened, lies)
	}
}

func TestEqualSeedsTellEqualLies(t *testing.T) {
	for _, make := range []func() adversary.Strategy{
		adversary.Mutator, func() adversary.Strategy { return adversary.SmallScope(0.5) },
	} {
		var told [2][]*wire.Sealed
		for i := range told {
			e := newStage(t, 0, 7)
			told[i], _ = e.scene(make(), e.allSamples())
		}
		same := slices.EqualFunc(told[0], told[1], func(a, b *wire.Sealed) bool { return slices.Equal(a.Frame(), b.Frame()) })
		if len(told[0]) == 0 || !same {
			t.Errorf("%d and %d lies of one seed, want the same and some", len(told[0]), len(told[1]))
		}
	}
}
