package core

import "github.com/quorate/quorate/pbft/wire"

// question is what a replica that is behind asked for last of committed batches, and of
// whom. An answer may be long, and the line that it comes on slow, or full of other things:
// who then asks the next one, and the next, has all of them answer the same, each behind
// the others, until nothing new comes at all. So one question is open at a time:
//
//   - It is answered when all that was asked for is there, or as much as one answer has.
//   - It is given up when nothing more of it has come for as long as this replica is patient,
//     or when it has taken four times as long. The next one is for a quarter, and after a
//     question to each of the others that was in vain patience doubles.
//   - An answer that came has the next one ask for twice as much; and patience be twice as
//     long as that took to begin, though no less than half of what it was: it may have been
//     the answer to an earlier question.
//
// Where a later part of an answer comes before an earlier one, parts get lost, or overtake others, or
// it is a lie. That ends the question; and where it is so with more than f, so that some of it is true,
// what is missing is asked of two more at once from then on: it takes long to see that something is
// lost, and line after line is not what holds it up.
//
// Who answers slowly on purpose is waited for once, and for no longer than four times as long as
// patience; who gives the end of what was asked for, and not what is before it, not even that. Then
// it is mute: asked no more while there are others, as who does not answer, or four times as slowly
// as another one. But not for ever: a correct one may be mute as well, when parts of its answers got
// lost, and whom they leave to be asked may be a liar that answers as late as it can, so that nothing
// else shows that the others would be faster. When nobody is ahead all but the usual patience is
// forgotten.
//
// Nor are batches asked for without end where a stable checkpoint is ahead: a liar may give one in
// each answer, and the correct ones none, for they have collected them. If what was stable then is
// not reached in time, and no more than f have given any, its state is fetched.
type question struct {
	open  bool
	asked wire.ReplicaID
	from  wire.Seq // the first number asked for
	until wire.Seq // the last one
	at    uint64   // the tick in which it was asked
	first uint64   // how many ticks later its answer began
	bytes int      // of batches that have come as part of it
	came  uint64   // which of them came as part of it, the first in the lowest bit
	ended uint64   // the tick in which the last of it came, or 0

	// What former questions tell.
	amount       int    // of batches that the next one asks for
	vain         int    // how many were given up, less what answers tell
	usual        int    // vain after the last answer
	fastest      uint64 // ticks that the fastest answer took, of fastestBytes, since all were asked
	fastestBytes int
}

// Bounds of a question.
const (
	fetchedBatchesMax   = 64 // batches asked for at once, no more than came has bits
	fetchedBatchesFirst = 16 // the same, as long as nobody has answered
	fetchedBatchesMin   = 4  // the same, where answers do not come in time
	patientMax          = 4  // doublings of patience
	overtakenMax        = 2  // ticks after the end of an answer in which what is before it may come
	spareSources        = 2  // asked the same, where parts of answers get lost
	answerPatience      = 4  // times patience that a whole answer may take

	// In CatchUpTicks, beside as long as a whole answer may take: how long who is mute is not
	// asked, the same for who left out parts, and in what time batches reach a stable checkpoint.
	muteTimes  = 64
	tornTimes  = 512
	reachTimes = 64
)

// waits returns for how many ticks nothing of an answer comes before a question is given
// up. As long as no correct replica is known to be ahead, whoever claims to be has no more
// time than CatchUpTicks.
func (r *Replica) waits() uint64 {
	base := uint64(r.cfg.CatchUpTicks) //nolint:gosec // Validate: positive
	if !r.catchUp.active {
		return base
	}
	return base << min(r.catchUp.question.vain/r.others(), patientMax)
}

// asksAgain tells whether the time has come to ask for batches, for the first time or anew.
func (r *Replica) asksAgain() bool {
	c := &r.catchUp
	switch q := &c.question; {
	case r.executed >= q.until:
		q.open = false // it came by itself
	case q.open && q.ended > 0 && r.tick-q.ended >= overtakenMax:
		r.endQuestion()
		return true
	case q.open && r.farBehind() && r.tick-q.at >= uint64(r.cfg.CatchUpTicks): //nolint:gosec // Validate: positive
		q.open = false // the others have gone on, and the state is asked for
		return true
	}
	if !c.question.open {
		if r.executed >= c.mark {
			c.mark, c.markedAt = r.known(), r.tick
		}
		if r.tick-c.markedAt >= 2*uint64(r.cfg.CatchUpTicks) { //nolint:gosec // Validate: positive
			c.markedAt = r.tick // what others had by then is not here, though something comes now and then
			return true
		}
		return r.tick-c.movedAt >= uint64(r.cfg.CatchUpTicks) //nolint:gosec // Validate: positive
	}
	return r.tick-c.movedAt >= r.waits() || r.tick-c.question.at >= answerPatience*r.waits()
}

