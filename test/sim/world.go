package sim

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
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

// happening is something that happens at a time.
type happening struct {
	at    time.Duration
	order uint64 // ties go in the order of scheduling
	do    func()
}

type agenda []happening

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push is for container/heap.
func (a *agenda) Push(x any) { *a = append(*a, x.(happening)) } //nolint:errcheck,forcetypeassert // only happenings are pushed

// Pop is for container/heap.
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = happening{}
	*a = old[:len(old)-1]
	return last
}

// World is one run: a cluster, its clients, and everything between them.
type World struct {
	o       Options
	rng     *rand.Rand
	now     time.Duration
	order   uint64
	agenda  agenda
	calm    bool // the turbulence is over
	quorum  core.Quorum
	domain  crypto.Domain
	opener  *wire.Opener
	nodes   []*node
	clients []*client
	links   links
	oracle  oracle
	trace   hash.Hash
	events  int
}

// Result is the outcome of a run.
type Result struct {
	Options Options
	// Violation is nil, or the first property that did not hold.
	Violation error
	// Trace identifies the run: equal seeds give equal traces.
	Trace crypto.Digest
	// Events is the number of steps, Views the highest view, Executed the
	// highest sequence number, Virtual the time that passed.
	Events      int
	Views       wire.View
	Executed    wire.Seq
	Transfers   int
	Checkpoints int
	Virtual     time.Duration
}

// Run executes one schedule.
func Run(o Options) Result {
	w := newWorld(o.withDefaults())
	w.plan()
	w.loop()
	return w.result()
}

func newWorld(o Options) *World {
	q, err := core.NewQuorumWithFaults(o.Replicas, o.Faults)
	w := &World{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), quorum: q, trace: sha256.New(),
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("sim"))},
		links:  newLinks(o.Replicas),
	}
	w.oracle = newOracle(w)
	if err != nil {
		w.fail(fmt.Errorf("sim: %w", err))
		return w
	}
	w.populate()
	return w
}

// populate makes the keys, the replicas and the clients.
func (w *World) populate() {
	scheme := NewScheme()
	signer := func(n uint64) crypto.Signer {
		var seed [crypto.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], n+1)
		key, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			w.fail(fmt.Errorf("sim: %w", err))
		}
		if w.o.RealSignatures {
			return key
		}
		return scheme.Signer(key)
	}
	signers := make([]crypto.Signer, w.o.Replicas)
	keys := make([]crypto.PublicKey, w.o.Replicas)
	for i := range signers {
		signers[i] = signer(uint64(i))
		keys[i] = signers[i].Public()
	}
	var verifier crypto.Verifier = scheme
	if w.o.RealSignatures {
		verifier = crypto.NewVerifier(64)
	}
	w.opener = wire.NewOpener(w.domain, keys, wire.DefaultLimits(w.o.Replicas), verifier)
	for i := range signers {
		w.nodes = append(w.nodes, newNode(w, wire.ReplicaID(i), signers[i]))
	}
	for i := range w.o.Clients {
		w.clients = append(w.clients, newClient(w, i, signer(uint64(1000+i))))
	}
}

// after schedules do.
func (w *World) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.agenda, happening{w.now + d, w.order, do})
}

// between draws a time from [low, high].
func (w *World) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// chance draws with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// note adds a line to the trace.
func (w *World) note(format string, args ...any) {
	w.events++
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(w.trace, "%d %s\n", w.now, line)
	if w.o.Trace != nil {
		w.o.Trace(w.now, line)
	}
}

// fail records the first violation.
func (w *World) fail(err error) {
	if w.oracle.violation == nil {
		w.oracle.violation = err
		w.note("VIOLATION %v", err)
	}
}

func (w *World) wall() wire.Time { return wallStart + wire.Time(w.now) }

// loop runs until everything is done and equal, something is violated, or time
// is up.
func (w *World) loop() {
	end := w.o.Turbulence + w.o.Patience
	for len(w.agenda) > 0 && w.oracle.violation == nil {
		next, _ := heap.Pop(&w.agenda).(happening)
		w.now = next.at
		if w.now > end || w.events > eventsMax {
			w.fail(fmt.Errorf("liveness: %s after the network became timely: %s", w.o.Patience, w.unfinished()))
			return
		}
		next.do()
		if w.calm && w.finished() {
			return
		}
	}
}

// finished tells whether all operations are answered and all replicas have
// executed, and snapshotted, the same.
func (w *World) finished() bool {
	for _, c := range w.clients {
		if !c.finished() {
			return false
		}
	}
	for _, n := range w.nodes {
		if n.down || n.replica.Executed() != w.nodes[0].replica.Executed() || n.replica.Transferring() {
			return false
		}
	}
	return true
}

func (w *World) unfinished() string {
	text := ""
	for _, c := range w.clients {
		text += fmt.Sprintf("client %d has %d of %d; ", c.id, c.answered, w.o.Operations)
	}
	for _, n := range w.nodes {
		r := n.replica
		text += fmt.Sprintf("R%d view %d active %v executed %d stable %d rejoining %v transferring %v; ",
			n.id, r.View(), r.Active(), r.Executed(), r.Stable().Seq, r.Rejoining(), r.Transferring())
	}
	return text
}

func (w *World) result() Result {
	res := Result{
		Options: w.o, Violation: w.oracle.violation, Events: w.events, Virtual: w.now,
		Transfers: w.oracle.transfers, Checkpoints: len(w.oracle.states),
	}
	w.trace.Sum(res.Trace[:0])
	for _, n := range w.nodes {
		res.Views = max(res.Views, n.replica.View())
		res.Executed = max(res.Executed, n.replica.Executed())
	}
	return res
}
