package memory

import (
	"context"
	"errors"
	"sync"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

var errRunning = errors.New("network/memory: this replica, or client, runs already")

// Inbound is what a Transport calls, from many goroutines at once. A function
// that blocks stops one class of one peer only; all must return once the context
// of Run is done. Functions that are nil are not called.
type Inbound = struct {
	// Peer takes a frame of a member.
	Peer func(from wire.ReplicaID, frame []byte)
	// Client takes a frame of a client connection; numbers are never reused.
	Client func(conn uint64, frame []byte)
	// Link tells that the connection to a member came up or went down.
	Link func(peer wire.ReplicaID, up bool)
	// ClientGone tells that a client connection has ended.
	ClientGone func(conn uint64)
}

// Transport connects one replica with the others and with clients. Its methods
// may be called by many goroutines at once.
type Transport struct {
	network *Network
	id      wire.ReplicaID

	mu struct {
		sync.Mutex
		accepting bool // from the beginning of Run to its end
		in        Inbound
		done      <-chan struct{} // of the context of Run
		last      uint64          // the last number of a client connection
		sessions  map[uint64]*session
	}
	serving sync.WaitGroup // sessions' goroutines
}

func newTransport(w *Network, id wire.ReplicaID) *Transport {
	t := &Transport{network: w, id: id}
	t.mu.sessions = make(map[uint64]*session)
	return t
}

// Run serves until ctx is done, and then ends all that it started. When it has
// returned it can be called again.
func (t *Transport) Run(ctx context.Context, in Inbound) error {
	in = complete(in)
	if !t.begin(ctx, in) {
		return errRunning
	}
	var group sync.WaitGroup
	for i := range t.network.replicas {
		from := wire.ReplicaID(i) //nolint:gosec // an index of a short list
		if from == t.id {
			continue
		}
		group.Go(func() { t.watch(ctx, from, in) })
		for class := range wire.Class(wire.Classes) {
			group.Go(func() { t.pull(ctx, from, class, in) })
		}
	}
	<-ctx.Done()
	t.network.change(func() { t.network.mu.running[t.id] = false })
	t.refuse()
	group.Wait()
	t.serving.Wait()
	t.forget()
	return nil
}

func (t *Transport) begin(ctx context.Context, in Inbound) bool {
	began := false
	t.network.change(func() {
		if t.network.mu.running[t.id] {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.mu.done != nil {
			return // the Run before has not returned
		}
		t.mu.accepting, t.mu.in, t.mu.done = true, in, ctx.Done()
		t.network.mu.running[t.id] = true
		t.network.mu.lives[t.id]++
		began = true
	})
	return began
}

// refuse lets no more clients in.
func (t *Transport) refuse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.accepting = false
}

// forget loses what was queued to be sent, as a process that ends does.
func (t *Transport) forget() {
	for _, to := range t.network.queues[t.id] {
		for _, q := range to {
			q.Clear()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.in, t.mu.done = Inbound{}, nil
}

// Send queues frame for replica to, on the queue of its kind's class, and
// returns whether it did: there is such a replica, other than this one, and
// room. It never waits.
func (t *Transport) Send(to wire.ReplicaID, frame []byte) bool {
	if int(to) >= len(t.network.replicas) || to == t.id || len(frame) < 2 || !t.network.fits(frame) {
		return false
	}
	class := min(wire.Kind(frame[1]).Class(), wire.ClassBulk)
	return t.network.queues[t.id][to][class].Push(frame)
}

// Answer queues frame for the client connection conn, and returns whether it
// did: there is such a client, and room.
func (t *Transport) Answer(conn uint64, frame []byte) bool {
	if !t.network.fits(frame) {
		return false
	}
	t.mu.Lock()
	s := t.mu.sessions[conn]
	t.mu.Unlock()
	if s == nil {
		return false
	}
	return s.answers.Push(frame)
}

// pull takes the frames of one class that from sends here, while the link is up.
func (t *Transport) pull(ctx context.Context, from wire.ReplicaID, class wire.Class, in Inbound) {
	q := t.network.queues[from][t.id][class]
	l := t.network.newLine(ctx.Done(), func(frame []byte) error {
		in.Peer(from, frame)
		return nil
	})
	defer l.close()
	for ctx.Err() == nil {
		state := t.network.peers(from, t.id)
		if state.up {
			if frame, ok := q.Pop(); ok {
				_ = l.put(frame) // what is delivered never fails
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-q.Ready():
		case <-state.changed:
		}
	}
}

// watch tells of the link to peer going up and down, also of a break that is
// over already.
func (t *Transport) watch(ctx context.Context, peer wire.ReplicaID, in Inbound) {
	var was linkState
	for {
		is := t.network.peers(t.id, peer)
		if was.up && (!is.up || is.generation != was.generation) {
			in.Link(peer, false)
			was.up = false
		}
		if is.up && !was.up {
			in.Link(peer, true)
		}
		was = is
		select {
		case <-is.changed:
		case <-ctx.Done():
			if was.up {
				in.Link(peer, false)
			}
			return
		}
	}
}

func complete(in Inbound) Inbound {
	if in.Peer == nil {
		in.Peer = func(wire.ReplicaID, []byte) {}
	}
	if in.Client == nil {
		in.Client = func(uint64, []byte) {}
	}
	if in.Link == nil {
		in.Link = func(wire.ReplicaID, bool) {}
	}
	if in.ClientGone == nil {
		in.ClientGone = func(uint64) {}
	}
	return in
}

// session is the connection between a client and a replica.
type session struct {
	conn     uint64
	requests *outbox.Queue // to the replica
	answers  *outbox.Queue // to the client
	over     chan struct{} // closed when either side ended it
	once     sync.Once
}

func (s *session) end() { s.once.Do(func() { close(s.over) }) }

// accept begins a session whose requests the client pushes, or returns nil if
// the replica does not run.
func (t *Transport) accept(requests *outbox.Queue) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mu.accepting {
		return nil
	}
	t.mu.last++
	s := &session{
		conn:     t.mu.last,
		requests: requests,
		answers:  outbox.New(queueLimits(wire.ClassClients)),
		over:     make(chan struct{}),
	}
	t.mu.sessions[s.conn] = s
	in, done := t.mu.in, t.mu.done
	t.serving.Go(func() { t.serve(s, in, done) })
	return s
}

// serve hands a client's frames to the replica until the session is over.
func (t *Transport) serve(s *session, in Inbound, done <-chan struct{}) {
	defer in.ClientGone(s.conn)
	defer t.drop(s)
	defer s.end()
	defer s.requests.Wake() // for the next session, should this one have taken its signal
	l := t.network.newLine(done, func(frame []byte) error {
		in.Client(s.conn, frame)
		return nil
	})
	defer l.close()
	for {
		select {
		case <-done:
			return
		case <-s.over:
			return
		default:
		}
		if frame, ok := s.requests.Pop(); ok {
			_ = l.put(frame) // what is delivered never fails
			continue
		}
		select {
		case <-done:
		case <-s.over:
		case <-s.requests.Ready():
		}
	}
}

func (t *Transport) drop(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.sessions, s.conn)
}
