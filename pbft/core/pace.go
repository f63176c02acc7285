package core

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// A primary that delays everything until just before the request timeout is
// faulty, and no timeout finds it (Aardvark, Clement et al., NSDI '09; Prime, Amir
// et al., DSN '08). So every backup also watches how long the clients that it
// knows of wait for their turn, in ticks:
//
//   - Work is overdue while some client has waited longer than the allowance. A
//     primary may leave work overdue for less than half of the time: each tick
//     with overdue work adds one to its debt, each tick without takes one off,
//     and with a debt of debtTimeouts request timeouts it is slow, until it is down to half
//     of that.
//   - A client that has waited longer than the allowance must be served before more
//     than 2·w+2 batches hold requests of any one client, where w is how many may be
//     open, the lesser of InFlight and Window: whether those run or not, for batches
//     of duplicates fill a window as well as others.
//
// The allowance is what the network needs, as the replicas show it to each other
// without the primary's help (Prime): agreementsAllowed times the time that a
// batch takes from its pre-prepare to its execution, at least Config.PaceTicks,
// and at most a quarter of the request timeout, for a primary has some influence
// on that time. When f+1 primaries in a row were found slow, one of them is
// correct, and the expectation is at fault: the allowance doubles, until the first
// rule rests. So a network that became slower costs a bounded number of view changes.
// The second counts batches, not time, and never rests.
// The allowance halves again when the half of it has been enough for long.
//
// A client's wait begins with its oldest request that is not executed, and anew
// whenever an operation of it executes: so a client with many requests waits no
// longer than one with few. A batch that is full of operations is an excuse for
// everybody who is not in it: so load alone makes no primary slow. A client is
// judged only by requests that backups pass on to the primary, repeatedly, and once
// more when turns begin to be counted: so it cannot complain of what the primary never
// had. Nor does a replica count what it executes late, when it was cut off for a while.
//
// All this is about speed. Safety does not depend on it, and nothing of it is kept.
const (
	agreementsAllowed = 8
	debtTimeouts      = 2
	calmTimeouts      = 32 // after so many with half the allowance it halves
	idleForgets       = 16 // idle ticks that take one off a debt
)

// fraction is the unit of pace.agreement: so many are a tick.
const fraction = 16

// turnsMax bounds the clients whose turns are counted.
const turnsMax = 4096

// pace is what a replica knows of the speed of its view.
type pace struct {
	agreement int    // of a batch, on average, in fractions of a tick
	debt      int    // ticks
	strict    int    // the debt if the allowance were half
	calm      int    // ticks of work since strict was high
	worked    bool   // an operation executed since the last tick
	passed    bool   // a client was passed over when it was judged last
	grudge    uint64 // the tick until which that is held against the primary
	owes      bool   // the debt was too much, and is not down to half of that
	full      uint64 // the tick of the last full batch

	doublings int              // of the allowance
	slow      []wire.ReplicaID // primaries found slow at this allowance

	longest wire.ClientID          // the client that has waited longest
	turns   map[wire.ClientID]turn // since it is overdue; nil before
	most    int                    // the most of them
	// reminded says that since then the primary was sent a request of that client.
	reminded bool
}

// turn counts the batches with requests of a client while another one waited.
type turn struct {
	batches int
	last    wire.Seq
}

// enter forgets what was of the old view only.
func (p *pace) enter() {
	p.debt, p.strict, p.calm, p.full, p.turns, p.passed, p.owes, p.grudge = 0, 0, 0, 0, nil, false, false, 0
}

// allowance returns how many ticks a client may wait in a view that keeps up, and
// whether that is less than the request timeout: the rule about time rests otherwise.
func (r *Replica) allowance() (ticks uint64, less bool) {
	floor, timeout := r.cfg.PaceTicks, r.cfg.RequestTicks
	base := min(agreementsAllowed*r.pace.agreement/fraction, timeout/4)
	ticks = uint64(max(base, floor)) << r.pace.doublings //nolint:gosec // Validate: positive
	return ticks, ticks < uint64(timeout)                //nolint:gosec // Validate: positive
}

// judge returns why a primary is to be suspected that lets known clients wait, or nothing.
// Who calls it knows that this replica is able to judge.
func (r *Replica) judge(fx *Effects) string {
	p := &r.pace
	worked := p.worked
	p.worked, p.passed = false, false
	allowed, less := r.allowance()
	line, since := r.pool.longest(&r.clients, r.change.began())
	if line == nil {
		p.turns = nil
		if worked || r.tick%idleForgets == 0 {
			p.debt, p.strict = max(0, p.debt-1), max(0, p.strict-1)
		}
		return r.indebted(allowed, less)
	}
	if known := r.known(); known > r.executed { // others have executed what waits here
		if known > r.executed+wire.Seq(r.open()) { //nolint:gosec // small
			p.turns = nil // what comes all at once now has been open before
		}
		return ""
	}
	most := debtTimeouts * r.cfg.RequestTicks
	long := min(allowed, uint64(r.cfg.RequestTicks)) //nolint:gosec // Validate: positive
	ordering := r.executed >= r.carried()            // or what executes is not this primary's order
	if p.passed = r.watchTurns(line.client, ordering && r.tick-since > long); p.passed {
		p.grudge = r.tick + uint64(r.cfg.RequestTicks) //nolint:gosec // Validate: positive
		return fmt.Sprintf("the primary passes over a client that waits longer than %d ticks", long)
	}
	r.remind(line, fx)
	if r.executed >= r.high() {
		return "" // nobody can order it before the next checkpoint
	}
	waited := r.tick - max(since, p.full)
	p.strict = drift(p.strict, waited > allowed/2, most)
	if less { // the rule about time rests otherwise, until the allowance halves
		p.debt = drift(p.debt, waited > allowed, most)
	}
	if why := r.indebted(allowed, less); why != "" {
		return why
	}
	r.ease(most)
	return ""
}

