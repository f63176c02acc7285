package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const testRetransmit = 500 * time.Millisecond

// fakeCluster is a transport to replicas that exist only as what they answer.
type fakeCluster struct {
	t      *testing.T
	keys   []crypto.PrivateKey
	domain crypto.Domain
	limits wire.Limits
	// together bounds the operations of one request; none means the limits do.
	together int
	noWait   bool
	// answer returns what replica to answers; each message is sealed with its
	// key. Calls may be concurrent.
	answer func(to wire.ReplicaID, m wire.Message) []wire.Message

	mu struct {
		sync.Mutex
		down     map[wire.ReplicaID]bool
		requests map[wire.ReplicaID][]*wire.Request // received
		ended    bool
	}
	work    sync.WaitGroup
	running chan struct{}                                 // closed once in and link are set
	in      func(from wire.ReplicaID, frame []byte) error // what it returns is ignored: frames come on
	link    func(peer wire.ReplicaID, up bool, err error)
	failure chan error // ends Run
}

func newFakeCluster(t *testing.T, n int) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, limits: wire.DefaultLimits(n), running: make(chan struct{}), failure: make(chan error, 1)}
	f.domain = crypto.Domain{Cluster: crypto.Sum([]byte("test")), Epoch: 1}
	for i := range n {
		f.keys = append(f.keys, testKey(t, byte(i)))
	}
	f.mu.down = make(map[wire.ReplicaID]bool)
	f.mu.requests = make(map[wire.ReplicaID][]*wire.Request)
	f.answer = f.honest
	return f
}

func testKey(t *testing.T, i byte) crypto.PrivateKey {
	t.Helper()
	k, err := crypto.NewPrivateKey(bytes.Repeat([]byte{i + 1}, crypto.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *fakeCluster) config() clientConfig {
	q, err := core.NewQuorum(len(f.keys))
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := clientConfig{
		signer: testKey(f.t, 200), domain: f.domain, quorum: q, limits: f.limits,
		session: 7, next: 1, retransmit: testRetransmit, together: f.together, noWait: f.noWait,
	}
	for _, k := range f.keys {
		cfg.keys = append(cfg.keys, k.Public())
	}
	return cfg
}

// client returns a client with all links up.
func (f *fakeCluster) client() *Client {
	f.t.Helper()
	c := newClient(f.config(), f)
	<-f.running
	for id := range f.keys {
		f.link(wire.ReplicaID(id), true, nil)
	}
	return c
}

func (f *fakeCluster) Run(ctx context.Context, in func(wire.ReplicaID, []byte) error,
	link func(wire.ReplicaID, bool, error),
) error {
	f.in, f.link = in, link
	close(f.running)
	defer func() {
		f.mu.Lock()
		f.mu.ended = true // nothing is added to work from now on, but by what is part of it
		f.mu.Unlock()
		f.work.Wait()
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-f.failure:
		return err
	}
}

func (f *fakeCluster) Send(to wire.ReplicaID, frame []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.down[to] || f.mu.ended {
		return false
	}
	m, err := wire.Decode(frame, &f.limits)
	if err != nil {
		f.t.Errorf("the client sent a bad frame: %v", err)
		return true
	}
	if q, ok := m.(*wire.Request); ok {
		if _, err := openerFor(f.domain, f.config().keys, f.limits).OpenOne(frame); err != nil {
			f.t.Errorf("the client sent a request that does not verify: %v", err)
		}
		f.mu.requests[to] = append(f.mu.requests[to], q)
	}
	f.work.Add(1)
	behave := f.answer
	go func() {
		defer f.work.Done()
		for _, a := range behave(to, m) {
			f.say(to, a)
		}
	}()
	return true
}

// setAnswer changes how replicas answer what they receive from now on.
func (f *fakeCluster) setAnswer(behave func(to wire.ReplicaID, m wire.Message) []wire.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = behave
}

// introduce has every replica answer one operation in view 0, and forgets that
// it was sent.
func (f *fakeCluster) introduce(c *Client) {
	f.t.Helper()
	f.mu.Lock()
	behave := f.answer
	f.mu.Unlock()
	f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
		all := f.honest(to, m)
		for _, r := range all {
			r.(*wire.Replies).View = 0 //nolint:errcheck,forcetypeassert // they are
		}
		return all
	})
	if _, err := c.Submit(f.t.Context(), []byte("hello")); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
	f.mu.Lock()
	clear(f.mu.requests)
	f.mu.Unlock()
	f.setAnswer(behave)
}

// acquainted returns a client that every replica had a request from.
func (f *fakeCluster) acquainted() *Client {
	f.t.Helper()
	c := f.client()
	f.introduce(c)
	return c
}

// say has replica from send m, sealed with its key.
func (f *fakeCluster) say(from wire.ReplicaID, m wire.Message) {
	if raw, ok := m.(rawFrame); ok {
		_ = f.in(from, raw.frame)
		return
	}
	_ = f.in(from, wire.Seal(f.keys[from], f.domain, m).Frame())
}

// rawFrame is a frame that is sent as it is.
type rawFrame struct {
	wire.Message
	frame []byte
}

// honest answers as a correct cluster does that executes at once.
func (f *fakeCluster) honest(to wire.ReplicaID, m wire.Message) []wire.Message {
	q, ok := m.(*wire.Request)
	if !ok {
		return nil
	}
	all := &wire.Replies{View: 3, Client: q.Client, Session: q.Session, Outer: wire.Place{Leaves: 1}, Sender: to}
	for i := range q.Ops {
		all.Answers = append(all.Answers, f.reply(to, q, i).Answers[0])
	}
	return []wire.Message{all}
}

// reply is the correct reply of replica from to operation i of q alone.
func (f *fakeCluster) reply(from wire.ReplicaID, q *wire.Request, i int) *wire.Replies {
	number := q.Number + wire.Number(i)
	return &wire.Replies{
		View: 3, Client: q.Client, Session: q.Session, Outer: wire.Place{Leaves: 1}, Sender: from,
		Answers: []wire.Answer{{
			Number: number, Seq: wire.Seq(number) + 10,
			Result: did(q.Ops[i]),
		}},
	}
}

// did is the result of an operation that was executed.
func did(op []byte) []byte { return fmt.Appendf(nil, "did %s", op[:min(len(op), 100)]) }

// refusal is replica from's refusal of q.
func refusal(from wire.ReplicaID, q *wire.Request, why wire.RefusalReason) *wire.Refusal {
	return &wire.Refusal{
		Client: q.Client, Session: q.Session, Number: q.Number, Reason: why, Detail: "because", Sender: from,
	}
}

// received returns how many requests each replica has received.
func (f *fakeCluster) received() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := make([]int, len(f.keys))
	for id := range got {
		got[id] = len(f.mu.requests[wire.ReplicaID(id)])
	}
	return got
}

// last returns the last request that replica id received.
func (f *fakeCluster) last(id wire.ReplicaID) *wire.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.mu.requests[id]
	if len(q) == 0 {
		return nil
	}
	return q[len(q)-1]
}

func (f *fakeCluster) setDown(id wire.ReplicaID, down bool) {
	f.mu.Lock()
	f.mu.down[id] = down
	f.mu.Unlock()
	if down {
		f.link(id, false, errTestRefused)
		return
	}
	f.link(id, true, nil)
}

var errTestRefused = errors.New("connection refused")

func closeClient(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}