// giveUp ends a question that is not answered in time.
func (r *Replica) giveUp() {
	q := &r.catchUp.question
	if !q.open {
		return
	}
	q.open = false
	r.mute(q.asked, muteTimes)
	p := &r.peers[q.asked]
	if p.barren, p.patience = q.bytes == 0, 0; p.barren {
		p.patience = r.waits()
	}
	if r.catchUp.active && q.bytes == 0 {
		q.vain = min(q.vain+1, patientMax*r.others())
		q.amount = max(q.amount/4, fetchedBatchesMin)
	}
}

// mute has a peer be asked for no batches for a while.
func (r *Replica) mute(id wire.ReplicaID, times uint64) {
	r.peers[id].muteUntil = r.tick + r.during(times)
}

// during returns so many times CatchUpTicks, and as long as a whole answer may take.
func (r *Replica) during(times uint64) uint64 {
	return times*uint64(r.cfg.CatchUpTicks) + answerPatience*r.waits() //nolint:gosec // Validate: positive
}

// hear notes a batch that comes from a peer, which may be part of an answer.
func (q *question) hear(from wire.ReplicaID, m *wire.Committed, tick uint64) {
	if !q.open || from != q.asked || m.Cert.Seq < q.from || m.Cert.Seq > q.until {
		return
	}
	bit := uint64(1) << (m.Cert.Seq - q.from)
	if q.came&bit != 0 {
		return
	}
	q.came |= bit
	if q.bytes == 0 {
		q.first = tick - q.at
	}
	q.bytes += m.Batch.Size()
	if m.Cert.Seq == q.until {
		q.ended = tick
	}
}

// maybeAnswered ends a question when its answer is there, and asks for the rest.
func (r *Replica) maybeAnswered(fx *Effects) {
	c := &r.catchUp
	if q := &c.question; !q.open || r.executed < q.until && q.bytes < answerBytesMax {
		return
	}
	r.noteProgress()
	r.endQuestion()
	if c.active && r.claimed() > r.executed {
		r.askBatches(fx)
	}
}

// endQuestion ends a question whose answer is there, or its end is. Who gave some without what
// is before it, however much, is mute, and no measure for others.
func (r *Replica) endQuestion() {
	q := &r.catchUp.question
	q.open = false
	p := &r.peers[q.asked]
	p.barren = q.bytes == 0
	switch {
	case r.executed < q.until && (q.bytes < answerBytesMax || q.holes()):
		p.tore, p.patience = true, 0
		r.mute(q.asked, tornTimes)
	case r.slower(q):
		p.patience = 0
		r.mute(q.asked, muteTimes)
	}
	if q.bytes > 0 && r.executed >= q.from {
		q.amount = min(2*q.amount, fetchedBatchesMax)
		q.learn(2*max(q.first, (r.tick-q.at)/answerPatience), r.cfg.CatchUpTicks, r.others())
		q.usual = q.vain
	}
}

// holes tells whether a part of the answer came without all that is before it.
func (q *question) holes() bool { return q.came&(q.came+1) != 0 }

// slower tells whether an answer took four times as long, for its length, as the fastest one
// since all were asked. If it is faster than that it is noted.
func (r *Replica) slower(q *question) bool {
	took := r.tick - q.at + 1
	if q.bytes > 0 && (q.fastestBytes == 0 || took*uint64(q.fastestBytes) < q.fastest*uint64(q.bytes)) { //nolint:gosec // positive
		q.fastest, q.fastestBytes = took, q.bytes
	}
	return took*uint64(q.fastestBytes) > answerPatience*q.fastest*uint64(q.bytes) //nolint:gosec // positive
}

// learn has patience be as long as an answer shows, or half of what it was.
func (q *question) learn(ticks uint64, base, sources int) {
	q.vain = max(q.vain-sources, 0)
	for q.vain/sources < patientMax && uint64(base)<<(q.vain/sources) < ticks { //nolint:gosec // Validate: positive
		q.vain += sources
	}
}

