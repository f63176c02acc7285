package hostile

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func transferRows() []row {
	return []row{
		{
			39, "bad transfers", "answers to a replica that fetches the state: too long, too short, endless, of " +
				"another root, damaged",
			"each piece is refused, and fetched from another replica", badTransfers, false,
		},
		{40, "fetch flood", "questions without end", "a bounded number of answers; the order goes on", fetchFlood, false},
	}
}

// badTransfers takes the liar's key from a replica that was honest while replica 2
// was away. Replica 2 comes back too far behind for anything but the state, and
// asks replicas 0, 1 and the liar for it.
func badTransfers(t *testing.T, _ *siege) {
	t.Helper()
	limits := pbft.DefaultGenesisLimits()
	limits.CheckpointInterval, limits.Window = 4, 8
	c := newCluster(t, options{liar: 3, timeout: hastyTimeout, limits: limits})
	c.startHonest(t)
	c.start(t, 3)
	c.serves(t, 2)
	c.stop(t, 2)
	c.orders(t, 300, func(i int) []byte { return fmt.Appendf(nil, "fill %d", i) })
	c.serves(t, 40)
	c.stop(t, 3)
	p := c.puppet(t)
	answering := p.answersBadly(t)
	b := p.book()
	b.seen[2] = c.seen[2].count()
	c.start(t, 2)
	await(t, "replica 2 has the state", func() bool { return c.replicas[2].Report().Executed >= 40 })
	answering()
	c.serves(t, 10) // replica 2 is needed
	caught := false
	for _, o := range c.seen[2].since(b.seen[2]) {
		_, ok := o.(core.CaughtUp)
		caught = caught || ok
	}
	if !caught {
		t.Error("replica 2 did not fetch the state: the row tests nothing")
	}
}

// answersBadly has the liar answer every question for pieces, until stop is
// called.
func (p *puppet) answersBadly(t *testing.T) (stop func()) {
	t.Helper()
	answered := 0
	lim := p.genesis.WireLimits()
	done, ended := make(chan struct{}), make(chan struct{})
	answer := func() {
		asked := p.of(wire.KindFetchPieces)
		for _, frame := range asked[answered:] {
			m, err := wire.Decode(frame, &lim)
			if err != nil {
				continue
			}
			ask, ok := m.(*wire.FetchPieces)
			if !ok {
				continue
			}
			for _, bad := range badPieces(ask.Root, ask.Life) {
				p.transport.Send(ask.Sender, bad)
			}
		}
		answered = len(asked)
	}
	go func() {
		defer close(ended)
		tick := newTicker(t)
		for {
			select {
			case <-tick:
				answer()
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		if answered == 0 {
			t.Error("nobody asked the liar for a piece: the row tests nothing")
		}
	}
}

// badPieces returns answers that no correct replica gives.
func badPieces(root crypto.Digest, life uint64) [][]byte {
	var out [][]byte
	for _, data := range [][]byte{
		nil, {}, {'L'}, {'L', 0, 0}, {'N', 0, 0}, make([]byte, 512<<10), []byte("L\x00\x01\xff\xff\xff\xff"),
	} {
		out = append(out, wire.Encode(&wire.Piece{Root: root, Life: life, Data: data}),
			wire.Encode(&wire.Piece{Root: crypto.Digest{7}, Life: life, Data: data}))
	}
	return append(out, wire.Encode(&wire.Piece{Root: root, Life: life, Data: make([]byte, 513<<10)}))
}

// fetchFlood asks 400 times for what a replica has a lot of: were each answered,
// the liar would hear thousands of batches.
func fetchFlood(t *testing.T, s *siege) {
	t.Helper()
	const questions = 400
	p := s.puppet(t)
	s.serves(t, 10)
	b := s.book()
	heard := len(p.of(wire.KindCommitted))
	at := s.stands()
	for range questions {
		p.sendsTo(t, 0,
			p.sign(&wire.FetchCommitted{First: 1, Last: at.Executed, Sender: p.liar}),
			p.sign(&wire.FetchBatches{Digests: []crypto.Digest{wire.NullDigest(), {1}}, Sender: p.liar}),
			p.sign(&wire.FetchPieces{Seq: 1, Root: at.State, Digests: []crypto.Digest{at.State, {1}, {2}}, Sender: p.liar}))
	}
	answers := func() int { return len(p.of(wire.KindCommitted)) - heard }
	await(t, "some of it is answered", func() bool { return answers() > 0 }) // votes overtake questions
	s.serves(t, 10)
	p.fence(t)
	b.scored(t, 0)
	t.Logf("%d questions, %d batches in answer", questions, answers())
	if answers() > questions*8 {
		t.Errorf("%d questions were answered with %d batches, want a bound", questions, answers())
	}
}
