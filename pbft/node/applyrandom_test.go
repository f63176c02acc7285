package node_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// TestReplaysAreEqual applies random batches, and those after some checkpoint again on
// a copy of the state that it left, which loads anew; and all of them on a state with a
// checkpoint after each: replies, outputs, and the content at the end are equal.
func TestReplaysAreEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakeCore(t)
		state, eager := &memoryState{}, &memoryState{}
		a, b := newApplier(t, state), newApplier(t, eager)
		copied := &memoryState{}
		var later []core.Execution
		var want []node.Applied
		n := rapid.IntRange(2, 12).Draw(rt, "batches")
		for i := range n {
			ex := c.batch(randomRequests(rt)...)
			c.evict(rt, &ex)
			same := applyBatch(t, b, ex)
			checkResults(rt, eager, c)
			ex.Checkpoint = i == n-1 || rapid.Bool().Draw(rt, "checkpoint")
			applied := applyBatch(t, a, ex)
			wantSame(t, applied, same)
			later, want = append(later, ex), append(want, applied)
			if ex.Checkpoint && i < n-1 && rapid.Bool().Draw(rt, "copy") {
				copied = &memoryState{Memory: *state.Clone(), last: ex.Seq}
				later, want = nil, nil
			}
		}
		again := newApplier(t, copied)
		for i, ex := range later {
			ex.View += 3 // not agreed: nothing may depend on it
			wantSame(t, applyBatch(t, again, ex), want[i])
		}
		if state.root() != copied.root() || state.root() != eager.root() {
			rt.Fatal("the contents differ")
		}
	})
}

// evict has the table give up a client, perhaps: one that the batch does not touch.
func (c *fakeCore) evict(rt *rapid.T, ex *core.Execution) {
	id := wire.ClientID{byte(rapid.IntRange(1, 9).Draw(rt, "evicted")), 1, 2}
	if _, known := c.clients[id]; !known || slices.ContainsFunc(ex.Clients, func(s core.ClientState) bool { return s.Client == id }) {
		return
	}
	delete(c.clients, id)
	ex.Evicted = []wire.ClientID{id}
}

// wantSame compares what two replicas' executions of one batch gave.
func wantSame(t *testing.T, got, want node.Applied) {
	t.Helper()
	for j := range got.Failures {
		got.Failures[j].Detail = want.Failures[j].Detail // holds addresses
	}
	wantEqual(t, "applied", got, want)
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
