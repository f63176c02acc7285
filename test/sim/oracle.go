package sim

import (
	"fmt"
	"reflect"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	driver "github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// oracle watches the properties, at every event.
type oracle struct {
	w         *world
	batches   map[wire.Seq]crypto.Digest // O1
	histories map[wire.Seq]crypto.Digest // O2
	courses   map[wire.Seq]crypto.Digest // O3: what becomes of the operations of a batch, and when
	states    map[wire.Seq]crypto.Digest // O3
	ran       map[operation]wire.Seq     // O4
	answered  wire.Seq                   // O5: the highest number with an answered operation
	said      map[statement]crypto.Digest
	views     map[memory]wire.View                 // O8: the highest that each correct one has signed for
	reach     map[wire.ReplicaID]wire.Seq          // O8: the highest number that each correct one voted on
	promised  map[wire.Seq]map[wire.ReplicaID]bool // O3: who, but for liars, signed a checkpoint
	votes     votes                                // O1
	losses    losses
	suspected suspicions
	promises  promises
	bound     bound
	reference reference
	history   history
}

type operation struct {
	client  wire.ClientID
	session wire.Session
	number  wire.Number
}

// statement is what a correct replica says one thing about only. Of a view change
// seq tells how often its sender had lost its data: it cannot know which views it
// asked for before, and counts as faulty.
type statement struct {
	sender wire.ReplicaID
	kind   wire.Kind
	view   wire.View
	seq    wire.Seq
}

// memory is what a replica may know of: all since it last lost its data.
type memory struct {
	of     wire.ReplicaID
	losses int
}

func newOracle(w *world) oracle {
	return oracle{
		w: w, batches: map[wire.Seq]crypto.Digest{}, histories: map[wire.Seq]crypto.Digest{},
		courses: map[wire.Seq]crypto.Digest{}, states: map[wire.Seq]crypto.Digest{}, ran: map[operation]wire.Seq{},
		said: map[statement]crypto.Digest{}, views: map[memory]wire.View{}, votes: newVotes(w),
		reach: map[wire.ReplicaID]wire.Seq{}, promised: map[wire.Seq]map[wire.ReplicaID]bool{},
		losses: losses{}, suspected: suspicions{}, promises: promises{}, bound: bound{}, reference: newReference(&w.o),
		history: history{on: w.o.History, places: map[operation]int{}},
	}
}

// same requires that m holds value at key, or nothing yet. It tells whether it
// was there.
func same[K comparable](o *oracle, m map[K]crypto.Digest, key K, value crypto.Digest, l law) bool {
	o.w.checked(l)
	old, ok := m[key]
	if ok && old != value {
		o.w.breach(l, "%v has %s and %s", key, old.Short(), value.Short())
	}
	if !ok {
		m[key] = value
	}
	return ok
}

// executed checks O1, O2 and O4.
func (o *oracle) executed(n *node, ex core.Execution) {
	o.w.note(markExecute, n.id, uint64(ex.Seq), short(ex.Digest))
	o.w.moment(Moment{What: Executed, Node: n.index, View: ex.View, Seq: ex.Seq, Digest: ex.Digest})
	if o.w.tracing() {
		o.w.tell("R%d executes %d %s", n.id, ex.Seq, ex.Digest.Short())
	}
	if ex.Digest == wire.NullDigest() {
		o.w.counters.Nulls++
	}
	if !n.follows() {
		return
	}
	if limit := o.w.latest + n.config().DriftMax + wire.Time(ex.Seq); ex.Time > limit { //nolint:gosec // each raises it by one
		o.w.breach(lawOnce, "batch %d has a time that is %s after what any correct clock showed",
			ex.Seq, time.Duration(ex.Time-o.w.latest)) //nolint:gosec // not beyond 292 years
	}
	o.fit(n, &ex)
	known := same(o, o.batches, ex.Seq, ex.Digest, lawAgreement)
	same(o, o.histories, ex.Seq, ex.History, lawPrefix)
	o.course(&ex)
	if !known {
		o.refer(&ex)
	}
	o.ordered(&ex, known)
}

// course checks O3 of when a batch happens, and what becomes of its operations, and O4 of
// its time: it is above that of the batch before, but of a batch without operations.
func (o *oracle) course(ex *core.Execution) {
	b := fmt.Append(nil, ex.Time, ex.Floor, ex.Checkpoint)
	for _, order := range ex.Orders {
		b = fmt.Append(b, ' ', order.Run, order.Outcome)
	}
	known := same(o, o.courses, ex.Seq, crypto.Sum(b), lawState)
	if last := o.reference.time; !known && (ex.Time < last || ex.Time == last && len(ex.Orders) > 0) {
		o.w.breach(lawOnce, "batch %d has the time %d, and the one before it %d", ex.Seq, ex.Time, last)
	}
}

// follows tells whether n executes what is agreed, whatever it says: a certificate binds a
// twin too, and who has forgotten its votes.
func (n *node) follows() bool { return n.strategy == nil && n.machine == nil }

// emitted checks O5 of what a batch emitted: it is what the reference emitted.
func (o *oracle) emitted(n *node, applied *driver.Applied) {
	if !n.follows() {
		return
	}
	o.w.checked(lawOrder)
	o.w.counters.Outputs += len(applied.Outputs)
	if want := o.reference.emitted(applied.Seq); !reflect.DeepEqual(applied.Outputs, want) {
		o.w.breach(lawOrder, "R%d emits %.200q in batch %d: the log emits %.200q", n.id, applied.Outputs, applied.Seq, want)
	}
}

// ordered checks O4 of the operations of a batch, which is known if another
// replica has executed it.
func (o *oracle) ordered(ex *core.Execution, known bool) {
	for _, order := range ex.Orders {
		if !order.Run {
			continue
		}
		op := operationOf(order)
		if at, ok := o.ran[op]; ok && at != ex.Seq {
			o.w.breach(lawOnce, "operation %d executes at %d and at %d", op.number, at, ex.Seq)
		}
		o.ran[op] = ex.Seq
		o.w.checked(lawOnce)
		if known || order.Index > 0 {
			continue // its signature was checked
		}
		if _, err := o.w.opener.OpenOne(wire.Encode(order.Request)); err != nil {
			o.w.breach(lawOnce, "%w", err)
		}
	}
}

// snapshotted checks O3.
func (o *oracle) snapshotted(n *node, seq wire.Seq, root crypto.Digest) {
	o.w.note(markSnapshot, n.id, uint64(seq), short(root))
	if o.w.tracing() {
		o.w.tell("R%d snapshot %d %s", n.id, seq, root.Short())
	}
	if n.follows() && !n.rot {
		same(o, o.states, seq, root, lawState)
	}
}

// ended checks what can be checked at the end: that the replicas have the same
// content, and what was told.
func (o *oracle) ended() {
	o.converged()
	o.told()
}

// told checks what the clients saw, and what the replicas kept for audits.
func (o *oracle) told() {
	o.audited()
	o.w.checked(lawOrder)
	if err := o.history.check(); err != nil {
		o.w.breach(lawOrder, "%w", err)
	}
}

// converged checks O3 at the end: replicas that have executed the same have the
// same content.
func (o *oracle) converged() {
	var first *node
	var content crypto.Digest
	for _, n := range o.w.nodes {
		if !n.counts() || n.rot {
			continue
		}
		digest := crypto.Sum(flatten(n.state))
		if first == nil {
			first, content = n, digest
		}
		if digest != content {
			o.w.breach(lawState, "R%d and R%d have executed %d and differ", first.id, n.id, n.replica.Executed())
		}
	}
}

// signed checks O8: everything that leaves a correct replica, also one whose state
// has changed by itself.
func (o *oracle) signed(n *node, sealed *wire.Sealed) {
	if n.byzantine {
		return
	}
	once := func(kind wire.Kind, view wire.View, seq wire.Seq, digest crypto.Digest) {
		same(o, o.said, statement{n.id, kind, view, seq}, digest, lawConflict)
		o.goesOn(n, kind, view)
		if kind <= wire.KindCommit {
			o.reach[n.id] = max(o.reach[n.id], seq)
		}
	}
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others cannot conflict
	case *wire.PrePrepare:
		once(m.Kind(), m.View, m.Seq, m.Digest)
	case *wire.Prepare:
		once(m.Kind(), m.View, m.Seq, m.Digest)
		o.votes.prepare(n, m.Vote)
	case *wire.Commit:
		once(m.Kind(), m.View, m.Seq, m.Digest)
		o.votes.commit(n, m.Vote)
		o.promises.commit(m.Vote)
		o.bound.commit(m.Vote)
	case *wire.Checkpoint:
		once(m.Kind(), 0, m.Seq, m.State)
		o.promise(m)
	case *wire.ViewChange:
		once(m.Kind(), m.View, wire.Seq(n.losses), sealed.Digest()) //nolint:gosec // small
		if hidden := o.promises.hidden(m); hidden != 0 {
			o.w.breach(lawConflict, "R%d's view change to view %d hides the certificate of %d, for which it sent a commit",
				n.id, m.View, hidden)
		}
	case *wire.NewView:
		once(m.Kind(), m.View, 0, crypto.Sum(sealed.Frame()))
		for _, c := range m.Choices {
			once(wire.KindPrePrepare, m.View, c.Seq, c.Digest)
		}
	default:
	}
}

