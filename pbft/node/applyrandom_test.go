package node_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// TestReplaysAreEqual applies random batches, and then again on a copy that
// starts in the middle and loads anew: content, replies and outputs are equal.
func TestReplaysAreEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakeCore(t)
		state := &memoryState{}
		a := newApplier(t, state)
		var copied *memoryState
		var later []core.Execution
		var want []node.Applied
		n := rapid.IntRange(2, 12).Draw(rt, "batches")
		cut := rapid.IntRange(0, n-1).Draw(rt, "cut")
		for i := range n {
			if i == cut {
				copied = &memoryState{Memory: *state.Clone(), last: wire.Seq(cut)}
			}
			ex := c.batch(randomRequests(rt)...)
			applied := applyBatch(t, a, ex)
			checkResults(rt, state, c)
			if i >= cut {
				later, want = append(later, ex), append(want, applied)
			}
		}
		b := newApplier(t, copied)
		for i, ex := range later {
			ex.View += 3 // not agreed: nothing may depend on it
			got := applyBatch(t, b, ex)
			for j := range got.Failures {
				got.Failures[j].Detail = want[i].Failures[j].Detail // holds addresses
			}
			wantEqual(t, "applied", got, want[i])
		}
		if state.root() != copied.root() {
			rt.Fatal("the contents differ")
		}
	})
}

func randomRequests(rt *rapid.T) []*wire.Request {
	var requests []*wire.Request
	for range rapid.IntRange(0, 5).Draw(rt, "requests") {
		client := byte(rapid.IntRange(1, 3).Draw(rt, "client"))
		session := wire.Session(rapid.IntRange(1, 3).Draw(rt, "session"))
		number := wire.Number(rapid.IntRange(1, 12).Draw(rt, "number"))
		ops := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "panic", "long", "limit"}), 1, 3).Draw(rt, "ops")
		q := requestOf(client, session, number, ops...)
		if rapid.IntRange(0, 3).Draw(rt, "acknowledges") == 0 {
			q.Acked = number - 1
		}
		q.ReadOnly = rapid.IntRange(0, 5).Draw(rt, "reads") == 0
		requests = append(requests, q)
	}
	return requests
}

// checkResults holds that exactly the results are kept that clients may still
// ask for.
func checkResults(rt *rapid.T, state *memoryState, c *fakeCore) {
	want := 0
	for _, s := range c.clients {
		for _, w := range s.Done {
			for ; w != 0; w &= w - 1 {
				want++
			}
		}
	}
	if got := state.keys("r"); got != want {
		rt.Fatalf("%d results are kept, want %d", got, want)
	}
	if got := state.keys("c"); got != len(c.clients) {
		rt.Fatalf("%d clients are kept, want %d", got, len(c.clients))
	}
}

// TestNoErrorOfTheStateIsMissed breaks each call in turn while two batches run
// that read, write, acknowledge, and ask for a kept result.
func TestNoErrorOfTheStateIsMissed(t *testing.T) {
	for call := 1; ; call++ {
		state, c := &memoryState{breaks: call}, newFakeCore(t)
		a := node.NewApplier(state, lister{}, applyDomain(), resultBytesMax)
		_, err := a.Load()
		ack := requestOf(1, 1, 3, "z")
		ack.Acked = 1
		for _, ex := range []core.Execution{
			c.batch(requestOf(1, 1, 1, "x", "y")), c.batch(requestOf(1, 1, 2, "y"), ack),
		} {
			if err == nil {
				_, err = a.Apply(ex)
			}
		}
		if state.calls < call {
			if err != nil {
				t.Errorf("got %v though nothing broke", err)
			}
			if call < 15 {
				t.Errorf("only %d calls were made", state.calls)
			}
			return
		}
		if !errors.Is(err, errBroken) || state.calls != call {
			t.Errorf("call %d: got %v after %d calls, want the error at once", call, err, state.calls)
		}
	}
}

// countingSigner counts signatures.
type countingSigner struct {
	crypto.Signer
	signed int
}

func (s *countingSigner) Sign([]byte) crypto.Signature {
	s.signed++
	return crypto.Signature{1}
}

func TestOneSignatureCoversAllRepliesOfABatch(t *testing.T) {
	c := newFakeCore(t)
	a := newApplier(t, &memoryState{})
	batch := c.batch(requestOf(1, 1, 1, "a", "b", "c"), requestOf(2, 1, 1, "d", "e"), requestOf(1, 1, 4, "f"))
	applied := applyBatch(t, a, batch)
	signer := &countingSigner{}
	sealed := wire.SealReplies(signer, applyDomain(), 7, 2, applied.Replies)
	if signer.signed != 1 || len(sealed) != 2 {
		t.Fatalf("got %d signatures and %d frames, want one, and a frame for each client", signer.signed, len(sealed))
	}
	for i, want := range []int{4, 2} {
		m, ok := sealed[i].Message().(*wire.Replies)
		if !ok || m.View != 7 || m.Sender != 2 || m.Signature != (crypto.Signature{1}) || len(m.Answers) != want {
			t.Fatalf("got replies %+v, want %d of replica 2 in view 7", sealed[i].Message(), want)
		}
	}
}
