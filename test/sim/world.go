package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// tick is the virtual length of a core tick, unless Options say otherwise, and
// the measure of times in the simulator.
const tick = 10 * time.Millisecond

// requestTimeout is the request timeout T, and heartbeatTimeout how long a primary
// may be silent.
const (
	requestTimeout   = 50 * tick
	heartbeatTimeout = 40 * tick
)

// eventsMax, and as much again for every operation as ten replicas never need, ends a run
// that does not.
const (
	eventsMax             = 5_000_000
	eventsPerOperationMax = 1000
)

// wallStart is the wall clock at the begin of a run.
const wallStart = wire.Time(1_700_000_000_000_000_000)

// world is one run: a cluster, its clients, and everything between them.
type world struct {
	o        Options
	rng      *rand.Rand
	scheme   *Scheme
	now      time.Duration
	order    uint64
	agenda   agenda
	calm     bool          // the turbulence is over
	calmAt   time.Duration // when that was, or is to be
	quorum   core.Quorum
	domain   crypto.Domain
	keys     []crypto.PublicKey // of the replicas
	verifier crypto.Verifier
	opener   *wire.Opener
	known    map[wire.ClientID]bool // whose keys are good
	nodes    []*node                // the processes: replica i is the i-th, twins come last
	byID     [][]*node              // those of each replica
	clients  []*client
	links    links
	backlog  backlog
	weather  *weather // nil if there is none
	ending   *ending  // nil if this is no liveness run
	asked    []*wire.Sealed
	oracle   oracle
	track    track
	counters Counters
	verdicts verdicts
	notes    []Note
	accused  []int     // by correct replicas, for each replica
	watchers []watcher // of the script
	snipes   []snipe
	expected int // what the script waits for
	messages uint64
	parcels  []*parcel // that are free
	openings map[*wire.Sealed]opened
	captured [][]byte // requests
	written  string   // the key of the last answered write, for fast reads

	marks     Marks
	latest    wire.Time // that the wall clock of a correct replica ever showed
	violation error     // the first
}

// Result is the outcome of a run.
type Result struct {
	Options Options
	// Violation is nil, or the first property that did not hold, and how to
	// replay the run.
	Violation error
	// Trace identifies the run: equal Options give equal traces.
	Trace crypto.Digest
	// Events is the number of events, Views the highest view, Executed the
	// highest sequence number, Virtual the time that passed.
	Events   int
	Views    wire.View
	Executed wire.Seq
	Virtual  time.Duration
	// Counters tell which faults bit.
	Counters Counters
	// Oracles are the verdicts of all oracles.
	Oracles []Verdict
	// Notes tell what liars did and, if Watch is set, what the others noticed. No
	// more than some are kept.
	Notes []Note
	// Accused counts, for each replica, how often a correct one had proof that it
	// lied.
	Accused []int
	// Panic is the first of the operations of Counters.Panicked, what it panicked with, and
	// where. It is empty if there is none.
	Panic string
	// Marks are the ways that the protocol took, if Options.Marks is set.
	Marks Marks
}

// Run executes one schedule, in the caller's goroutine. Any number of runs may
// go on at once, if the functions of their Options allow that.
func Run(o Options) Result {
	o = o.withDefaults()
	q, err := core.NewQuorumWithFaults(o.Replicas, o.Faults)
	if err == nil {
		err = errors.Join(o.validate(), o.config(0, q).Validate())
	}
	if err != nil {
		return Result{Options: o, Violation: err}
	}
	w := &world{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), quorum: q, track: newTrack(),
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("sim"))},
		links:  newLinks(o.Replicas + o.Twins), backlog: newBacklog(o.Replicas + o.Twins), scheme: NewScheme(), accused: make([]int, o.Replicas),
		byID: make([][]*node, o.Replicas), calmAt: o.Turbulence,
	}
	if o.Marks {
		w.marks = Marks{}
	}
	w.oracle = newOracle(w)
	w.populate()
	w.plan()
	w.loop()
	return w.result()
}

// populate makes the keys, the replicas and the clients.
func (w *world) populate() {
	signers := make([]crypto.Signer, w.o.Replicas)
	w.keys = make([]crypto.PublicKey, w.o.Replicas)
	for i := range signers {
		signers[i] = w.signer(i)
		w.keys[i] = signers[i].Public()
	}
	w.verifier = w.scheme
	if w.o.RealSignatures {
		w.verifier = crypto.NewVerifier(64)
	}
	w.known = make(map[wire.ClientID]bool, w.o.Clients+w.o.Outlaws)
	w.opener = wire.NewOpener(w.domain, w.keys, wire.DefaultLimits(w.o.Replicas), w.verifier).WithClients(w.known)
	for i := range signers {
		w.enroll(newNode(w, wire.ReplicaID(i), signers[i])) //nolint:gosec // i < n
	}
	w.populateFaulty()
	for i := range w.o.Clients {
		w.clients = append(w.clients, newClient(w, i, w.signer(clientKeys+i)))
		w.known[w.clients[i].key] = true
	}
}

// enroll adds a process.
func (w *world) enroll(n *node) {
	n.index = len(w.nodes)
	w.nodes = append(w.nodes, n)
	w.byID[n.id] = append(w.byID[n.id], n)
}

