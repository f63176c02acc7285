package core

import (
	"maps"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of one answer to a peer, and of how often it is answered.
const (
	statusSlotsMax   = 64
	answerBatchesMax = 64
	answerBytesMax   = 1 << 20
	answersPerStatus = 4  // answers of each kind that one status interval allows a peer
	transferTriesMax = 2  // rounds over all peers before a transfer, when batches do not come
	aheadWindowsMax  = 2  // windows behind a stable checkpoint beyond which batches are not tried
	fetchedBodiesMax = 16 // batches asked for at once by their digests
)

// peer is what the replica remembers of another one.
type peer struct {
	executed wire.Seq // as it last claimed
	view     wire.View
	abstains wire.Seq // the first number at which it says that it abstains in view, or 0
	lost     bool     // the connection to it was up, and is down
	linked   uint64   // one more than the tick at which it came up last, or 0
	// lostPrimary says that it says that it lost the primary of view.
	lostPrimary bool
	suspects    bool   // it says that it suspects the primary of view
	heard       uint64 // one more than the tick of its last status, 0 before the first
	answered    answered
	offered     offered
	votes       repeating // how many votes, and proposals, it is sent again
	shorts      repeating // how many bytes of short proposals
	proved      proved
	disputed    wire.Seq // the next number whose certificate it gets while its state is another one
	// searched is the highest view of a view change of it for which the archive was searched.
	searched wire.View
	// muteUntil is the tick until which it is asked for no batches while there are others: it did
	// not answer in time when it was asked last, or not well, or the connection broke on which the
	// answer would have come.
	muteUntil uint64
	// barren says that it gave nothing when it was asked last, nor later, since there is a goal.
	barren bool
	// tore says that it gave a part of an answer and not all before it, while others were ahead.
	tore bool
	// patience is the one with which it was waited for when nothing of its answer came, or 0.
	patience uint64
}

// answered counts the answers given to a peer in the current status interval:
// without it, small questions would make large answers.
type answered struct {
	since                              uint64
	status, committed, bodies, changes int
	opening                            int                           // changes, of the view that the answerer is in
	proposed                           int                           // bytes of batches proposed again
	disputes                           int                           // of a state
	searched                           int                           // the archive, for what its view changes hide
	certs                              int                           // own certificates that contradict what it says
	opened                             int                           // questions to everyone about its new views
	proofs                             [wire.EvidenceChoices + 1]int // of its lies, told to everyone
}

// catchingUp is the state of fetching committed batches.
type catchingUp struct {
	movedAt  uint64 // the tick of the last execution, or of the last question
	tries    int    // questions without progress
	at       wire.Seq
	question question
	goal     wire.Seq // the stable checkpoint that batches are to reach, and
	goalAt   uint64   // the tick since which they are
	active   bool     // others are provably ahead, and nothing comes by itself

	mark     wire.Seq // what others had executed in the tick markedAt, if that is not here yet
	markedAt uint64

	noted uint64   // the tick in which reach was noted, or 0
	reach wire.Seq // what others had executed then
}

// sendStatus tells where this replica stands, and asks where the others do while that is
// not known to one that lost its data.
func (r *Replica) sendStatus(to wire.ReplicaID, fx *Effects) {
	st := r.status()
	if j := r.rejoin; j != nil && !j.closed {
		st.Asks = j.life
	}
	if to == Everyone {
		r.change.hurry.said = st.LostPrimary
	}
	fx.Send = append(fx.Send, Send{To: to, Message: st})
}

// answerRejoining tells one that lost its data where this replica stands now.
func (r *Replica) answerRejoining(st *wire.Status, fx *Effects) {
	if st.Asks == 0 {
		return
	}
	answer := r.status()
	answer.Answers = st.Asks
	fx.Send = append(fx.Send, Send{To: st.Sender, Message: answer})
}

func (r *Replica) status() *wire.Status {
	st := &wire.Status{
		View: r.view, Active: r.active, LostPrimary: r.lostPrimary(), Suspects: r.change.suspects != "",
		Stable: r.low, Executed: r.executed, Sender: r.id,
	}
	if !r.active {
		st.ViewChanges = r.change.holders(r.view)
	}
	for _, s := range r.slots {
		if s.seq > r.executed && len(st.Slots) < statusSlotsMax {
			st.Slots = r.appendStatus(st.Slots, s)
		}
	}
	return st
}

// appendStatus appends what of s a peer should know. A slot of which there is nothing
// is told like a number without one, by nothing: which of both a number has depends on
// what was here once, and a restart may forget that.
func (r *Replica) appendStatus(to []wire.SlotStatus, s *slot) []wire.SlotStatus {
	has := wire.SlotStatus{
		Seq:            s.seq,
		HavePrePrepare: s.proposal != nil && s.proposal.Batch != nil,
		HavePrepared:   s.promised,
		HaveCommitted:  s.committed != nil,
		Abstains:       r.abstaining(s),
	}
	if has == (wire.SlotStatus{Seq: s.seq}) {
		return to
	}
	return append(to, has)
}

// onStatus answers with what the sender lacks and is small, and remembers how
// far it claims to be. An active primary's Status is its heartbeat.
func (r *Replica) onStatus(st *wire.Status, fx *Effects) {
	if st.Sender == r.id {
		return
	}
	p := &r.peers[st.Sender]
	if st.Executed > p.executed { // each took a prepare and a commit
		p.votes.shown += 2 * int(min(st.Executed-p.executed, repeatedVotes)) //nolint:gosec // few
	}
	p.executed, p.heard = st.Executed, r.tick+1
	p.hearAbstaining(st)
	p.lostPrimary, p.suspects = st.LostPrimary, st.Suspects
	r.hearStatus(st, fx)
	if st.Sender == r.primary() && st.View == r.view && st.Active && r.active {
		r.change.heard = r.tick
	}
	r.maybeAbandon(fx)
	r.maybeDistrust(fx)
	if !r.mayAnswer(st.Sender, func(a *answered) *int { return &a.status }) {
		return
	}
	r.answerView(st, fx)
	if st.Stable < r.low && r.proves(st) {
		fx.Send = append(fx.Send, Send{To: st.Sender, Message: &wire.StableProof{Cert: r.stable}})
	}
	for _, seq := range slices.Sorted(maps.Keys(r.snapshots)) {
		if seq > st.Stable && seq > r.low && r.mayPromise(seq) {
			r.repeatCheckpoint(st.Sender, seq, fx)
		}
	}
	if st.View == r.view && st.Active && r.active {
		r.answerVotes(st, fx)
	}
	r.answerRejoining(st, fx) // behind the proof of what it says
}

// answerView helps a peer to this replica's view.
func (r *Replica) answerView(st *wire.Status, fx *Effects) {
	switch {
	case st.View > r.view || st.View == r.view && st.Active:
	case r.active && r.change.entered != nil:
		fx.Send = append(fx.Send, Send{To: st.Sender, Sealed: r.change.entered})
	case !r.active:
		if r.change.own != nil && (st.View < r.view || !slices.Contains(st.ViewChanges, r.id)) {
			r.repeatViewChange(st.Sender, fx)
		}
		if r.change.ownNewView != nil && r.change.ownNewView.View == r.view {
			r.tell(st.Sender, r.change.ownNewView, fx)
		}
	}
	r.returnViewChange(st, fx)
}

// returnViewChange gives a replica that asks for less than it once did its own
// view change back: one that lost its data learns which views it has left.
func (r *Replica) returnViewChange(st *wire.Status, fx *Effects) {
	held := r.change.votes[st.Sender]
	if held == nil || held.message.View <= st.View {
		return
	}
	fx.Send = append(fx.Send, Send{To: st.Sender, Sealed: held.sealed})
}

// others returns how many peers there are besides this replica, and 1 where it is alone.
func (r *Replica) others() int { return max(1, len(r.peers)-1) }

// mayAnswer limits how often a peer is answered.
func (r *Replica) mayAnswer(to wire.ReplicaID, which func(*answered) *int) bool {
	a := &r.peers[to].answered
	if r.outworn(a) {
		*a = answered{since: r.tick}
		r.peers[to].votes.renew(r.fewVotes(), repeatedVotes)
		r.peers[to].shorts.renew(repeatedBytesMin, answerBytesMax)
	}
	n := which(a)
	*n++
	return *n <= answersPerStatus
}

// outworn tells whether a counts the answers of a status interval that is over.
func (r *Replica) outworn(a *answered) bool {
	return r.tick-a.since >= uint64(r.cfg.StatusTicks) //nolint:gosec // Validate: positive
}

// known returns how far at least one correct replica has executed: what f+1
// claim to have reached.
func (r *Replica) known() wire.Seq {
	claims := make([]wire.Seq, 0, len(r.peers))
	for i, p := range r.peers {
		if wire.ReplicaID(i) != r.id { //nolint:gosec // i < n
			claims = append(claims, p.executed)
		}
	}
	slices.Sort(claims)
	reached := wire.Seq(0)
	if k := len(claims) - r.q.Weak(); k >= 0 {
		reached = claims[k]
	}
	if r.ahead != nil {
		reached = max(reached, r.ahead.Seq)
	}
	return reached
}

// claimed returns how far the furthest replica says it has executed. That may be
// a lie, but is worth asking for: one correct replica may be the only one that
// is ahead, and what it answers proves itself.
func (r *Replica) claimed() wire.Seq {
	reached := r.aheadSeq()
	for i, p := range r.peers {
		if wire.ReplicaID(i) != r.id { //nolint:gosec // i < n
			reached = max(reached, p.executed)
		}
	}
	return reached
}

// maybeCatchUp asks for committed batches when others are ahead and nothing
// comes by itself, and for the state when batches do not come. Only what f+1
// claim keeps this replica from suspecting the primary meanwhile.
func (r *Replica) maybeCatchUp(fx *Effects) {
	c := &r.catchUp
	r.noteProgress()
	if r.transfer != nil {
		c.question.open = false
		r.maybeRetarget(fx)
		return
	}
	if r.wrong && r.ahead != nil && r.tick-c.movedAt >= uint64(r.cfg.CatchUpTicks) { //nolint:gosec // Validate: positive
		c.movedAt = r.tick
		r.fetch(r.ahead, fx)
		return
	}
	if c.active = c.active && r.known() > r.executed; !c.active {
		c.question.vain, c.question.amount = c.question.usual, fetchedBatchesFirst
		for i := range r.peers {
			r.peers[i].tore = false
		}
	}
	if r.claimed() <= r.executed {
		c.question.open = false
		return
	}
	if r.asksAgain() {
		r.giveUp()
		c.active = r.known() > r.executed
		r.askBatches(fx)
	}
}

// noteProgress notes that this replica has executed more.
func (r *Replica) noteProgress() {
	if c := &r.catchUp; c.at != r.executed {
		c.at, c.movedAt, c.tries = r.executed, r.tick, 0
	}
}

// maybeRetarget follows a cluster that has moved on while this replica fetches, so far
// that the others, which keep their newest two snapshots, may have collected the one that
// it fetches. They may go on no further for a while: so not only when they have moved by
// a window, which may be larger than that.
func (r *Replica) maybeRetarget(fx *Effects) {
	if r.ahead != nil && r.ahead.Seq >= r.transfer.Seq+2*r.cfg.Interval {
		r.fetch(r.ahead, fx)
	}
}

// overlooks tells whether a client waits although this replica, which is behind, has
// executed all that others had when it had waited for twice as long as it may. Being
// behind excuses the primary only until then: or one that keeps backups a little behind
// the others would lead for ever, whomever it leaves out. What was noted holds for all who
// had waited for so long by then: or a row of clients that are served one after the other,
// each too late, would have it noted anew for ever.
func (r *Replica) overlooks() bool {
	c := &r.catchUp
	line, since := r.pool.longest(&r.clients, r.change.began())
	late := since + 2*r.patience(r.cfg.RequestTicks)
	if line == nil || r.tick < late {
		c.noted = 0
		return false
	}
	if c.noted < late {
		c.noted, c.reach = r.tick, r.known()
	}
	return r.executed >= c.reach
}

func (r *Replica) onFetchCommitted(m *wire.FetchCommitted, fx *Effects) {
	if m.Sender == r.id || !r.mayAnswer(m.Sender, func(a *answered) *int { return &a.committed }) {
		return
	}
	bytes := 0
	for seq := m.First; seq <= m.Last && seq-m.First < answerBatchesMax && bytes < answerBytesMax; seq++ {
		entry := r.committedAt(seq)
		if entry == nil {
			break
		}
		bytes += entry.Batch.Size()
		fx.Send = append(fx.Send, Send{To: m.Sender, Message: entry})
	}
	if bytes == 0 && m.First <= r.low {
		fx.Send = append(fx.Send, Send{To: m.Sender, Message: &wire.StableProof{Cert: r.stable}})
	}
}

// committedAt returns the committed batch of seq with its certificate, or nil.
func (r *Replica) committedAt(seq wire.Seq) *wire.Committed {
	if seq <= r.low {
		return r.archive.at(seq)
	}
	s := r.slots.at(seq)
	if s == nil || s.committed == nil {
		return nil
	}
	if batch := s.body(s.committed.Digest); batch != nil {
		return &wire.Committed{Cert: *s.committed, Batch: batch}
	}
	return nil
}

// onCommitted takes a batch that proves itself, of any view, and perhaps answers what this
// replica asked.
func (r *Replica) onCommitted(from wire.ReplicaID, m *wire.Committed, fx *Effects) {
	if len(m.Cert.Commits) >= r.q.Strong() {
		r.catchUp.question.hear(from, m, r.tick)
		r.peers[from].barren = false
	}
	r.takeCommitted(from, m, fx)
	r.maybeAnswered(fx)
}

func (r *Replica) takeCommitted(from wire.ReplicaID, m *wire.Committed, fx *Effects) {
	seq := m.Cert.Seq
	if len(m.Cert.Commits) >= r.q.Strong() {
		r.compareCerts(from, &m.Cert, fx)
	}
	if seq <= r.low || seq <= r.executed || r.transfer != nil ||
		seq > min(r.executed+r.cfg.Window, r.low+slotWindowsMax*r.cfg.Window) {
		return
	}
	if len(m.Cert.Commits) < r.q.Strong() {
		fx.observe(Refused{wire.KindCommitted, from, "its certificate has too few commits"})
		return
	}
	s := r.slot(seq)
	if s.committed != nil {
		return
	}
	// The batch goes to the journal with its certificate, unless it is there
	// as a proposal already.
	if s.body(m.Cert.Digest) == nil {
		fx.persist(BatchRecord{seq, m.Batch})
	}
	s.committed = &m.Cert
	s.keep(m.Cert.Digest, m.Batch)
	s.committed = nil
	r.commit(s, &m.Cert, fx)
	if s.proposal != nil {
		r.fillBody(s, s.body(s.proposal.Digest), fx)
	}
}

func (r *Replica) onStableProof(from wire.ReplicaID, cert *wire.CheckpointCert, fx *Effects) {
	r.compareStable(from, cert, fx)
	if cert.Seq <= r.low {
		return
	}
	if !r.provenBy(cert) {
		fx.observe(Refused{wire.KindStableProof, from, "it does not prove a stable checkpoint"})
		return
	}
	r.learn(cert, fx)
}

// refetch asks for the batches that a new view carried over, or that it will,
// and that are not here.
func (r *Replica) refetch(fx *Effects) {
	if r.active && r.change.bodiesMissing == 0 || r.tick%uint64(r.cfg.CatchUpTicks) != 0 { //nolint:gosec // Validate: positive
		return
	}
	r.blame()
	r.askBodies(fx)
}

func (r *Replica) askBodies(fx *Effects) {
	var digests []crypto.Digest
	for _, s := range r.slots {
		if s.proposal != nil && s.proposal.Batch == nil && len(digests) < fetchedBodiesMax {
			digests = append(digests, s.proposal.Digest)
		}
	}
	if r.opens() {
		_, lacking := r.aim()
		for _, s := range lacking {
			if len(digests) < fetchedBodiesMax && !slices.Contains(digests, s.aim) {
				digests = append(digests, s.aim)
			}
		}
	}
	if len(digests) > 0 {
		fx.Send = append(fx.Send, Send{To: Everyone, Message: &wire.FetchBatches{Digests: digests, Sender: r.id}})
	}
}

func (r *Replica) onFetchBatches(m *wire.FetchBatches, fx *Effects) {
	if m.Sender == r.id || !r.mayAnswer(m.Sender, func(a *answered) *int { return &a.bodies }) {
		return
	}
	bytes := 0
	for i, digest := range m.Digests {
		if i == fetchedBodiesMax || bytes > answerBytesMax {
			return
		}
		if batch := r.findBody(digest); batch != nil {
			bytes += batch.Size()
			fx.Send = append(fx.Send, Send{To: m.Sender, Message: &wire.BatchBody{Batch: batch}})
		}
	}
}

func (r *Replica) findBody(digest crypto.Digest) *wire.Batch {
	for _, s := range r.slots {
		if batch := s.body(digest); batch != nil {
			return batch
		}
	}
	return r.archive.body(digest)
}

// onBatchBody takes a batch that a carried-over number waits for.
func (r *Replica) onBatchBody(digest crypto.Digest, batch *wire.Batch, fx *Effects) {
	for _, s := range slices.Clone(r.slots) { // for what follows may change it
		if s.proposal != nil && s.proposal.Batch == nil && s.proposal.Digest == digest {
			r.fillBody(s, batch, fx)
		}
	}
	r.takeAimed(digest, batch, fx)
}

// fillBody completes a carried-over proposal whose batch has come.
func (r *Replica) fillBody(s *slot, batch *wire.Batch, fx *Effects) {
	if r.slots.at(s.seq) == s && s.proposal.Batch == nil && batch != nil {
		s.proposal = &wire.PrePrepare{Vote: s.proposal.Vote, Batch: batch}
		r.countMissing()
		r.accept(s, fx)
	}
}
