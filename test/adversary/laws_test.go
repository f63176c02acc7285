package adversary_test

import (
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// proposal returns the proposal of the stage's replica, of requests of clients.
func (e *stage) proposal(seq wire.Seq, clients ...int) *wire.PrePrepare {
	e.tb.Helper()
	batch := &wire.Batch{Time: 1 << 60}
	for _, c := range clients {
		batch.Requests = append(batch.Requests, e.request(c, wire.Number(seq)))
	}
	return &wire.PrePrepare{Vote: wire.Vote{Seq: seq, Digest: batch.Digest(), Sender: e.id}, Batch: batch}
}

// heard returns what the replicas hear of m, those that can be opened alone.
func (e *stage) heard(s adversary.Strategy, m wire.Message) map[wire.ReplicaID][]wire.Message {
	e.tb.Helper()
	out := map[wire.ReplicaID][]wire.Message{}
	honest := e.Sign(m)
	for to := range wire.ReplicaID(e.n) { //nolint:gosec // small
		if to == e.id {
			continue
		}
		for _, said := range s.Say(e, to, honest) {
			if opened, err := e.opener.OpenOne(said.Frame()); err == nil {
				out[to] = append(out[to], opened.Message())
			}
		}
	}
	return out
}

func only[M wire.Message](messages []wire.Message) []M {
	var out []M
	for _, m := range messages {
		if m, ok := m.(M); ok {
			out = append(out, m)
		}
	}
	return out
}

func TestSplitPrimariesTellEachBackupOneStory(t *testing.T) {
	e := newStage(t, 0, 1)
	s := adversary.SplitPrePrepare(true)
	m := e.proposal(1, 1)
	first, again := e.heard(s, m), e.heard(s, m)
	digests := map[wire.ReplicaID]crypto.Digest{}
	for to := wire.ReplicaID(1); to < 4; to++ {
		pps, commits := only[*wire.PrePrepare](first[to]), only[*wire.Commit](first[to])
		if len(pps) != 1 || len(commits) != 2 || commits[0].Digest == commits[1].Digest {
			t.Fatalf("replica %d gets %d proposals and %d commits, want one, and commits to both", to, len(pps), len(commits))
		}
		digests[to] = pps[0].Digest
		if d := only[*wire.PrePrepare](again[to])[0].Digest; d != digests[to] {
			t.Errorf("replica %d gets another batch when it is repeated", to)
		}
	}
	if digests[1] == digests[2] || digests[2] != digests[3] {
		t.Errorf("the batches are %v, want one for replica 1 and another for 2 and 3", digests)
	}
}

func TestCoalitionsGiveEachHalfItsQuorum(t *testing.T) {
	e := newStage(t, 0, 1)
	e.bribed = []wire.ReplicaID{1}
	s := adversary.NewCoalition().Strategy()
	story := map[wire.ReplicaID]crypto.Digest{}
	for to, said := range e.heard(s, e.proposal(1, 1)) {
		story[to] = only[*wire.PrePrepare](said)[0].Digest
	}
	if story[2] == story[3] {
		t.Fatal("both victims hear one story")
	}
	votes := map[wire.ReplicaID]int{}
	for _, m := range e.sent {
		opened, err := e.opener.OpenOne(m.message.Frame())
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := voteOf(opened.Message()); !ok || v.Digest != story[m.to] {
			t.Errorf("replica %d hears of the other story", m.to)
		}
		votes[m.to]++
	}
	if votes[2] != 3 || votes[3] != 3 { // the backup's prepare, and two commits
		t.Errorf("the victims get %v votes, want 3 each", votes)
	}
	mute := e.heard(s, &wire.Commit{Vote: wire.Vote{Seq: 1, Digest: story[2], Sender: 0}})
	if len(mute) > 0 {
		t.Error("a member commits to one story before all")
	}
}

func TestCensorsServeAllOthersInOrder(t *testing.T) {
	e := newStage(t, 0, 1)
	victim := e.request(7, 1).Client
	s := adversary.CensorClient(victim)
	for seq, clients := range [][]int{1: {7, 1}, 2: {7}, 3: {2, 7, 3}, 4: {2}} {
		if clients == nil {
			continue
		}
		var digest crypto.Digest
		for to, said := range e.heard(s, e.proposal(wire.Seq(seq), clients...)) { //nolint:gosec // small
			pps := only[*wire.PrePrepare](said)
			if len(pps) != 1 || to > 1 && !digest.IsZero() && pps[0].Digest != digest {
				t.Fatalf("number %d: replica %d gets %d proposals, or another than the others", seq, to, len(pps))
			}
			digest = pps[0].Digest
			served := len(slices.DeleteFunc(slices.Clone(clients), func(c int) bool { return c == 7 }))
			if got := len(pps[0].Batch.Requests); got != max(1, served) {
				t.Errorf("number %d holds %d requests, want those of the %d others, or a filler", seq, got, served)
			}
			if slices.ContainsFunc(pps[0].Batch.Requests, func(r *wire.Request) bool { return r.Client == victim }) {
				t.Errorf("number %d serves the victim", seq)
			}
		}
	}
}

func TestCensorsByOrderServeTheVictimLateAndLast(t *testing.T) {
	e := newStage(t, 0, 1)
	victim := e.request(7, 1).Client
	s := adversary.CensorByOrder(0.8, victim)
	served := func(seq wire.Seq) []wire.ClientID {
		var out []wire.ClientID
		for _, r := range only[*wire.PrePrepare](e.heard(s, e.proposal(seq, 7, 1))[1])[0].Batch.Requests {
			out = append(out, r.Client)
		}
		return out
	}
	if early := served(1); slices.Contains(early, victim) {
		t.Error("the victim is served at once")
	}
	e.now = 8 * e.Timeout() / 10
	if late := served(2); len(late) != 2 || late[1] != victim {
		t.Errorf("after its time %d requests are served, want the victim's as the last of two", len(late))
	}
	e.now += time.Millisecond
	if again := served(3); slices.Contains(again, victim) {
		t.Error("the second request of the victim does not wait")
	}
}

func TestWrongChoicesDifferInTheirWays(t *testing.T) {
	e := newStage(t, 0, 1)
	m := only[*wire.NewView](e.samples(4, 6))[0]
	for way, right := range map[adversary.WrongChoice]func(*wire.NewView) bool{
		adversary.DropChoice:   func(nv *wire.NewView) bool { return len(nv.Choices) == 1 },
		adversary.ChangeChoice: func(nv *wire.NewView) bool { return nv.Choices[1].Digest != m.Choices[1].Digest },
		adversary.NullChoice:   func(nv *wire.NewView) bool { return nv.Choices[1].Digest == wire.NullDigest() },
		adversary.HighStart:    func(nv *wire.NewView) bool { return nv.Stable == m.Stable+4 && len(nv.Choices) == 0 },
	} {
		for to, said := range e.heard(adversary.WrongChoiceNewView(way), m) {
			if nvs := only[*wire.NewView](said); len(nvs) != 1 || !right(nvs[0]) {
				t.Errorf("way %d: replica %d gets %d new views, or a right one", way, to, len(nvs))
			}
		}
	}
}

func TestSpammersAskWithAProof(t *testing.T) {
	e := newStage(t, 3, 1)
	s := adversary.ViewChangeSpam(0)
	checkpoint := wire.Checkpoint{Seq: 4, State: crypto.Sum([]byte("state"))}
	for id := range wire.ReplicaID(3) {
		m := checkpoint
		m.Sender = id
		s.Hear(e, id, wire.Seal(e.signers[id], e.domain, &m))
	}
	e.pass(s, 3*e.Timeout())
	view := wire.View(0)
	for _, m := range e.sent {
		opened, err := e.opener.OpenOne(m.message.Frame())
		if err != nil {
			t.Fatal(err)
		}
		vc := only[*wire.ViewChange]([]wire.Message{opened.Message()})[0]
		if vc.Stable.Seq != 4 || len(vc.Stable.Signers) != 3 || vc.View < view {
			t.Errorf("it asks for view %d after %d with checkpoint %d of %d signers", vc.View, view, vc.Stable.Seq, len(vc.Stable.Signers))
		}
		view = vc.View
	}
	if view < 3 {
		t.Errorf("it comes to view %d in three timeouts, want 3", view)
	}
}

// TestOldCheckpointsAreGenuine: nothing in the lie is forged, and what is prepared lies far
// above the checkpoint that it names.
func TestOldCheckpointsAreGenuine(t *testing.T) {
	e := newStage(t, 3, 1)
	s := adversary.OldCheckpoint()
	change := func(seq wire.Seq) *wire.ViewChange { return only[*wire.ViewChange](e.samples(4, seq))[0] }
	for to, said := range e.heard(s, change(6)) {
		if vc := only[*wire.ViewChange](said)[0]; vc.Stable.Seq != 4 {
			t.Errorf("replica %d hears of checkpoint %d, which is not the first", to, vc.Stable.Seq)
		}
	}
	heard := e.heard(s, change(40))
	proposal := e.samples(4, 50)
	for id := range wire.ReplicaID(2) {
		v := vote(4, 50, only[*wire.Commit](proposal)[0].Digest, id)
		var m wire.Message = &wire.Prepare{Vote: v}
		if id == 0 {
			m = &wire.PrePrepare{Vote: v, Batch: only[*wire.BatchBody](proposal)[0].Batch}
		}
		s.Hear(e, id, wire.Seal(e.signers[id], e.domain, m))
	}
	e.heard(s, only[*wire.Prepare](proposal)[0])
	e.pass(s, e.Timeout())
	for _, m := range e.sent {
		opened, err := e.opener.OpenOne(m.message.Frame())
		if err != nil {
			t.Fatal(err)
		}
		heard[m.to] = append(heard[m.to], opened.Message())
	}
	for to := range wire.ReplicaID(3) {
		changes := only[*wire.ViewChange](heard[to])
		if len(changes) != 2 {
			t.Fatalf("replica %d hears %d view changes, want that of the core, and one more", to, len(changes))
		}
		for _, vc := range changes {
			if vc.Stable.Seq != 4 || len(vc.Prepared) != 1 || vc.Prepared[0].Seq <= vc.Stable.Seq+e.Window() {
				t.Errorf("replica %d hears of checkpoint %d and of %d prepared: %+v", to, vc.Stable.Seq, len(vc.Prepared), vc.Prepared)
			}
		}
	}
}
