package core

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// offeredMax is how many waiting requests are passed on at once.
const offeredMax = 64

// pending is a request that is known and not executed.
type pending struct {
	sealed   *wire.Sealed // nil for one known only from a batch
	req      *wire.Request
	digest   crypto.Digest
	since    uint64 // the tick at which it became known
	proposed bool   // in a batch of the current view
	gone     bool
}

// line is the queue of one client.
type line struct {
	client   wire.ClientID
	requests []*pending // in order of arrival
	proposed int        // so many at the beginning are in batches
	bytes    int
	session  wire.Session // the latest of them
	served   uint64       // the tick at which an operation of it executed last
}

// pool holds the requests that wait, fairly: batches take from the clients in
// turn. arrivals keeps the order in which they came, for the oldest.
type pool struct {
	byDigest map[crypto.Digest]*pending
	lines    map[wire.ClientID]*line
	turn     []*line // clients with requests, the next to be served first; and those that left
	left     int     // how many in turn have no requests any more: at most half
	arrivals []*pending
	bytes    int
	// waiting are the requests that are in no batch, and waitingBytes theirs.
	waiting, waitingBytes int
	most                  load // of all
	look                  int  // where in turn to look for a client with more than its share
}

func newPool() pool {
	return pool{
		byDigest: map[crypto.Digest]*pending{}, lines: map[wire.ClientID]*line{},
		most: load{poolRequestsMax, poolBytesMax},
	}
}

// admit takes a request that is not in the pool, for which it is not full, in place
// of those that give way, and of those of earlier sessions of its client, which has given
// them up. The client keeps its turn.
func (p *pool) admit(sealed *wire.Sealed, req *wire.Request, cfg *Config, tick uint64) (gone []*pending) {
	gone, _ = p.yielding(req, cfg)
	others, _ := p.crowding(req, gone)
	gone = append(gone, others...)
	p.add(sealed, req, tick)
	for _, one := range p.lines[req.Client].renew(req.Session) {
		if !slices.Contains(gone, one) {
			gone = append(gone, one)
		}
	}
	for _, one := range gone {
		p.remove(one.digest)
	}
	return gone
}

// add takes a request that is not in the pool.
func (p *pool) add(sealed *wire.Sealed, req *wire.Request, tick uint64) {
	one := &pending{sealed: sealed, req: req, digest: sealed.Digest(), since: tick}
	l := p.lines[req.Client]
	if l == nil {
		l = &line{client: req.Client}
		p.lines[req.Client] = l
		p.turn = append(p.turn, l)
	}
	l.requests = append(l.requests, one)
	l.bytes += req.Size()
	p.bytes += req.Size()
	p.byDigest[one.digest] = one
	p.arrivals = append(p.arrivals, one)
	p.waiting, p.waitingBytes = p.waiting+1, p.waitingBytes+req.Size()
}

// propose says that a request is in a batch of the current view.
func (p *pool) propose(one *pending) {
	if !one.proposed {
		one.proposed = true
		p.waiting, p.waitingBytes = p.waiting-1, p.waitingBytes-one.req.Size()
	}
}

// remove forgets a request, and tells whether it was there.
func (p *pool) remove(digest crypto.Digest) bool {
	one, ok := p.byDigest[digest]
	if !ok {
		return false
	}
	p.propose(one) // or not: it waits no more
	one.gone = true
	delete(p.byDigest, digest)
	p.bytes -= one.req.Size()
	l := p.lines[one.req.Client]
	l.bytes -= one.req.Size()
	l.drop(one)
	if len(l.requests) == 0 {
		l.requests = nil // it may stay in turn for long, with room for a whole share
		delete(p.lines, l.client)
		p.leave()
	}
	one.sealed, one.req = nil, nil // arrivals may keep it for a while
	p.trim()
	return true
}

// leave counts a line that has become empty, which stays in turn: looking for each one
// that leaves took a time that grew with the number of clients. When most have left,
// all of them go at once.
func (p *pool) leave() {
	p.left++
	if 2*p.left > len(p.turn) {
		p.turn = slices.DeleteFunc(p.turn, (*line).empty)
		p.left = 0
	}
}

// renew returns what is in no batch of sessions before this one, if it is a new one.
func (l *line) renew(session wire.Session) (given []*pending) {
	if session <= l.session {
		return nil
	}
	l.session = session
	for _, one := range l.requests {
		if !one.proposed && one.req.Session < session {
			given = append(given, one)
		}
	}
	return given
}

// empty tells whether the line's client has left. When it comes again it has a new line.
func (l *line) empty() bool { return len(l.requests) == 0 }

// drop takes a request out of the line. Most leave at the beginning.
func (l *line) drop(one *pending) {
	i := slices.Index(l.requests, one)
	if i < l.proposed {
		l.proposed--
	}
	l.requests = slices.Delete(l.requests, i, i+1)
}