// populateFaulty gives strategies to those that play one, and twins to some
// others.
func (w *world) populateFaulty() {
	for _, n := range w.nodes {
		if strategy := w.o.Byzantine[n.id]; strategy != nil {
			n.fault, n.byzantine, n.strategy = lying, true, strategy()
		}
	}
	rng := rand.New(rand.NewPCG(w.o.Seed, 2)) //nolint:gosec // it need not be secret
	left := w.o.Twins
	for _, i := range rng.Perm(w.o.Replicas) {
		if n := w.nodes[i]; left > 0 && n.fault == "" {
			left--
			twin := newNode(w, n.id, n.signer)
			for _, one := range []*node{n, twin} {
				one.fault, one.byzantine = twins, true
			}
			w.enroll(twin)
		}
	}
}

// signer returns the n-th key's signer: of the stub scheme, or the real one.
func (w *world) signer(n int) crypto.Signer {
	key := numberedKey(n)
	if w.o.RealSignatures {
		return key
	}
	return w.scheme.Signer(key)
}

// numberedKey returns the n-th key.
func numberedKey(n int) crypto.PrivateKey {
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1) //nolint:gosec // not negative
	key, _ := crypto.NewPrivateKey(seed[:])          // which refuses seeds of other lengths only
	return key
}

// after schedules do.
func (w *world) after(d time.Duration, do func()) {
	w.order++
	w.agenda.push(happening{w.now + d, w.order, do})
}

// between draws a time from [low, high], which is low if high is lower.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(max(low, high)-low)+1))
}

// chance draws with probability p.
func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

func (w *world) wall() wire.Time { return wallStart + wire.Time(w.now) }

// loop runs until everything is done and equal, something is violated, or time
// is up.
func (w *world) loop() {
	for len(w.agenda) > 0 && w.violation == nil {
		next := w.agenda.pop()
		w.now = next.at
		if w.overdue() {
			return
		}
		next.do()
		if len(w.watchers) > 0 {
			w.settle()
		}
		if w.calm && w.o.SafetyOnly && w.now > w.calmAt+restTime {
			w.oracle.told()
			return
		}
		if w.calm && w.expected == 0 && w.finished() && w.rest() {
			w.checked(lawLiveness)
			w.oracle.ended()
			return
		}
	}
}

// overdue tells whether the time is up, which breaks O6.
func (w *world) overdue() bool {
	patience, most := w.extended(w.o.Patience), eventsMax+eventsPerOperationMax*w.o.Clients*w.o.Operations
	switch {
	case w.now > w.calmAt+patience:
		w.breach(lawLiveness, "%s after the network became timely: %s", patience, w.unfinished())
	case w.track.events > most:
		w.breach(lawLiveness, "after %d events: %s", most, w.unfinished())
	default:
		return false
	}
	return true
}

// finished tells whether all operations are answered and all replicas but liars
// have executed the same, and all that anybody ever has.
func (w *world) finished() bool {
	for _, c := range w.clients {
		if !c.finished() {
			return false
		}
	}
	reached := w.oracle.reference.seq
	for _, n := range w.nodes {
		if n.counts() {
			reached = max(reached, n.replica.Executed())
		}
	}
	for _, n := range w.nodes {
		if n.counts() && (n.down || n.replica.Executed() != reached || n.replica.Transferring()) {
			return false
		}
	}
	return w.together()
}

// together tells whether everybody is in the highest view that a quorum has
// entered, or asks for a higher one: who is behind in view gets there without
// new traffic.
func (w *world) together() bool {
	in := map[wire.View]int{}
	common := wire.View(0)
	for _, n := range w.nodes {
		if n.counts() && n.replica.Active() {
			v := n.replica.View()
			if in[v]++; in[v] >= w.quorum.Strong() {
				common = max(common, v)
			}
		}
	}
	for _, n := range w.nodes {
		if n.counts() && (n.replica.View() < common || n.replica.View() == common && !n.replica.Active()) {
			return false
		}
	}
	return true
}

func (w *world) unfinished() string {
	text := ""
	for _, c := range w.clients {
		text += fmt.Sprintf("client %d has %d of %d; ", c.id, c.answered+c.abandoned, w.o.Operations)
	}
	for _, n := range w.nodes {
		r := n.replica
		text += fmt.Sprintf("R%d %sview %d active %v executed %d stable %d rejoining %v transferring %v; ",
			n.id, strings.TrimLeft(n.fault+" ", " "), r.View(), r.Active(), r.Executed(), r.Stable().Seq, r.Rejoining(), r.Transferring())
	}
	return text
}

func (w *world) result() Result {
	res := Result{
		Options: w.o.withoutFunctions(), Violation: w.violation, Events: w.track.events, Virtual: w.now,
		Trace: w.track.digest(), Counters: w.counters, Oracles: w.verdicts.list(), Notes: w.notes, Accused: w.accused, Marks: w.marks,
	}
	res.Counters.Checkpoints, res.Counters.RolledBack = len(w.oracle.states), w.oracle.reference.bounded
	res.Counters.Operations, res.Counters.Panicked = w.oracle.reference.ran, w.oracle.reference.failed.count
	res.Panic = w.oracle.reference.failed.first
	for _, n := range w.nodes {
		if n.replica != nil {
			res.Views = max(res.Views, n.replica.View())
			res.Executed = max(res.Executed, n.replica.Executed())
		}
	}
	return res
}
