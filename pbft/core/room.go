package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of all waiting requests together. Where they are reached, each client has an
// equal share, and others give way to it up to that. What is beyond a client's own bounds,
// or its share of these, is refused; the client asks again.
const (
	poolRequestsMax = 1 << 16
	poolBytesMax    = 64 << 20
)

// crowdMax is how many clients are looked at for one that has more than its share.
const crowdMax = 64

// full tells whether the pool must refuse req. Where its client's share is full, later
// requests of that client give way to it: those that it would rather have refused,
// for it waits for the oldest, and repeats that less often than what is new.
func (p *pool) full(req *wire.Request, cfg *Config) bool {
	if l := p.lines[req.Client]; l != nil && req.Session < l.session {
		return true // its client has given it up
	}
	own, ok := p.yielding(req, cfg)
	if ok {
		_, ok = p.crowding(req, own)
	}
	return !ok
}

// yielding returns which requests must go so that req does not exceed its client's
// share, the latest first; ok is false if that takes others than later ones that are in
// no batch. Who finds no room can ask for this again and again: it must cost little, and
// least where the answer is no.
func (p *pool) yielding(req *wire.Request, cfg *Config) (yield []*pending, ok bool) {
	l := p.lines[req.Client]
	if l == nil {
		return nil, true
	}
	excess, excessBytes := len(l.requests)+1-cfg.QueueRequestsMax, l.bytes+req.Size()-cfg.QueueBytesMax
	if excess <= 0 && excessBytes <= 0 {
		return nil, true
	}
	later, laterBytes := l.after(req)
	if len(later) < excess || laterBytes < excessBytes {
		return nil, false
	}
	slices.SortStableFunc(later, func(a, b *pending) int { return compareAge(b.req, a.req) })
	n := 0
	for ; excess > 0 || excessBytes > 0; n++ {
		excess, excessBytes = excess-1, excessBytes-later[n].req.Size()
	}
	return later[:n], true
}

// load is so many requests with so many bytes.
type load struct{ requests, bytes int }

// none tells whether there is nothing of either, or less.
func (a load) none() bool { return a.requests <= 0 && a.bytes <= 0 }

// passes tells whether a is more than b of what there is need of.
func (a load) passes(b, need load) bool {
	return need.requests > 0 && a.requests > b.requests || need.bytes > 0 && a.bytes > b.bytes
}

// plus adds a request, and minus takes one off.
func (a load) plus(req *wire.Request) load  { return load{a.requests + 1, a.bytes + req.Size()} }
func (a load) minus(req *wire.Request) load { return load{a.requests - 1, a.bytes - req.Size()} }

// crowding returns which requests of other clients must go so that req does not exceed the
// bounds of the pool, once own ones are gone: of clients with more than an equal share, the
// latest that are in no batch. Or a few clients that keep the pool full would have the
// requests of all others refused, and one primary after the other deposed for having no room
// for them. ok is false if req would exceed its own client's share, or if too little is found
// among some clients; the next time, others are looked at.
func (p *pool) crowding(req *wire.Request, own []*pending) (yield []*pending, ok bool) {
	need := load{len(p.byDigest) - p.most.requests, p.bytes - p.most.bytes}.plus(req)
	for _, one := range own {
		need = need.minus(one.req)
	}
	if need.none() {
		return nil, true
	}
	clients, held := len(p.lines)+1, load{}
	if l := p.lines[req.Client]; l != nil {
		clients, held = clients-1, load{len(l.requests), l.bytes}
	}
	share := load{p.most.requests / clients, p.most.bytes / clients}
	if held.plus(req).passes(share, need) {
		return nil, false
	}
	first := -1
	for i := range min(crowdMax, len(p.turn)) {
		at := (p.look + i) % len(p.turn)
		n := len(yield)
		yield, need = p.turn[at].exceeding(share, need, yield)
		if first < 0 && len(yield) > n {
			first = at
		}
		if need.none() {
			p.look = first // who admits req now finds the same
			return yield, true
		}
	}
	p.look += crowdMax
	return nil, false
}

// exceeding appends the latest requests of a line that are in no batch, as long as it has
// more than a share of what there is need of, and returns what need is left.
func (l *line) exceeding(share, need load, yield []*pending) ([]*pending, load) {
	held := load{len(l.requests), l.bytes}
	for i := len(l.requests) - 1; i >= l.proposed && held.passes(share, need); i-- {
		if one := l.requests[i]; !one.proposed {
			yield = append(yield, one)
			held, need = held.minus(one.req), need.minus(one.req)
		}
	}
	return yield, need
}

// after returns the requests of a line that are in no batch and later than req, and how
// many bytes they have.
func (l *line) after(req *wire.Request) (later []*pending, bytes int) {
	for _, one := range l.requests {
		if !one.proposed && compareAge(req, one.req) < 0 {
			later, bytes = append(later, one), bytes+one.req.Size()
		}
	}
	return later, bytes
}

// compareAge tells which of two requests of one client that one would have executed
// first: negative for a. A session that a later one has replaced comes last.
func compareAge(a, b *wire.Request) int {
	return cmp.Or(cmp.Compare(b.Session, a.Session), cmp.Compare(a.Number, b.Number))
}
