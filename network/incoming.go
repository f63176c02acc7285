package network

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

// slot is the place of the one stream that a member may send on in one class.
// The newest stream has it, for the older one may be dead without our knowing.
type slot struct {
	turn chan struct{} // held by the one that delivers frames
	seen chan struct{} // gets a token when the member opens a stream
	mu   struct {
		sync.Mutex
		current network.Stream
	}
}

func newSlot() *slot {
	return &slot{turn: make(chan struct{}, 1), seen: make(chan struct{}, 1)}
}

// replace makes s the current stream and returns the one before, if any.
func (p *slot) replace(s network.Stream) (old network.Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, p.mu.current = p.mu.current, s
	return old
}

// leave clears the slot if s has it still.
func (p *slot) leave(s network.Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.current == s {
		p.mu.current = nil
	}
}

// servePeer reads one stream of a member.
func (t *Transport) servePeer(ctx context.Context, in Inbound, class wire.Class, s network.Stream) {
	from, ok := t.roster.byPeer[s.Conn().RemotePeer()]
	if !ok || from == t.cfg.Self {
		t.faults.add(outsider, FaultStranger, "wants "+string(protocolOf(class))+" without a member's key")
		_ = s.Reset()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	ours := t.hello(class)
	ours.sender = from
	if !t.welcome(s, from, ours, true) {
		return
	}
	defer func() { _ = s.Reset() }()
	place := t.slots[from][class]
	select {
	case place.seen <- struct{}{}:
	default: // its courier has not taken the last one yet
	}
	if old := place.replace(s); old != nil {
		t.faults.add(from, FaultReplaced, "a newer stream of the same class took over")
		_ = old.Reset()
	}
	defer place.leave(s)
	// The older stream may still be delivering its last frame: it finishes first,
	// so that frames stay in order.
	select {
	case place.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-place.turn }()
	r := newFrameReader(s, t.cfg.FrameBytesMax, t.cfg.Timeouts.Frame)
	for {
		frame, err := r.next()
		if err != nil {
			t.faults.stream(from, err)
			return
		}
		in.Peer(from, frame)
	}
}

// welcome reads the hello and answers it, and returns whether the stream may be
// used. If not, the stream has ended: after a refusal by Close, for a Reset could
// overtake the answer.
func (t *Transport) welcome(s network.Stream, who wire.ReplicaID, ours hello, room bool) bool {
	theirs, err := t.hear(s)
	if err != nil {
		if timedOut(err) {
			t.faults.add(who, FaultHello, err.Error())
		}
		_ = s.Reset()
		return false
	}
	v := theirs.judge(ours)
	if v == verdictWelcome && !room {
		v = verdictCrowd
	}
	_, err = s.Write(answer{v, protocolVersion, t.cfg.Cluster, t.cfg.Epoch}.encode())
	if v != verdictWelcome {
		t.faults.note(who, theirs, ours, v)
		_ = s.Close() // it is gone, whatever Close says
		return false
	}
	if err != nil || s.SetDeadline(time.Time{}) != nil {
		_ = s.Reset()
		return false
	}
	return true
}

func (t *Transport) hear(s network.Stream) (hello, error) {
	if err := s.SetDeadline(time.Now().Add(t.cfg.Timeouts.Handshake)); err != nil {
		return hello{}, err
	}
	return readHello(s)
}

// client is a connected client.
type client struct {
	conn   uint64
	stream network.Stream
	ip     netip.Addr
	queue  *outbox.Queue
}

// served knows the connected clients. A connection that has ended counts as long as a
// receiver holds up its reader: who connects anew and anew, and is read slowly, takes no
// more than its address may have.
type served struct {
	max, maxPerIP int
	answers       *outbox.Pool
	answersOwn    int
	mu            struct {
		sync.RWMutex
		last    uint64                   // the last number given; numbers are never reused
		clients map[uint64]*client       // those that were welcomed
		conns   map[network.Conn]*client // all that are here; one stream for each
		byIP    map[netip.Addr]int       // how many of them are from one address
	}
}

func newServed(clientsMax, clientsPerIPMax int) *served {
	s := &served{
		max: clientsMax, maxPerIP: clientsPerIPMax,
		answers: outbox.NewPool(answersPoolBytes), answersOwn: min(answersOwnBytes, answersPoolBytes/clientsMax),
	}
	s.mu.clients = make(map[uint64]*client)
	s.mu.conns = make(map[network.Conn]*client)
	s.mu.byIP = make(map[netip.Addr]int)
	return s
}

// add makes room for a client, and returns nil if there is none, or if its
// connection has a stream already.
func (v *served) add(s network.Stream, frameMax int) *client {
	ip := remoteIP(s.Conn())
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, twice := v.mu.conns[s.Conn()]; twice || len(v.mu.conns) >= v.max || v.mu.byIP[ip] >= v.maxPerIP {
		return nil
	}
	v.mu.last++
	c := &client{
		conn: v.mu.last, stream: s, ip: ip, queue: outbox.New(v.answerLimits(frameMax)),
	}
	v.mu.conns[s.Conn()] = c
	v.mu.byIP[ip]++
	return c
}

// answerLimits returns the bounds of what waits for one client.
func (v *served) answerLimits(frameMax int) outbox.Limits {
	limits := queueLimits(wire.ClassClients, frameMax)
	limits.Pool, limits.Own = v.answers, v.answersOwn
	return limits
}

// admit lets a client be answered.
func (v *served) admit(c *client) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.clients[c.conn] = c
}

func (v *served) remove(c *client) {
	c.queue.Close()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.mu.clients, c.conn)
	if v.mu.conns[c.stream.Conn()] != c {
		return
	}
	delete(v.mu.conns, c.stream.Conn())
	if v.mu.byIP[c.ip]--; v.mu.byIP[c.ip] == 0 {
		delete(v.mu.byIP, c.ip)
	}
}

func (v *served) find(conn uint64) *client {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.mu.clients[conn]
}

// serveClient reads the stream of a client and, in a goroutine of its own,
// writes what is answered.
func (t *Transport) serveClient(ctx context.Context, in Inbound, s network.Stream) {
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	c := t.served.add(s, t.cfg.FrameBytesMax)
	ours := t.hello(wire.ClassClients)
	ours.sender = outsider
	welcome := t.welcome(s, outsider, ours, c != nil)
	if c == nil {
		return
	}
	defer t.served.remove(c)
	if welcome {
		t.served.admit(c)
		t.converse(in, c)
	}
}

func (t *Transport) converse(in Inbound, c *client) {
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		err := newFrameWriter(c.stream, t.cfg.Timeouts.Write).pump(c.queue, done)
		t.faults.stream(outsider, err)
		_ = c.stream.Reset()
	})
	err := t.readClient(in, c)
	t.faults.stream(outsider, err)
	_ = c.stream.Reset()
	close(done)
	writer.Wait()
	t.served.remove(c) // before the news: Answer refuses from now on
	in.ClientGone(c.conn)
	t.hangUp(c.stream)
}

func (t *Transport) readClient(in Inbound, c *client) error {
	r := newFrameReader(c.stream, t.cfg.ClientFrameBytesMax, t.cfg.Timeouts.Frame)
	for {
		frame, err := r.next()
		if err != nil {
			return err
		}
		in.Client(c.conn, frame)
	}
}

// hangUp closes the connection of a client that is done: it has no other use. An
// embedder's host may have other uses for it.
func (t *Transport) hangUp(s network.Stream) {
	if _, member := t.roster.byPeer[s.Conn().RemotePeer()]; member || t.own == nil {
		return
	}
	_ = s.Conn().Close() // it is gone, whatever Close says
}