// indebted says that the primary is slow, if its debt was too much, and is not down to half
// of that.
func (r *Replica) indebted(allowed uint64, less bool) string {
	p, most := &r.pace, debtTimeouts*r.cfg.RequestTicks
	if p.owes = less && (p.debt == most || p.owes && p.debt >= most/2); !p.owes {
		return ""
	}
	return fmt.Sprintf("the primary is slow: clients wait longer than %d ticks most of the time", allowed)
}

// watchTurns counts the turns of clients from when the client that has waited
// longest is overdue, and tells whether it is passed over: a correct primary takes
// from the clients in turn, and may have had all batches open that may be before it knew.
func (r *Replica) watchTurns(client wire.ClientID, overdue bool) bool {
	p := &r.pace
	if client != p.longest || !overdue {
		p.longest, p.turns = client, nil
	}
	if overdue && p.turns == nil {
		p.turns, p.most, p.reminded = map[wire.ClientID]turn{}, 0, false
	}
	return p.turns != nil && p.most > 2*r.open()+2
}

// open returns how many batches a primary may have open.
func (r *Replica) open() int { return min(r.cfg.InFlight, int(r.cfg.Window)) } //nolint:gosec // Validate: small

// remind passes a request of the client that is overdue on to the primary when counting
// begins: what was lost on its way there is otherwise not repeated for half of a request
// timeout while batches are full, and the primary would be left for what it never had.
func (r *Replica) remind(line *line, fx *Effects) {
	p := &r.pace
	if p.turns == nil || p.reminded {
		return
	}
	p.reminded = true
	var spent []crypto.Digest
	if one := r.pool.head(line, &r.clients, &spent); one != nil {
		r.offer([]*pending{one}, r.primary(), 0, fx)
	}
	r.pool.removeAll(spent)
}

// drift adds a tick to a debt, or takes one off.
func drift(debt int, overdue bool, most int) int {
	if overdue {
		return min(debt+1, most)
	}
	return max(debt-1, 0)
}

// ease halves the allowance again when the half of it has long been enough.
func (r *Replica) ease(most int) {
	p := &r.pace
	p.calm++
	if p.strict >= most/2 {
		p.calm = 0
	}
	if p.calm >= calmTimeouts*r.cfg.RequestTicks {
		p.calm, p.slow, p.doublings = 0, nil, max(0, p.doublings-1)
	}
}

// noteSlow remembers, when a view is left for whatever reason, that its primary was
// on the way to being found slow. The allowance doubles when as many primaries were
// as cannot all be faulty.
func (r *Replica) noteSlow() {
	p := &r.pace
	if !r.active || !p.passed && p.debt < debtTimeouts*r.cfg.RequestTicks/2 {
		return
	}
	if !slices.Contains(p.slow, r.primary()) {
		p.slow = append(p.slow, r.primary())
	}
	if len(p.slow) < r.q.Weak() {
		return
	}
	p.slow = nil
	if _, less := r.allowance(); less {
		p.doublings++
	}
}

// served notes that a request which waited here has had its turn, also if there was
// nothing in it to run, as for a client that finds the table full. What its client has
// given up is no progress for what waits: a primary could order it again and again.
func (r *Replica) served(req *wire.Request) {
	l := r.pool.lines[req.Client]
	if l != nil && req.Session < l.session {
		return
	}
	if l != nil {
		l.served = r.tick
	}
	if req.Client == r.pace.longest {
		r.pace.turns = nil
	}
}

// keepPace notes the execution of the batch of s, with what happened to its
// operations. Only those that ran are progress: a batch of duplicates is none.
func (r *Replica) keepPace(s *slot, orders []Order) {
	p := &r.pace
	if s != nil && s.voted {
		p.agreement += (fraction*int(r.tick-s.since) - p.agreement) / 8 //nolint:gosec // a short time
	}
	requests, bytes, served := 0, 0, false
	var last *wire.Request
	for _, o := range orders {
		if l := r.pool.lines[o.Request.Client]; l != nil && l.serves(o) {
			l.served = r.tick
		}
		p.countTurn(o.Request.Client, r.executed)
		if !o.Run || o.Request == last {
			continue
		}
		last = o.Request
		r.company.serve(last.Client, r.cfg.BatchRequestsMax)
		requests, bytes = requests+1, bytes+last.Size()
		served = served || last.Client == p.longest
	}
	if served {
		p.turns = nil
	}
	p.worked = p.worked || requests > 0
	if requests >= r.cfg.BatchRequestsMax || 2*bytes >= r.cfg.BatchBytesMax {
		p.full = r.tick
	}
}

// serves tells whether what happened to an operation is progress for what waits in the
// line of its client, which a primary could not repeat to hold off a correct one: that
// has nothing beyond its window, but perhaps a session of the future, from when its clock
// was wrong; and whom the full table refused once it refuses all that is of that session,
// or of an earlier one.
func (l *line) serves(o Order) bool {
	return o.Run || o.Outcome == wire.OutcomeWindow && o.Request.Session == l.session ||
		o.Outcome == wire.OutcomeNoRoom && o.Request.Session >= l.session
}

// countTurn notes that batch seq holds a request of client, if some client has
// waited too long.
func (p *pace) countTurn(client wire.ClientID, seq wire.Seq) {
	t, known := p.turns[client]
	if p.turns == nil || t.last == seq || !known && len(p.turns) == turnsMax {
		return
	}
	p.turns[client] = turn{t.batches + 1, seq}
	p.most = max(p.most, t.batches+1)
}
