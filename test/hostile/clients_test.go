package hostile

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	lib "github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/wire"
)

func clientRows() []row {
	return []row{
		{
			41, "bad client keys", "requests of unknown keys, of small order and in other encodings",
			"a key that is a key is served; the others' requests are dropped and counted", badClientKeys, false,
		},
		{
			42, "strange numbers", "numbers that jump, an old session, numbers outside the window",
			"executed once, refused, or answered with why not", strangeRequests, false,
		},
		{
			43, "large and empty operations", "an operation over the limit, and an empty one", "dropped and counted; executed",
			operationSizes, false,
		},
		{
			44, "greedy clients", "requests faster than they are answered, of one client and of many",
			"a client has a window, a replica a queue; others are served", greedyClients, false,
		},
		{
			45, "one number twice", "one number with different operations for different replicas",
			"one of them executes, and once", oneNumberTwice, false,
		},
		{46, "writing read", "an operation that writes, sent as a read", "answered as refused; nothing is written", writingRead, false},
		{
			47, "replies never read", "a client that asks for large results and reads none",
			"what waits for it is bounded; it is cut off and counted", repliesNeverRead, true,
		},
	}
}

// rude is a client that sends frames as it likes.
type rude struct {
	*cluster
	clients *network.Clients
	heard   struct {
		sync.Mutex
		of map[wire.ReplicaID][]wire.Message
	}
}

