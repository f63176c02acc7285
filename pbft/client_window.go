package pbft

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// window is the table of a client's operations that have no result, or one that
// nobody has fetched. The client's loop owns it.
//
//   - (C1) Every number in the table is above the Acked of any request that was
//     sent, so replicas still keep its result, and at most ClientWindowMax above
//     the Acked of its own request, so they accept it.
//   - (C2) A number below next that is not in the table has its answer, or is
//     given up: Acked may pass it. New operations get numbers from next on, which
//     were never used.
//   - (C3) A session that is taken over from an earlier process acknowledges, until its
//     first new operation, no more than that process had before it sent what is
//     retried: all that may be open can be retried before, however far above next is.
type window struct {
	next     wire.Number // above all numbers in use
	low      wire.Number // Acked: no number up to it is in the table
	free     wire.Number // nor one above low and up to this, which lowest found
	takeover bool        // (C3) holds low back
	table    map[wire.Number]*operation
	bytes    int         // of the operations in the table
	sent     wire.Number // highest Acked in a request
}

// numberMax keeps a whole request below wire.NumberMax.
const numberMax = wire.NumberMax - core.ClientWindowMax

// operation is one number of the window.
type operation struct {
	number   wire.Number
	op       []byte
	readOnly bool
	calls    []*call  // who waits; none if all their contexts ended
	one      [1]*call // memory for them, where there is one, as nearly always
	request  *request
	votes    []vote // by replica
	// answer is set once there is one and nobody waited for it.
	answer *answer
}

// request is one signed request and when to send it again.
type request struct {
	first    wire.Number
	ops      []*operation
	frame    []byte
	open     int // operations without an answer
	attempt  int
	began    time.Time // when it was first sent
	due      time.Time
	everyone bool                            // no longer sent to the primary alone
	refusals map[wire.ReplicaID]wire.Refusal // nil until there is one
	refused  wire.RefusalReason              // for now, by f+1 replicas, the last time; 0 for never
	sent     []bool                          // by replica, whether it was
	// before is, by replica, how many refusals of earlier requests, which began with the
	// same number, were under way when this one was first sent; nil if there were none. As
	// many for each reason may be of those: came counts what came.
	before []int
	came   map[reasonOf]int
}

// reasonOf is a reason for which a replica refuses.
type reasonOf struct {
	by     wire.ReplicaID
	reason wire.RefusalReason
}

// isOwn takes a refusal, and tells whether by now one of its sender for its reason must
// be of r itself.
func (r *request) isOwn(m *wire.Refusal) bool {
	if r.before == nil {
		return true
	}
	if r.came == nil {
		r.came = make(map[reasonOf]int)
	}
	of := reasonOf{m.Sender, m.Reason}
	r.came[of]++
	return r.came[of] > r.before[m.Sender]
}

// underway counts the frames of the last requests, by their first numbers, that were
// sent to each replica and not refused: each may be refused yet. A refusal names only
// the first number, so what is under way for one request must not count against a later
// one: after a split, or of a number that is retried. The client's loop owns it.
type underway [2 * core.ClientWindowMax]struct {
	first wire.Number
	sent  []int // by replica
}

// of returns the counts of first, of so many replicas.
func (u *underway) of(first wire.Number, replicas int) []int {
	at := &u[first%wire.Number(len(u))]
	switch {
	case at.sent == nil:
		at.first, at.sent = first, make([]int, replicas)
	case at.first != first: // that number is acknowledged by now
		at.first = first
		clear(at.sent)
	}
	return at.sent
}

// left returns a copy of the counts of first, or nil if all are 0.
func (u *underway) left(first wire.Number) []int {
	at := &u[first%wire.Number(len(u))]
	if at.first != first || !slices.ContainsFunc(at.sent, func(n int) bool { return n > 0 }) {
		return nil
	}
	return slices.Clone(at.sent)
}

// refused takes one frame of first off what is under way to a replica. Whatever a liar
// names, it changes nothing but its own count.
func (u *underway) refused(first wire.Number, by wire.ReplicaID) {
	at := &u[first%wire.Number(len(u))]
	if at.first == first && at.sent != nil && at.sent[by] > 0 {
		at.sent[by]--
	}
}

// newWindow returns the window of a session whose first unused number is next.
func newWindow(next wire.Number) *window {
	w := &window{next: max(next, 1), table: make(map[wire.Number]*operation)}
	w.takeover = w.next > 1
	return w
}

// acked returns the number up to which every operation has its answer, to be
// sent.
func (w *window) acked() wire.Number {
	if !w.takeover {
		w.low = w.lowest()
	}
	w.sent = max(w.sent, w.low)
	return w.low
}

// lowest returns what low can become, with the first new operation if not before.
func (w *window) lowest() wire.Number {
	low := w.lowestFrom(max(w.low, w.free))
	if !w.takeover {
		w.free = low
	}
	return low
}

