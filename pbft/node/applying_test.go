package node

import (
	"context"
	"testing"

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
		a := &applying{n: n}
		a.reply(0, told)
		if signed != test.signatures || answers != test.results {
			t.Errorf("%+v: got %d answers under %d signatures", test, answers, signed)
		}
	}
}

// TestAnswersGoWhereTheyWereAskedFor has two connections ask for the same long results, of
// which one takes no more than the first frame: the other gets all, each has what it asked
// for alone, and nothing is encoded in vain for long.
func TestAnswersGoWhereTheyWereAskedFor(t *testing.T) {
	const results, takes, full = 40, 7, 9
	id := wire.ClientID{1}
	h := &held{client: core.ClientState{Client: id, Session: 1}}
	var asks []ask
	for i := range wire.Number(results) {
		h.fresh = append(h.fresh, freshResult{i + 1, record{result: make([]byte, portionBytesMax/8)}})
		for _, conn := range []uint64{takes, full} {
			asks = append(asks, ask{core.Answer{Client: id, Session: 1, Number: i + 1}, conn})
		}
	}
	got := map[uint64]int{}
	signed := 0
	n := &Node{outlet: &outlet{transport: answering(func(conn uint64, frame []byte) bool {
		head, _ := wire.PeekReplies(frame)
		got[conn] += head.Len()
		return conn == takes
	})}}
	n.standing.Store(&standing{})
	n.cfg.Signer = meteredSigner{sign: func() { signed++ }}
	a := &applying{n: n, applier: &Applier{clients: map[wire.ClientID]*held{id: h}}}
	if err := a.answer(asks); err != nil {
		t.Fatal(err)
	}
	if got[takes] != results || got[full] != 1 {
		t.Errorf("%d and %d answers were sent, want %d and 1", got[takes], got[full], results)
	}
	if want := 1 + (results-4+7)/8; signed != want {
		t.Errorf("%d portions were signed, want %d", signed, want)
	}
}

// answering is a Transport that takes answers alone.
type answering func(conn uint64, frame []byte) bool

func (a answering) Answer(conn uint64, frame []byte) bool { return a(conn, frame) }
func (answering) Send(wire.ReplicaID, []byte) bool        { return false }
func (answering) Run(context.Context, Inbound) error      { return nil }
