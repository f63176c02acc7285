package node

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// meteredSigner counts signatures, and looks at what was sent between them.
type meteredSigner struct {
	crypto.Signer

	sign func()
}

func (s meteredSigner) Sign([]byte) crypto.Signature {
	s.sign()
	return crypto.Signature{1}
}

// TestLongAnswersAreMadeInPortions answers more than fits into memory, if it is as much
// again and again: what is encoded at once is bounded, everything is answered, and what
// fits into one portion has one signature.
func TestLongAnswersAreMadeInPortions(t *testing.T) {
	for _, test := range []struct{ results, bytes, signatures int }{
		{0, 0, 0},
		{1, 2 * portionBytesMax, 1},
		{3, 2 * portionBytesMax, 3},
		{500, 100, 1},
		{8, portionBytesMax / 8, 1},
		{9, portionBytesMax / 8, 2},
		{64, portionBytesMax / 8, 8},
	} {
		signed, encoded, answers := 0, 0, 0
		n := &Node{}
		n.clients = newClients(func(_ uint64, frame []byte) bool {
			head, _ := wire.PeekReplies(frame)
			encoded, answers = encoded+len(frame), answers+head.Len()
			return true
		})
		n.cfg.Signer = meteredSigner{sign: func() {
			if most := portionBytesMax + test.bytes + (64 << 10); encoded > most {
				t.Errorf("%+v: %d bytes were encoded at once, want %d at most", test, encoded, most)
			}
			signed, encoded = signed+1, 0
		}}
		id := wire.ClientID{1}
		n.clients.learn(id, 7)
		var told []wire.Told
		for i := range test.results {
			told = append(told, wire.Told{
				Client: id, Session: 1, Answer: wire.Answer{Number: wire.Number(i + 1), Result: make([]byte, test.bytes)},
			})
		}
		a := &applying{n: n, stuck: newStuck(n)}
		a.reply(0, told)
		if signed != test.signatures || answers != test.results {
			t.Errorf("%+v: got %d answers under %d signatures", test, answers, signed)
		}
	}
}

// askedApplying returns an applying that keeps so many long results of a client, which each
// of the connections asks for, and what it sends there, which take says to be taken.
func askedApplying(results int, conns []uint64, take func(conn uint64) bool) (a *applying, got map[uint64]int) {
	id := wire.ClientID{1}
	h := &held{client: core.ClientState{Client: id, Session: 1}}
	got = map[uint64]int{}
	n := &Node{flight: newFlight(1), work: newWork(), clients: newClients(nil), outlet: &outlet{transport: answering(func(conn uint64, frame []byte) bool {
		head, _ := wire.PeekReplies(frame)
		got[conn] += head.Len()
		return take(conn)
	})}}
	n.standing.Store(&standing{})
	n.cfg.Signer = meteredSigner{sign: func() {}}
	for i := range wire.Number(results) {
		h.fresh = append(h.fresh, freshResult{i + 1, record{result: make([]byte, portionBytesMax/8)}})
		for _, conn := range conns {
			n.work.answer(conn, []core.Answer{{Client: id, Session: 1, Number: i + 1}})
		}
	}
	return &applying{n: n, stuck: newStuck(n), applier: &Applier{clients: map[wire.ClientID]*held{id: h}, loaded: true}}, got
}

// TestAnswersGoWhereTheyWereAskedFor has two connections ask for the same long results, of
// which one takes no more than the first frame: the other gets all, each has what it asked
// for alone, and nothing is encoded in vain for long.
func TestAnswersGoWhereTheyWereAskedFor(t *testing.T) {
	const results, takes, full = 40, 7, 9
	a, got := askedApplying(results, []uint64{takes, full}, func(conn uint64) bool { return conn == takes })
	signed := 0
	a.n.cfg.Signer = meteredSigner{sign: func() { signed++ }}
	for worked := true; worked; {
		var err error
		if worked, err = a.work(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got[takes] != results || got[full] != 1 {
		t.Errorf("%d and %d answers were sent, want %d and 1", got[takes], got[full], results)
	}
	if want := 1 + (results-4+7)/8; signed != want {
		t.Errorf("%d portions were signed, want %d", signed, want)
	}
}

// TestLongAnswersDoNotHoldUpTheOrder has batches wait while more long results are asked
// for than there is room for at once: one is executed after each portion.
func TestLongAnswersDoNotHoldUpTheOrder(t *testing.T) {
	const batches = 5
	a, got := askedApplying(answersMax, []uint64{7}, func(uint64) bool { return true })
	for seq := range wire.Seq(batches) {
		a.n.work.put(0, []core.Execution{{Seq: seq + 1}}, nil, nil)
	}
	for i := range batches {
		if worked, err := a.work(t.Context(), time.Now()); !worked || err != nil {
			t.Fatal(worked, err)
		}
		if done := int(a.applier.Seq()); done != i+1 || got[7] > 8*(i+1) {
			t.Fatalf("%d answers were sent, and %d batches executed, after %d turns", got[7], done, i+1)
		}
	}
}

// answering is a Transport that takes answers alone.
type answering func(conn uint64, frame []byte) bool

func (a answering) Answer(conn uint64, frame []byte) bool { return a(conn, frame) }
func (answering) Send(wire.ReplicaID, []byte) bool        { return false }
func (answering) Run(context.Context, Inbound) error      { return nil }
