package wire_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/wire"
)

// owner is whom answers are for, and in which list they were.
type owner struct {
	list    int
	client  wire.ClientID
	session wire.Session
}

// TestRepliesTellEveryoneEverythingUnderOneSignature draws lists of answers to several
// clients, out of order and repeated, too: each comes once, in a legal frame of its
// list, client and session, and each can be proven alone.
func TestRepliesTellEveryoneEverythingUnderOneSignature(t *testing.T) {
	w := newStubWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		lists := make([][]wire.Told, rapid.IntRange(1, 3).Draw(rt, "lists"))
		want, got := map[owner][]wire.Answer{}, map[owner][]wire.Answer{}
		for i := range lists {
			if len(lists) > 1 && rapid.IntRange(0, 3).Draw(rt, "empty") == 0 {
				continue
			}
			lists[i] = draw{rt, w}.told()
			for _, a := range lists[i] {
				to := owner{i, a.Client, a.Session}
				want[to] = append(want[to], a.Answer)
			}
		}
		sealed := wire.SealRepliesApart(w.replicas[1], w.domain, 2, 1, lists)
		if len(lists) == 1 {
			sealed = [][]*wire.Sealed{wire.SealReplies(w.replicas[1], w.domain, 2, 1, lists[0])}
		}
		var first *wire.Replies
		for list, frames := range sealed {
			for _, s := range frames {
				m := message[*wire.Replies](s)
				if first == nil {
					first = m
				}
				if m.Signature != first.Signature || m.View != 2 || m.Sender != 1 {
					rt.Fatalf("a group has another signature, or is of replica %d in view %d", m.Sender, m.View)
				}
				provesWhole(rt, w, s)
				to := owner{list, m.Client, m.Session}
				for i, a := range m.Answers {
					provesAlone(rt, w, m, i)
					got[to] = append(got[to], a)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("answers (-want +got):\n%s", diff)
		}
	})
}

// provesWhole holds that s opens, and is what sealing it alone with its path gives.
func provesWhole(rt *rapid.T, w *world, s *wire.Sealed) {
	rt.Helper()
	if _, err := w.opener().OpenOne(s.Frame()); err != nil {
		rt.Fatal(err)
	}
	if again := wire.Seal(w.replicas[1], w.domain, s.Message()); string(again.Frame()) != string(s.Frame()) {
		rt.Fatalf("a group sealed alone with its path: got %x, want %x", again.Frame(), s.Frame())
	}
}

// provesAlone holds that answer i of m opens as a Reply, and as nothing else.
func provesAlone(rt *rapid.T, w *world, m *wire.Replies, i int) {
	rt.Helper()
	reply := m.Reply(i)
	if diff := cmp.Diff(m.Told(i), reply.Told); diff != "" {
		rt.Fatalf("answer %d alone (-want +got):\n%s", i, diff)
	}
	frame := wire.Encode(reply)
	if _, err := w.opener().OpenOne(frame); err != nil {
		rt.Fatalf("answer %d alone: %v", i, err)
	}
	if again := wire.Seal(w.replicas[1], w.domain, reply); string(again.Frame()) != string(frame) {
		rt.Fatalf("answer %d sealed alone with its paths: got %x, want %x", i, again.Frame(), frame)
	}
}

// TestAnAnswerHasOneProof changes what a reply says, and where it says that it is:
// nothing else opens, not even another number of answers with a path of one shape.
func TestAnAnswerHasOneProof(t *testing.T) {
	w := newStubWorld(t)
	good := message[*wire.Reply](w.samples(t)[wire.KindReply])
	for name, change := range map[string]func(*wire.Reply){
		"client":          func(m *wire.Reply) { m.Client = w.clients[2].Public() },
		"session":         func(m *wire.Reply) { m.Session++ },
		"number":          func(m *wire.Reply) { m.Number++ },
		"sequence number": func(m *wire.Reply) { m.Seq++ },
		"outcome":         func(m *wire.Reply) { m.Outcome++ },
		"result":          func(m *wire.Reply) { m.Result = []byte("7") },
		"view":            func(m *wire.Reply) { m.View++ },
		"sender":          func(m *wire.Reply) { m.Sender++ },
		"place":           func(m *wire.Reply) { m.Inner.Index = 0 },
		"place of group":  func(m *wire.Reply) { m.Outer.Index = 0 },
		"groups":          func(m *wire.Reply) { m.Outer.Leaves = 4 },
		"trees swapped":   func(m *wire.Reply) { m.Inner, m.Outer = m.Outer, m.Inner },
		"one tree":        func(m *wire.Reply) { m.Inner = wire.Place{Leaves: 1} },
	} {
		lie := *good
		change(&lie)
		if _, err := w.opener().OpenOne(wire.Encode(&lie)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("another %s: got %v, want ErrSignature", name, err)
		}
	}
}

