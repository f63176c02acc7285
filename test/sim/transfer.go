package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// piecesMax is how many pieces are asked for at once, questionPieces how many
	// of one source.
	piecesMax, questionPieces = 16, 4
	// roundTicks is how long the answers to a round of questions may take, and
	// roundsMax how many rounds may bring nothing.
	roundTicks, roundsMax = 10, 8
	// retreatsMax bounds the doublings of the rounds for which a source is left alone.
	retreatsMax = 2
)

// fetching is a state transfer under way. As with the real driver, who sends what it was
// not asked for is left out for the rest of it, and who lets questions pass is left alone
// for a while, longer each time.
type fetching struct {
	target  core.Target
	sources []*source
	next    int // the next source
	idle    int // rounds that brought nothing
}

// source is one of those that have the state.
type source struct {
	id       wire.ReplicaID
	open     map[crypto.Digest]bool // asked for in this round, and not there
	gave     bool                   // something, in this round
	liar     bool
	rest     int // rounds for which it is left alone
	retreats int // how often in a row it let questions pass
}

// debt is a piece that a source was asked for. It may come late, and to the next process,
// and is no lie then.
type debt struct {
	root, digest crypto.Digest
	from         wire.ReplicaID
}

// fetch begins to fetch a state from the signers of its checkpoint. Snapshots
// that are being written end first, as with the real driver.
func (n *node) fetch(t core.Target) {
	n.w.counters.Fetches++
	n.w.tell("R%d fetches the state of %d", n.id, t.Cert.Seq)
	if n.covered < n.frozen {
		if !n.stored("flush", n.journal.Flush()) {
			return
		}
		n.durable()
	}
	for n.state.persist() {
	}
	if !n.check("begin a transfer", n.state.BeginTransfer(t.Cert.Seq, t.Cert.State)) {
		return
	}
	f := &fetching{target: t}
	for _, id := range t.From {
		f.sources = append(f.sources, &source{id: id, open: make(map[crypto.Digest]bool)})
	}
	n.fetches = f
	n.w.after(0, func() { n.round(f) })
	often, within := 1, 10*tick // in four
	if n.diverged {
		often, within = 3, 2*tick // or hardly anybody would crash who knows that its state is wrong
	}
	if n.w.o.Crashes > 0 && !n.w.calm && n.w.rng.IntN(4) < often {
		n.w.after(n.w.between(0, within), func() {
			if n.fetches == f && !n.w.calm {
				n.crashFor(time.Second)
			}
		})
	}
}

// round asks for what lacks, and again until all is there or nothing comes.
func (n *node) round(f *fetching) {
	if n.fetches != f {
		return // a later one, or a crash, has taken its place
	}
	if f.idle == roundsMax || !slices.ContainsFunc(f.sources, func(s *source) bool { return !s.liar }) {
		n.fetches = nil
		n.state.GiveUpTransfer()
		n.w.counters.GivenUp++
		n.step(core.TransferFailed{Seq: f.target.Cert.Seq})
		n.report()
		return
	}
	f.idle++
	for _, s := range f.sources {
		s.endRound()
	}
	n.w.after(roundTicks*tick, func() { n.round(f) })
	n.advance(f)
}

// advance finishes the transfer, or asks the sources in turn for what lacks.
func (n *node) advance(f *fetching) {
	wanted := n.state.Wanted(piecesMax)
	if len(wanted) == 0 {
		n.finishTransfer(f)
		return
	}
	var open []crypto.Digest
	for _, d := range wanted {
		if !slices.ContainsFunc(f.sources, func(s *source) bool { return s.open[d] }) {
			open = append(open, d)
		}
	}
	cert := f.target.Cert
	for len(open) > 0 {
		s := f.pick()
		if s == nil {
			return // none until the next round
		}
		count := min(questionPieces, len(open))
		m := &wire.FetchPieces{Seq: cert.Seq, Root: cert.State, Digests: open[:count], Life: uint64(n.life), Sender: n.id} //nolint:gosec // not negative
		for _, d := range m.Digests {
			s.open[d] = true
			n.owed[debt{cert.State, d, s.id}] = true
		}
		open = open[count:]
		n.w.transmit(n, s.id, wire.Seal(n.signer, n.w.domain, m))
	}
}

// pick returns whom to ask next, or nil.
func (f *fetching) pick() *source {
	for range f.sources {
		s := f.sources[f.next%len(f.sources)]
		f.next++
		if !s.liar && s.rest == 0 {
			return s
		}
	}
	return nil
}

// endRound gives up what s was asked for and has not sent.
func (s *source) endRound() {
	switch {
	case s.rest > 0:
		s.rest--
	case len(s.open) > 0 && !s.gave:
		s.rest = 1 << s.retreats
		s.retreats = min(s.retreats+1, retreatsMax)
	}
	clear(s.open)
	s.gave = false
}

// transfers handles the messages of a transfer.
func (n *node) transfers(from wire.ReplicaID, sealed *wire.Sealed) bool {
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others are the core's
	case *wire.FetchPieces:
		for _, d := range m.Digests {
			if data, ok := n.state.Piece(d); ok {
				n.send(from, wire.Reseal(&wire.Piece{Root: m.Root, Life: m.Life, Data: data}))
			}
		}
	case *wire.Piece:
		n.takePiece(from, m)
	default:
		return false
	}
	return true
}

func (n *node) takePiece(from wire.ReplicaID, m *wire.Piece) {
	f := n.fetches
	if f == nil || m.Root != f.target.Cert.State {
		return
	}
	paid := n.paid(f, from, m)
	used, err := n.state.AddPiece(m.Data) // a lie, too: the state sees by itself that it is one
	if !n.check("add a piece", err) {
		return
	}
	if used {
		n.w.counters.Pieces++
		f.idle = 0
	}
	if used || !paid { // others are asked for what that source has not sent
		n.advance(f)
	}
}

// paid tells whether a piece is what its source was asked for. An empty one says that it
// has nothing.
func (n *node) paid(f *fetching, from wire.ReplicaID, m *wire.Piece) bool {
	i := slices.IndexFunc(f.sources, func(s *source) bool { return s.id == from })
	if i < 0 || f.sources[i].liar {
		return false
	}
	s := f.sources[i]
	digest := n.state.PieceDigest(m.Data)
	switch {
	case len(m.Data) == 0:
		clear(s.open)
		s.rest = max(s.rest, 1)
	case !n.owed[debt{m.Root, digest, from}]:
		clear(s.open)
		s.liar = true
	default:
		delete(s.open, digest)
		s.gave, s.retreats = true, 0
		return true
	}
	return false
}

func (n *node) finishTransfer(f *fetching) {
	n.fetches, n.reports, n.rot, n.diverged = nil, nil, false, false
	if !n.check("finish the transfer", n.state.FinishTransfer()) {
		return
	}
	snapshot, err := n.applier.Load()
	if !n.check("load after the transfer", err) {
		return
	}
	if cert := f.target.Cert; snapshot.Seq != cert.Seq || snapshot.State != cert.State {
		n.w.fail(fmt.Errorf("replica %d: the fetched state is of %d, want %d", n.id, snapshot.Seq, cert.Seq))
	}
	n.fetched = snapshot.Seq
	n.step(core.Transferred{State: snapshot})
}
