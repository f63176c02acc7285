package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// client submits operations, retransmits to all, and takes a result when f+1
// replicas say the same. When it starts anew, or is told that its session is
// over, it begins another session and forgets what it had open.
type client struct {
	w      *world
	id     int
	key    wire.ClientID
	signer crypto.Signer
	rng    *rand.Rand

	session  wire.Session
	next     wire.Number
	acked    wire.Number
	open     map[wire.Number]*question
	answers  map[wire.Number]bool
	expelled map[wire.ReplicaID]bool // who says that the session is over

	nonce     uint64 // of the last query
	inquiries []*inquiry
	fallen    []*question // reads that wait for room in the window, for no quorum agreed

	issued, answered, abandoned int

	reach []wire.ReplicaID // if not empty, nobody else hears of it
}

// request is what a client asks for at once.
type request struct {
	sealed *wire.Sealed
	first  wire.Number
	left   int // operations without an answer
}

// question is one operation without an answer.
type question struct {
	op      []byte
	request *request // that asks for it in the order, if one does
	floor   wire.Seq // what was answered before it was asked is not above
	asked   time.Duration
	place   int // in the history
	replies []said
}

// said is one answer, and who gives it.
type said struct {
	leaf crypto.Digest
	by   []wire.ReplicaID
}

// say takes an answer, and returns how many replicas give it.
func (q *question) say(leaf crypto.Digest, by wire.ReplicaID) int {
	i := slices.IndexFunc(q.replies, func(s said) bool { return s.leaf == leaf })
	if i < 0 {
		i, q.replies = len(q.replies), append(q.replies, said{leaf: leaf})
	}
	s := &q.replies[i]
	if !slices.Contains(s.by, by) {
		s.by = append(s.by, by)
	}
	return len(s.by)
}

func newClient(w *world, id int, signer crypto.Signer) *client {
	c := &client{
		w: w, id: id, key: signer.Public(), signer: signer,
		rng: rand.New(rand.NewPCG(w.o.Seed, uint64(100+id))), //nolint:gosec // small; and it need not be secret
	}
	c.renew()
	return c
}

func (c *client) finished() bool { return c.answered+c.abandoned == c.goal() }

// goal returns how many operations the client runs.
func (c *client) goal() int {
	o := &c.w.o
	if c.id < o.Clients-o.Restless {
		return o.Operations
	}
	for _, other := range c.w.clients[:o.Clients-o.Restless] {
		if !other.finished() {
			return math.MaxInt
		}
	}
	return max(o.Operations, c.issued)
}

// renew begins a session. What was open may have been executed, or not.
func (c *client) renew() {
	c.abandoned += c.outstanding()
	for _, q := range c.open {
		q.request.left = 0
	}
	c.session = max(c.session+1, wire.Session(c.w.wall())) //nolint:gosec // after 1970
	c.next, c.acked = 1, 0
	c.open, c.answers = map[wire.Number]*question{}, map[wire.Number]bool{}
	c.expelled = map[wire.ReplicaID]bool{}
	c.inquiries, c.fallen = nil, nil
}

// outstanding returns how many operations have no answer.
func (c *client) outstanding() int {
	sum := len(c.open) + len(c.fallen)
	for _, r := range c.inquiries {
		sum += r.left
	}
	return sum
}

// startAnew is a new process of the client.
func (c *client) startAnew() {
	if c.finished() {
		return
	}
	c.w.counters.NewSessions++
	c.w.tell("C%d begins a new session", c.id)
	c.renew()
	c.begin()
}

// begin fills the window of outstanding operations.
func (c *client) begin() {
	if c.finished() {
		c.w.idle()
		return
	}
	c.askFallen()
	o, goal := &c.w.o, c.goal()
	for c.outstanding() < o.Outstanding && c.issued < goal && c.room() > 0 {
		count := 1 + c.rng.IntN(min(o.OpsMax, o.Outstanding-c.outstanding(), goal-c.issued, c.room()))
		if o.FastReads > 0 && c.rng.Float64() < o.FastReads {
			c.query(count)
			continue
		}
		c.ask(count, o.Reads > 0 && c.rng.Float64() < o.Reads)
	}
}

// room returns how many more numbers the replicas would take now: while a request
// waits, those after it are answered as far as the window reaches. What was asked
// beyond it they would refuse for ever, for it says what was acknowledged then.
func (c *client) room() int { return int(c.acked + core.ClientWindowMax + 1 - c.next) } //nolint:gosec // small

// ask issues a request of so many operations.
func (c *client) ask(count int, read bool) {
	draw := c.w.o.Operation
	if read {
		draw = c.w.o.Query
		c.w.counters.Reads += count
	}
	questions := make([]*question, count)
	for i := range questions {
		questions[i] = c.question(draw)
	}
	c.order(questions, read)
}

