package sim

import (
	"fmt"
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
)

// fetching is a state transfer under way.
type fetching struct {
	target core.Target
	asked  map[crypto.Digest]bool // in this round
	next   int                    // the next source
	idle   int                    // rounds that brought nothing
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
	f := &fetching{target: t, asked: map[crypto.Digest]bool{}} // a piece may come before the first question
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
	if f.idle == roundsMax {
		n.fetches = nil
		n.state.GiveUpTransfer()
		n.w.counters.GivenUp++
		n.step(core.TransferFailed{Seq: f.target.Cert.Seq})
		n.report()
		return
	}
	f.idle++
	f.asked = map[crypto.Digest]bool{}
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
		if !f.asked[d] {
			f.asked[d] = true
			open = append(open, d)
		}
	}
	cert := f.target.Cert
	for len(open) > 0 {
		count := min(questionPieces, len(open))
		m := &wire.FetchPieces{Seq: cert.Seq, Root: cert.State, Digests: open[:count], Life: uint64(n.life), Sender: n.id} //nolint:gosec // not negative
		open = open[count:]
		n.w.transmit(n, f.target.From[f.next%len(f.target.From)], wire.Seal(n.signer, n.w.domain, m))
		f.next++
	}
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
		n.takePiece(m)
	default:
		return false
	}
	return true
}

func (n *node) takePiece(m *wire.Piece) {
	f := n.fetches
	if f == nil || m.Root != f.target.Cert.State {
		return
	}
	used, err := n.state.AddPiece(m.Data)
	if !n.check("add a piece", err) || !used {
		return
	}
	n.w.counters.Pieces++
	f.idle = 0
	n.advance(f)
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
