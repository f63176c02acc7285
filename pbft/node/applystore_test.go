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

// TestContentDependsOnTheOrderAlone applies random batches, of more clients than have
// room, to a state in memory, and to a real store that is checkpointed at any time, and
// reopened and caught up at any time: neither shows in its content, nor in its root.
func TestContentDependsOnTheOrderAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakeCore(t)
		c.room = rapid.IntRange(1, 4).Draw(rt, "room")
		want := &memoryState{}
		plain := newApplier(t, want)
		kept := &restarting{t: t, store: checkpoint.OpenMemory()}
		kept.applier = newApplier(t, kept.store)
		for range rapid.IntRange(1, 15).Draw(rt, "batches") {
			ex := c.batch(randomRequests(rt)...)
			wantEqual(t, "applied", kept.apply(ex).Replies, applyBatch(t, plain, ex).Replies)
			switch rapid.IntRange(0, 3).Draw(rt, "then") {
			case 0:
				kept.checkpoint(c.seq)
			case 1:
				kept.restart()
			}
			checkResults(rt, want, c)
			if got, want := listOf(t, kept.store), listOf(t, want); got != want {
				rt.Fatalf("content %s, want %s", got, want)
			}
		}
		if got, want := kept.checkpoint(c.seq), rootOf(t, want); got != want {
			rt.Fatalf("root %s, and of the same content at once %s", got.Short(), want.Short())
		}
	})
}

// restarting is an applier on a store that is reopened now and then.
type restarting struct {
	t       *testing.T
	store   *checkpoint.Store
	applier *node.Applier
	since   []core.Execution // the last checkpoint
}

func (r *restarting) apply(ex core.Execution) node.Applied {
	r.since = append(r.since, ex)
	return applyBatch(r.t, r.applier, ex)
}

func (r *restarting) checkpoint(seq wire.Seq) crypto.Digest {
	r.since = nil
	return checkpointed(r.t, r.store, seq)
}

// restart loses what came after the last checkpoint, and executes it anew.
func (r *restarting) restart() {
	r.t.Helper()
	store, err := r.store.Reopen()
	if err != nil {
		r.t.Fatal(err)
	}
	r.store, r.applier = store, newApplier(r.t, store)
	for _, ex := range r.since {
		applyBatch(r.t, r.applier, ex)
	}
}

func checkpointed(t *testing.T, s *checkpoint.Store, seq wire.Seq) (root crypto.Digest) {
	t.Helper()
	s.Checkpoint(seq, func(r crypto.Digest, err error) {
		if root = r; err != nil {
			t.Fatal(err)
		}
	})
	return root
}

// rootOf returns the root of a store that holds this content, and never held other.
func rootOf(t *testing.T, state *memoryState) crypto.Digest {
	t.Helper()
	s := checkpoint.OpenMemory()
	err := state.Memory.Scan(nil, nil, func(key, value []byte) bool {
		if err := s.Put(key, value); err != nil {
			t.Error(err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return checkpointed(t, s, 1)
}

// listOf returns a digest of the whole content.
func listOf(t *testing.T, s interface {
	Scan(from, to []byte, yield func(key, value []byte) bool) error
},
) string {
	t.Helper()
	all := &memoryState{}
	err := s.Scan(nil, nil, func(key, value []byte) bool { return all.Memory.Put(key, value) == nil })
	if err != nil {
		t.Fatal(err)
	}
	return all.root().Short()
}