// lowestFrom returns the number before the first one in the table above low, or before
// next if there is none. What an earlier process left may lie far apart.
func (w *window) lowestFrom(low wire.Number) wire.Number {
	if w.takeover {
		first := w.next
		for n := range w.table {
			if n > low {
				first = min(first, n)
			}
		}
		return first - 1
	}
	for low+1 < w.next && w.table[low+1] == nil {
		low++
	}
	return low
}

// admits tells whether a new operation may have the next number but taken, when
// others of so many bytes have those before: perhaps once makeRoom was called.
func (w *window) admits(taken, bytes int) bool {
	_, ok := w.room(taken, bytes)
	return ok
}

// makeRoom gives up what is in the way of an operation that admits has admitted.
func (w *window) makeRoom(taken, bytes int) {
	low, _ := w.room(taken, bytes)
	for first := w.lowest(); first < low; first = w.lowest() {
		w.drop(w.table[first+1])
	}
}

// room returns up to which number operations that nobody waits for must be given up so
// that another one has room, and whether that is enough.
func (w *window) room(taken, bytes int) (low wire.Number, ok bool) {
	next := w.next + wire.Number(taken) //nolint:gosec // few
	low, bytes = w.lowest(), w.bytes+bytes
	for next > low+core.ClientWindowMax || bytes >= bytesOpenMax {
		if low+1 >= w.next || len(w.table[low+1].calls) > 0 {
			return w.low, false
		}
		bytes -= len(w.table[low+1].op)
		low = w.lowestFrom(low + 1)
	}
	return low, next < numberMax
}

// spent tells whether no new operation will ever have a number.
func (w *window) spent() bool { return w.next >= numberMax }

// add gives the next number to a call's operation.
func (w *window) add(c *call) *operation {
	if w.takeover {
		w.low, w.takeover = w.lowest(), false
	}
	c.number = w.next
	return w.insert(c)
}

func (w *window) insert(c *call) *operation {
	o := &operation{number: c.number, op: c.op, readOnly: c.readOnly, one: [1]*call{c}}
	o.calls = o.one[:]
	w.free = min(w.free, o.number-1)
	w.table[o.number] = o
	w.bytes += len(o.op)
	w.next = max(w.next, o.number+1)
	return o
}

// retry finds or makes the operation of a call that came with a number. It is
// new if it must be sent.
func (w *window) retry(c *call) (o *operation, isNew bool, err error) {
	if o, ok := w.table[c.number]; ok {
		if !bytes.Equal(o.op, c.op) || o.readOnly {
			return nil, false, fmt.Errorf("%w: number %d stands for another operation", ErrIdentity, c.number)
		}
		o.calls = append(o.calls, c)
		return o, false, nil
	}
	if c.number <= w.sent {
		return nil, false, fmt.Errorf("number %d: %w", c.number, ErrForgotten)
	}
	low := w.lowestFor(c.number)
	if c.number > low+core.ClientWindowMax {
		return nil, false, fmt.Errorf("number %d: %w", c.number, ErrWindow)
	}
	if w.takeover || c.number > w.next {
		w.low = low // or acked would count through all that is skipped, one by one
	}
	return w.insert(c), true, nil
}

// lowestFor returns what acked will return once number is in the table.
func (w *window) lowestFor(number wire.Number) wire.Number {
	if w.takeover {
		return max(w.low, min(number-min(number, core.ClientWindowMax), w.lowest()))
	}
	if low := w.lowest(); low+1 < w.next || number < w.next {
		return low
	}
	return number - 1 // the table is empty: what is skipped is given up
}

// ballot gives operations that were not sent before room for a vote of each
// replica, all at once.
func (w *window) ballot(ops []*operation, replicas int) {
	room := make([]vote, len(ops)*replicas)
	for i, o := range ops {
		if o.votes == nil {
			o.votes = room[i*replicas : (i+1)*replicas : (i+1)*replicas]
		}
	}
}

// replied returns how many replicas have answered o, alike or not.
func (o *operation) replied() int {
	n := 0
	for _, v := range o.votes {
		if v.cast() {
			n++
		}
	}
	return n
}

// divided tells whether the replies to o differ more than so many faulty replicas explain.
func (o *operation) divided(faults int) bool {
	replied, most, alike := 0, 0, map[crypto.Digest]int{}
	for _, v := range o.votes {
		if v.cast() {
			d := v.digest()
			replied, alike[d] = replied+1, alike[d]+1
			most = max(most, alike[d])
		}
	}
	return most < replied-faults
}

// drop takes an operation out of the table: it has its answer, or is given up.
func (w *window) drop(o *operation) {
	delete(w.table, o.number)
	w.bytes -= len(o.op)
	if o.answer == nil {
		o.request.open--
	}
}