// goesOn checks O8 of views: a correct replica signs nothing of one that it has left, whatever
// it forgot. Who lost its data cannot know for which views it asked before, if nobody heard it.
func (o *oracle) goesOn(n *node, kind wire.Kind, view wire.View) {
	if kind == wire.KindCheckpoint {
		return
	}
	o.w.checked(lawConflict)
	at := memory{n.id, n.losses}
	if last := o.views[at]; view < last {
		o.w.breach(lawConflict, "R%d signs a %s of view %d after something of view %d", n.id, kind, view, last)
	}
	o.views[at] = max(o.views[at], view)
}

// observe counts, tells and checks what replicas observe.
func (o *oracle) observe(n *node, observations []core.Observation) {
	for _, obs := range observations {
		o.w.counters.observe(obs)
		o.w.observed(n, obs)
		if len(o.w.snipes) > 0 {
			o.w.snipeEntered(n, obs)
		}
		if o.w.marks != nil {
			o.w.marks.observe(obs)
		}
		if o.w.tracing() {
			o.w.tell("R%d %s", n.id, core.Describe(obs))
		}
		o.judge(n, obs)
	}
}

// judge checks O9, that a state is wrong only where it has rotted and is not
// taken for right there, and that no correct replica sees agreement broken.
func (o *oracle) judge(n *node, obs core.Observation) {
	switch obs := obs.(type) {
	case core.Misbehaved:
		o.accused(n, obs)
	case core.Diverged:
		if n.follows() && !n.rot {
			o.w.breach(lawState, "R%d diverges at %d", n.id, obs.Seq)
		}
		n.diverged = true
	case core.Divided:
		o.w.breach(lawState, "R%d sees no quorum with one state at %d: %s", n.id, obs.Seq, obs.States)
	case core.BecameStable:
		o.stable(n, obs.Seq)
		if n.rot && obs.Seq > n.rotAt {
			o.w.breach(lawState, "R%d takes checkpoint %d for its own, and its state has changed by itself", n.id, obs.Seq)
		}
	case core.LeftView:
		o.w.note(markObserve, n.id, 0, uint64(obs.View))
		if obs.Why == unreachable {
			o.losses.left(n, obs.View-1)
		}
		o.suspected.left(n, obs)
	case core.Suspected:
		o.suspected.note(n, obs)
	case core.EnteredView:
		o.w.note(markObserve, n.id, 1, uint64(obs.View))
	case core.Contradicted:
		if !n.byzantine {
			o.w.breach(lawAgreement, "R%d holds two commit certificates of %d, of views %d and %d", n.id, obs.Seq, obs.View, obs.Other)
		}
	case core.Rejoined:
		o.returned(n, obs.Seq)
	case core.Refused, core.Accepted, core.Abstained, core.BecamePrepared, core.BecameCommitted,
		core.FellBehind, core.CaughtUp, core.AwaitsView:
	}
}

