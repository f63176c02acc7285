package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// comparePagesMax and compareBytesMax bound what comparing with one state fetches in
	// all its tries. A comparison takes a path of pages for each key that it names: some
	// hundreds, some of which have a large value.
	comparePagesMax = 4096
	compareBytesMax = 64 << 20
	// strikesMax is how often in one try a replica may not give what it is asked for.
	strikesMax = 2
)

var (
	// errNoPages says that nobody gives the pages of a state, now.
	errNoPages = errors.New("nobody gives the pages of that state")
	errTooMuch = errors.New("the states differ in more pages than are fetched to compare them")
)

// rival is another state, and who signed it. The stage diagnose owns it.
type rival struct {
	g        *diagnosing
	division wire.Division // as it was when it was begun
	at       int           // which of its states it is
	sources  []*informant
	pages    int // asked for
	bytes    int // fetched
	done     bool
}

// informant is a replica that signed the state of a rival.
type informant struct {
	id      wire.ReplicaID
	owes    map[crypto.Digest]int // how often it was asked for a page that it has not sent
	left    int                   // of the answers to the last question
	lacks   int                   // how many of them said that it has no such page
	strikes int
	liar    bool
}

func newRival(g *diagnosing, division wire.Division, at int) *rival {
	r := &rival{g: g, division: division, at: at}
	for _, id := range r.state().Replicas {
		if id != g.n.self && int(id) < g.n.replicas {
			r.sources = append(r.sources, &informant{id: id, owes: make(map[crypto.Digest]int)})
		}
	}
	return r
}

func (r *rival) state() wire.OtherState { return r.division.States[r.at] }

// open begins a try. What earlier ones asked for may come yet.
func (r *rival) open() {
	r.g.pieces.open(r.state().State)
	for _, s := range r.sources {
		s.strikes, s.left = 0, 0
		for _, times := range s.owes {
			r.g.pieces.expect(s.id, times)
		}
	}
}

// fetch returns pages of the state, from one replica after the other. Each page has the
// digest by which it was asked for. It keeps the own snapshot, and by asking the others',
// from being collected.
func (r *rival) fetch(ctx context.Context, digests []crypto.Digest) ([][]byte, error) {
	got := make(map[crypto.Digest][]byte, len(digests))
	for _, d := range digests {
		got[d] = nil
	}
	for {
		r.g.n.serving.hold(r.division.Seq)
		lack := lacking(digests, got)
		if len(lack) == 0 {
			break
		}
		if r.pages+len(lack) > comparePagesMax || r.bytes > compareBytesMax {
			return nil, errTooMuch
		}
		s := r.next()
		if s == nil || ctx.Err() != nil {
			return nil, errNoPages
		}
		if !r.ask(s, lack) || !r.listen(ctx, s, got) {
			s.strikes++
		}
	}
	pages := make([][]byte, len(digests))
	for i, d := range digests {
		pages[i] = got[d]
	}
	return pages, nil
}

// lacking returns what was not got yet.
func lacking(digests []crypto.Digest, got map[crypto.Digest][]byte) (lack []crypto.Digest) {
	for _, d := range digests {
		if got[d] == nil && !slices.Contains(lack, d) {
			lack = append(lack, d)
		}
	}
	return lack
}

// next returns whom to ask: the first of those that failed least often.
func (r *rival) next() (best *informant) {
	for _, s := range r.sources {
		if !s.liar && s.strikes < strikesMax && (best == nil || s.strikes < best.strikes) {
			best = s
		}
	}
	return best
}

func (r *rival) ask(s *informant, digests []crypto.Digest) bool {
	n := r.g.n
	m := &wire.FetchPieces{Seq: r.division.Seq, Root: r.state().State, Digests: digests, Life: n.cfg.Life, Sender: n.self}
	r.g.pieces.expect(s.id, len(digests))
	if !n.outlet.send(s.id, wire.Seal(n.cfg.Signer, n.cfg.Domain, m).Frame()) {
		r.g.pieces.expect(s.id, -len(digests))
		return false
	}
	for _, d := range digests {
		s.owes[d]++
	}
	s.left, s.lacks = len(digests), 0
	r.pages += len(digests)
	return true
}

// listen takes what comes until s has answered the last question, and returns false if it
// did not do so: because it lacks a page, lies, or says nothing for a while.
func (r *rival) listen(ctx context.Context, s *informant, got map[crypto.Digest][]byte) bool {
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	for {
		for _, a := range r.g.pieces.take() {
			if r.receive(a, got) && a.from == s.id {
				patience.Reset(askPatience)
			}
		}
		if s.liar || s.left <= 0 {
			return !s.liar && s.lacks == 0
		}
		select {
		case <-ctx.Done():
			return false
		case <-patience.C:
			return false
		case <-r.g.pieces.wake:
		}
	}
}

// receive takes one answer into got, if that wants it, and tells whether it is one.
func (r *rival) receive(a arrival, got map[crypto.Digest][]byte) bool {
	at := slices.IndexFunc(r.sources, func(s *informant) bool { return s.id == a.from })
	if at < 0 || r.sources[at].liar {
		return false
	}
	s := r.sources[at]
	if len(a.data) == 0 {
		s.left--
		s.lacks++
		return true
	}
	digest := r.g.n.cfg.State.PieceDigest(a.data)
	if s.owes[digest] == 0 {
		s.liar = true
		r.g.pieces.giveUp(s.id)
		r.g.n.penalties.add(peerSource(s.id), wire.KindPiece, whyNotAsked)
		return false
	}
	if s.owes[digest]--; s.owes[digest] == 0 {
		delete(s.owes, digest)
	}
	s.left--
	r.bytes += len(a.data)
	if old, wanted := got[digest]; wanted && old == nil {
		got[digest] = a.data
	}
	return true
}