// trim drops what is gone from the head of arrivals, and from all of it when
// most of it is.
func (p *pool) trim() {
	i := 0
	for i < len(p.arrivals) && p.arrivals[i].gone {
		i++
	}
	p.arrivals = p.arrivals[i:]
	if len(p.arrivals) > 64 && len(p.arrivals) > 4*len(p.byDigest) {
		p.arrivals = slices.DeleteFunc(slices.Clone(p.arrivals), func(o *pending) bool { return o.gone })
	}
}

// take returns requests for one batch, from the clients in turn, and marks
// them as proposed. It returns none when nothing waits.
func (p *pool) take(cfg *Config, t *clientTable) []*wire.Request {
	var out []*wire.Request
	var spent []crypto.Digest
	bytes := 0
	for idle := 0; idle < len(p.turn)-p.left && len(out) < cfg.BatchRequestsMax; {
		l := p.turn[0]
		if l.empty() {
			p.turn, p.left = p.turn[1:], p.left-1
			continue
		}
		one := p.head(l, t, &spent)
		if one != nil && len(out) > 0 && bytes+one.req.Size() > cfg.BatchBytesMax {
			break // its client stays first in turn, or a small one before it would starve it
		}
		p.turn = append(p.turn[1:], l)
		if one == nil {
			idle++
			continue
		}
		p.propose(one)
		bytes += one.req.Size()
		out = append(out, one.req)
		idle = 0
	}
	p.removeAll(spent)
	return out
}

// head returns the first request of l that is in no batch and can run. What is spent before
// it takes no turn, and is passed on to nobody: it is added to what is to be removed.
func (p *pool) head(l *line, t *clientTable, spent *[]crypto.Digest) *pending {
	one := l.next()
	for ; one != nil && t.spent(one.req); one = l.next() {
		p.propose(one) // or it would be the next again
		*spent = append(*spent, one.digest)
	}
	return one
}

func (p *pool) removeAll(digests []crypto.Digest) {
	for _, digest := range digests {
		p.remove(digest)
	}
}

// next returns the client's first request that is in no batch.
func (l *line) next() *pending {
	for ; l.proposed < len(l.requests); l.proposed++ {
		if one := l.requests[l.proposed]; !one.proposed {
			return one
		}
	}
	return nil
}

// giveUp forgets what is spent by a state that was fetched, and what finds no room in
// its table of clients, now or ever. In the batches that were not executed here it may have
// been refused, which leaves no trace: passed on again, it would be ordered again each time,
// and by that others would get ahead again. Who was not told so asks again.
func (p *pool) giveUp(t *clientTable) {
	var gone []crypto.Digest
	for _, one := range p.arrivals {
		if !one.gone && (t.spent(one.req) || !t.admits(one.req)) {
			gone = append(gone, one.digest)
		}
	}
	p.removeAll(gone)
}

// longest returns the client that has waited longest for its turn, and since when:
// since its oldest request came, or an operation of it executed last, or begin. It
// returns nil when nobody waits. What is spent, by what executed under other digests, it
// forgets, all in one pass: who has many such requests would make it begin anew for each.
func (p *pool) longest(t *clientTable, begin uint64) (longest *line, since uint64) {
	var spent []crypto.Digest
	for _, l := range p.turn {
		for _, one := range l.requests {
			at := max(one.since, l.served, begin)
			if longest != nil && at >= since {
				break
			}
			if !t.spent(one.req) {
				longest, since = l, at
				break
			}
			spent = append(spent, one.digest)
		}
	}
	p.removeAll(spent)
	return longest, since
}

// heads returns the first request of every client that is in no batch and can run.
func (p *pool) heads(t *clientTable) []*pending {
	var out []*pending
	var spent []crypto.Digest
	for _, l := range p.turn {
		if one := p.head(l, t, &spent); one != nil {
			out = append(out, one)
		}
	}
	p.removeAll(spent)
	return out
}

// followers returns requests, in order of arrival, that are in no batch, can run, and are
// behind another one of their client's.
func (p *pool) followers(t *clientTable) []*pending {
	var out []*pending
	for _, one := range p.arrivals {
		if len(out) == offeredMax {
			break
		}
		if !one.gone && !one.proposed && p.lines[one.req.Client].next() != one && !t.spent(one.req) {
			out = append(out, one)
		}
	}
	return out
}

// unpropose makes every request available to a new view's batches, but for those that
// were in one when their client gave them up.
func (p *pool) unpropose() {
	var given []crypto.Digest
	for _, one := range p.arrivals {
		one.proposed = false
		if !one.gone && one.req.Session < p.lines[one.req.Client].session {
			given = append(given, one.digest)
		}
	}
	for _, l := range p.turn {
		l.proposed = 0
	}
	p.waiting, p.waitingBytes = len(p.byDigest), p.bytes
	for _, digest := range given {
		p.remove(digest)
	}
}

