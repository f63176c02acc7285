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
// Who answers slowly on purpose is waited for as long as the others take, four times: then
// it is asked no more while there are others. All this is forgotten when nobody is ahead.
type question struct {
	open   bool
	asked  wire.ReplicaID
	from   wire.Seq // the first number asked for
	until  wire.Seq // the last one
	at     uint64   // the tick in which it was asked
	first  uint64   // how many ticks later its answer began
	bytes  int      // of batches that have come as part of it
	last   wire.Seq // the highest of these
	vain   int      // questions that were given up, less what answers tell
	amount int      // of batches that the next one asks for
}

// Bounds of a question.
const (
	fetchedBatchesMax   = 64 // batches asked for at once
	fetchedBatchesFirst = 16 // the same, as long as nobody has answered
	fetchedBatchesMin   = 4  // the same, where answers do not come in time
	patientMax          = 4  // doublings of patience
	answerPatience      = 4  // times patience that a whole answer may take
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
	if !c.question.open {
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
	r.peers[q.asked].mute = true
	if r.catchUp.active {
		q.vain = min(q.vain+1, patientMax*r.others())
	}
	if r.catchUp.active && q.bytes == 0 {
		q.amount = max(q.amount/4, fetchedBatchesMin)
	}
}

// hear notes a batch that comes from a peer, which may be part of an answer.
func (q *question) hear(from wire.ReplicaID, m *wire.Committed, tick uint64) {
	if !q.open || from != q.asked || m.Cert.Seq < q.from || m.Cert.Seq > q.until {
		return
	}
	if q.bytes == 0 {
		q.first = tick - q.at
	}
	q.bytes += m.Batch.Size()
	q.last = max(q.last, m.Cert.Seq)
}

// maybeAnswered ends a question when its answer is there, and asks for the rest.
func (r *Replica) maybeAnswered(fx *Effects) {
	c := &r.catchUp
	q := &c.question
	if !q.open || max(r.executed, q.last) < q.until && q.bytes < answerBytesMax {
		return
	}
	r.noteProgress()
	q.open = false
	q.amount = min(2*q.amount, fetchedBatchesMax)
	if q.bytes > 0 {
		q.learn(2*max(q.first, (r.tick-q.at)/answerPatience), r.cfg.CatchUpTicks, r.others())
	}
	if c.active && r.claimed() > r.executed {
		r.askBatches(fx)
	}
}

// learn has patience be as long as an answer shows, or half of what it was.
func (q *question) learn(ticks uint64, base, sources int) {
	q.vain = max(q.vain-sources, 0)
	for q.vain/sources < patientMax && uint64(base)<<(q.vain/sources) < ticks { //nolint:gosec // Validate: positive
		q.vain += sources
	}
}

func (r *Replica) askBatches(fx *Effects) {
	c := &r.catchUp
	c.movedAt = r.tick
	tried := c.tries >= transferTriesMax*len(r.peers) || r.executed < r.low // below, no batch is taken
	if r.ahead != nil && r.ahead.Seq > r.executed && (tried || r.ahead.Seq > r.executed+aheadWindowsMax*r.cfg.Window) {
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
	q.open, q.at, q.first, q.bytes, q.last = true, r.tick, 0, 0, 0
	q.from, q.until = r.executed+1, max(min(most, r.executed+amount), r.executed+1)
	fx.Send = append(fx.Send, Send{To: q.asked, Message: &wire.FetchCommitted{First: q.from, Last: q.until, Sender: r.id}})
}

// nextSource chooses whom to ask for batches: one after the other of those who are ahead,
// but for those who did not answer, as long as there are others. Or one that only claims to
// have them would cost so much time again and again.
func (r *Replica) nextSource() bool {
	q := &r.catchUp.question
	for range 2 {
		for i := range r.peers {
			id := (q.asked + 1 + wire.ReplicaID(i)) % wire.ReplicaID(len(r.peers)) //nolint:gosec // n is small
			if p := &r.peers[id]; id != r.id && !p.mute && (p.executed > r.executed || r.ahead != nil) {
				q.asked = id
				return true
			}
		}
		for i := range r.peers {
			r.peers[i].mute = false
		}
	}
	return false
}
