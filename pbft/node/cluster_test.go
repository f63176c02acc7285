package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// adder counts, remembers every operation, and refuses empty ones.
type adder struct{}

func (adder) Execute(tx *app.Tx, op []byte) []byte {
	n := tx.Uint64("n") + 1
	tx.PutUint64("n", n)
	tx.Put(fmt.Sprintf("op/%06d", n), op)
	return fmt.Append(nil, n)
}

func (adder) Validate(op []byte) error {
	switch string(op) {
	case "bad":
		return errors.New("the operation is bad")
	case "panic":
		panic("the validator is bad") //nolint:forbidigo // it is what the test is about
	case "panic again":
		panic(panicking{}) //nolint:forbidigo // it is what the test is about
	case "bad error":
		return panicking{}
	}
	return nil
}

// panicking is an error that panics, with itself, when it is asked what it is.
type panicking struct{}

func (p panicking) Error() string { panic(p) } //nolint:forbidigo // it is what the test is about

// members are some nodes on one hub.
type members struct {
	t        testing.TB
	hub      *hub
	keys     []crypto.PrivateKey
	configs  []Config
	journals []*fakeJournal
	states   []*fakeState
	nodes    []*Node
	seen     []*observed
	stop     []func() error
}

// observed keeps a node's observations.
type observed struct {
	mu  sync.Mutex
	all []core.Observation
}

func (o *observed) add(ob core.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, ob)
}

func keyOf(tb testing.TB, number uint64) crypto.PrivateKey {
	tb.Helper()
	seed := make([]byte, crypto.SeedSize)
	binary.BigEndian.PutUint64(seed, number)
	key, err := crypto.NewPrivateKey(seed)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func testDomain() crypto.Domain { return crypto.Domain{Cluster: crypto.Sum([]byte("driver"))} }

// newMembers makes n nodes that do not run yet.
func newMembers(tb testing.TB, n int) *members {
	tb.Helper()
	m := &members{t: tb, hub: newHub(n), stop: make([]func() error, n)}
	public := make([]crypto.PublicKey, n)
	for i := range n {
		m.keys = append(m.keys, keyOf(tb, uint64(i+1)))
		public[i] = m.keys[i].Public()
	}
	q, err := core.NewQuorum(n)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range n {
		j, s, seen := &fakeJournal{}, newFakeState(), &observed{}
		c := core.DefaultConfig(wire.ReplicaID(i), q)
		c.Interval, c.Window = 8, 16
		_, c.StateZero = s.Last()
		m.journals, m.states, m.seen = append(m.journals, j), append(m.states, s), append(m.seen, seen)
		m.configs = append(m.configs, Config{
			Core: c, Domain: testDomain(), Keys: public, Signer: m.keys[i], Limits: wire.DefaultLimits(n),
			Verifier: crypto.NewVerifier(64), Machine: adder{}, Transport: m.hub.ports[i], Journal: j, State: s,
			Observe: seen.add,
		})
	}
	m.nodes = make([]*Node, n)
	return m
}

// start runs node i.
func (m *members) start(i int) {
	m.t.Helper()
	node, err := New(m.configs[i])
	if err != nil {
		m.t.Fatal(err)
	}
	m.nodes[i] = node
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	m.stop[i] = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		m.states[i].background.Wait()
		return err
	})
}

func (m *members) startAll() {
	m.t.Helper()
	for i := range m.configs {
		m.start(i)
	}
}

// stopAll ends the nodes, cleanly.
func (m *members) stopAll() {
	m.t.Helper()
	for i, stop := range m.stop {
		if stop == nil {
			continue
		}
		if err := stop(); err != nil {
			m.t.Errorf("node %d ended with %v, want nil", i, err)
		}
	}
}

// await waits, in virtual time, until cond holds.
func (m *members) await(what string, cond func() bool) {
	m.t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			for i, n := range m.nodes {
				if n != nil {
					m.t.Logf("node %d: %+v", i, n.Report())
				}
			}
			m.t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// caller is a client with one connection to every node.
type caller struct {
	m      *members
	key    crypto.PrivateKey
	conn   uint64
	number wire.Number
	opener *wire.Opener
	votes  map[wire.Number]map[string]map[wire.ReplicaID]bool
}

func (m *members) caller(number uint64) *caller {
	c := m.configs[0]
	return &caller{
		m: m, key: keyOf(m.t, 1000+number), conn: number,
		opener: wire.NewOpener(c.Domain, c.Keys, c.Limits, c.Verifier),
		votes:  map[wire.Number]map[string]map[wire.ReplicaID]bool{},
	}
}

// request returns the frame of a new request.
func (c *caller) request(ops ...string) []byte {
	r := &wire.Request{Client: c.key.Public(), Session: 1, Number: c.number + 1, Acked: c.number}
	for _, op := range ops {
		r.Ops = append(r.Ops, []byte(op))
		c.number++
	}
	return wire.Seal(c.key, testDomain(), r).Frame()
}

func (c *caller) send(to int, frame []byte) { c.m.hub.ports[to].clients <- clientFrame{c.conn, frame} }

// receive takes the replies that came, and returns how many replicas gave the
// most frequent result of number, and that result.
func (c *caller) receive(number wire.Number) (int, string) {
	c.m.t.Helper()
	for id, p := range c.m.hub.ports {
		for _, frame := range p.answers(c.conn) {
			sealed, err := c.opener.OpenOne(frame)
			if err != nil {
				c.m.t.Fatalf("node %d answered with a frame that does not open: %v", id, err)
			}
			if m, ok := sealed.Message().(*wire.Replies); ok {
				c.count(m)
			}
		}
	}
	most, result := 0, ""
	for key, votes := range c.votes[number] {
		if len(votes) > most {
			most, result = len(votes), key
		}
	}
	return most, result
}

// count takes the answers of one replica.
func (c *caller) count(m *wire.Replies) {
	for _, a := range m.Answers {
		if c.votes[a.Number] == nil {
			c.votes[a.Number] = map[string]map[wire.ReplicaID]bool{}
		}
		key := fmt.Sprintf("%d %s", a.Outcome, a.Result)
		if c.votes[a.Number][key] == nil {
			c.votes[a.Number][key] = map[wire.ReplicaID]bool{}
		}
		c.votes[a.Number][key][m.Sender] = true
	}
}

// call sends ops to the given nodes and waits until want replicas agree on the
// result of the last.
func (c *caller) call(to []int, want int, ops ...string) string {
	c.m.t.Helper()
	frame := c.request(ops...)
	for _, id := range to {
		c.send(id, frame)
	}
	var result string
	c.m.await("a result", func() bool {
		votes, r := c.receive(c.number)
		result = r
		return votes >= want
	})
	return result
}

func TestFourNodesOrderRequestsAndStabiliseCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for i := range 40 {
			want := fmt.Sprintf("0 %d", i+1)
			if got := c.call([]int{0, 1, 2, 3}, 4, "op"); got != want {
				t.Fatalf("result %d: got %q, want %q", i, got, want)
			}
		}
		m.await("a stable checkpoint 40", func() bool {
			for i, n := range m.nodes {
				if n.Report().Stable != 40 || m.states[i].collected() != 40 {
					return false
				}
			}
			return true
		})
		first := m.nodes[0].Report()
		for _, n := range m.nodes[1:] {
			r := n.Report()
			if r.Checkpoint != 40 || r.State != first.State || r.StableState != first.State {
				t.Errorf("replica %d: got snapshot %d %s, want 40 %s", r.Sender, r.Checkpoint, r.State.Short(), first.State.Short())
			}
		}
	})
}