// TestAnAnswerHasOneGroup moves an answer into a group with one answer more, in which it would
// have a path of the same length.
func TestAnAnswerHasOneGroup(t *testing.T) {
	w := newStubWorld(t)
	var told []wire.Told
	for n := range wire.Number(17) {
		told = append(told, wire.Told{Client: w.clients[0].Public(), Session: 1, Answer: wire.Answer{Number: n + 1}})
	}
	m, ok := wire.SealReplies(w.replicas[1], w.domain, 1, 1, told)[0].Message().(*wire.Replies)
	if !ok || len(m.Answers) != 17 {
		t.Fatalf("17 answers are not one group: %v", m)
	}
	reply := m.Reply(0)
	if _, err := w.opener().OpenOne(wire.Encode(reply)); err != nil {
		t.Fatal(err)
	}
	reply.Inner.Leaves++
	if _, err := w.opener().OpenOne(wire.Encode(reply)); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("an answer of another group: got %v, want ErrSignature", err)
	}
}

func TestRepliesAreSplitWhereTheyFindNoRoom(t *testing.T) {
	w := newStubWorld(t)
	answer := func(n wire.Number, bytes int) wire.Told {
		a := wire.Answer{Number: n, Result: make([]byte, bytes)}
		return wire.Told{Client: w.clients[0].Public(), Session: 1, Answer: a}
	}
	many := func(n wire.Number, bytes int) (told []wire.Told) {
		for i := range n {
			told = append(told, answer(i+1, bytes))
		}
		return told
	}
	for name, c := range map[string]struct {
		told []wire.Told
		want []int // answers of each group
	}{
		"none":                   {nil, nil},
		"as many as fit":         {many(wire.RepliesMax, 0), []int{256}},
		"one more":               {many(wire.RepliesMax+1, 0), []int{256, 1}},
		"as many bytes as fit":   {many(4, 16<<10), []int{4}},
		"more bytes":             {many(5, 16<<10), []int{4, 1}},
		"large ones":             {many(3, 256<<10), []int{1, 1, 1}},
		"a large one in between": {[]wire.Told{answer(1, 1), answer(2, 256<<10), answer(3, 1), answer(4, 1)}, []int{1, 1, 2}},
		"numbers that go back":   {[]wire.Told{answer(5, 1), answer(6, 1), answer(1, 1), answer(7, 1)}, []int{2, 2}},
		"a number twice":         {[]wire.Told{answer(5, 1), answer(5, 1)}, []int{1, 1}},
	} {
		var got []int
		for _, s := range wire.SealReplies(w.replicas[0], w.domain, 0, 0, c.told) {
			if _, err := w.opener().OpenOne(s.Frame()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got = append(got, len(message[*wire.Replies](s).Answers))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPeekedRepliesAreTheDecodedOnes(t *testing.T) {
	for k, s := range newStubWorld(t).samples(t) {
		head, ok := wire.PeekReplies(s.Frame())
		if ok != (k == wire.KindReplies) {
			t.Errorf("%s: peeked %v", k, ok)
		}
		if !ok {
			continue
		}
		m := message[*wire.Replies](s)
		if head.View != m.View || head.Len() != len(m.Answers) {
			t.Errorf("got %d answers in view %d, want %d in %d", head.Len(), head.View, len(m.Answers), m.View)
		}
		for i := range head.Len() {
			if got := head.Number(i); got != m.Answers[i].Number {
				t.Errorf("answer %d is to %d, want %d", i, got, m.Answers[i].Number)
			}
		}
		const headEnd = 2 + 8 + 32 + 8 + 4 + 3*21
		for cut := range headEnd {
			if _, ok := wire.PeekReplies(s.Frame()[:cut]); ok {
				t.Errorf("a frame cut to %d bytes has a head", cut)
			}
		}
		for _, count := range []byte{0, 2} { // none, and 512 more than there are
			frame := append([]byte(nil), s.Frame()...)
			frame[2+8+32+8+2], frame[2+8+32+8+3] = count, 0
			if _, ok := wire.PeekReplies(frame); ok {
				t.Errorf("%d answers pass", int(count)<<8)
			}
		}
	}
}