// returned checks O8 of a replica that lost its data and votes again: a stable checkpoint
// covers all that it ever voted on.
func (o *oracle) returned(n *node, stable wire.Seq) {
	if n.byzantine {
		return
	}
	o.w.checked(lawConflict)
	if last := o.reach[n.id]; stable < last {
		o.w.breach(lawConflict, "R%d votes again from checkpoint %d on, and had voted on %d", n.id, stable, last)
	}
}

// promise notes a checkpoint.
func (o *oracle) promise(m *wire.Checkpoint) {
	if o.promised[m.Seq] == nil {
		o.promised[m.Seq] = map[wire.ReplicaID]bool{}
	}
	o.promised[m.Seq][m.Sender] = true
}

// stable checks O3 of a checkpoint that n takes for stable: with those that may say anything,
// a quorum has signed it.
func (o *oracle) stable(n *node, seq wire.Seq) {
	if n.byzantine {
		return
	}
	o.w.checked(lawState)
	if signed := len(o.promised[seq]); signed < o.votes.enough {
		o.w.breach(lawState, "R%d takes checkpoint %d for stable, which %d signed of those that do not lie, not %d",
			n.id, seq, signed, o.votes.enough)
	}
}

// keepsWord tells whether n may never be accused: what is wrong with it, if anything, is its
// clock or its state, or that it ends.
func (n *node) keepsWord() bool {
	switch n.fault {
	case "", skewed, rotten, dying:
		return !n.byzantine
	default:
		return false
	}
}

