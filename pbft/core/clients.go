package core

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// clientTable is the replicated memory of what each client had executed. It is
// part of the state digest, through Execution.Clients. The windows are RIFL's
// (Lee et al., SOSP '15): any number in (Low, Low+ClientWindowMax] executes at
// most once, in any order.
//
// A full table forgets the client with the lowest session for one with a higher
// session. Execution stays at most once, for sessions up to that of the last
// client forgotten are refused to clients that are not in the table.
type clientTable struct {
	max     int
	clients map[wire.ClientID]*ClientState
	order   []*ClientState // ascending session, then client
	floor   wire.Session   // the highest session forgotten
	latest  wire.Session   // sessions beyond it lie in the future
	evicted []wire.ClientID
}

func newClientTable(limit int, states []ClientState) clientTable {
	t := clientTable{
		max: limit, clients: make(map[wire.ClientID]*ClientState, len(states)), latest: sessionLead,
	}
	for _, s := range states {
		t.insert(&s)
	}
	return t
}

// sessionLead is how far a session may be ahead of the agreed time, if sessions
// are points of time in nanoseconds: two minutes, for the agreed time and the
// client's clock may differ. A client beyond it could never be forgotten, and who
// fills the table with the latest sessions keeps others out for so long.
const sessionLead wire.Session = 120e9

// sessionMargin is how much less the future may be of a session that a client asks for
// itself: a primary whose clock is so far behind takes what is passed on to it all the
// same. Or a client with a session at the very edge would depose every primary whose clock
// is a little behind those of f+1 others.
const sessionMargin wire.Time = 60e9

func bySession(a, b *ClientState) int {
	return cmp.Or(cmp.Compare(a.Session, b.Session), slices.Compare(a.Client[:], b.Client[:]))
}

func (t *clientTable) insert(s *ClientState) {
	t.clients[s.Client] = s
	at, _ := slices.BinarySearchFunc(t.order, s, bySession)
	t.order = slices.Insert(t.order, at, s)
}

func (t *clientTable) remove(s *ClientState) {
	delete(t.clients, s.Client)
	if at, found := slices.BinarySearchFunc(t.order, s, bySession); found {
		t.order = slices.Delete(t.order, at, at+1)
	}
}

// room tells whether an unknown client with this session may enter.
func (t *clientTable) room(session wire.Session) bool {
	return len(t.clients) < t.max || session > t.order[0].Session
}

// admits tells whether the client of req is known, or may enter. A table that is full
// stays so, and its lowest session only rises: who may not enter never may, with that session.
func (t *clientTable) admits(req *wire.Request) bool {
	_, known := t.clients[req.Client]
	return known || t.room(req.Session)
}

// done tells whether number n was executed, or given up.
func (s *ClientState) done(n wire.Number) bool {
	if n <= s.Low {
		return true
	}
	i := n - s.Low - 1
	return i < ClientWindowMax && s.Done[i/64]>>(i%64)&1 == 1
}

func (s *ClientState) mark(n wire.Number) {
	i := n - s.Low - 1
	s.Done[i/64] |= 1 << (i % 64)
}

// raise moves the low watermark up to acked.
func (s *ClientState) raise(acked wire.Number) {
	if acked <= s.Low {
		return
	}
	by := acked - s.Low
	s.Low = acked
	var moved [ClientWindowMax / 64]uint64
	for i := range wire.Number(ClientWindowMax) {
		if j := i + by; by < ClientWindowMax && j < ClientWindowMax && s.Done[j/64]>>(j%64)&1 == 1 {
			moved[i/64] |= 1 << (i % 64)
		}
	}
	s.Done = moved
}

// verdict tells what would happen to operation n of a session now, and changes
// nothing.
func (t *clientTable) verdict(client wire.ClientID, session wire.Session, n wire.Number) (wire.Outcome, bool) {
	s, known := t.clients[client]
	switch {
	case !known && session <= t.floor:
		return wire.OutcomeSessionOld, false
	case (!known || session > s.Session) && session > t.latest:
		return wire.OutcomeWindow, false
	case !known && !t.room(session):
		return wire.OutcomeNoRoom, false
	case !known || session > s.Session:
		if n > ClientWindowMax {
			return wire.OutcomeWindow, false
		}
		return wire.OutcomeOK, true
	case session < s.Session:
		return wire.OutcomeSessionOld, false
	case s.done(n):
		return wire.OutcomeForgotten, false
	case n > s.Low+ClientWindowMax:
		return wire.OutcomeWindow, false
	default:
		return wire.OutcomeOK, true
	}
}

