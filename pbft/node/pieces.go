package node

import (
	"sync"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// piecesBytesMax bounds the pieces that wait for apply. Beyond it they are
// dropped, and asked for again.
const piecesBytesMax = 16 << 20

// whyNotAsked is what is wrong with the piece of a liar.
const whyNotAsked = "a piece of the state that is not what was asked for"

// pieces is the queue of pieces of a state that is being fetched. It takes
// from each peer as many as were asked of it and not yet received, and no others,
// so that nobody can fill it. Any goroutine may call its methods.
type pieces struct {
	life uint64 // of which the questions are
	wake chan struct{}
	mu   struct {
		sync.Mutex
		root     crypto.Digest // zero while nothing is fetched
		expected map[wire.ReplicaID]int
		waiting  []arrival
		bytes    int
	}
}

// arrival is one piece. An empty one says that the peer does not have it.
type arrival struct {
	from wire.ReplicaID
	data []byte
}

func newPieces(life uint64) *pieces { return &pieces{life: life, wake: make(chan struct{}, 1)} }

// open lets in pieces of the state with this root, and drops what waits.
func (p *pieces) open(root crypto.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.root = root
	p.mu.expected = make(map[wire.ReplicaID]int)
	p.mu.waiting, p.mu.bytes = nil, 0
}

// close lets nothing in any more.
func (p *pieces) close() { p.open(crypto.Digest{}) }

// expect says that count more pieces were asked of from.
func (p *pieces) expect(from wire.ReplicaID, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.expected[from] += count
}

// give up says that nothing is expected of from any more.
func (p *pieces) giveUp(from wire.ReplicaID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.expected, from)
}

// offer queues a piece if it was asked for: not in an earlier life, of which sources may
// still have what they owed.
func (p *pieces) offer(from wire.ReplicaID, m *wire.Piece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.root.IsZero() || m.Life != p.life || m.Root != p.mu.root || p.mu.expected[from] == 0 {
		return
	}
	if p.mu.bytes+len(m.Data) > piecesBytesMax {
		return
	}
	p.mu.expected[from]--
	p.mu.waiting = append(p.mu.waiting, arrival{from, m.Data})
	p.mu.bytes += len(m.Data)
	token(p.wake)
}

func (p *pieces) take() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.mu.waiting
	p.mu.waiting, p.mu.bytes = nil, 0
	return a
}