func (o *oracle) accused(n *node, obs core.Misbehaved) {
	o.w.checked(lawAccount)
	if _, err := o.w.opener.OpenOne(wire.Encode(obs.Evidence)); err != nil {
		o.w.breach(lawAccount, "R%d accuses without proof: %w", n.id, err)
	}
	if !n.byzantine {
		o.w.accused[obs.Evidence.Culprit]++
	}
	if culprit := o.w.nodes[obs.Evidence.Culprit]; culprit.keepsWord() {
		o.w.breach(lawAccount, "R%d accuses R%d: %s", n.id, culprit.id, core.Describe(obs))
	}
}

// refer lets the reference execute a batch, in its place.
func (o *oracle) refer(ex *core.Execution) {
	if ex.Seq != o.reference.seq+1 {
		o.w.breach(lawPrefix, "%d is executed first of all after %d", ex.Seq, o.reference.seq)
		return
	}
	if err := o.reference.execute(ex); err != nil {
		o.w.fail(fmt.Errorf("sim: the reference: %w", err))
	}
	for _, order := range ex.Orders {
		if op := operationOf(order); order.Run && o.reference.changed(op) {
			o.history.ran(op, ex.Seq)
		}
	}
}

// replied checks what a correct replica answers: the result of the agreed log,
// whoever asks, and whenever.
func (o *oracle) replied(n *node, reply *wire.Told) {
	if !n.follows() || !executed(reply.Outcome) {
		return
	}
	o.w.checked(lawOrder)
	if err := o.reference.check(reply); err != nil {
		o.w.breach(lawOrder, "R%d answers wrongly: %w", n.id, err)
	}
}

// roomyClients is how long a table of clients is at least that no run fills.
const roomyClients = 1000

// expelled checks O6 of a client that f+1 replicas told that its session is over: it began
// no other, and was not forgotten for somebody else.
func (o *oracle) expelled(c *client) {
	if o.w.o.ClientsMax < roomyClients {
		return
	}
	o.w.checked(lawLiveness)
	o.w.breach(lawLiveness, "client %d is told that its session is over, and there was room for it", c.id)
}

// acknowledged checks that what a client was told was executed where the reply
// says, and O5.
func (o *oracle) acknowledged(c *client, q *question, reply *wire.Told) {
	at, ok := o.ran[operation{reply.Client, reply.Session, reply.Number}]
	switch {
	case !ok || at != reply.Seq || reply.Outcome == wire.OutcomeForgotten || reply.Outcome == wire.OutcomeWindow:
		o.w.breach(lawOnce, "client %d is told outcome %d of operation %d at %d; it ran at %d",
			c.id, reply.Outcome, reply.Number, reply.Seq, at)
	case reply.Seq <= q.floor:
		o.w.breach(lawOrder, "client %d's operation %d is at %d, and one answered before it was asked at %d",
			c.id, reply.Number, reply.Seq, q.floor)
	default:
		if err := o.reference.check(reply); err != nil {
			o.w.breach(lawOrder, "client %d is told wrongly: %w", c.id, err)
		}
	}
	o.timely(c, q, reply.Number)
	o.history.returned(o.w.now, q.place, reply)
	o.w.checked(lawOrder)
	o.answered = max(o.answered, reply.Seq)
}
