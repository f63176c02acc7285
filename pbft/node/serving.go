package node

// Stage serve is sequential: it sends pieces of the state to peers that fetch it,
// in turn, at a bounded rate for each, and collects old snapshots. It is apart
// from apply so that reading for others holds up no execution.

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

const (
	// servedAsksMax bounds the questions of one peer that wait: twice what a
	// correct one has open. Others are dropped, and asked again.
	servedAsksMax = 2 * asksMax
	// servedBytesPerSecond and servedBurstBytes bound what one peer is sent, so
	// that a peer that only fetches takes neither disk nor network from the order.
	servedBytesPerSecond = 32 << 20
	servedBurstBytes     = 4 << 20
	// pieceCostBytes is what a piece costs beside its bytes: a read, or a look for
	// one that is not there.
	pieceCostBytes = 1024
	// servePause is how long a peer whose queue is full is left alone.
	servePause = 20 * time.Millisecond
	// serveTriesMax bounds the tries for one piece before its question is dropped.
	serveTriesMax = 100
	// leaseIdle is how long a snapshot that is here is kept for a peer that asked for it, after
	// its last question: a busy cluster would collect it before a laggard has it. No
	// peer keeps what is older than the checkpoint that was stable leaseMax ago: or a
	// liar would keep everything for ever. Who fetches for longer goes on with a newer
	// one, which is kept for as long again.
	leaseIdle = 30 * time.Second
	leaseMax  = 5 * time.Minute
	// marksMax bounds the stable checkpoints whose age is known.
	marksMax = 32
)

// serving is what waits for stage serve. ask, hold and collect may be called by any
// goroutine; they never block.
type serving struct {
	n    *Node
	wake chan struct{}
	mu   struct {
		sync.Mutex
		asks   [][]*wire.FetchPieces // by peer
		stable wire.Seq
		own    lease // of the own diagnosis
	}

	// The rest is the goroutine's own.
	peers     []served
	collected wire.Seq
	marks     []mark // ascending, from the one that was stable leaseMax ago on
}

// mark tells since when a checkpoint has been stable.
type mark struct {
	seq wire.Seq
	at  time.Time
}

// served is what stage serve knows of one peer.
type served struct {
	rate    bucket
	current *wire.FetchPieces
	at      int // the next digest of current
	tries   int
	resume  time.Time
	lease   lease
}

// lease keeps a snapshot for a peer.
type lease struct {
	seq  wire.Seq
	last time.Time // when it asked
}

func newServing(n *Node) *serving {
	s := &serving{n: n, wake: make(chan struct{}, 1), peers: make([]served, n.replicas)}
	s.mu.asks = make([][]*wire.FetchPieces, n.replicas)
	for i := range s.peers {
		s.peers[i].rate = newBucket(servedBytesPerSecond, servedBurstBytes)
	}
	return s
}

// ask queues a question of a peer, if there is room for it.
func (s *serving) ask(from wire.ReplicaID, m *wire.FetchPieces) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.asks[from]) < servedAsksMax {
		s.mu.asks[from] = append(s.mu.asks[from], m)
		token(s.wake)
	}
}

// collect says that the checkpoint seq is stable.
func (s *serving) collect(seq wire.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > s.mu.stable {
		s.mu.stable = seq
		token(s.wake)
	}
}

// hold keeps an own snapshot for a while, as asking for a piece of it would.
func (s *serving) hold(seq wire.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.own = lease{seq, time.Now()}
}

func (s *serving) run(ctx context.Context) error {
	for ctx.Err() == nil {
		now := time.Now()
		s.collectOld(now)
		if due, later := s.round(now); !due {
			s.wait(ctx, later)
		}
	}
	return nil
}

// wait waits until someone asks, or for a time, unless that is 0.
func (s *serving) wait(ctx context.Context, later time.Duration) {
	var timeout <-chan time.Time
	if later > 0 {
		timer := time.NewTimer(later)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timeout:
	}
}

