package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// tick is the virtual length of a core tick.
const tick = 10 * time.Millisecond

// eventsMax ends a run that does not.
const eventsMax = 5_000_000

// wallStart is the wall clock at the begin of a run.
const wallStart = wire.Time(1_700_000_000_000_000_000)

// world is one run: a cluster, its clients, and everything between them.
type world struct {
	o        Options
	rng      *rand.Rand
	now      time.Duration
	order    uint64
	agenda   agenda
	calm     bool // the turbulence is over
	quorum   core.Quorum
	domain   crypto.Domain
	opener   *wire.Opener
	nodes    []*node
	clients  []*client
	links    links
	oracle   oracle
	track    track
	counters Counters
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
}

// Run executes one schedule, in the caller's goroutine. Any number of runs may
// go on at once, if the functions of their Options allow that.
func Run(o Options) Result {
	o = o.withDefaults()
	q, err := core.NewQuorumWithFaults(o.Replicas, o.Faults)
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		return Result{Options: o, Violation: err}
	}
	w := &world{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), quorum: q, track: newTrack(),
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("sim"))},
		links:  newLinks(o.Replicas),
	}
	w.oracle = newOracle(w)
	w.populate()
	w.plan()
	w.loop()
	return w.result()
}

// populate makes the keys, the replicas and the clients.
func (w *world) populate() {
	scheme := NewScheme()
	signers := make([]crypto.Signer, w.o.Replicas)
	keys := make([]crypto.PublicKey, w.o.Replicas)
	for i := range signers {
		signers[i] = w.signer(scheme, i)
		keys[i] = signers[i].Public()
	}
	var verifier crypto.Verifier = scheme
	if w.o.RealSignatures {
		verifier = crypto.NewVerifier(64)
	}
	w.opener = wire.NewOpener(w.domain, keys, wire.DefaultLimits(w.o.Replicas), verifier)
	for i := range signers {
		w.nodes = append(w.nodes, newNode(w, wire.ReplicaID(i), signers[i])) //nolint:gosec // i < n
	}
	for i := range w.o.Clients {
		w.clients = append(w.clients, newClient(w, i, w.signer(scheme, 1000+i)))
	}
}

// signer returns the n-th key's signer: of the stub scheme, or the real one.
func (w *world) signer(scheme *Scheme, n int) crypto.Signer {
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1) //nolint:gosec // not negative
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		w.fail(fmt.Errorf("sim: %w", err))
	}
	if w.o.RealSignatures {
		return key
	}
	return scheme.Signer(key)
}

// after schedules do.
func (w *world) after(d time.Duration, do func()) {
	w.order++
	w.agenda.push(happening{w.now + d, w.order, do})
}

// between draws a time from [low, high].
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// chance draws with probability p.
func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// fail records the first violation.
func (w *world) fail(err error) {
	if w.oracle.violation != nil {
		return
	}
	w.oracle.violation = fmt.Errorf("%w\n\treplay: sim.Run(%s)", err, w.o)
	w.tell("VIOLATION %v", err)
}

func (w *world) wall() wire.Time { return wallStart + wire.Time(w.now) }

// loop runs until everything is done and equal, something is violated, or time
// is up.
func (w *world) loop() {
	end := w.o.Turbulence + w.o.Patience
	for len(w.agenda) > 0 && w.oracle.violation == nil {
		next := w.agenda.pop()
		w.now = next.at
		if w.now > end || w.track.events > eventsMax {
			w.fail(fmt.Errorf("liveness: %s after the network became timely: %s", w.o.Patience, w.unfinished()))
			return
		}
		next.do()
		if w.calm && w.finished() {
			w.oracle.converged()
			return
		}
	}
}

// finished tells whether all operations are answered and all replicas but liars
// have executed the same.
func (w *world) finished() bool {
	for _, c := range w.clients {
		if !c.finished() {
			return false
		}
	}
	reached := wire.Seq(0)
	for _, n := range w.nodes {
		if n.liar == nil {
			reached = max(reached, n.replica.Executed())
		}
	}
	for _, n := range w.nodes {
		if n.liar == nil && (n.down || n.replica.Executed() != reached || n.replica.Transferring()) {
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
		Options: w.o.withoutFunctions(), Violation: w.oracle.violation, Events: w.track.events, Virtual: w.now,
		Trace: w.track.digest(), Counters: w.counters,
	}
	res.Counters.Checkpoints = len(w.oracle.states)
	for _, n := range w.nodes {
		if n.replica != nil {
			res.Views = max(res.Views, n.replica.View())
			res.Executed = max(res.Executed, n.replica.Executed())
		}
	}
	return res
}