// farBehind tells whether a stable checkpoint is so far ahead that batches are not tried.
func (r *Replica) farBehind() bool {
	return r.ahead != nil && r.ahead.Seq > r.executed+aheadWindowsMax*r.cfg.Window
}

func (r *Replica) askBatches(fx *Effects) {
	c := &r.catchUp
	c.movedAt = r.tick
	tried := c.tries >= transferTriesMax*len(r.peers) || r.executed < r.low || r.missesGoal() // below, no batch is taken
	if r.ahead != nil && r.ahead.Seq > r.executed && (tried || r.farBehind()) {
		r.fetch(r.ahead, fx)
		return
	}
	c.tries++
	if !r.nextSource() {
		return
	}
	q := &c.question
	most := r.claimed()
	if has := r.peers[q.asked].executed; has > r.executed {
		most = has
	}
	amount := wire.Seq(q.amount) //nolint:gosec // positive
	q.open, q.at, q.first, q.bytes, q.came, q.ended = true, r.tick, 0, 0, 0, 0
	q.from, q.until = r.executed+1, max(min(most, r.executed+amount), r.executed+1)
	fx.Send = append(fx.Send, Send{To: q.asked, Message: &wire.FetchCommitted{First: q.from, Last: q.until, Sender: r.id}})
	for _, also := range r.alsoAsked() {
		fx.Send = append(fx.Send, Send{To: also, Message: &wire.FetchCommitted{First: q.from, Last: q.until, Sender: r.id}})
	}
}

// missesGoal tells whether batches do not reach what was stable when they were first asked for: it
// takes long, and all but f, who may be liars, gave none when they were asked last.
func (r *Replica) missesGoal() bool {
	c := &r.catchUp
	if r.ahead != nil && c.goal <= r.executed {
		c.goal, c.goalAt = r.ahead.Seq, r.tick
		for i := range r.peers {
			r.peers[i].barren = false
		}
	}
	if c.goal <= r.executed || r.tick-c.goalAt < r.during(reachTimes) {
		return false
	}
	return r.peersWho(func(p *peer) bool { return p.barren }) >= r.others()-r.q.Faults()
}

// peersWho counts those for which something is so.
func (r *Replica) peersWho(is func(*peer) bool) int {
	n := 0
	for i := range r.peers {
		if is(&r.peers[i]) {
			n++
		}
	}
	return n
}

// alsoAsked returns whom the open question went to besides the one that is waited for: the next
// ones that are ahead, where parts of answers get lost.
func (r *Replica) alsoAsked() (also []wire.ReplicaID) {
	q := &r.catchUp.question
	if r.peersWho(func(p *peer) bool { return p.tore }) <= r.q.Faults() {
		return nil
	}
	for i := 1; i < len(r.peers) && len(also) < spareSources; i++ {
		id := (q.asked + wire.ReplicaID(i)) % wire.ReplicaID(len(r.peers)) //nolint:gosec // n is small
		if p := &r.peers[id]; id != r.id && !p.lost && p.executed > r.executed {
			also = append(also, id)
		}
	}
	return also
}

// nextSource chooses whom to ask for batches: one after the other of those who are ahead, and
// first those who are connected, and answer. Or one that only claims to have them would cost so
// much time again and again. Who gave nothing has another chance once this replica is more patient
// than it was then: or one who answers just in time would be the only one asked, and make it so.
// And all have when nobody is left, though f+1 have more: then it was no fault of theirs.
func (r *Replica) nextSource() bool {
	fits := func(p *peer) bool {
		return !p.lost && (r.tick >= p.muteUntil || p.patience > 0 && p.patience < r.waits())
	}
	if r.source(fits) {
		r.peers[r.catchUp.question.asked].muteUntil = 0
		return true
	}
	if r.known() > r.executed {
		r.catchUp.question.fastestBytes = 0
		for i := range r.peers {
			r.peers[i].muteUntil = 0
		}
	}
	return r.source(func(*peer) bool { return true })
}

// source chooses the next peer that is ahead, and fits.
func (r *Replica) source(fits func(*peer) bool) bool {
	q := &r.catchUp.question
	for i := range r.peers {
		id := (q.asked + 1 + wire.ReplicaID(i)) % wire.ReplicaID(len(r.peers)) //nolint:gosec // n is small
		if p := &r.peers[id]; id != r.id && (p.executed > r.executed || r.ahead != nil) && fits(p) {
			q.asked = id
			return true
		}
	}
	return false
}