// question draws the next operation.
func (c *client) question(draw func(rng *rand.Rand, client, i int) []byte) *question {
	c.issued++
	op := draw(c.rng, c.id, c.issued)
	if most := c.w.opener.Limits().OpBytesMax; len(op) > most {
		c.w.misuse("operation %d of client %d has %d bytes, at most %d are possible", c.issued, c.id, len(op), most)
		op = nil
	}
	return &question{
		op: op, floor: c.w.oracle.answered, asked: c.w.now, place: c.w.oracle.history.called(c.w.now, c.id, op),
	}
}

// order has questions answered in the order, by one request if their bytes and number
// allow it.
func (c *client) order(questions []*question, read bool) {
	for _, part := range c.w.parts(questions) {
		c.request(part, read)
	}
}

// parts cuts questions where the bytes of one request or query end, or there is no room for
// another operation in it, as clients do.
func (w *world) parts(questions []*question) [][]*question {
	var parts [][]*question
	limits := w.opener.Limits()
	from, bytes := 0, 0
	for i, q := range questions {
		if i > from && (bytes+len(q.op) > limits.OpBytesMax || i-from == limits.OpsMax) {
			parts = append(parts, questions[from:i])
			from, bytes = i, 0
		}
		bytes += len(q.op)
	}
	return append(parts, questions[from:])
}

// request asks for questions by one request.
func (c *client) request(questions []*question, read bool) {
	m := &wire.Request{Client: c.key, Session: c.session, Number: c.next, Acked: c.acked, ReadOnly: read}
	r := &request{first: c.next, left: len(questions)}
	for _, q := range questions {
		m.Ops = append(m.Ops, q.op)
		q.request, q.replies = r, nil
		c.open[c.next] = q
		c.w.oracle.history.name(q.place, operation{c.key, c.session, c.next})
		c.next++
	}
	r.sealed = wire.Seal(c.signer, c.w.domain, m)
	c.w.eavesdrop(r.sealed)
	c.w.capture(r.sealed)
	c.send(r, 0)
}

// send asks one replica first, and all when no answer comes in time.
func (c *client) send(r *request, try int) {
	if r.left == 0 {
		return
	}
	to := c.reachable()
	if try == 0 {
		to = []*node{to[c.w.rng.IntN(len(to))]}
	}
	for _, n := range to {
		if !c.w.calm && c.w.chance(c.w.o.Loss) {
			continue
		}
		c.w.after(c.w.delay(), func() { n.submit(c, r) })
	}
	c.w.after(time.Duration(min(try+1, 4))*25*tick, func() { c.send(r, try+1) })
}

// incoming delivers something to the client, perhaps.
func (c *client) incoming(deliver func()) {
	if c.w.calm || !c.w.chance(c.w.o.Loss) {
		c.w.after(c.w.delay(), deliver)
	}
}

// refused hears that a replica takes the client's session for over. Other
// refusals are hints; the client asks again anyway.
func (c *client) refused(from wire.ReplicaID, r *wire.Refusal) {
	if r.Reason == wire.RefusalSessionOld && r.Session == c.session {
		c.expel(from)
	}
}

func (c *client) expel(from wire.ReplicaID) {
	c.expelled[from] = true
	if len(c.expelled) >= c.w.quorum.Weak() {
		c.w.oracle.expelled(c)
		c.startAnew()
	}
}

// take takes what one replica answers.
func (c *client) take(from wire.ReplicaID, m *wire.Replies) {
	before := c.answered
	for i := range m.Answers {
		if m.Session != c.session {
			return // the answer before ended it
		}
		told := m.Told(i)
		c.hear(from, m.View, &told)
	}
	if c.answered > before {
		c.begin()
	}
}

// hear counts one answer.
func (c *client) hear(from wire.ReplicaID, view wire.View, told *wire.Told) {
	switch told.Outcome {
	case wire.OutcomeSessionOld, wire.OutcomeNoRoom:
		c.expel(from)
		return
	default:
	}
	q := c.open[told.Number]
	if q == nil {
		return
	}
	if q.say(wire.AnswerDigest(&told.Answer), from) < c.w.quorum.Weak() {
		return
	}
	c.w.note(markAnswer, wire.ReplicaID(c.id), uint64(told.Number), uint64(told.Seq)) //nolint:gosec // small
	c.w.tell("C%d has the result of %d at %d", c.id, told.Number, told.Seq)
	c.w.moment(Moment{What: Answered, Node: len(c.w.nodes) + c.id, Peer: -1, Seq: told.Seq, View: view})
	c.w.oracle.acknowledged(c, q, told)
	c.w.wrote(q.op)
	delete(c.open, told.Number)
	q.request.left--
	c.answers[told.Number] = true
	c.answered++
	for c.answers[c.acked+1] {
		delete(c.answers, c.acked+1)
		c.acked++
	}
}