// rude connects a client to all that run.
func (c *cluster) rude(t *testing.T) *rude {
	t.Helper()
	r := &rude{cluster: c}
	r.heard.of = map[wire.ReplicaID][]wire.Message{}
	var members []network.Member
	for _, m := range c.genesis.Members {
		members = append(members, network.Member{Key: m.Key, Addrs: m.Addrs})
	}
	clients, err := network.NewClients(network.ClientConfig{Cluster: c.genesis.Hash(), Epoch: c.genesis.Epoch, Replicas: members})
	if err != nil {
		t.Fatal(err)
	}
	r.clients = clients
	up := make(chan struct{}, 64)
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		err := clients.Run(ctx, r.hear, func(_ wire.ReplicaID, is bool, _ error) {
			if is {
				up <- struct{}{}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	for range c.running() {
		<-up
	}
	return r
}

func (r *rude) hear(from wire.ReplicaID, frame []byte) error {
	lim := r.genesis.WireLimits()
	m, err := wire.Decode(frame, &lim)
	if err == nil {
		r.heard.Lock()
		defer r.heard.Unlock()
		r.heard.of[from] = append(r.heard.of[from], m)
	}
	return nil
}

// sends sends a frame to all that run.
func (r *rude) sends(frames ...[]byte) {
	for _, f := range frames {
		for _, i := range r.running() {
			r.clients.Send(wire.ReplicaID(i), f)
		}
	}
}

// answered waits until every replica has said something that fits.
func (r *rude) answered(t *testing.T, what string, fits func(wire.Message) bool) {
	t.Helper()
	for _, i := range r.running() {
		await(t, what, func() bool { return r.count(wire.ReplicaID(i), fits) > 0 })
	}
}

func (r *rude) count(from wire.ReplicaID, fits func(wire.Message) bool) int {
	r.heard.Lock()
	defer r.heard.Unlock()
	n := 0
	for _, m := range r.heard.of[from] {
		if fits(m) {
			n++
		}
	}
	return n
}

// outcome tells whether m answers a client's number with an outcome.
func outcome(client crypto.PublicKey, number wire.Number, want wire.Outcome) func(wire.Message) bool {
	return func(m wire.Message) bool {
		r, ok := m.(*wire.Replies)
		return ok && r.Client == client && slices.ContainsFunc(r.Answers, func(a wire.Answer) bool {
			return a.Number == number && a.Outcome == want
		})
	}
}

func refusal(client crypto.PublicKey, reason wire.RefusalReason) func(wire.Message) bool {
	return func(m wire.Message) bool {
		r, ok := m.(*wire.Refusal)
		return ok && r.Client == client && r.Reason == reason
	}
}

// clientDrops sends bad frames as a client, to replica 0, over as many connections
// as it takes: one is read slowly once it has sent some sixty.
func (s *siege) clientDrops(t *testing.T, frames [][]byte) {
	t.Helper()
	const each = 50
	for len(frames) > 0 {
		n := min(each, len(frames))
		before := s.replicas[0].BadFrames().Clients
		h := stranger(t)
		st := s.admitted(t, h, 0, wire.ClassClients)
		for _, f := range frames[:n] {
			write(t, st, framed(f))
		}
		await(t, "all bad frames are counted", func() bool {
			return s.replicas[0].BadFrames().Clients >= before+uint64(n) //nolint:gosec // few
		})
		must(t, h.Network().ClosePeer(s.peerOf(t, 0)))
		frames = frames[n:]
	}
}

func badClientKeys(t *testing.T, s *siege) {
	t.Helper()
	r := s.rude(t)
	unknown := newKey(t)
	r.sends(s.request(t, unknown, 1, []byte("count")))
	r.answered(t, "an unknown client is served", outcome(unknown.Public(), 1, wire.OutcomeOK))
	var bad [][]byte
	for _, key := range []crypto.PublicKey{
		{}, {1}, // of small order
		crypto.PublicKey(append([]byte{0xee}, append(bytes.Repeat([]byte{0xff}, 30), 0x7f)...)), // y = p + 1
		crypto.PublicKey(bytes.Repeat([]byte{2}, 32)),
	} {
		bad = append(bad, wire.Encode(&wire.Request{Client: key, Session: 1, Number: 1, Ops: [][]byte{[]byte("count")}}))
	}
	s.clientDrops(t, bad)
}

func strangeRequests(t *testing.T, s *siege) {
	t.Helper()
	r := s.rude(t)
	key := newKey(t)
	ask := func(session wire.Session, number wire.Number) []byte {
		q := &wire.Request{Client: key.Public(), Session: session, Number: number, Ops: [][]byte{[]byte("count")}}
		return wire.Seal(key, s.genesis.Domain(), q).Frame()
	}
	r.sends(ask(5, 100)) // a jump inside the window
	r.answered(t, "the jump is executed", outcome(key.Public(), 100, wire.OutcomeOK))
	r.sends(ask(5, 3), ask(5, 3)) // and back
	r.answered(t, "the lower number is executed", outcome(key.Public(), 3, wire.OutcomeOK))
	r.sends(ask(5, 100_000))
	r.answered(t, "a number outside the window is refused", refusal(key.Public(), wire.RefusalOverload))
	r.sends(ask(4, 1))
	r.answered(t, "an old session is refused", refusal(key.Public(), wire.RefusalSessionOld))
	if n := s.executed(t, key.Public()); n != 2 {
		t.Errorf("%d operations were executed, want 2", n)
	}
	s.clientDrops(t, [][]byte{ask(5, 0), ask(5, wire.NumberMax), ask(5, ^wire.Number(0))})
}

func operationSizes(t *testing.T, s *siege) {
	t.Helper()
	key := newKey(t)
	s.clientDrops(t, [][]byte{s.request(t, key, 1, make([]byte, s.genesis.Limits.OpBytes+1))})
	r := s.rude(t)
	r.sends(s.request(t, key, 2, []byte{}))
	r.answered(t, "an empty operation is executed", outcome(key.Public(), 2, wire.OutcomeOK))
	if n := s.executed(t, key.Public()); n != 1 {
		t.Errorf("%d operations were executed, want the empty one", n)
	}
}

// greedyClients sends 2,000 requests of one client, eight times its window, and 400
// of as many clients, without waiting for an answer.
func greedyClients(t *testing.T, s *siege) {
	t.Helper()
	r := s.rude(t)
	greedy := newKey(t)
	for number := range wire.Number(2000) {
		r.sends(s.request(t, greedy, number+1, []byte("count")))
	}
	s.serves(t, 5)
	for range 400 {
		r.sends(s.request(t, newKey(t), 1, []byte("count")))
	}
	s.serves(t, 5)
	if n := s.executed(t, greedy.Public()); n > 256 {
		t.Errorf("%d operations of a client that acknowledged none were executed, want at most its window of 256", n)
	}
}

func oneNumberTwice(t *testing.T, s *siege) {
	t.Helper()
	r := s.rude(t)
	key := newKey(t)
	for _, i := range r.running() {
		r.clients.Send(wire.ReplicaID(i), s.request(t, key, 1, []byte("different for "+strconv.Itoa(i))))
	}
	r.answered(t, "one of them is executed", outcome(key.Public(), 1, wire.OutcomeOK))
	s.serves(t, 3)
	if n := s.executed(t, key.Public()); n != 1 {
		t.Errorf("%d operations with one number were executed, want one", n)
	}
}

func writingRead(t *testing.T, s *siege) {
	t.Helper()
	r := s.rude(t)
	key := newKey(t)
	q := &wire.Request{Client: key.Public(), Session: 1, Number: 1, ReadOnly: true, Ops: [][]byte{[]byte("write")}}
	r.sends(wire.Seal(key, s.genesis.Domain(), q).Frame())
	r.answered(t, "the read that writes is refused", outcome(key.Public(), 1, wire.OutcomeReadOnly))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := s.honest.client.Read(ctx, []byte("written by a read"))
	if err != nil || string(result.Value) != "0" {
		t.Errorf("what the read wrote is %q, %v, want nothing", result.Value, err)
	}
}

// repliesNeverRead asks 100 times for a result of 250 KiB: more than a client's
// queue (4 MiB) and what is on the way hold. It is cut off when it has read nothing for
// as long as a write may take.
func repliesNeverRead(t *testing.T, s *siege) {
	t.Helper()
	counted := s.more(t, 0, true, network.FaultNotReading)
	st := s.admitted(t, stranger(t), 0, wire.ClassClients)
	frame := framed(s.request(t, newKey(t), 1, []byte("count 250000")))
	await(t, "the client is cut off", func() bool { return !writable(st, frame) })
	counted()
}

func writable(st lib.Stream, frame []byte) bool {
	_ = st.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := st.Write(frame)
	return err == nil
}
