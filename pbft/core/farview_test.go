package core

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// mute lets the first replicas say nothing but what a test has them say.
func (k *track) mute(liars wire.ReplicaID) {
	k.delay = func(from, _ wire.ReplicaID, _ wire.Message) int {
		if from < liars {
			return -1
		}
		return 1
	}
}

// openAlone has a replica open a view with view changes that nobody has.
func (k *track) openAlone(sender wire.ReplicaID, view wire.View, to ...wire.ReplicaID) {
	nv := &wire.NewView{View: view, Sender: sender}
	for id := range wire.ReplicaID(k.cfg.Quorum.Strong()) { //nolint:gosec // few
		nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: id, Digest: crypto.Digest{7}})
	}
	k.say(sender, nv, to...)
}

// TestFarViewsKeepNobodyFromTheNextOne: f liars lead the first views and propose nothing. Each
// opens a view far ahead, and asks the next correct primary alone for its view: so all others
// must ask for view changes, and those of the far views have lower senders.
func TestFarViewsKeepNobodyFromTheNextOne(t *testing.T) {
	const n, f = 13, 4
	k := newTrackOf(t, n, nil)
	k.mute(f)
	for liar := range wire.ReplicaID(f) {
		k.openAlone(liar, wire.View(100*n)+wire.View(liar), k.from(f)...)
	}
	k.ask(1, 1)
	for asked := wire.View(0); k.tick < 30*k.cfg.RequestTicks && k.answered() == 0; k.run(1) {
		for ; asked <= k.view(); asked++ {
			for liar := range wire.ReplicaID(f) {
				k.say(liar, &wire.ViewChange{View: asked + 1, Sender: liar}, (asked + 1).Primary(n))
			}
		}
	}
	if got := k.view(); got != f || k.answered() == 0 {
		t.Errorf("after %d ticks %d operations are answered, in view %d; want one, in view %d", k.tick, k.answered(), got, f)
	}
}

// TestLowerViewsKeepNobodyFromTheOneThatIsOpen: the first primary is gone, and the next ones, of
// whom all others hear nothing that opens a view, open theirs to a replica that missed that.
func TestLowerViewsKeepNobodyFromTheOneThatIsOpen(t *testing.T) {
	const n, f, late = 16, 5, 15
	k := newTrackOf(t, n, nil)
	dark := true
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		_, opens := m.(*wire.NewView)
		if dark && (from == late || to == late) || from == 0 || opens && from < f {
			return -1
		}
		return 1
	}
	k.ask(1, 1)
	for k.tick < 60*k.cfg.RequestTicks && k.answered() == 0 {
		k.run(1)
	}
	r := k.runners[late].r
	if k.runners[f].r.view != f || r.view != 0 {
		t.Fatalf("the others are in view %d, and it is in view %d, want %d and 0", k.runners[f].r.view, r.view, f)
	}
	for liar := range wire.ReplicaID(f) {
		k.openAlone(liar, wire.View(liar), late)
	}
	dark = false
	if k.run(4 * k.cfg.StatusTicks); r.view != f || !r.active {
		t.Errorf("it is in view %d, active %v, want it to enter view %d", r.view, r.active, f)
	}
}

// TestOwnViewHasAnswersOfItsOwn holds that questions about other views use up none of the
// answers about the view that a replica is in, and that both are bounded.
func TestOwnViewHasAnswersOfItsOwn(t *testing.T) {
	k := newTrack(t, nil)
	change := wire.Seal(tallySigner{0}, crypto.Domain{}, &wire.ViewChange{View: 1, Sender: 0})
	k.step(2, Received{From: 0, Message: change})
	k.say(3, &wire.ViewChange{View: 1, Sender: 3}, 2)
	k.run(1)
	r := k.runners[2].r
	if r.view != 1 {
		t.Fatalf("it is in view %d, want 1", r.view)
	}
	answers := func(view wire.View) (n int) {
		for range 3 * answersPerStatus {
			var fx Effects
			r.onFetchViewChange(&wire.FetchViewChange{
				View: view, Refs: []wire.ViewChangeRef{{Sender: 0, Digest: change.Digest()}}, Sender: 3,
			}, &fx)
			n += len(fx.Send)
		}
		return n
	}
	for _, view := range []wire.View{9, 1, 1, 9} {
		want := answersPerStatus
		if asked := r.peers[3].answered; view == 1 && asked.opening > 0 || view == 9 && asked.changes > 0 {
			want = 0
		}
		if got := answers(view); got != want {
			t.Errorf("got %d answers about view %d, want %d", got, view, want)
		}
	}
}

// TestLowestViewIsAskedForFirst holds the order of questions against that of those who open views.
func TestLowestViewIsAskedForFirst(t *testing.T) {
	k := newTrack(t, nil)
	for sender, view := range []wire.View{400, 9, 6} {
		k.say(wire.ReplicaID(sender), &wire.NewView{ //nolint:gosec // few
			View: view, ViewChanges: make([]wire.ViewChangeRef, 3), Sender: wire.ReplicaID(sender), //nolint:gosec // few
		}, 3)
	}
	k.run(1)
	var fx Effects
	k.runners[3].r.askViewChanges(&fx)
	var views []wire.View
	for _, s := range fx.Send {
		if m, is := s.Message.(*wire.FetchViewChange); is {
			views = append(views, m.View)
		}
	}
	if !slices.Equal(views, []wire.View{6, 9, 400}) {
		t.Errorf("got questions about views %v, want 6, 9 and 400", views)
	}
}