// markProposed says that a request is in the order of the current view already.
func (p *pool) markProposed(digest crypto.Digest) {
	if one, ok := p.byDigest[digest]; ok {
		p.propose(one)
	}
}

// onSubmitted takes a request that a client sent to this replica itself.
func (r *Replica) onSubmitted(sealed *wire.Sealed, fx *Effects) {
	req, ok := sealed.Message().(*wire.Request)
	if !ok {
		return
	}
	if reason := r.refuseRequest(sealed, req, r.now-sessionMargin); reason != 0 {
		fx.Refuse = append(fx.Refuse, wire.Refusal{
			Client: req.Client, Session: req.Session, Number: req.Number, Reason: reason, Sender: r.id,
		})
		return
	}
	if r.clients.settled(req) {
		r.answer(req, fx)
		return
	}
	r.admit(sealed, req)
	if primary := r.primary(); primary != r.id && r.active {
		fx.Send = append(fx.Send, Send{To: primary, Sealed: sealed})
	}
}

// onForwarded takes a request that another replica passed on.
func (r *Replica) onForwarded(sealed *wire.Sealed, req *wire.Request) {
	now := r.now
	if r.primary() != r.id {
		now -= sessionMargin
	}
	if r.refuseRequest(sealed, req, now) == 0 && !r.clients.settled(req) {
		r.admit(sealed, req)
	}
}

func (r *Replica) admit(sealed *wire.Sealed, req *wire.Request) {
	digest := sealed.Digest()
	if _, known := r.pool.byDigest[digest]; known {
		return
	}
	r.pool.admit(sealed, req, &r.cfg, r.tick)
	if _, placed := r.placed[digest]; placed {
		r.pool.markProposed(digest) // in a batch that was carried over, or came before
	}
}

// refuseRequest tells why a request is not admitted at a time; 0 says that it is.
func (r *Replica) refuseRequest(sealed *wire.Sealed, req *wire.Request, now wire.Time) wire.RefusalReason {
	s, known := r.clients.clients[req.Client]
	switch {
	case known && req.Session < s.Session, !known && req.Session <= r.clients.floor:
		return wire.RefusalSessionOld
	case known && r.clients.settled(req):
		return 0
	case r.rejoin != nil || r.transfer != nil || r.wrong:
		return wire.RefusalRejoining
	}
	_, waits := r.pool.byDigest[sealed.Digest()]
	if r.clients.spent(req) || !waits && (r.pool.full(req, &r.cfg) || !r.clients.runs(req, now)) {
		return wire.RefusalOverload
	}
	return 0
}

// answer asks for the kept results of an executed request.
func (r *Replica) answer(req *wire.Request, fx *Effects) {
	for i := range req.Ops {
		n := req.Number + wire.Number(i) //nolint:gosec // an index is small
		fx.Answer = append(fx.Answer, Answer{req.Client, req.Session, n})
	}
}

// reforward passes waiting requests on to the primary again, for what was sent to
// it may be lost, or have found it full: soon the first of each client, and after
// half of the request timeout the oldest of all. The first of each client then
// goes to everyone, so that a client that reached one replica only is no longer
// that one's matter; the others do not, for who has much waiting would make all
// replicas repeat it to each other. Who fetches the state does not know what is
// executed, and passes nothing on: a request that left no trace in the client table,
// for that was full, would be ordered again each time, and the others get ahead by it.
func (r *Replica) reforward(fx *Effects) {
	if !r.active || r.primary() == r.id || r.transfer != nil {
		return
	}
	half := uint64(max(1, r.cfg.RequestTicks/2))
	often := min(uint64(max(1, r.cfg.PaceTicks/2)), half)
	switch {
	case r.tick%half == 0:
		r.offer(r.pool.heads(&r.clients), Everyone, half, fx)
		r.offer(r.pool.followers(&r.clients), r.primary(), half, fx)
	case r.tick%often == 0 && r.tick-r.pace.full >= often:
		r.offer(r.pool.heads(&r.clients), r.primary(), often, fx)
	}
}

// offer sends some of those requests that have waited for so many ticks.
func (r *Replica) offer(waiting []*pending, to wire.ReplicaID, ticks uint64, fx *Effects) {
	sent := 0
	for _, one := range waiting {
		if sent == offeredMax {
			return
		}
		if !one.gone && !one.proposed && one.sealed != nil && r.tick-one.since >= ticks {
			fx.Send = append(fx.Send, Send{To: to, Sealed: one.sealed})
			sent++
		}
	}
}