// round sends each peer one piece. It tells whether there is more to do now, or
// else when there will be; 0 means not before someone asks.
func (s *serving) round(now time.Time) (due bool, later time.Duration) {
	if s.held() {
		later = leaseIdle / 4 // to collect when leases end
	}
	for i := range s.peers {
		p := &s.peers[i]
		if p.current == nil && !s.nextAsk(wire.ReplicaID(i), now) { //nolint:gosec // i is below the number of replicas
			continue
		}
		wait := max(p.resume.Sub(now), p.rate.wait(now))
		if wait <= 0 {
			s.serveOne(wire.ReplicaID(i), now) //nolint:gosec // as above
			due = true
		} else if later == 0 || wait < later {
			later = wait
		}
	}
	return due, later
}

// nextAsk takes up the next question of a peer. If it is about a snapshot that is kept here, that
// is kept for the peer from now on. About another one, what is here is sent all the same; but to
// keep that would not help the peer, who cannot get the rest here, and a liar could name anything.
func (s *serving) nextAsk(from wire.ReplicaID, now time.Time) bool {
	m := s.take(from)
	if m == nil || len(m.Digests) > askDigestsMax {
		return false // no correct replica asks for so much
	}
	p := &s.peers[from]
	p.current, p.at, p.tries = m, 0, 0
	if s.n.cfg.State.Keeps(m.Seq, m.Root) {
		p.lease = lease{m.Seq, now}
	}
	return true
}

// take takes the next question of a peer from those that wait, if there is one.
func (s *serving) take(from wire.ReplicaID) *wire.FetchPieces {
	s.mu.Lock()
	defer s.mu.Unlock()
	asks := s.mu.asks[from]
	if len(asks) == 0 {
		return nil
	}
	s.mu.asks[from] = asks[1:]
	return asks[0]
}

// serveOne sends one piece, or says that it is not here.
func (s *serving) serveOne(to wire.ReplicaID, now time.Time) {
	p := &s.peers[to]
	data, ok := s.n.cfg.State.Piece(p.current.Digests[p.at])
	if !ok || len(data) > s.n.cfg.Limits.PieceBytesMax {
		data = nil
	}
	if s.n.outlet.send(to, wire.Encode(&wire.Piece{Root: p.current.Root, Life: p.current.Life, Data: data})) {
		p.at, p.tries = p.at+1, 0
	} else {
		p.tries++
		p.resume = now.Add(servePause)
	}
	p.rate.take(now, float64(len(data)+pieceCostBytes))
	if p.at == len(p.current.Digests) || p.tries == serveTriesMax {
		p.current = nil
	}
}

// collectOld lets the state collect what neither this replica nor a peer that is
// fetching needs.
func (s *serving) collectOld(now time.Time) {
	s.mu.Lock()
	floor, own := s.mu.stable, s.mu.own
	s.mu.Unlock()
	s.note(floor, now)
	if own.live(now) {
		floor = min(floor, own.seq)
	}
	for i := range s.peers {
		if l := &s.peers[i].lease; l.live(now) {
			floor = min(floor, l.seq)
		}
	}
	if now.Sub(s.marks[0].at) >= leaseMax {
		floor = max(floor, s.marks[0].seq)
	}
	if floor > s.collected {
		s.collected = floor
		s.n.cfg.State.Collect(floor)
	}
}

// note notes that the checkpoint stable is, so that the first mark is the newest that
// was stable leaseMax ago, as far as is known.
func (s *serving) note(stable wire.Seq, now time.Time) {
	n := len(s.marks)
	if n == 0 || s.marks[n-1].seq < stable && now.Sub(s.marks[n-1].at) >= leaseMax/marksMax {
		s.marks = append(s.marks, mark{stable, now})
	}
	for len(s.marks) > 1 && now.Sub(s.marks[1].at) >= leaseMax {
		s.marks = s.marks[1:]
	}
}

// held tells whether a stable checkpoint waits for a lease to end.
func (s *serving) held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.collected < s.mu.stable
}

func (l *lease) live(now time.Time) bool {
	return !l.last.IsZero() && now.Sub(l.last) < leaseIdle
}
