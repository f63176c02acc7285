package pbft

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// tells has a replica tell a loop, in one signed frame each, what results the operations
// from first on have.
func (f *fakeCluster) tells(l *clientLoop, from wire.ReplicaID, first wire.Number, results ...string) {
	f.t.Helper()
	for _, s := range wire.SealReplies(f.keys[from], f.domain, 3, from, f.told(l.Key(), first, results...))[1:] {
		m, err := wire.Decode(s.Frame(), &f.limits)
		if err != nil {
			f.t.Fatal(err)
		}
		l.onReplies(m.(*wire.Replies)) //nolint:errcheck,forcetypeassert // it is
	}
}

// heldOf returns how many bytes of the frames of a replica votes hold on to.
func heldOf(l *clientLoop, from wire.ReplicaID) (sum int) {
	frames := map[*wire.Replies]bool{}
	for _, o := range l.window.table {
		if o.votes != nil && o.votes[from].replies != nil {
			frames[o.votes[from].replies] = true
		}
	}
	for m := range frames {
		sum += repliesBytes(m)
	}
	return sum
}

// submitted submits so many operations, for which somebody waits.
func submitted(l *clientLoop, count int) []*call {
	calls := make([]*call, count)
	for i := range calls {
		calls[i] = &call{op: []byte("x"), done: make(chan answer, 1)}
		l.sendNew([]*operation{l.window.add(calls[i])})
	}
	return calls
}

// TestVotesHoldOnToFewFrames has replica 3 answer at length before others do, and again
// and again. What it says still counts, and proves what it said.
func TestVotesHoldOnToFewFrames(t *testing.T) {
	const count = 150
	f := newFakeCluster(t, 4)
	l := idleLoop(t)
	defer l.deadline.Stop()
	calls := submitted(l, count)
	result := func(n wire.Number) string { return fmt.Sprintf("%d %060000d", n, n) }
	frame := repliesBytes(&wire.Replies{Answers: []wire.Answer{{Result: []byte(result(1))}}})
	for range 2 {
		for n := range wire.Number(count) {
			f.tells(l, 3, n+1, result(n+1))
			if held := heldOf(l, 3); held > heldBytesMax+frame {
				t.Fatalf("after number %d votes hold on to %d bytes, want %d at most", n+1, held, heldBytesMax+frame)
			}
		}
		l.onLink(3, link{state: linkDown, err: errTestRefused}) // which says nothing about the votes
		l.onLink(3, link{state: linkUp})
	}
	for n := range wire.Number(count) {
		said := result(n + 1)
		if n%3 == 0 {
			f.tells(l, 0, n+1, "otherwise")
		}
		f.tells(l, 1, n+1, said)
		select {
		case a := <-calls[n].done:
			clear(a.result.Value) // it is the caller's
			got, err := verifyCertificate(openerFor(f.domain, l.cfg.keys, f.limits), 2, a.result.Certificate())
			if a.err != nil || err != nil || string(got.Value) != said || len(got.Signers) != 2 || got.Signers[1] != 3 {
				t.Fatalf("number %d: %v, %v, signed by %v, want the result of replicas 1 and 3", n+1, a.err, err, got.Signers)
			}
		default:
			t.Fatalf("number %d has no result although two replicas say the same", n+1)
		}
	}
}

// TestVotesWithoutTheirFramesDiffer has replica 3 answer otherwise than it is agreed on.
func TestVotesWithoutTheirFramesDiffer(t *testing.T) {
	f := newFakeCluster(t, 4)
	l := idleLoop(t)
	defer l.deadline.Stop()
	call := submitted(l, 1)[0]
	said := 0
	for l.window.table[1].votes[3].alone == nil {
		f.tells(l, 3, 1, "wrong"+string(make([]byte, 60000)))
		if said += 60000; said > 2*heldBytesMax {
			t.Fatal("the vote holds on to its frame")
		}
	}
	f.tells(l, 1, 1, "right")
	if len(call.done) > 0 {
		t.Fatal("two replicas that differ agreed")
	}
	f.tells(l, 2, 1, "right")
	if a := <-call.done; a.err != nil || string(a.result.Value) != "right" || len(a.result.votes) != 2 {
		t.Errorf("got %q of %d votes, %v, want what replicas 1 and 2 say", a.result.Value, len(a.result.votes), a.err)
	}
}

// TestResultsThatNobodyFetchedHoldOnToNoLongFrame has replica 3 answer, beside an operation
// that is given up, others at length.
func TestResultsThatNobodyFetchedHoldOnToNoLongFrame(t *testing.T) {
	for _, outcome := range []wire.Outcome{wire.OutcomeOK, wire.OutcomePanicked} {
		f := newFakeCluster(t, 4)
		l := idleLoop(t)
		defer l.deadline.Stop()
		call := submitted(l, 1)[0]
		l.onLeave(call)
		<-call.done
		told := f.told(l.Key(), 1, "done")[1:]
		told[0].Outcome = outcome
		padded := append(told, f.told(l.Key(), 2, string(make([]byte, 60000)))[1:]...)
		for from, said := range map[wire.ReplicaID][]wire.Told{1: told, 3: padded} {
			l.onReplies(wire.SealReplies(f.keys[from], f.domain, 3, from, said)[0].Message().(*wire.Replies)) //nolint:errcheck,forcetypeassert // it is
		}
		a := l.window.table[1].answer
		if a == nil {
			t.Fatal("there is no answer")
		}
		var failed *OutcomeError
		if errors.As(a.err, &failed) {
			a.result = failed.Result
		}
		for _, v := range a.result.votes {
			if v.replies != nil && repliesBytes(v.replies) > keptBytesMax {
				t.Errorf("outcome %d: a vote holds on to a frame of some %d bytes", outcome, repliesBytes(v.replies))
			}
		}
		got, err := verifyCertificate(openerFor(f.domain, l.cfg.keys, f.limits), 2, a.result.Certificate())
		if err != nil || !bytes.Equal(got.Value, []byte("done")) || got.Outcome != outcome {
			t.Errorf("outcome %d: it proves %q with outcome %d, %v", outcome, got.Value, got.Outcome, err)
		}
	}
}