// settled tells whether executing req could change nothing any more.
func (t *clientTable) settled(req *wire.Request) bool {
	s, known := t.clients[req.Client]
	switch {
	case !known:
		return req.Session <= t.floor
	case req.Session != s.Session:
		return req.Session < s.Session
	}
	for i := range req.Ops {
		if !s.done(req.Number + wire.Number(i)) { //nolint:gosec // an index is small
			return false
		}
	}
	return true
}

// runs tells whether an operation of req would execute in a batch of time now.
// What lies beyond the client's window is never settled: ordered, it would change
// nothing, and replicas that are behind would have it ordered again and again. A
// client that finds the table full is told so in the order, and begins anew.
func (t *clientTable) runs(req *wire.Request, now wire.Time) bool {
	s, known := t.clients[req.Client]
	switch {
	case known && req.Session < s.Session, !known && req.Session <= t.floor:
		return false
	case known && req.Session == s.Session:
		return s.runs(req)
	case req.Session > max(t.latest, wire.Session(max(now, 0))+sessionLead): //nolint:gosec // not negative
		return false
	}
	return (&ClientState{}).runs(req)
}

// runs tells whether an operation of req, which is of this session, would execute.
func (s *ClientState) runs(req *wire.Request) bool {
	low := max(s.Low, min(req.Acked, req.Number-1)) // as take raises it first
	for i := range req.Ops {
		n := req.Number + wire.Number(i) //nolint:gosec // an index is small
		if n <= low+ClientWindowMax && !s.done(n) {
			return true
		}
	}
	return false
}

// spent tells whether nothing of req, which was admitted, would execute any more: it is
// settled, or what is left of it lies beyond its client's window, for another request of its
// client had the rest executed. No primary that knows of that takes it, so nobody may wait for
// it. A request that acknowledges what its numbers need to be in the window, as those of
// correct clients do, is spent only once it is settled.
func (t *clientTable) spent(req *wire.Request) bool {
	s, known := t.clients[req.Client]
	return t.settled(req) || known && req.Session == s.Session && !s.runs(req)
}

// take decides, at its place in the order, what happens to each operation of
// req, and remembers it.
func (t *clientTable) take(req *wire.Request, orders []Order) []Order {
	if s := t.session(req); s != nil {
		s.raise(min(req.Acked, req.Number-1))
	}
	for i := range req.Ops {
		n := req.Number + wire.Number(i) //nolint:gosec // an index is small
		outcome, run := t.verdict(req.Client, req.Session, n)
		if run {
			t.clients[req.Client].mark(n)
		}
		orders = append(orders, Order{req, i, run, outcome})
	}
	return orders
}

// session returns the state of req's session, begun anew if req opens it, or
// nil if req is of no current session.
func (t *clientTable) session(req *wire.Request) *ClientState {
	s, known := t.clients[req.Client]
	if known && req.Session <= s.Session {
		if req.Session < s.Session {
			return nil
		}
		return s
	}
	switch {
	case req.Session > t.latest, !known && (req.Session <= t.floor || !t.room(req.Session)):
		return nil
	case known:
		t.remove(s)
	case len(t.clients) >= t.max:
		t.evict()
	}
	s = &ClientState{Client: req.Client, Session: req.Session}
	t.insert(s)
	return s
}

// evict forgets the client with the lowest session.
func (t *clientTable) evict() {
	s := t.order[0]
	t.floor = max(t.floor, s.Session)
	t.remove(s)
	t.evicted = append(t.evicted, s.Client)
}

// takeEvicted returns the clients forgotten since the last call.
func (t *clientTable) takeEvicted() []wire.ClientID {
	out := t.evicted
	t.evicted = nil
	return out
}

// states returns the states of the clients that batch touches, ascending.
func (t *clientTable) states(batch *wire.Batch) []ClientState {
	var ids []wire.ClientID
	for _, req := range batch.Requests {
		ids = append(ids, req.Client)
	}
	slices.SortFunc(ids, func(a, b wire.ClientID) int { return slices.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	var out []ClientState
	for _, id := range ids {
		if s, known := t.clients[id]; known {
			out = append(out, *s)
		}
	}
	return out
}
