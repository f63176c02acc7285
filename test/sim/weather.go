package sim

import (
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// weather is what the network does beyond losing, delaying, doubling and
// blocking: it repeats old traffic, damages frames, holds links up, and drops
// what is too much for one.
type weather struct {
	w *world
	// past is a sample of everything that ever passed, as good of the beginning
	// as of the end; seen is how much that was.
	past []passed
	seen int
	// load is how many messages are on their way from one process to another, and
	// clogged until when they wait.
	load    [][]int
	clogged [][]time.Duration
	// shunned is, for each receiver, one more than the view whose messages do not
	// reach it.
	shunned []wire.View
}

// passed is a message that passed.
type passed struct {
	from   *node
	id     uint64
	sealed *wire.Sealed
}

// pastMax bounds what the network remembers.
const pastMax = 256

// planWeather schedules it, if there is any.
func (w *world) planWeather() {
	o := &w.o
	if o.Replay == 0 && o.Corruption == 0 && o.LinkMax == 0 && o.Clogs == 0 && o.Shuns == 0 {
		return
	}
	n := len(w.nodes)
	s := &weather{w: w, load: make([][]int, n), clogged: make([][]time.Duration, n), shunned: make([]wire.View, n)}
	for i := range n {
		s.load[i], s.clogged[i] = make([]int, n), make([]time.Duration, n)
	}
	w.weather = s
	for range o.Clogs {
		w.sometime(s.clog)
	}
	for range o.Shuns {
		w.sometime(s.shun)
	}
}

// clog makes a link, or all links to or from a replica, hold everything up, and
// then deliver it at once.
func (s *weather) clog() {
	until := min(s.w.o.Turbulence, s.w.now+s.w.between(0, s.w.o.OutageMax))
	from, to, which := s.w.someNode().index, s.w.someNode().index, s.w.rng.IntN(3)
	for i := range s.clogged {
		switch which {
		case 0:
			s.clogged[from][i] = until
		case 1:
			s.clogged[i][to] = until
		default:
			s.clogged[from][to] = until
		}
	}
	s.w.tell("links of %d and %d hold up until %v", from, to, until)
}

// clear ends what the network does to links.
func (s *weather) clear() {
	clear(s.shunned)
	for i := range s.clogged {
		clear(s.clogged[i])
	}
}

// shun keeps the messages of a view, the present one or the next, from some of
// the replicas.
func (s *weather) shun() {
	n := s.w.someNode()
	if n.replica == nil {
		return
	}
	view := n.replica.View() + wire.View(s.w.rng.IntN(2)) //nolint:gosec // 0 or 1
	for to := range s.shunned {
		if s.w.rng.IntN(2) == 0 {
			s.shunned[to] = view + 1
		}
	}
	s.w.tell("messages of view %d do not reach %v", view, s.shunned)
	s.w.after(s.w.between(0, s.w.o.OutageMax), func() { clear(s.shunned) })
}

// admit tells whether a message goes on its way as it is, and what else happens
// because it passes.
func (s *weather) admit(from, to *node, id uint64, sealed *wire.Sealed) bool {
	s.remember(passed{from, id, sealed})
	w := s.w
	if (!w.calm || w.ending == nil) && w.chance(w.o.Replay) {
		s.repeat()
	}
	if w.calm {
		return true
	}
	if view, _, _ := placeOf(sealed.Message()); view+1 == s.shunned[to.index] && hasView(sealed.Message()) {
		w.counters.Shunned++
		return false
	}
	if w.o.LinkMax > 0 && s.load[from.index][to.index] >= w.o.LinkMax {
		w.counters.Overflowed++
		return false
	}
	if w.chance(w.o.Corruption) {
		s.damage(from, to, sealed)
		return false
	}
	return true
}

// hasView tells whether m belongs to a view.
func hasView(m wire.Message) bool {
	switch m.(type) { //nolint:gochecksumtype // the others belong to none
	case *wire.PrePrepare, *wire.Prepare, *wire.Commit, *wire.ViewChange, *wire.NewView, *wire.Status:
		return true
	default:
		return false
	}
}

// remember keeps a uniform sample of everything.
func (s *weather) remember(p passed) {
	s.seen++
	if len(s.past) < pastMax {
		s.past = append(s.past, p)
		return
	}
	if s.w.o.Replay > 0 {
		if i := s.w.rng.IntN(s.seen); i < pastMax {
			s.past[i] = p
		}
	}
}

// repeat sends something of the past to somebody, who may have started anew
// since; also what the receiver once said itself.
func (s *weather) repeat() {
	old, to := s.past[s.w.rng.IntN(len(s.past))], s.w.someNode()
	from := old.from
	for from.id == to.id {
		from = s.w.someNode()
	}
	if old.from.strategy != nil { // nobody else would have passed on what cannot be opened
		if _, err := s.w.open(old.sealed); err != nil {
			return
		}
	}
	s.w.counters.Replayed++
	s.insert(from, to, old.id, old.sealed)
}

// insert is a message that the network sends by itself: it repeats an old one, or
// makes one up, if old is 0.
func (s *weather) insert(from, to *node, old uint64, sealed *wire.Sealed) {
	s.w.messages++
	id := s.w.messages
	s.w.passage(Sent, from, to, id, sealed)
	s.w.did(from, Step{Do: StepRepeat, Peer: to.id, Message: id, Old: old, Sealed: sealed})
	s.w.after(s.w.delay(), func() { s.w.deliver(from, to, id, sealed) })
}

// damage flips bits of a frame, or cuts it, on its way. Whoever opens it must
// refuse it if it was signed; what is not is checked by digest later.
func (s *weather) damage(from, to *node, sealed *wire.Sealed) {
	w := s.w
	w.counters.Corrupted++
	frame := slices.Clone(sealed.Frame())
	switch w.rng.IntN(4) {
	case 0:
		frame = frame[:w.rng.IntN(len(frame))]
	case 1:
		frame = append(frame, byte(w.rng.IntN(256))) //nolint:gosec // a byte
	default:
		for range 1 + w.rng.IntN(3)*w.rng.IntN(8) {
			i := w.rng.IntN(len(frame))
			frame[i] ^= 1 << w.rng.IntN(8)
		}
	}
	opened, err := w.opener.OpenOne(frame)
	if err != nil || slices.Equal(frame, sealed.Frame()) {
		return
	}
	if _, personal := wire.SenderOf(opened.Message()); personal {
		w.breach(lawOnce, "a damaged %s was opened", opened.Message().Kind())
		return
	}
	s.insert(from, to, 0, opened)
}

// carry loads a link with p, and returns when p arrives: after d, or when the link
// flows again, in order.
func (s *weather) carry(p *parcel, d time.Duration) time.Duration {
	from, to := p.from.index, p.to.index
	p.load = &s.load[from][to]
	*p.load++
	if until := s.clogged[from][to]; until > s.w.now {
		d = until - s.w.now
		s.w.counters.Clogged++
	}
	return d
}
