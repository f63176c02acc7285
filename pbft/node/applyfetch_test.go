package node_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// fetchInterval is how many batches there are from one checkpoint to the next.
const fetchInterval = 3

// follower is an applier that lags: it executes when it is told, is restarted, and
// fetches the state of another in the middle of what it does.
type follower struct {
	t       *testing.T
	longest int // result
	bound   int // of those that are not written, see BoundUnsaved
	store   *checkpoint.Store
	applier *node.Applier
	roots   map[wire.Seq]crypto.Digest
	replies map[wire.Seq][]wire.Told
}

func newFollower(t *testing.T, longest, bound int) *follower {
	t.Helper()
	f := &follower{
		t: t, longest: longest, bound: bound, store: checkpoint.OpenMemory(),
		roots: map[wire.Seq]crypto.Digest{}, replies: map[wire.Seq][]wire.Told{},
	}
	f.start()
	return f
}

// start has an applier begin with what the store has.
func (f *follower) start() {
	f.t.Helper()
	f.applier = node.NewApplier(f.store, lister{}, applyDomain(), f.longest)
	f.applier.BoundUnsaved(f.bound)
	if _, err := f.applier.Load(); err != nil {
		f.t.Fatal(err)
	}
}

// follow executes all up to seq. With eager, it has everything written at once.
func (f *follower) follow(all []core.Execution, seq wire.Seq, eager bool) {
	f.t.Helper()
	for f.applier.Seq() < seq {
		ex := all[f.applier.Seq()]
		due := ex.Seq%fetchInterval == 0
		ex.Checkpoint = eager || due
		f.replies[ex.Seq] = applyBatch(f.t, f.applier, ex).Replies
		if due {
			f.roots[ex.Seq] = checkpointed(f.t, f.store, ex.Seq)
			f.store.Collect(ex.Seq)
		}
	}
}

// restart goes back to the last snapshot.
func (f *follower) restart() {
	f.t.Helper()
	store, err := f.store.Reopen()
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = store
	f.start()
}

// fetch makes the newest snapshot of other the content.
func (f *follower) fetch(other *follower) {
	f.t.Helper()
	seq, root := other.store.Last()
	if seq <= f.applier.Seq() {
		return
	}
	if err := f.store.BeginTransfer(seq, root); err != nil {
		f.t.Fatal(err)
	}
	for wanted := f.store.Wanted(8); len(wanted) > 0; wanted = f.store.Wanted(8) {
		for _, d := range wanted {
			piece, _ := other.store.Piece(d)
			if used, err := f.store.AddPiece(piece); err != nil || !used {
				f.t.Fatalf("piece %s: used %t, %v", d.Short(), used, err)
			}
		}
	}
	if err := f.store.FinishTransfer(); err != nil {
		f.t.Fatal(err)
	}
	snapshot, err := f.applier.Load()
	if err != nil || snapshot.Seq != seq || snapshot.State != root {
		f.t.Fatalf("loaded %d, %s, %v; want %d, %s", snapshot.Seq, snapshot.State.Short(), err, seq, root.Short())
	}
	if counted, held := f.applier.Unsaved(); counted != 0 || held != 0 {
		f.t.Fatalf("%d bytes of results are counted after that, and %d held", counted, held)
	}
}

// TestFetchedAndReplayedStatesAreTheExecutedOne lets one replica execute, and write
// everything at once where that may be, one be restarted, and one lag and fetch, also
// while it holds results that it has not written: they reply alike, answer alike and have
// the same roots.
func TestFetchedAndReplayedStatesAreTheExecutedOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakeCore(t)
		c.room = rapid.IntRange(1, 4).Draw(rt, "room")
		var all []core.Execution
		longest, bound, eager := resultBytesMax, 1<<20, true
		if rapid.Bool().Draw(rt, "bounded") { // then it matters when results are written
			longest, bound, eager = rapid.IntRange(1, 4).Draw(rt, "longest"), rapid.IntRange(0, 15).Draw(rt, "bytes"), false
		}
		plain, restarted, lagging := newFollower(t, longest, bound), newFollower(t, longest, bound), newFollower(t, longest, bound)
		for range rapid.IntRange(1, 20).Draw(rt, "batches") {
			all = append(all, c.batch(randomRequests(rt)...))
			plain.follow(all, c.seq, eager)
			restarted.follow(all, c.seq, false)
			if rapid.IntRange(0, 2).Draw(rt, "restarts") == 0 {
				restarted.restart()
				restarted.follow(all, c.seq, false)
			}
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				lagging.fetch(plain)
			case 1:
				lagging.fetch(restarted)
			case 2:
				lagging.restart()
			case 3:
				lagging.follow(all, c.seq, false)
			case 4:
				lagging.follow(all, min(c.seq, lagging.applier.Seq()+1), false)
			}
			sameAnswers(t, plain, restarted)
			if lagging.applier.Seq() == c.seq {
				sameAnswers(t, plain, lagging)
			}
		}
		lagging.follow(all, c.seq, false)
		for _, f := range []*follower{restarted, lagging} {
			for seq, root := range f.roots {
				if root != plain.roots[seq] {
					rt.Fatalf("root %s at %d, want %s", root.Short(), seq, plain.roots[seq].Short())
				}
			}
			for seq, told := range f.replies {
				wantEqual(t, "replies", brief(told), brief(plain.replies[seq]))
			}
		}
		sameAnswers(t, plain, lagging)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// sameAnswers asks both for every result that a client may have had.
func sameAnswers(t *testing.T, one, other *follower) {
	t.Helper()
	for client := range byte(4) {
		for session := range wire.Session(4) {
			for number := range wire.Number(16) {
				q := core.Answer{Client: wire.ClientID{client, 1, 2}, Session: session, Number: number}
				a, was, err := one.applier.Answer(q)
				b, is, err2 := other.applier.Answer(q)
				if err != nil || err2 != nil || was != is || string(a.Result) != string(b.Result) ||
					a.Seq != b.Seq || a.Outcome != b.Outcome {
					t.Fatalf("answer to %v: %v, %t, %v; and %v, %t, %v", q, a, was, err, b, is, err2)
				}
			}
		}
	}
}
